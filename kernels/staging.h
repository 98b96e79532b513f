/* staging.h: a device's memory as the host sees it, piece by piece.
 *
 * What is saved, loaded or published may be as large as the device. It passes through one buffer of
 * SB_STAGING_BYTES, so that the host needs no more for a large network than for a small one. Where host
 * addresses are the device's own (device.h, host_memory) a piece is the memory itself: there is no buffer and
 * no copy. Transfers go over the compute stream, behind what it was given before, and are waited for. */
#ifndef SB_KERNELS_STAGING_H
#define SB_KERNELS_STAGING_H

#include "kernels/device.h"

#define SB_STAGING_BYTES ((size_t)4 << 20) /* the largest piece */

typedef struct {
    sb_device *device;
    void *buffer; /* NULL: not needed */
} sb_staging;

int sb_staging_open(sb_staging *out, sb_device *device);
void sb_staging_close(sb_staging *staging);

/* Where the host finds these bytes of device memory, until the next call. NULL with sb_error set: it failed.
 */
const void *sb_staging_fetch(sb_staging *staging, const void *from, size_t bytes);

/* room: where the host puts the bytes that are meant for `to`. send: brings them to `to`, once they are
 * there. */
void *sb_staging_room(sb_staging *staging, void *to);
int sb_staging_send(sb_staging *staging, void *to, size_t bytes);

#endif

/* device.h: a device: its memory, its streams, and its table of kernels.
 *
 * DESIGN. kernels/cpu (oneDNN, OpenMP) is the reference and is linked in; kernels/cuda is a plug-in that is
 * loaded when a GPU is there. Memory of a device is an address that only the device's own functions may touch
 * (`copy` moves bytes); pointer arithmetic on it is allowed, so that an arena can be divided. Operations
 * (op.h) run in order on the compute stream. The other two streams exist so that a copy may overlap; `order`
 * and `wait` say what needs what. A new operation changes nothing here: it is one more line of ops.def. All
 * functions return 0, or -1 with sb_error set.
 *
 * Where nothing but memory is missing, `alloc` and what opens a device return SB_DEVICE_FULL in place of -1:
 * whoever knows what the memory was for can say what to lower. */
#ifndef SB_KERNELS_DEVICE_H
#define SB_KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/share/share.h"

#define SB_DEVICE_FULL (-2)

/* What is computed is f32, bf16 or f16; pixels and places are u8, numbers of rows i32. */
typedef enum { SB_F32, SB_BF16, SB_F16, SB_U8, SB_I32 } sb_type;
SB_SHARED size_t sb_type_bytes(sb_type type)
{
    return type == SB_F32 || type == SB_I32 ? 4 : type == SB_U8 ? 1 : 2;
}
static inline const char *sb_type_name(sb_type type)
{
    return type == SB_F32    ? "f32"
           : type == SB_BF16 ? "bf16"
           : type == SB_F16  ? "f16"
           : type == SB_U8   ? "u8"
                             : "i32";
}

typedef enum { SB_STREAM_COMPUTE, SB_STREAM_UPLOAD, SB_STREAM_DOWNLOAD } sb_stream;
typedef enum { SB_TO_DEVICE, SB_TO_HOST, SB_ON_DEVICE } sb_direction;
#define SB_MARKS 2

typedef struct sb_device sb_device;
typedef struct sb_recording sb_recording; /* the device's own */
typedef struct sb_kernel sb_kernel;       /* op.h */

struct sb_device {
    const sb_kernel *const *kernels; /* [SB_OPS]: how this device computes each operation (op.h) */
    char description[192];           /* "CPU, 2 threads, oneDNN 2.6.3 for AVX2, no bf16" */
    char reason[512];                /* why it is this one and no other (sb_device_open) */
    char planning[1024]; /* how it planned what it was asked for, for a note; "": nothing to say */
    int threads;

    /* Convolutions of this type are native here, sums in f32. Where they are not, planning one is refused.
     * All other operations take bf16 and f16 on any device. */
    bool bf16, f16;

    sb_type usual; /* of activations, where nobody asks for another */

    /* tf32: the device can round what f32 convolutions and matrix products multiply to TF32, f32 with the 11
     * digits of f16. rounds: it may; for whoever opened it to set, before anything is planned. */
    bool tf32, rounds;

    bool host_memory; /* host addresses are the device's too: nothing is copied for its sake */

    void (*close)(sb_device *device);

    /* Memory and transfers. available: the bytes that may be taken by alloc, as far as can be known
     * (SIZE_MAX: not): what is free, less a reserve for other processes and for what comes later. It is meant
     * for whoever trains: it first opens the libraries of matrix products and of convolutions, so that their
     * share no longer counts as free. alloc: 64-byte aligned (256 on
     * a GPU); it may dip into the reserve. */
    int (*available)(sb_device *device, size_t *bytes);
    int (*alloc)(sb_device *device, size_t bytes, void **out);
    void (*release)(sb_device *device, void *memory);
    int (*copy)(sb_device *device, sb_stream stream, void *to, const void *from, size_t bytes,
                sb_direction direction);
    int (*zero)(sb_device *device, void *memory, size_t bytes);

    /* Lets the device read and write this host memory by itself, until the device is closed. */
    int (*pin)(sb_device *device, void *host, size_t bytes);

    /* order: what `later` is given from now on waits for what `earlier` was given so far. wait: the host
     * waits for a stream. mark: gives a number, 0 .. SB_MARKS - 1, to what a stream was given so far;
     * wait_mark: the host waits for that. */
    int (*order)(sb_device *device, sb_stream later, sb_stream earlier);
    int (*wait)(sb_device *device, sb_stream stream);
    int (*mark)(sb_device *device, sb_stream stream, int mark);
    int (*wait_mark)(sb_device *device, int mark);

    /* Work that comes again, address for address, given in one launch. NULL, all four: the device has no use
     * for that. record: from now on, what the compute stream is given is kept and not run: operations that
     * ran before, `zero`, and copies on the device; nothing else may be asked of it meanwhile. recorded: ends
     * that, also where something in between failed; then it may fail because of it. replay: gives the stream
     * all that was kept, with the addresses and numbers that it was kept with. forget waits for it. */
    int (*record)(sb_device *device);
    int (*recorded)(sb_device *device, sb_recording **out);
    int (*replay)(sb_device *device, sb_recording *recording);
    void (*forget)(sb_device *device, sb_recording *recording);
};

/* The CPU device with `threads` compute threads (0: the cores that it may use, cores.h). Refuses an
 * OMP_THREAD_LIMIT below `threads`, with which oneDNN hangs. */
int sb_device_cpu(sb_device **out, int threads);

/* Closes and NULLs; tolerates NULL. */
static inline void sb_device_close(sb_device **device)
{
    if (*device)
        (*device)->close(*device);
    *device = NULL;
}

#endif

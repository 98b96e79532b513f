/* precision.h: trainer.precision: what the backbone computes in, and what a device has of it. */
#ifndef SB_TRAINER_PRECISION_H
#define SB_TRAINER_PRECISION_H

#include "kernels/device.h"
#include "trainer/keys.h"

/* `asked`, or for `auto` what is usual on the device: bf16 on a GPU that has it, else f32. */
sb_precision sb_precision_on(const sb_device *device, sb_precision asked);

/* The same; -1: the device lacks it. */
int sb_precision_settle(const sb_device *device, sb_precision asked, sb_precision *out);

/* "bf16", as the key has it; and what it means, for the start of a run. */
const char *sb_precision_name(sb_precision precision);
const char *sb_precision_meaning(sb_precision precision);

/* Of the backbone's activations; not of `auto`. */
sb_type sb_precision_type(sb_precision precision);

#endif

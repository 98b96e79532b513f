/* precision.c: see precision.h. */
#include "trainer/precision.h"

#include "proto/error.h"

static const struct {
    const char *name, *meaning;
    sb_type type;
} all[] = {
    [SB_PRECISION_AUTO] = { "auto", "", SB_F32 },
    [SB_PRECISION_F32] = { "f32", "all in f32", SB_F32 },
    [SB_PRECISION_TF32] = { "tf32", "f32, but convolutions and matrix products round what they multiply",
                            SB_F32 },
    [SB_PRECISION_BF16] = { "bf16", "of the backbone's activations; all else in f32", SB_BF16 },
    [SB_PRECISION_F16] = { "f16", "of the backbone's activations, with gradients scaled; all else in f32",
                           SB_F16 },
};

static bool has(const sb_device *device, sb_precision precision)
{
    return precision == SB_PRECISION_TF32   ? device->tf32
           : precision == SB_PRECISION_BF16 ? device->bf16
           : precision == SB_PRECISION_F16  ? device->f16
                                            : true;
}

sb_precision sb_precision_on(const sb_device *device, sb_precision asked)
{
    const sb_precision usual = device->usual == SB_BF16 ? SB_PRECISION_BF16 : SB_PRECISION_F32;
    return asked == SB_PRECISION_AUTO ? usual : asked;
}

int sb_precision_settle(const sb_device *device, sb_precision asked, sb_precision *out)
{
    const sb_precision usual = sb_precision_on(device, SB_PRECISION_AUTO);
    *out = sb_precision_on(device, asked);
    return has(device, *out) ? 0
                             : sb_fail("trainer.precision = %s: this device does not have it (%s): set "
                                       "trainer.precision=auto, which is %s here",
                                       all[asked].name, device->description, all[usual].name);
}

const char *sb_precision_name(sb_precision precision) { return all[precision].name; }
const char *sb_precision_meaning(sb_precision precision) { return all[precision].meaning; }
sb_type sb_precision_type(sb_precision precision) { return all[precision].type; }

/* test_sizes.c: the sizes of plans on the emulated device (tests/graph). */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "tests/emulated/emulation.h"
#include "tests/graph/sizes.h"

int main(void)
{
    sb_device *device = NULL;
    int failed = 1;
    /* Without a place to keep a choice plans are not timed, which would compute whole networks here. */
    if (unsetenv("XDG_CACHE_HOME") != 0 || unsetenv("HOME") != 0 || sb_device_cuda(&device) != 0)
        fprintf(stderr, "%s\n", sb_error());
    else
        failed = sb_size_checks(device, emulation_calls);
    sb_device_close(&device);
    return failed;
}

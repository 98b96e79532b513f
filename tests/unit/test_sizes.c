/* test_sizes.c: the sizes of plans on the CPU (tests/graph). */
#include <stdio.h>

#include "proto/error.h"
#include "tests/graph/sizes.h"

int main(void)
{
    sb_device *device;
    if (sb_device_cpu(&device, 2) != 0) {
        fprintf(stderr, "%s\n", sb_error());
        return 1;
    }
    int failed = sb_size_checks(device, NULL);
    sb_device_close(&device);
    return failed;
}

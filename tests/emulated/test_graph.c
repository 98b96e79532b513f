/* test_graph.c: graphs and plans on the emulated device, beside the CPU (tests/graph). */
#include <omp.h>
#include <stdio.h>

#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "tests/emulated/cache.h"
#include "tests/graph/checks.h"

int main(void)
{
    sb_device *device = NULL, *cpu = NULL;
    cache_make();
    omp_set_num_threads(1); /* products too small to share */
    int failed = 1;
    if (sb_device_cuda(&device) != 0 || sb_device_cpu(&cpu, 1) != 0)
        fprintf(stderr, "%s\n", sb_error());
    else
        failed = sb_graph_checks(device, cpu);
    sb_device_close(&device);
    sb_device_close(&cpu);
    cache_remove();
    return failed;
}

/* Every operation of the CUDA device on a real GPU against the reference; without a plug-in and a GPU it is
 * skipped, and says why. `test_gpu time`, `step` and `steps` set times beside predictions (gpu.h). */
#include <stdio.h>

#include "kernels/open.h"
#include "proto/error.h"
#include "tests/cuda/gpu.h"

static int open_gpu(sb_device **out, int threads)
{
    return sb_device_open(out, SB_DEVICE_CUDA, "build/sb_cuda.so", threads);
}

int main(int argc, char **argv)
{
    sb_device *device;
    if (open_gpu(&device, 1) != 0) {
        printf("1..0 # SKIP %s\n", sb_error());
        return 0;
    }
    sb_device_close(&device);
    return sb_gpu_main(argc, argv, open_gpu, (const int[]){ 1, 0 }, 10);
}

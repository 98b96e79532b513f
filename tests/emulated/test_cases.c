/* Every operation of the CUDA device, on the emulated GPU, against the reference: with threads, blocks and
 * streams in three orders. `time` and `step` show that the tables of tests/cuda/gpu.h are filled; their times
 * are invented. */
#include <stdlib.h>

#include "kernels/cuda/device.h"
#include "tests/cuda/gpu.h"
#include "tests/emulated/emulation.h"

/* The list opens a device by its number of threads; here that is the order. */
static int open_in_order(sb_device **out, int order)
{
    emulation_set_order((emulation_order)(order - 1), 11);
    return sb_device_cuda(out);
}

int main(int argc, char **argv)
{
    unsetenv("XDG_CACHE_HOME"); /* with no place to keep a choice, plans are not timed */
    unsetenv("HOME");
    return sb_gpu_main(argc, argv, open_in_order,
                       (const int[]){ 1 + EMULATION_FORWARD, 1 + EMULATION_REVERSE, 1 + EMULATION_RANDOM, 0 },
                       1);
}

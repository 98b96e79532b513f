/* Every operation of the CPU device against the reference, with 2, 1, 3 and 7 threads. */
#include "tests/kernels/cases.h"

int main(int argc, char **argv)
{
    return sb_cases_main(argc, argv, sb_device_cpu, (const int[]){ 2, 1, 3, 7, 0 }, true, NULL);
}

/* Reads "method n width temperature" as arguments and f32 embeddings [2n, width] (then skip bytes [n, n] if a fifth argument says so)
 * from standard input; writes the loss (f64) and the gradient (f32). For tests/oracle/method.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/method.h"

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    const sb_method *method = strcmp(argv[1], "simclr") == 0 ? &sb_method_simclr : &sb_method_dcl;
    sb_method_shape s = { .samples = atoi(argv[2]), .views = 2, .width = atoi(argv[3]), .temperature = (float)atof(argv[4]) };
    int skipping = atoi(argv[5]);
    size_t values = 2 * (size_t)s.samples * (size_t)s.width, pairs = (size_t)s.samples * (size_t)s.samples;
    float *z = malloc(values * sizeof *z), *dz = malloc(values * sizeof *dz), *scratch = malloc(method->scratch(&s) * sizeof *scratch);
    unsigned char *skip = malloc(pairs);
    double loss;
    if (!z || !dz || !scratch || !skip || sb_device_cpu(&s.device, 2) != 0 || fread(z, sizeof *z, values, stdin) != values ||
        (skipping && fread(skip, 1, pairs, stdin) != pairs) ||
        method->loss(&s, z, skipping ? skip : NULL, dz, &loss, scratch) != 0)
        exit(1);
    fwrite(&loss, sizeof loss, 1, stdout);
    fwrite(dz, sizeof *dz, values, stdout);
    sb_device_close(&s.device);
    free(z);
    free(dz);
    free(scratch);
    free(skip);
    return 0;
}

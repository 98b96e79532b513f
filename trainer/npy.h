/* npy.h: arrays in numpy's format (numpy.lib.format, version 1.0), little-endian, rows first. */
#ifndef SB_TRAINER_NPY_H
#define SB_TRAINER_NPY_H

#include <stddef.h>
#include <stdint.h>

#define SB_NPY_HEADER 128 /* bytes of every header that is written here: the values follow */
#define SB_NPY_DIMS 4

typedef enum { SB_NPY_F32, SB_NPY_I32, SB_NPY_KINDS } sb_npy_kind;

/* An array in host memory. */
typedef struct {
    sb_npy_kind kind;
    int dims;
    int64_t side[SB_NPY_DIMS];
    size_t count; /* of values */
    void *values;
} sb_npy;

/* The header of an array that is written in pieces. */
int sb_npy_header(char out[SB_NPY_HEADER], const sb_npy *array);

/* Reads a whole array. Refuses a file of another kind, of Fortran's order, of more than SB_NPY_DIMS
 * dimensions, or of another length than its shape says. The caller frees out->values. */
int sb_npy_read(sb_npy *out, const char *path, sb_npy_kind kind);

/* Writes a whole array, or leaves the file as it was. */
int sb_npy_write(const char *path, const sb_npy *array);

#endif

/* cpu.h: what the files of the CPU device share. Private to kernels/cpu. */
#ifndef SB_KERNELS_CPU_H
#define SB_KERNELS_CPU_H

#include <dnnl.h>

#include "kernels/share/half.h"
#include "kernels/op.h"

typedef struct {
    sb_device base;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} sb_cpu;

/* Rows of a reduction that one partial sum covers. Partial sums are made in parallel and added in order of
 * their blocks, so the result depends on the shape alone and not on the number of threads. */
#define SB_CPU_BLOCK 256

/* For a function that has constants among its arguments, each of which makes loops of its own. */
#define INLINE static inline __attribute__((always_inline))

static inline float sb_cpu_load(const void *x, sb_type type, size_t i)
{
    return type == SB_F32    ? ((const float *)x)[i]
           : type == SB_BF16 ? sb_from_bf16(((const uint16_t *)x)[i])
                             : sb_from_f16(((const uint16_t *)x)[i]);
}

static inline void sb_cpu_store(void *x, sb_type type, size_t i, float value)
{
    if (type == SB_F32)
        ((float *)x)[i] = value;
    else
        ((uint16_t *)x)[i] = type == SB_BF16 ? sb_to_bf16(value) : sb_to_f16(value);
}

/* For an operation's `layout`: all of it as its first input comes, if that fills the blocks. */
static inline void sb_cpu_as_comes(sb_device *device, sb_call *call)
{
    const int came = call->xs[0].block, block = came > 0 && call->xs[0].c % came == 0 ? came : 0;
    (void)device;
    for (int k = 0; k < SB_INPUTS_MAX; k++)
        call->xs[k].block = call->xs[k].n > 0 ? block : 0;
    call->ys.block = block;
}

/* A tensor in either layout (op.h): elements from a place of an image to the next one; and channels from
 * `first` on, at most `most`, that lie side by side in a place. sb_shape_at says where they begin. */
static inline size_t sb_cpu_step(const sb_shape *s) { return (size_t)(s->block > 0 ? s->block : s->c); }
static inline int sb_cpu_run(const sb_shape *s, int first, int most)
{
    const int together = s->block > 0 ? s->block : s->c - first, left = together < most ? together : most;
    return s->c - first < left ? s->c - first : left;
}

/* Rows -> f32 and back, for kernels that work on a row at a time; `type` is a constant where it is inlined.
 */
static inline void sb_cpu_load_row(const void *x, sb_type type, size_t at, int count, float *out)
{
    if (type == SB_F32) {
        const float *from = (const float *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            out[i] = from[i];
    } else if (type == SB_BF16) {
        const uint16_t *from = (const uint16_t *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            out[i] = sb_from_bf16(from[i]);
    } else {
        const uint16_t *from = (const uint16_t *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            out[i] = sb_from_f16(from[i]);
    }
}

static inline void sb_cpu_store_row(void *x, sb_type type, size_t at, int count, const float *row)
{
    if (type == SB_F32) {
        float *to = (float *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            to[i] = row[i];
    } else if (type == SB_BF16) {
        uint16_t *to = (uint16_t *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            to[i] = sb_to_bf16(row[i]);
    } else {
        uint16_t *to = (uint16_t *)x + at;
#pragma omp simd
        for (int i = 0; i < count; i++)
            to[i] = sb_to_f16(row[i]);
    }
}

/* A row of a gradient: written, or added to what an earlier consumer wrote. */
static inline void sb_cpu_give_row(void *dx, sb_type type, size_t at, int count, float *row, bool add)
{
    if (add)
        for (int i = 0; i < count; i++)
            row[i] += sb_cpu_load(dx, type, at + (size_t)i);
    sb_cpu_store_row(dx, type, at, count, row);
}

/* A row to read as f32: where it lies, or converted in `buffer`. */
static inline const float *sb_cpu_row(const void *x, sb_type type, size_t at, int count, float *buffer)
{
    if (type == SB_F32)
        return (const float *)x + at;
    sb_cpu_load_row(x, type, at, count, buffer);
    return buffer;
}

/* Where to write a row of f32: where it shall lie, or `buffer`, from which it has to be stored or given. */
static inline float *sb_cpu_row_to(void *y, sb_type type, size_t at, bool add, float *buffer)
{
    return type == SB_F32 && !add ? (float *)y + at : buffer;
}

/* Element i of an f32 gradient, in the same way. */
static inline void sb_cpu_give(float *dx, size_t i, float value, bool add)
{
    dx[i] = add ? dx[i] + value : value;
}

/* C[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C, dense and row-major; beta 0: what C holds is not read. */
int sb_cpu_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
                 const float *b, float beta, float *c);

#endif

/* test_gradient_bf16.c: the gradient at a convolution's weights in bf16 (kernels/cpu/gradient_bf16.h), of
 * shapes drawn at random: the plain sums, whatever the number of threads to the bit, and nothing read or
 * written beside what is given, which lies between pages that cannot be touched. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/cpu/gradient_bf16.h"
#include "kernels/share/half.h"
#include "proto/random.h"

#define SHAPES 300
#define THREADS 7

/* Memory that ends where a page begins that cannot be touched, and another one lies before it. */
typedef struct {
    char *pages;
    size_t all;
    void *at;
} guarded;

static guarded guard(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    guarded g = { .all = inner + 2 * page };
    g.pages = mmap(NULL, g.all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g.pages, MAP_FAILED);
    assert_int_equal(mprotect(g.pages, page, PROT_NONE), 0);
    assert_int_equal(mprotect(g.pages + page + inner, page, PROT_NONE), 0);
    g.at = g.pages + page + inner - bytes;
    return g;
}
static void unguard(guarded *g) { assert_int_equal(munmap(g->pages, g->all), 0); }

static int below(sb_random *random, int count) { return (int)(sb_random_u32(random) % (uint32_t)count); }

static guarded values(sb_random *random, size_t count)
{
    guarded g = guard(count * sizeof(uint16_t));
    for (size_t i = 0; i < count; i++)
        ((uint16_t *)g.at)[i] = sb_to_bf16((float)(below(random, 2001) - 1000) / 500);
    return g;
}

/* In f64, and the sum of what each adds without its sign. */
static void plain(const sb_conv_how *how, const sb_shape *x, const sb_shape *y, const uint16_t *from,
                  const uint16_t *dy, double *sum, double *size)
{
    for (int n = 0; n < y->n; n++)
        for (int i = 0; i < y->h; i++)
            for (int j = 0; j < y->w; j++)
                for (int tap = 0; tap < how->kernel * how->kernel; tap++) {
                    const int row = i * how->stride - how->pad + tap / how->kernel,
                              column = j * how->stride - how->pad + tap % how->kernel;
                    if (row < 0 || row >= x->h || column < 0 || column >= x->w)
                        continue;
                    const uint16_t *in = from + (size_t)((n * x->h + row) * x->w + column) * (size_t)x->c,
                                   *out = dy + (size_t)((n * y->h + i) * y->w + j) * (size_t)y->c;
                    for (int o = 0; o < y->c; o++)
                        for (int c = 0; c < x->c; c++) {
                            const double product = (double)sb_from_bf16(out[o]) * sb_from_bf16(in[c]);
                            const size_t at = (size_t)((o * x->c + c) * how->kernel * how->kernel + tap);
                            sum[at] += product;
                            size[at] += fabs(product);
                        }
                }
}

/* Draws a shape; `flat` ones are read as one row an image. */
static void draw(sb_random *random, bool flat, sb_conv_how *how, sb_shape *x, sb_shape *y)
{
    do {
        *how = flat ? (sb_conv_how){ .kernel = 1, .stride = 1 }
                    : (sb_conv_how){ .kernel = 1 + below(random, 5),
                                     .stride = 1 + below(random, 3),
                                     .pad = below(random, 3) };
        how->out = 1 + below(random, 40);
        *x = (sb_shape){ 1 + below(random, 5), 1 + below(random, 20), 1 + below(random, 20),
                         1 + below(random, 70), SB_BF16 };
    } while (x->h + 2 * how->pad < how->kernel || x->w + 2 * how->pad < how->kernel);
    *y = (sb_shape){ x->n, (x->h + 2 * how->pad - how->kernel) / how->stride + 1,
                     (x->w + 2 * how->pad - how->kernel) / how->stride + 1, how->out, SB_BF16 };
}

static void check(sb_random *random, bool flat)
{
    sb_conv_how how;
    sb_shape x, y;
    draw(random, flat, &how, &x, &y);
    const size_t count = (size_t)(how.out * x.c * how.kernel * how.kernel), bytes = count * sizeof(float);
    guarded from = values(random, sb_shape_elements(&x)), dy = values(random, sb_shape_elements(&y));
    double *sum = calloc(count, sizeof *sum), *size = calloc(count, sizeof *size);
    float *first = malloc(bytes);
    assert_true(sum && size && first);
    plain(&how, &x, &y, from.at, dy.at, sum, size);
    const bool add = below(random, 2) == 0;
    for (int threads = 1; threads <= THREADS; threads++) {
        const size_t work = sb_gradient_bf16_scratch(threads, &how, &x, &y);
        guarded scratch = guard((work + 63) / 64 * 64), dw = guard(bytes);
        memset(scratch.at, 0xff, work); /* NaN: nothing of it is a value before it is written */
        float *gradient = dw.at;
        for (size_t i = 0; i < count; i++)
            gradient[i] = 1;
        sb_gradient_bf16(threads, &how, &x, &y, from.at, dy.at, gradient, add, scratch.at);
        for (size_t i = 0; threads == 1 && i < count; i++) {
            const double error = fabs(gradient[i] - (add ? 1.0 : 0.0) - sum[i]),
                         bound = 0x1p-24 * (y.n * y.h * y.w + 2) * (size[i] + 1);
            if (!(error <= bound))
                fail_msg("[%d, %d, %d, %d] to %d, kernel %d, stride %d, pad %d: weight %zu is %.9g, should "
                         "be %.9g",
                         x.n, x.h, x.w, x.c, how.out, how.kernel, how.stride, how.pad, i, gradient[i],
                         sum[i]);
        }
        if (threads == 1)
            memcpy(first, gradient, bytes);
        assert_memory_equal(gradient, first, bytes);
        unguard(&scratch), unguard(&dw);
    }
    unguard(&from), unguard(&dy);
    free(sum), free(size), free(first);
}

static void test_shapes(void **state)
{
    (void)state;
    if (!sb_cpu_own_bf16())
        skip();
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (int i = 0; i < SHAPES; i++)
        check(&random, i % 3 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

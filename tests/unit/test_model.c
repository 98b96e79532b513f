/* test_model.c: the model of a GPU's times (tests/bench/model.h) is what its own terms say, and gives about
 * what others published of whole steps. No GPU takes part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "proto/error.h"
#include "tests/bench/counts.h"

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b); }

static const sb_peak gpu = { "made up", 1e12, 10e12, 100e12, 0 };

/* Every kind can be corrected: its shares are shares, and it says where they are from. */
static void shares(void **state)
{
    (void)state;
    for (int k = 0; k < SB_KINDS; k++) {
        for (int s = 0; s < SB_SHARES; s++) {
            const double share = sb_assumed_share((sb_kind)k, (sb_share)s);
            assert_true(share > 0 && share <= 1);
        }
        assert_true(sb_assumed[k].name && sb_assumed[k].source);
    }
}

/* Work of every kind, there and back, in f32 and bf16, that waits for memory or for arithmetic. */
static sb_work work_of(int number)
{
    const int kind = number / 8;
    return (sb_work){ .kind = (sb_kind)kind,
                      .backward = number & 1,
                      .type = number & 2 ? SB_F32 : SB_BF16,
                      .cost = { number & 4 ? 1e9 : 1e6, number & 4 ? 1e9 : 1e12 } };
}

/* A call takes no less than the bound; what it would reach if it took as long as modelled is what was
 * assumed, and half of it where the same work takes twice as long but for what goes on beside. */
static void terms(void **state)
{
    (void)state;
    for (int i = 0; i < 8 * SB_KINDS; i++) {
        const sb_work w = work_of(i);
        const double bound = sb_work_bound(&gpu, &w), model = sb_work_seconds(&gpu, &w),
                     reached = sb_work_reached(&gpu, &w, model),
                     share = sb_assumed_share(w.kind, sb_work_share(&gpu, &w));
        assert_true(model >= bound / share * 0.999999);
        if (reached > 0) { /* what is moved beside is not most of it */
            assert_true(near(reached, share));
            assert_true(near(sb_work_reached(&gpu, &w, model + bound / share), share / 2));
        } else {
            assert_true(w.type == SB_F32 && sb_assumed[w.kind].moved > 0);
        }
    }
}

/* Launches alone say nothing of a share. */
static void too_short(void **state)
{
    (void)state;
    const sb_work w = { .kind = SB_KIND_NORM, .type = SB_F32, .cost = { 1000, 0 } };
    assert_true(sb_work_reached(&gpu, &w, sb_work_seconds(&gpu, &w)) == 0);
}

/* Training steps of ResNet-50 at 224 pixels, images a second: NVIDIA's DeepLearningExamples (PyTorch 21.03;
 * V100 16 GB, A100 80 GB) and tf_cnn_benchmarks (TensorFlow 23.02; RTX 4090, batch 256). In f16, but for one
 * in f32, channels first, which our tensors are not. Our step has DCL's head in place of a classifier. */
static const struct {
    sb_peak gpu;
    const char *precision;
    double images;
} published[] = { { { "V100", 900e9, 15.7e12, 125e12, 0 }, "f16", 1200 },
                  { { "V100", 900e9, 15.7e12, 125e12, 0 }, "f32", 367 },
                  { { "A100", 2039e9, 19.5e12, 312e12, 0 }, "f16", 2470 },
                  { { "RTX 4090", 1008e9, 82.6e12, 165.2e12, 0 }, "f16", 1776 } };

static void published_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        sb_settings config;
        sb_counts n;
        const sb_counts_case *c = &sb_counts_cases[1];
        if (sb_counts_case_settings(&config, sb_counts_paper(SIZE_MAX), c, published[i].precision, NULL, 0) !=
                0 ||
            sb_counts_step(&config, &published[i].gpu, 1, &n) != 0)
            fail_msg("%s", sb_error());
        const double modelled = config.view_count * config.trainer.batch /
                                sb_counts_seconds(&n, &published[i].gpu, 0),
                     ratio = modelled / published[i].images;
        print_message("%s, %s, %s: %.0f images/s modelled, %.0f published\n", c->name, published[i].gpu.name,
                      published[i].precision, modelled, published[i].images);
        assert_true(ratio < SB_MODEL_FACTOR && ratio > 1 / SB_MODEL_FACTOR);
    }
}

/* What is made again, and a chunk that goes forth twice, cost no more than a way forth. */
static void made_again(void **state)
{
    (void)state;
    const char *const blocks[] = { "trainer.recompute=blocks" }, *const chunk[] = { "trainer.chunk=64" };
    sb_settings whole, again, cut;
    sb_counts n[3];
    sb_device *paper = sb_counts_paper(SIZE_MAX);
    const sb_counts_case *c = &sb_counts_cases[0];
    if (sb_counts_case_settings(&whole, paper, c, "bf16", NULL, 0) != 0 ||
        sb_counts_case_settings(&again, paper, c, "bf16", blocks, 1) != 0 ||
        sb_counts_case_settings(&cut, paper, c, "bf16", chunk, 1) != 0 ||
        sb_counts_step(&whole, &gpu, 1, &n[0]) != 0 || sb_counts_step(&again, &gpu, 1, &n[1]) != 0 ||
        sb_counts_step(&cut, &gpu, 1, &n[2]) != 0)
        fail_msg("%s", sb_error());
    assert_true(n[1].memory < n[0].memory && n[2].memory < n[0].memory);
    for (int i = 1; i < 3; i++) {
        const double ratio = sb_counts_seconds(&n[i], &gpu, 0) / sb_counts_seconds(&n[0], &gpu, 0);
        assert_true(ratio > 1.1 && ratio < 1.5);
    }
}

/* Pixels that come up slower than the step computes, and nothing that the kernels' time hides. */
static void waits(void **state)
{
    (void)state;
    sb_settings config;
    sb_counts n;
    sb_peak slow = gpu;
    slow.link = 1e6;
    if (sb_counts_case_settings(&config, sb_counts_paper(SIZE_MAX), &sb_counts_cases[0], "bf16", NULL, 0) !=
            0 ||
        sb_counts_step(&config, &slow, 1, &n) != 0)
        fail_msg("%s", sb_error());
    const sb_tally all = sb_counts_sum(&n);
    assert_true(all.model[0] > all.bound[0]);
    assert_true(near(sb_counts_seconds(&n, &gpu, 0), all.model[0]));
    assert_true(
        near(sb_counts_seconds(&n, &slow, 0), (n.pixels + n.index + n.numbers) / (1e6 * SB_MODEL_LINK)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(shares),     cmocka_unit_test(terms),
                                        cmocka_unit_test(too_short),  cmocka_unit_test(published_steps),
                                        cmocka_unit_test(made_again), cmocka_unit_test(waits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_cards.c: kernels/cuda/plan.c and conv.c as they are, with the real cuDNN, on GPUs that are not there
 * (cards.h): every convolution of every recipe, encoder and stem has a plan in each direction, in f32, and in
 * bf16 where the card has that. The plans' names tell them apart, what was chosen is found again by its name,
 * and workspaces stay within their bound. Nothing is computed, and no time is real: all plans are equally
 * fast, so the one with the smallest workspace has to be chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <glob.h>
#include <string.h>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/proposals.h"
#include "tests/cuda/cards.h"
#include "tests/emulated/cache.h"
#include "tests/emulated/emulation.h"
#include "trainer/network.h"

#define SHAPES_MAX 1024
#define SHARE 8      /* a workspace takes at most the memory over this */
#define CANDIDATES 4 /* that are timed */

/* ---- shapes ---------------------------------------------------------------------------------- */

static sb_conv_shape shapes[SHAPES_MAX]; /* all different */
static int shape_count;

static bool same(const sb_conv_shape *a, const sb_conv_shape *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->in == b->in && a->out == b->out &&
           a->kernel == b->kernel && a->stride == b->stride && a->pad == b->pad && a->type == b->type &&
           a->data_gradient == b->data_gradient;
}

/* A device that only takes shapes down: what it plans computes nothing. */
static int take_down(sb_device *device, const sb_conv_shape *shape, sb_conv **out)
{
    (void)device;
    int i = 0;
    while (i < shape_count && !same(&shapes[i], shape))
        i++;
    assert_true(i < SHAPES_MAX);
    shapes[i] = *shape;
    shape_count += i == shape_count;
    *out = NULL;
    return 0;
}

static void forget(sb_device *device, sb_conv *conv) { (void)device, (void)conv; }
static size_t no_bytes(const sb_conv *conv) { return (void)conv, 0; }
static size_t no_scratch(sb_device *device, const sb_norm_shape *shape)
{
    return (void)device, (void)shape, 0;
}

static sb_device collector = { .conv_create = take_down,
                               .conv_destroy = forget,
                               .conv_packed = no_bytes,
                               .conv_scratch = no_bytes,
                               .norm_scratch = no_scratch };

static void expect(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

/* Plans the configured encoder for each size of view, each chunk that a batch is cut into, and each
 * precision. */
static void collect(sb_config *config)
{
    sb_parameters parameters;
    sb_network *network;
    int sizes[SB_VIEWS_MAX];
    expect(sb_config_set(config, "data.path=none"));
    expect(sb_config_finish(config));
    sb_parameters_init(&parameters, &collector);
    expect(sb_network_create(&network, &parameters, config->data.channels));
    expect(sb_encoder_build(network, config));
    for (int s = sb_config_view_sizes(config, sizes) - 1; s >= 0; s--) {
        int rows = 0, chunk = config->trainer.chunk;
        for (int v = 0; v < config->view_count; v++)
            rows += config->views[v].size == sizes[s] ? config->trainer.batch : 0;
        if (chunk < 1 || chunk > rows)
            chunk = rows;
        int counts[] = { chunk, chunk > 0 ? rows % chunk : 0 };
        for (int i = 0; i < 2; i++)
            for (sb_type type = SB_F32; type <= SB_BF16 && counts[i] > 0; type++) {
                sb_plan *p;
                expect(sb_plan_create(&p, network, counts[i], sizes[s], type, true));
                sb_plan_destroy(&p);
            }
    }
    sb_network_destroy(&network);
    sb_parameters_free(&parameters);
}

static void of_recipes(void **state)
{
    (void)state;
    glob_t found;
    int before = shape_count;
    assert_int_equal(glob("recipes/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        sb_config config;
        sb_config_defaults(&config);
        expect(sb_config_read(&config, found.gl_pathv[i]));
        collect(&config);
    }
    assert_true(found.gl_pathc > 0 && shape_count > before);
    globfree(&found);
}

/* Chunks that fit 8 GiB in f32: the large views that the stem of ImageNet is for, and the small ones of the
 * small stem. */
static void of_encoders(void **state)
{
    (void)state;
    static const char *const names[] = { "encoder.name=resnet18", "encoder.name=resnet34",
                                         "encoder.name=resnet50" };
    static const char *const stems[][5] = {
        { "encoder.stem=imagenet", "data.tile=1024", "data.view=1024", "trainer.batch=2", "trainer.chunk=4" },
        { "encoder.stem=imagenet", "data.tile=1024", "data.view=224", "trainer.batch=16",
          "trainer.chunk=32" },
        { "encoder.stem=small", "data.tile=1024", "data.view=96", "trainer.batch=8", "trainer.chunk=16" },
    };
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof stems / sizeof *stems; k++) {
            sb_config config;
            sb_config_defaults(&config);
            expect(sb_config_set(&config, names[i]));
            for (int m = 0; m < 5; m++)
                expect(sb_config_set(&config, stems[k][m]));
            collect(&config);
        }
    print_message("%d convolutions\n", shape_count);
}

/* ---- cards ---------------------------------------------------------------------------------- */

/* Addresses, for what computes nothing. */
static int give_address(sb_device *device, size_t bytes, void **out)
{
    (void)device, (void)bytes;
    static _Alignas(256) char memory[256];
    *out = memory;
    return 0;
}

static void take_address(sb_device *device, void *memory) { (void)device, (void)memory; }
static int write_nothing(sb_device *device, void *memory, size_t bytes)
{
    return (void)device, (void)memory, (void)bytes, 0;
}

static sb_device *open_card(const sb_card *card)
{
    sb_device *device;
    emulation_gpu.major = card->capability / 10;
    emulation_gpu.minor = card->capability % 10;
    emulation_gpu.totalGlobalMem = (size_t)card->memory << 20;
    snprintf(emulation_gpu.name, sizeof emulation_gpu.name, "NVIDIA %s", card->name);
    expect(sb_card_use(card));
    expect(sb_device_cuda(&device));
    device->alloc = give_address;
    device->release = take_address;
    device->zero = write_nothing;
    return device;
}

static int told_by_knobs; /* pairs of plans that only their knobs tell apart */

static size_t engine_length(const sb_cuda_proposal *p) { return strcspn(p->name, "_"); }

/* What is proposed for one direction. Returns how many. */
static int look_at_proposals(const sb_conv_shape *shape, sb_cuda_direction direction, size_t workspace_most)
{
    static cudnnHandle_t handle; /* the wraps put the card in its place */
    sb_conv_shape seen = sb_cuda_padded(shape);
    sb_cuda_graph graph;
    sb_cuda_proposal p[CANDIDATES];
    expect(sb_cuda_graph_create(NULL, &seen, direction, &graph));
    int count = sb_cuda_propose(handle, graph.graph, seen.type, workspace_most, NULL, p, CANDIDATES);
    for (int i = 0; i < count; i++) {
        assert_true(p[i].workspace <= workspace_most);
        assert_string_not_equal(p[i].name, "");
        for (int k = 0; k < i; k++) {
            size_t length = engine_length(&p[i]);
            assert_string_not_equal(p[i].name, p[k].name);
            told_by_knobs += length == engine_length(&p[k]) && strncmp(p[i].name, p[k].name, length) == 0;
        }
        sb_cuda_dnn_destroy(&p[i].plan);
    }
    sb_cuda_graph_destroy(&graph);
    return count;
}

/* Creates all convolutions; returns the operations that were planned. */
static int create_all(sb_device *device, const char *said, size_t workspace_most)
{
    int operations = 0;
    char wanted[64];
    for (int i = 0; i < shape_count; i++) {
        const sb_conv_shape *s = &shapes[i];
        sb_conv_shape seen = sb_cuda_padded(s);
        sb_conv *conv;
        if (s->type == SB_BF16 && !device->bf16)
            continue;
        expect(device->conv_create(device, s, &conv));
        size_t padded = seen.in == s->in ? 0
                                         : sb_cuda_align((size_t)s->n * (size_t)s->h * (size_t)s->w *
                                                         (size_t)seen.in * sb_type_bytes(s->type));
        size_t workspace = device->conv_scratch(conv) - device->conv_packed(conv) - padded;
        if (workspace > workspace_most)
            fail_msg("a workspace of %zu MiB", workspace >> 20);
        device->conv_destroy(device, conv);
        operations += s->data_gradient ? 3 : 2;
    }
    snprintf(wanted, sizeof wanted, said, operations);
    if (!strstr(device->planning, wanted))
        fail_msg("not said: %s\n in: %s", wanted, device->planning);
    return operations;
}

static void on_a_card(void **state)
{
    const sb_card *card = *state;
    size_t workspace_most = ((size_t)card->memory << 20) / SHARE;
    int proposals = 0;
    told_by_knobs = 0;
    cache_empty();
    sb_device *device = open_card(card);
    assert_int_equal(device->bf16, card->capability >= 80);
    for (int i = 0; i < shape_count; i++)
        for (sb_cuda_direction d = SB_CUDA_FORWARD; d <= SB_CUDA_BACKWARD_WEIGHT; d++)
            if ((shapes[i].type == SB_F32 || device->bf16) &&
                (d != SB_CUDA_BACKWARD_DATA || shapes[i].data_gradient)) {
                int count = look_at_proposals(&shapes[i], d, workspace_most);
                assert_true(count > 0);
                proposals += count;
            }
    int operations =
        create_all(device, "plans timed for %d operations, 0 operations as kept", workspace_most);
    sb_device_close(&device);
    device = open_card(card);
    create_all(device, "0 plans timed for 0 operations, %d operations as kept", workspace_most);
    sb_device_close(&device);
    print_message("%d operations, %d plans to choose from; knobs alone tell %d pairs apart\n", operations,
                  proposals, told_by_knobs);
    assert_true(told_by_knobs > operations / 2);
}

/* A filter of fewer channels that divide the input's is a grouped convolution to cuDNN: it must not come so
 * far. */
static void refused(void **state)
{
    (void)state;
    sb_cuda_graph graph;
    sb_conv_shape shape = { .n = 1, .h = 8, .w = 8, .in = 8, .out = 0, .kernel = 3, .stride = 1, .pad = 1 };
    assert_int_equal(sb_cuda_graph_create(NULL, &shape, SB_CUDA_FORWARD, &graph), -1);
    assert_non_null(strstr(sb_error(), "to 0 channels"));
}

int main(void)
{
    cache_make();
    struct CMUnitTest tests[3 + SB_CARDS] = { cmocka_unit_test(of_recipes), cmocka_unit_test(of_encoders),
                                              cmocka_unit_test(refused) };
    for (int i = 0; i < SB_CARDS; i++)
        tests[3 + i] = (struct CMUnitTest){ sb_cards[i].name, on_a_card, NULL, NULL, (void *)&sb_cards[i] };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cache_remove();
    return failed;
}

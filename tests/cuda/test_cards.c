/* test_cards.c: kernels/cuda/plan.c and conv.c as they are, with the real cuDNN, on GPUs that are not there
 * (cards.h): every convolution of every recipe, encoder and stem has a plan in each direction, in f32 and
 * f16, in bf16 and TF32 where the card has those. Plans have different names, the chosen one is found again
 * by its name, and workspaces stay within their bounds, one of which is promised before there is a plan.
 * Nothing is computed, and no time is real: all plans are equally fast, so the one with the smallest
 * workspace has to be chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <glob.h>
#include <string.h>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/proposals.h"
#include "tests/cuda/cards.h"
#include "tests/emulated/cache.h"
#include "tests/emulated/emulation.h"
#include "trainer/configuration.h"
#include "trainer/graph/plan.h"

#define SHAPES_MAX 1024
#define SHARE 8      /* a workspace takes at most the memory over this */
#define CANDIDATES 4 /* that are timed */

/* ---- shapes -------------------------------------------------------------------------------------------- */

/* Calls as a plan makes them, all different. */
typedef struct {
    sb_conv_how how;
    sb_call call; /* its `how` is set when it is used: this array moves */
} convolution;

static convolution shapes[SHAPES_MAX];
static int shape_count;

/* For cuDNN: what is added to a gradient that was there is not its business. */
static bool same(const convolution *a, const convolution *b)
{
    const sb_conv_how *x = &a->how, *y = &b->how;
    return x->out == y->out && x->kernel == y->kernel && x->stride == y->stride && x->pad == y->pad &&
           x->standardised == y->standardised &&
           memcmp(&a->call.xs[0], &b->call.xs[0], sizeof a->call.xs[0]) == 0 &&
           a->call.gradient[0] == b->call.gradient[0];
}

/* A device that only takes convolutions down: what it plans computes nothing. */
static int take_down(sb_device *device, sb_call *call)
{
    (void)device;
    convolution seen = { .how = *(const sb_conv_how *)call->how, .call = *call };
    int i = 0;
    while (i < shape_count && !same(&shapes[i], &seen))
        i++;
    assert_true(i < SHAPES_MAX);
    shapes[i] = seen;
    shape_count += i == shape_count;
    return 0;
}

static const sb_kernel nothing, takes_down = { .plan = take_down };
static const sb_kernel *kernels[SB_OPS];
static sb_device collector = { .kernels = kernels };

static void expect(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

/* Plans the configured encoder for each size of view, each chunk that a batch is cut into, and each
 * precision. */
static void collect(const sb_settings *config)
{
    int sizes[SB_VIEWS_MAX];
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        sb_store store;
        sb_graph *graph;
        sb_store_init(&store, &collector);
        expect(sb_graph_create(&graph, &store));
        expect(sb_encoder_build(graph, config, type) < 0 ? -1 : 0);
        for (int s = sb_view_sizes(config->views, config->view_count, sizes) - 1; s >= 0; s--) {
            int rows = 0, chunk = config->trainer.chunk;
            for (int v = 0; v < config->view_count; v++)
                rows += config->views[v].side == sizes[s] ? config->trainer.batch : 0;
            if (chunk < 1 || chunk > rows)
                chunk = rows;
            const int counts[] = { chunk, chunk > 0 ? rows % chunk : 0 };
            for (int i = 0; i < 2; i++) {
                const sb_shape pixels = { counts[i], sizes[s], sizes[s], config->data.channels, SB_U8 };
                sb_plan *p;
                if (counts[i] == 0)
                    continue;
                expect(sb_plan_create(&p, graph, &pixels, &(sb_plan_options){ .training = true }));
                sb_plan_destroy(&p);
            }
        }
        sb_graph_destroy(&graph);
        sb_store_free(&store);
    }
}

static void of_recipes(void **state)
{
    (void)state;
    glob_t found;
    int before = shape_count;
    assert_int_equal(glob("recipes/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        sb_settings config;
        const char *const path = "data.path=none";
        expect(sb_settings_of(&config, found.gl_pathv[i], &path, 1));
        collect(&config);
    }
    assert_true(found.gl_pathc > 0 && shape_count > before);
    globfree(&found);
}

/* Chunks that fit 8 GiB in f32: the large views that the stems of ImageNet and of stride 4 are for, and the
 * small ones of the small stem. */
static void of_encoders(void **state)
{
    (void)state;
    static const char *const names[] = { "encoder.name=resnet18", "encoder.name=resnet34",
                                         "encoder.name=resnet50" };
    static const char *const stems[][5] = {
        { "encoder.stem=imagenet", "data.tile=1024", "data.view=1024", "trainer.batch=2", "trainer.chunk=4" },
        { "encoder.stem=imagenet", "data.tile=1024", "data.view=224", "trainer.batch=16",
          "trainer.chunk=32" },
        { "encoder.stem=stride4", "data.tile=1024", "data.view=1024", "trainer.batch=8", "trainer.chunk=16" },
        { "encoder.stem=small", "data.tile=1024", "data.view=96", "trainer.batch=8", "trainer.chunk=16" },
    };
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof stems / sizeof *stems; k++) {
            sb_settings config;
            const char *assignments[7] = { "data.path=none", names[i] };
            memcpy(assignments + 2, stems[k], sizeof stems[k]);
            expect(sb_settings_of(&config, NULL, assignments, 7));
            collect(&config);
        }
    static const char *const plain[] = { "encoder.name=mobilenetv4_conv_small",
                                         "encoder.name=convnext_atto" };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        sb_settings config;
        const char *const assignments[] = { "data.path=none", plain[i],           "data.tile=1024",
                                            "data.view=224",  "trainer.batch=16", "trainer.chunk=32" };
        expect(sb_settings_of(&config, NULL, assignments, 6));
        collect(&config);
    }
    print_message("%d convolutions\n", shape_count);
}

/* ---- cards --------------------------------------------------------------------------------------------- */

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

static int told_by_knobs;                               /* pairs of plans that only their knobs tell apart */
static char first[sizeof((sb_cuda_proposal *)0)->name]; /* that was proposed last */

static size_t engine_length(const sb_cuda_proposal *p) { return strcspn(p->name, "_"); }

static sb_type type_of(const convolution *c) { return c->call.xs[0].type; }

static bool has(const sb_device *device, const convolution *c)
{
    return type_of(c) != SB_BF16 || device->bf16;
}

static sb_cuda_shape seen_by_cudnn(const convolution *c)
{
    return sb_cuda_shape_of(&c->call.xs[0], &c->call.ys, &c->how);
}

/* What is proposed for one direction that keeps within the promised workspace. Returns how many. */
static int look_at_proposals(const convolution *c, sb_cuda_direction direction, bool rounds,
                             size_t workspace_most)
{
    static cudnnHandle_t handle; /* the wraps put the card in its place */
    const sb_cuda_shape seen = seen_by_cudnn(c);
    sb_cuda_graph graph;
    sb_cuda_proposal p[CANDIDATES];
    expect(sb_cuda_graph_create(NULL, &seen, direction, &graph));
    int count = sb_cuda_propose(handle, graph.graph, seen.type, rounds, workspace_most,
                                sb_cuda_workspace_most(&seen), NULL, p, CANDIDATES);
    snprintf(first, sizeof first, "%s", count > 0 ? p[0].name : "");
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

/* Scratch beside cuDNN's workspace: x (or dx) with padded channels, or dx before it is added; the weight's
 * gradient. */
static size_t beside_workspace(const sb_kernel *kernel, sb_device *device, const convolution *c,
                               const sb_call *call)
{
    const sb_cuda_shape seen = seen_by_cudnn(c);
    bool copied = seen.in != call->xs[0].c || (call->gradient[0] && call->add[0]);
    size_t x = (size_t)seen.n * (size_t)seen.h * (size_t)seen.w * (size_t)seen.in * sb_type_bytes(seen.type);
    return kernel->packed(device, call) + (copied ? sb_cuda_align(x) : 0);
}

/* Plans all convolutions; returns the operations that were planned. */
static int create_all(sb_device *device, const char *said, size_t workspace_most)
{
    const sb_kernel *kernel = device->kernels[SB_OP_CONV];
    int operations = 0;
    char wanted[64];
    for (int i = 0; i < shape_count; i++) {
        sb_call call = shapes[i].call;
        call.how = &shapes[i].how;
        if (!has(device, &shapes[i]))
            continue;
        size_t packed = kernel->packed(device, &call), scratch = kernel->scratch(device, &call);
        expect(kernel->plan(device, &call));
        assert_true(kernel->packed(device, &call) <= packed && kernel->scratch(device, &call) <= scratch);
        size_t workspace = kernel->scratch(device, &call) -
                           beside_workspace(kernel, device, &shapes[i], &call);
        if (workspace > workspace_most)
            fail_msg("a workspace of %zu MiB", workspace >> 20);
        kernel->unplan(device, call.planned);
        operations += call.gradient[0] ? 3 : 2;
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
    int proposals = 0, rounded = 0, others = 0;
    told_by_knobs = 0;
    cache_empty();
    sb_device *device = open_card(card);
    assert_int_equal(device->bf16, card->capability >= 80);
    assert_int_equal(device->tf32, card->capability >= 80);
    assert_true(device->f16);
    assert_int_equal(device->usual, device->bf16 ? SB_BF16 : SB_F32);
    for (int i = 0; i < shape_count; i++)
        for (sb_cuda_direction d = SB_CUDA_FORWARD; d <= SB_CUDA_BACKWARD_WEIGHT; d++)
            if (has(device, &shapes[i]) && (d != SB_CUDA_BACKWARD_DATA || shapes[i].call.gradient[0])) {
                int count = look_at_proposals(&shapes[i], d, false, workspace_most);
                assert_true(count > 0);
                proposals += count;
                if (!device->tf32 || type_of(&shapes[i]) != SB_F32)
                    continue;
                char name[sizeof first];
                memcpy(name, first, sizeof name);
                assert_true(look_at_proposals(&shapes[i], d, true, workspace_most) > 0);
                rounded++;
                others += strcmp(first, name) != 0;
            }
    int operations = create_all(device, "plans timed for %d operations, 0 operations as kept",
                                workspace_most);
    sb_device_close(&device);
    device = open_card(card);
    create_all(device, "0 plans timed for 0 operations, %d operations as kept", workspace_most);
    const bool tf32 = device->tf32;
    sb_device_close(&device);
    print_message("%d operations, %d plans to choose from; knobs alone tell %d pairs apart; TF32 has another "
                  "first plan for %d of %d\n",
                  operations, proposals, told_by_knobs, others, rounded);
    assert_true(others > rounded / 2 || !tf32);
    assert_true(told_by_knobs > operations / 2);
}

/* A filter of fewer channels that divide the input's is a grouped convolution to cuDNN: it must not come so
 * far. */
static void refused(void **state)
{
    (void)state;
    const sb_conv_how how = { .out = 0, .kernel = 3, .stride = 1, .pad = 1 };
    const sb_shape x = { 1, 8, 8, 8, SB_F32 };
    sb_shape y;
    assert_int_equal(sb_ops[SB_OP_CONV]->shape(&how, &x, &y), -1);
    assert_non_null(strstr(sb_error(), "to 0 channels"));
}

int main(void)
{
    for (int op = 0; op < SB_OPS; op++)
        kernels[op] = op == SB_OP_CONV ? &takes_down : &nothing;
    cache_make();
    struct CMUnitTest tests[3 + SB_CARDS] = { cmocka_unit_test(of_recipes), cmocka_unit_test(of_encoders),
                                              cmocka_unit_test(refused) };
    for (int i = 0; i < SB_CARDS; i++)
        tests[3 + i] = (struct CMUnitTest){ sb_cards[i].name, on_a_card, NULL, NULL, (void *)&sb_cards[i] };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cache_remove();
    return failed;
}

/* test_graphs.c: every convolution of every recipe and encoder, in f32 and bf16 and in all three directions, as a graph of the real cuDNN,
 * which loads without a driver. This proves the descriptors: that cuDNN accepts each and knows engines for it. It does not prove plans:
 * without a GPU hardly an engine can be finalised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <glob.h>
#include <string.h>

#include "kernels/cuda/graph.h"
#include "proto/config.h"
#include "proto/error.h"
#include "trainer/network.h"

static int graphs;
static int64_t fewest = INT64_MAX, most;

/* In place of the CPU's convolutions, which a plan does not need and which may lack bf16: each is described to
 * cuDNN, and is nothing. */
static int describe(sb_device *device, const sb_conv_shape *shape, sb_conv **out)
{
    (void)device;
    sb_conv_shape seen = sb_cuda_padded(shape);
    for (sb_cuda_direction d = SB_CUDA_FORWARD; d <= SB_CUDA_BACKWARD_WEIGHT; d++) {
        sb_cuda_graph graph;
        int64_t engines = 0, count = 0;
        if (d == SB_CUDA_BACKWARD_DATA && !shape->data_gradient)
            continue;
        if (sb_cuda_graph_create(NULL, &seen, d, d == SB_CUDA_BACKWARD_WEIGHT ? SB_F32 : seen.type, &graph) != 0)
            return -1;
        cudnnStatus_t status = cudnnBackendGetAttribute(graph.graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64, 1,
                                                        &count, &engines);
        sb_cuda_graph_destroy(&graph);
        if (sb_cuda_dnn_check(status, "counting engines") != 0)
            return -1;
        graphs++;
        fewest = engines < fewest ? engines : fewest;
        most = engines > most ? engines : most;
    }
    *out = NULL;
    return 0;
}

static void destroy(sb_device *device, sb_conv *conv) { (void)device, (void)conv; }
static size_t no_bytes(const sb_conv *conv) { return (void)conv, 0; }

/* Plans the configured encoder for each size of view and each chunk that a batch is cut into. */
static void plan(sb_device *device, const sb_config *config)
{
    sb_parameters parameters;
    sb_network *network;
    int sizes[SB_VIEWS_MAX], size_count = sb_config_view_sizes(config, sizes);
    sb_parameters_init(&parameters, device);
    if (sb_network_create(&network, &parameters, config->data.channels) != 0 || sb_encoder_build(network, config) != 0)
        fail_msg("%s", sb_error());
    for (int s = 0; s < size_count; s++) {
        int rows = 0, chunk = config->trainer.chunk;
        for (int v = 0; v < config->view_count; v++)
            rows += config->views[v].size == sizes[s] ? config->trainer.batch : 0;
        if (chunk < 1 || chunk > rows)
            chunk = rows;
        int counts[] = { chunk, chunk > 0 ? rows % chunk : 0 };
        for (int i = 0; i < 2; i++)
            for (sb_type type = SB_F32; type <= SB_BF16 && counts[i] > 0; type++) {
                sb_plan *p;
                if (sb_plan_create(&p, network, counts[i], sizes[s], type, true) != 0)
                    fail_msg("%s", sb_error());
                sb_plan_destroy(&p);
            }
    }
    sb_network_destroy(&network);
    sb_parameters_free(&parameters);
}

static sb_device *device;

static void finish(sb_config *config)
{
    if (sb_config_set(config, "data.path=none") != 0 || sb_config_finish(config) != 0)
        fail_msg("%s", sb_error());
}

static void recipes(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("recipes/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        sb_config config;
        sb_config_defaults(&config);
        if (sb_config_read(&config, found.gl_pathv[i]) != 0)
            fail_msg("%s", sb_error());
        finish(&config);
        plan(device, &config);
    }
    assert_true(found.gl_pathc > 0 && graphs > 0);
    globfree(&found);
}

static void encoders(void **state)
{
    (void)state;
    const char *const names[] = { "encoder.name=resnet18", "encoder.name=resnet34", "encoder.name=resnet50" };
    const char *const stems[] = { "encoder.stem=imagenet", "encoder.stem=small" };
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            sb_config config;
            sb_config_defaults(&config);
            assert_int_equal(sb_config_set(&config, names[i]), 0);
            assert_int_equal(sb_config_set(&config, stems[k]), 0);
            assert_int_equal(sb_config_set(&config, "data.view=96"), 0);
            assert_int_equal(sb_config_set(&config, "trainer.chunk=5"), 0);
            finish(&config);
            plan(device, &config);
        }
    print_message("%d graphs finalised by cuDNN %zu, %ld to %ld engines each\n", graphs, cudnnGetVersion(), (long)fewest, (long)most);
    assert_true(fewest > 0);
}

/* A filter of fewer channels that divide the input's is a grouped convolution to cuDNN: it must not come so far. */
static void refused(void **state)
{
    (void)state;
    sb_cuda_graph graph;
    sb_conv_shape shape = { .n = 1, .h = 8, .w = 8, .in = 8, .out = 0, .kernel = 3, .stride = 1, .pad = 1 };
    assert_int_equal(sb_cuda_graph_create(NULL, &shape, SB_CUDA_FORWARD, SB_F32, &graph), -1);
    assert_non_null(strstr(sb_error(), "to 0 channels"));
}

int main(void)
{
    if (sb_device_cpu(&device, 1) != 0)
        return 1;
    device->conv_create = describe;
    device->conv_destroy = destroy;
    device->conv_packed = device->conv_scratch = no_bytes;
    const struct CMUnitTest tests[] = { cmocka_unit_test(recipes), cmocka_unit_test(encoders), cmocka_unit_test(refused) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sb_device_close(&device);
    return failed;
}

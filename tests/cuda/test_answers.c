/* test_answers.c: asks what kernels/cuda asks of cuDNN. It is built twice: with the real library, on a card
 * that is not there (cards.h), and with the double that the other tests use (tests/emulated/cudnn.c). Where
 * the two answer differently, one of the programs fails. Numbers that are a library's own (how many engines,
 * which workspace) need not be equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/cuda/graph.h"
#include "proto/error.h"

#define MOST 64

typedef cudnnBackendDescriptor_t descriptor;

static cudnnHandle_t handle;
static const sb_cuda_direction directions[] = { SB_CUDA_FORWARD, SB_CUDA_BACKWARD_DATA,
                                                SB_CUDA_BACKWARD_WEIGHT };
static const sb_cuda_shape shape = {
    .n = 2, .h = 16, .w = 16, .in = 64, .oh = 16, .ow = 16, .out = 64, .kernel = 3, .stride = 1, .pad = 1
};

static void expect(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

static descriptor make(cudnnBackendDescriptorType_t type)
{
    descriptor d;
    expect(sb_cuda_dnn_create(type, &d));
    return d;
}

static sb_cuda_graph graph_of(sb_cuda_direction direction, sb_type type)
{
    sb_cuda_graph graph;
    sb_cuda_shape s = shape;
    s.type = type;
    expect(sb_cuda_graph_create(handle, &s, direction, &graph));
    return graph;
}

/* Gives a graph the filter of another. The attributes of the three operations follow each other in one order:
 * alpha, beta, convolution, w, x, y. */
static void exchange_filter(sb_cuda_graph *g, sb_cuda_graph *other, sb_cuda_direction direction)
{
    static const cudnnBackendDescriptorType_t operations[] = {
        CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR
    };
    static const cudnnBackendAttributeName_t firsts[] = { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA };
    const float scales[] = { 1, 0 };
    descriptor filter = g->w, parts[] = { g->convolution, other->w, g->x, g->y };
    g->w = other->w;
    other->w = filter;
    sb_cuda_dnn_destroy(&g->graph);
    sb_cuda_dnn_destroy(&g->operation);
    g->operation = make(operations[direction]);
    for (int i = 0; i < 2; i++)
        expect(sb_cuda_dnn_set(g->operation, firsts[direction] + i, CUDNN_TYPE_FLOAT, 1, &scales[i]));
    for (int i = 0; i < 4; i++)
        expect(sb_cuda_dnn_set(g->operation, firsts[direction] + 2 + i, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                               &parts[i]));
    expect(sb_cuda_dnn_check(cudnnBackendFinalize(g->operation), "an operation of mixed types"));
    g->graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    expect(sb_cuda_dnn_set(g->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                           &g->operation));
    expect(sb_cuda_dnn_set(g->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle));
    expect(sb_cuda_dnn_check(cudnnBackendFinalize(g->graph), "a graph of mixed types"));
}

static descriptor list_of(descriptor graph, cudnnBackendHeurMode_t mode)
{
    descriptor d = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    expect(
        sb_cuda_dnn_set(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph));
    expect(sb_cuda_dnn_set(d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    expect(sb_cuda_dnn_check(cudnnBackendFinalize(d), "proposals"));
    return d;
}

/* Reads a list into [MOST] configurations. Returns how many there are. */
static int read_list(descriptor list, descriptor *configurations)
{
    int64_t count = -1;
    for (int i = 0; i < MOST; i++)
        configurations[i] = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    assert_int_equal(cudnnBackendGetAttribute(list, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST, &count, configurations),
                     CUDNN_STATUS_SUCCESS);
    assert_in_range(count, 0, MOST);
    return (int)count;
}

static void destroy(descriptor *d, int count)
{
    for (int i = 0; i < count; i++)
        sb_cuda_dnn_destroy(&d[i]);
}

static descriptor engine_of(descriptor configuration)
{
    descriptor engine = make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t count = -1;
    assert_int_equal(cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(count, 1);
    return engine;
}

/* Its notes. Returns how many. */
static int notes_of(descriptor engine, cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT])
{
    int64_t count = -1;
    assert_int_equal(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                              CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                              &count, notes),
                     CUDNN_STATUS_SUCCESS);
    assert_in_range(count, 0, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    return (int)count;
}

static bool has_note(descriptor configuration, cudnnBackendNumericalNote_t note)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    descriptor engine = engine_of(configuration);
    int count = notes_of(engine, notes);
    bool found = false;
    for (int i = 0; i < count; i++)
        found = found || notes[i] == note;
    sb_cuda_dnn_destroy(&engine);
    return found;
}

/* Whether a plan can be had of a configuration, which must give the same bits each time: the double's other
 * engines end the program. */
static bool builds(descriptor configuration, descriptor *plan)
{
    *plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    expect(sb_cuda_dnn_set(*plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle));
    expect(sb_cuda_dnn_set(*plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                           &configuration));
    if (cudnnBackendFinalize(*plan) == CUDNN_STATUS_SUCCESS)
        return true;
    sb_cuda_dnn_destroy(plan);
    return false;
}

static bool tried(descriptor configuration)
{
    return !has_note(configuration, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) &&
           !has_note(configuration, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
}

/* ---- questions ----------------------------------------------------------------------------------------- */

/* Every direction has proposals where all tensors are of one type. A convolution of 16 bits with a
 * filter, or a gradient of one, in f32 is a sound graph, for which nothing is proposed: not by the
 * heuristics, not as a fallback. */
static void types(void **state)
{
    (void)state;
    for (int d = 0; d < 3; d++)
        for (sb_type type = SB_F32; type <= SB_F16; type++)
            for (int mixed = 0; mixed < 2; mixed++) {
                sb_cuda_graph graph = graph_of(directions[d], type),
                              other = graph_of(directions[d], type == SB_F32 ? SB_BF16 : SB_F32);
                const cudnnBackendHeurMode_t modes[] = { CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK };
                descriptor configurations[MOST];
                int count = 0;
                if (mixed)
                    exchange_filter(&graph, &other, directions[d]);
                for (int m = 0; m < 2; m++) {
                    descriptor list = list_of(graph.graph, modes[m]);
                    count += read_list(list, configurations);
                    destroy(configurations, MOST);
                    sb_cuda_dnn_destroy(&list);
                }
                assert_int_equal(count > 0, !mixed);
                sb_cuda_graph_destroy(&graph);
                sb_cuda_graph_destroy(&other);
            }
}

/* A list is at most as long as it is said to be, and is cut to the room there is. It can be read again, but
 * not into what is filled already. */
static void lists(void **state)
{
    (void)state;
    sb_cuda_graph graph = graph_of(SB_CUDA_FORWARD, SB_F32);
    descriptor list = list_of(graph.graph, CUDNN_HEUR_MODE_A), first[MOST], again[MOST],
               one = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    int64_t said = -1, count = -1;
    assert_int_equal(cudnnBackendGetAttribute(list, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &said, NULL),
                     CUDNN_STATUS_SUCCESS);
    int listed = read_list(list, first);
    assert_in_range(listed, 1, said);
    assert_int_equal(cudnnBackendGetAttribute(list, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &one),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_equal(read_list(list, again), listed);
    assert_int_equal(cudnnBackendGetAttribute(list, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, listed, &count, again),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(count, 0);
    destroy(first, MOST);
    destroy(again, MOST);
    sb_cuda_dnn_destroy(&one);
    sb_cuda_dnn_destroy(&list);
    sb_cuda_graph_destroy(&graph);
}

/* An attribute of one value wants room for one, or, asked for the number alone, none. */
static void expect_one(descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type)
{
    int64_t value[2] = { -77, -77 }, count = -1;
    assert_int_equal(cudnnBackendGetAttribute(d, name, type, 0, &count, NULL), CUDNN_STATUS_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_not_equal(cudnnBackendGetAttribute(d, name, type, 0, &count, value), CUDNN_STATUS_SUCCESS);
    assert_int_not_equal(cudnnBackendGetAttribute(d, name, type, 2, &count, value), CUDNN_STATUS_SUCCESS);
    assert_int_equal(value[0], -77);
    assert_int_equal(cudnnBackendGetAttribute(d, name, type, 1, &count, value), CUDNN_STATUS_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_not_equal(value[0], -77);
    assert_int_equal(value[1], -77);
}

static int64_t value_of(descriptor knob)
{
    int64_t value = 0, count;
    assert_int_equal(cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                                              &count, &value),
                     CUDNN_STATUS_SUCCESS);
    return value;
}

/* Engines are numbered below the graph's count of them. Knobs are given as far as there is room, without a
 * word of those left out: with room for none there are none. They tell the configurations of one engine
 * apart. */
static void engines_and_knobs(void **state)
{
    (void)state;
    int with_knobs = 0, alike = 0;
    for (int d = 0; d < 3; d++) {
        sb_cuda_graph graph = graph_of(directions[d], SB_F32);
        descriptor list = list_of(graph.graph, CUDNN_HEUR_MODE_A), configurations[MOST],
                   knobs[CUDNN_KNOB_TYPE_COUNTS];
        int64_t engines = 0, count = -1, indices[MOST] = { 0 }, all = 0;
        int listed = read_list(list, configurations);
        expect_one(graph.graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64);
        assert_int_equal(cudnnBackendGetAttribute(graph.graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT,
                                                  CUDNN_TYPE_INT64, 1, &count, &engines),
                         CUDNN_STATUS_SUCCESS);
        for (int k = 0; k < CUDNN_KNOB_TYPE_COUNTS; k++)
            knobs[k] = make(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        for (int i = 0; i < listed; i++) {
            descriptor engine = engine_of(configurations[i]);
            expect_one(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64);
            assert_int_equal(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
                                                      CUDNN_TYPE_INT64, 1, &count, &indices[i]),
                             CUDNN_STATUS_SUCCESS);
            assert_in_range(indices[i], 0, engines - 1);
            for (int k = 0; k < i; k++)
                alike += indices[k] == indices[i];
            sb_cuda_dnn_destroy(&engine);
            assert_int_equal(cudnnBackendGetAttribute(configurations[i], CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS,
                                                      &all, knobs),
                             CUDNN_STATUS_SUCCESS);
            assert_in_range(all, 0, CUDNN_KNOB_TYPE_COUNTS);
            assert_int_equal(cudnnBackendGetAttribute(configurations[i], CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL),
                             CUDNN_STATUS_SUCCESS);
            assert_int_equal(count, 0);
            descriptor fresh = make(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
            assert_int_equal(cudnnBackendGetAttribute(configurations[i], CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &fresh),
                             CUDNN_STATUS_SUCCESS);
            assert_int_equal(count, all > 0);
            if (all > 0) {
                expect_one(fresh, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE);
                expect_one(fresh, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64);
                assert_int_equal(value_of(fresh), value_of(knobs[0]));
                with_knobs++;
            }
            sb_cuda_dnn_destroy(&fresh);
        }
        destroy(knobs, CUDNN_KNOB_TYPE_COUNTS);
        destroy(configurations, MOST);
        sb_cuda_dnn_destroy(&list);
        sb_cuda_graph_destroy(&graph);
    }
    assert_true(with_knobs > 0 && alike > 0);
}

/* Some of what is proposed gives other bits each time or uses TF32, and says so; some of the rest can be
 * built, and says its workspace. */
static void notes_and_workspaces(void **state)
{
    (void)state;
    int unfit = 0;
    for (int d = 0; d < 3; d++) {
        sb_cuda_graph graph = graph_of(directions[d], SB_F32);
        descriptor list = list_of(graph.graph, CUDNN_HEUR_MODE_A), configurations[MOST], plan;
        int listed = read_list(list, configurations), built = 0;
        for (int i = 0; i < listed; i++) {
            int64_t bytes = -1, count;
            if (!tried(configurations[i])) {
                unfit++;
            } else if (builds(configurations[i], &plan)) {
                expect_one(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64);
                assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                          CUDNN_TYPE_INT64, 1, &count, &bytes),
                                 CUDNN_STATUS_SUCCESS);
                assert_true(bytes >= 0);
                sb_cuda_dnn_destroy(&plan);
                built++;
            }
        }
        assert_true(built > 1);
        destroy(configurations, MOST);
        sb_cuda_dnn_destroy(&list);
        sb_cuda_graph_destroy(&graph);
    }
    assert_true(unfit > 0);
}

int main(void)
{
    if (cudnnCreate(&handle) != CUDNN_STATUS_SUCCESS)
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(types), cmocka_unit_test(lists),
                                        cmocka_unit_test(engines_and_knobs),
                                        cmocka_unit_test(notes_and_workspaces) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cudnnDestroy(handle);
    return failed;
}

/* cases.h: ONE list of cases over every operation of kernels/ops.def, for any device, in three modes:
 * compare with the reference in double, time, list. (After ggml's test-backend-ops.)
 *
 * A case is an operation with parameters. An operation declares arrays and says how to call the device and
 * what the result should be; the rest is done here, once for all: memory of the device (only ever through
 * its own functions, so it may be memory that the host cannot touch) with guards around every array and the
 * scratch, outputs and scratch filled with rubbish beforehand, inputs checked to be untouched, every value
 * against its own bound, the same bytes from a second call and from another device of the same thread count,
 * and the reference's gradient against finite differences of the reference. Links against device.h alone:
 * one short program a device (test_cpu.c).
 *
 * To add a case: one more row where tests/kernels/NAME.c adds its cases. To add an operation: its file there
 * (op_cases.h says how most are described; a view and an update fill the table below themselves), with
 *   prepare    declares the arrays (sb_array_add, in the order of an enum that names them) and fills what
 *              the device is given, rounded to its type (sb_array_round and the fill functions do)
 *   open       makes plans; sets scratch_bytes and packed_bytes
 *   before     what a call needs once (packing weights); not timed
 *   call       calls the operation with the arrays' `memory`
 *   close      frees the plans
 *   reference  sets `wanted` and `bound` of every array that is written, in double
 *   loss       for a gradient: a scalar of the given arrays, whose derivative with respect to one of them
 *              another array (`gradient_of`) is
 *   place      the arrays that are written lie over others (`over`) in the way of that number, from 0 on;
 *              false: there is none. Every way has to give the same bytes
 *   lacks      what the device would need for it and has not: such a case is skipped with that as its
 *              reason. NULL: nothing
 *   concerns   whether the case is one of this device's at all; NULL: it is
 * All but prepare, call and reference may be NULL.
 *
 * Bounds. u is the unit roundoff of f32, 2^-24. A value whose terms' absolute values sum to `magnitude` and
 * that is rounded `terms` times on the way may be wrong by sb_growth(terms) u magnitude, with sb_growth(n) =
 * 4 + sqrt(n): rounding errors of n additions grow like sqrt(n), and the 4 stands for the few roundings
 * around a sum. Then it is rounded to its type: 2^-24 |value|; in bf16 2^-8 |value|; in
 * f16 2^-11 |value| + 2^-25, half of its least number. */
#ifndef SB_TESTS_CASES_H
#define SB_TESTS_CASES_H

#include <stdio.h>

#include "kernels/op.h"
#include "proto/random.h"
#include "tests/bench/model.h"

#define SB_UNIT_F32 (1.0 / 16777216)
#define SB_UNIT_BF16 (1.0 / 256)
#define SB_UNIT_F16 (1.0 / 2048)

typedef enum { SB_ARRAY_F32, SB_ARRAY_BF16, SB_ARRAY_F16, SB_ARRAY_U8, SB_ARRAY_I32 } sb_array_type;
static inline sb_array_type sb_array_type_of(sb_type type)
{
    static const sb_array_type types[] = { [SB_F32] = SB_ARRAY_F32,
                                           [SB_BF16] = SB_ARRAY_BF16,
                                           [SB_F16] = SB_ARRAY_F16,
                                           [SB_U8] = SB_ARRAY_U8,
                                           [SB_I32] = SB_ARRAY_I32 };
    return types[type];
}
static inline bool sb_array_real(sb_array_type type) { return type <= SB_ARRAY_F16; }

/* The unit roundoff of a type, and half of its least number above 0, as far as that matters. */
static inline double sb_array_unit(sb_array_type type)
{
    return type == SB_ARRAY_F32    ? SB_UNIT_F32
           : type == SB_ARRAY_BF16 ? SB_UNIT_BF16
           : type == SB_ARRAY_F16  ? SB_UNIT_F16
                                   : 0;
}
static inline double sb_array_least(sb_array_type type) { return type == SB_ARRAY_F16 ? 0x1p-25 : 0; }

/* f16 has a quarter of the cases that f32 and bf16 have: where our own kernels compute, it differs from bf16
 * in how an element is read and written and in nothing else. Real shapes, for time mode, are in all three
 * types. */
static inline bool sb_case_has(sb_type type, size_t number) { return type != SB_F16 || number % 4 == 1; }

/* given: not changed. written: nothing is read. updated: both. */
typedef enum { SB_ARRAY_GIVEN, SB_ARRAY_WRITTEN, SB_ARRAY_UPDATED } sb_array_role;

typedef struct {
    const char *name;
    sb_array_type type;
    sb_array_role role;
    size_t count;    /* 0: stands for NULL */
    double *value;   /* [count] what the device is given; exact in `type`. Not used where written. NULL where
                        count is 0, as the next two. */
    double *wanted;  /* [count] the reference's result; not used where given */
    double *bound;   /* [count] how far from it a result may be */
    int gradient_of; /* this array is the loss's gradient with respect to that one (in an updated array:
                        without what it held before); -1: it is none */
    int over;        /* an earlier array, in whose memory it is written; -1: it has its own */
    void *memory;    /* [count] the device's */
    sb_shape shape;  /* how it lies there, where `shape.block` is not 0: value i is element i in rows */
} sb_array;

#define SB_ARRAYS_MAX 16

typedef struct {
    const void *parameters; /* what sb_case_add was given */
    sb_random random;       /* of this case: from its name, so that cases may come and go */
    sb_array arrays[SB_ARRAYS_MAX];
    int array_count;
    size_t scratch_bytes, packed_bytes;
    void *scratch, *packed;          /* the device's */
    bool nan;                        /* NaN is a right result where it is wanted; elsewhere it never is */
    sb_work work;                    /* of a call, for time mode; no bytes: its arrays' */
    const sb_kernel *const *kernels; /* of the device that is compared; NULL in time mode */
    void *plan;                      /* the operation's own */
} sb_trial;

typedef struct {
    const char *name;
    void (*prepare)(sb_trial *t);
    int (*open)(sb_trial *t, sb_device *device);
    int (*before)(sb_trial *t, sb_device *device);
    int (*call)(sb_trial *t, sb_device *device);
    void (*close)(sb_trial *t, sb_device *device);
    void (*reference)(sb_trial *t);
    double (*loss)(const sb_trial *t);
    bool (*place)(sb_trial *t, int way);
    const char *(*lacks)(const void *parameters, const sb_device *device);
    bool (*concerns)(const void *parameters, sb_device *device);
} sb_operation;

/* Adds a case; `parameters` are copied. timed: its shape is a real one, for time mode alone. The name is
 * "operation: " and the format. */
void sb_case_add(const sb_operation *operation, bool timed, const void *parameters, size_t bytes,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A call that must be refused: -1 with a message. */
void sb_case_add_refusal(const char *name, int (*call)(sb_device *device));

sb_array *sb_array_add(sb_trial *t, const char *name, sb_array_type type, sb_array_role role, size_t count);

/* Rounds every value to the array's type. */
void sb_array_round(sb_array *a);

/* Fill with normal or uniform numbers, rounded. */
void sb_fill_normal(sb_trial *t, sb_array *a, double mean, double deviation);
void sb_fill_uniform(sb_trial *t, sb_array *a, double low, double high);

static inline double sb_growth(double terms) { return 4 + __builtin_sqrt(terms); }

/* Sets every bound from each value's magnitude. Returns a. */
void sb_array_bound(sb_array *a, double terms, const double *magnitude);

double *sb_doubles(size_t count);
double *sb_doubles_absolute(size_t count, const double *from); /* |from|, a copy */

static inline void *sb_memory(const sb_trial *t, int array) { return t->arrays[array].memory; }
static inline double *sb_value(const sb_trial *t, int array) { return t->arrays[array].value; }
static inline double *sb_wanted(const sb_trial *t, int array) { return t->arrays[array].wanted; }

/* The cases of each operation, in a file of its own; cases.c calls them once. */
#define SB_OP(NAME, name) void sb_cases_##name(void);
#include "kernels/ops.def"
#undef SB_OP

/* How many of several choices a combination has. By that number each type gets every choice and its opposite.
 */
static inline size_t sb_case_ones(int flags) { return (size_t)__builtin_popcount((unsigned)flags); }

/* A device's own clock, and the figures that bound what it takes. */
typedef struct {
    sb_peak peak;
    int (*start)(sb_device *device);                 /* what is called from here */
    int (*stop)(sb_device *device, double *seconds); /* until here took so long; waits */
} sb_stopwatch;

/* The main of a device's test program. `open` opens the device with so many threads; each of `threads`
 * (ended by 0) is used in turn.
 *   [compare] [NAME] [N]  compares, as TAP: a line a case. The default. N > 0: with so many threads alone,
 *                         and without finite differences, which say nothing of threads
 *   time [NAME] [S]       times the real shapes, each for S seconds (default 0.2): median, least, and the
 *                         rates of the least; with a stopwatch (else NULL: the host's clock) the median
 *                         beside bound and model (tests/bench/beside.h)
 *   list [NAME]           names of all cases
 *   device                what the device says of itself
 * NAME: only cases whose name begins so. differences: compares the references' gradients with finite
 * differences, too; that says nothing of the device, so one device's program does it. Returns the exit
 * status. */
int sb_cases_main(int argc, char **argv, int (*open)(sb_device **out, int threads), const int *threads,
                  bool differences, const sb_stopwatch *watch);

#endif

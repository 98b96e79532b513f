/* cases.c: the list, and its three modes. See cases.h. */
#include "tests/kernels/cases.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "proto/error.h"
#include "tests/bench/beside.h"

#define GUARD \
    ((size_t)256) /* bytes before and after every array: keeps the alignment of any device's alloc */
#define GUARD_BYTE 0xA5
#define DIRECTIONS 3 /* of finite differences, an array */

typedef struct {
    char name[128];
    const sb_operation *operation;
    bool timed;
    const char *lacks; /* why this device skips it; NULL: it does not */
    _Alignas(16) unsigned char parameters[320];
} test_case;

typedef struct {
    const char *name;
    int (*call)(sb_device *device);
} refusal;

static test_case *cases;
static size_t case_count, case_room;
static refusal *refusals;
static size_t refusal_count, refusal_room;
static const sb_kernel *const *kernels; /* of the device that is compared */

/* An array with room for one more than `count`. */
static void *with_room(void *array, size_t count, size_t *room, size_t bytes)
{
    if (count < *room)
        return array;
    *room = *room ? 2 * *room : 256;
    void *grown = realloc(array, *room * bytes);
    if (!grown)
        abort();
    return grown;
}

void sb_case_add(const sb_operation *operation, bool timed, const void *parameters, size_t bytes,
                 const char *format, ...)
{
    cases = with_room(cases, case_count, &case_room, sizeof *cases);
    if (bytes > sizeof cases->parameters)
        abort();
    test_case *c = &cases[case_count++];
    *c = (test_case){ .operation = operation, .timed = timed };
    memcpy(c->parameters, parameters, bytes);
    int used = snprintf(c->name, sizeof c->name, "%s: ", operation->name);
    va_list list;
    va_start(list, format);
    vsnprintf(c->name + used, sizeof c->name - (size_t)used, format, list);
    va_end(list);
}

void sb_case_add_refusal(const char *name, int (*call)(sb_device *device))
{
    refusals = with_room(refusals, refusal_count, &refusal_room, sizeof *refusals);
    refusals[refusal_count++] = (refusal){ name, call };
}

static void fill_list(void)
{
#define SB_OP(NAME, name) sb_cases_##name();
#include "kernels/ops.def"
#undef SB_OP
}

/* ---- arrays -------------------------------------------------------------------------------------------- */

double *sb_doubles(size_t count)
{
    double *out = calloc(count ? count : 1, sizeof *out);
    if (!out)
        abort();
    return out;
}

double *sb_doubles_absolute(size_t count, const double *from)
{
    double *out = sb_doubles(count);
    for (size_t i = 0; i < count; i++)
        out[i] = fabs(from[i]);
    return out;
}

sb_array *sb_array_add(sb_trial *t, const char *name, sb_array_type type, sb_array_role role, size_t count)
{
    if (t->array_count == SB_ARRAYS_MAX)
        abort();
    sb_array *a = &t->arrays[t->array_count++];
    *a = (sb_array){
        .name = name, .type = type, .role = role, .count = count, .gradient_of = -1, .over = -1
    };
    if (count > 0) {
        a->value = sb_doubles(count);
        a->wanted = sb_doubles(count);
        a->bound = sb_doubles(count);
    }
    return a;
}

static size_t element_bytes(sb_array_type type)
{
    return type == SB_ARRAY_F32 || type == SB_ARRAY_I32 ? 4 : type == SB_ARRAY_U8 ? 1 : 2;
}

/* By arithmetic, not by bits as kernels/share/half.h. */
static uint16_t to_f16(double value)
{
    if (isnan(value))
        return 0x7FFF;
    const double size = fabs(value);
    const int exponent = size < 0x1p-14 ? -14 : size >= 0x1p16 ? 16 : ilogb(size);
    const int bits = size >= 0x1p16 ? 0x7C00 : (exponent + 14) * 1024 + (int)rint(ldexp(size, 10 - exponent));
    return (uint16_t)(bits | (signbit(value) ? 0x8000 : 0));
}

static double from_f16(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, digits = bits & 1023;
    const double size = exponent == 31  ? digits ? NAN : INFINITY
                        : exponent == 0 ? ldexp(digits, -24)
                                        : ldexp(1024 + digits, exponent - 25);
    return bits & 0x8000 ? -size : size;
}

static void encode(sb_array_type type, double value, unsigned char *to)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t half = type == SB_ARRAY_F16 ? to_f16(value)
                                         : (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    uint8_t byte = type == SB_ARRAY_U8 ? (uint8_t)value : 0;
    int32_t number = type == SB_ARRAY_I32 ? (int32_t)value : 0;
    if (type == SB_ARRAY_F32)
        memcpy(to, &bits, sizeof bits);
    else if (type == SB_ARRAY_I32)
        memcpy(to, &number, sizeof number);
    else if (type == SB_ARRAY_U8)
        *to = byte;
    else
        memcpy(to, &half, sizeof half);
}

static double decode(sb_array_type type, const unsigned char *from)
{
    uint32_t bits = 0;
    uint16_t half;
    int32_t number;
    float f;
    if (type == SB_ARRAY_U8)
        return *from;
    if (type == SB_ARRAY_I32) {
        memcpy(&number, from, sizeof number);
        return number;
    }
    memcpy(&half, from, sizeof half);
    if (type == SB_ARRAY_F16)
        return from_f16(half);
    if (type == SB_ARRAY_F32)
        memcpy(&bits, from, sizeof bits);
    else
        bits = (uint32_t)half << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

void sb_array_round(sb_array *a)
{
    unsigned char bytes[4];
    for (size_t i = 0; i < a->count; i++) {
        encode(a->type, a->value[i], bytes);
        a->value[i] = decode(a->type, bytes);
    }
}

/* Long arrays repeat: their numbers need not be many, only cheap. A prime is in step with no shape. */
#define PERIOD 65521

void sb_fill_normal(sb_trial *t, sb_array *a, double mean, double deviation)
{
    for (size_t i = 0; i < a->count && i < PERIOD; i++) { /* Box and Muller */
        double radius = sqrt(-2 * log(1 - (double)sb_random_uniform(&t->random)));
        a->value[i] = mean + deviation * radius * cos(2 * M_PI * (double)sb_random_uniform(&t->random));
    }
    for (size_t i = PERIOD; i < a->count; i++)
        a->value[i] = a->value[i - PERIOD];
    sb_array_round(a);
}

void sb_fill_uniform(sb_trial *t, sb_array *a, double low, double high)
{
    for (size_t i = 0; i < a->count; i++)
        a->value[i] = i < PERIOD ? low + (high - low) * (double)sb_random_uniform(&t->random)
                                 : a->value[i - PERIOD];
    sb_array_round(a);
}

void sb_array_bound(sb_array *a, double terms, const double *magnitude)
{
    for (size_t i = 0; i < a->count; i++)
        a->bound[i] = sb_growth(terms) * SB_UNIT_F32 * magnitude[i];
}

/* ---- one call on a device ------------------------------------------------------------------------------ */

static size_t guarded_bytes(size_t bytes) { return bytes + 2 * (size_t)GUARD; }

/* Takes device memory for `bytes` between guards, filled with `image` or, where that is NULL, with `rubbish`.
 */
static int allocate(sb_device *device, size_t bytes, const unsigned char *image, unsigned char rubbish,
                    void **out)
{
    size_t whole = guarded_bytes(bytes);
    unsigned char *host = malloc(whole);
    void *memory;
    if (!host)
        abort();
    memset(host, GUARD_BYTE, whole);
    if (image)
        memcpy(host + GUARD, image, bytes);
    else
        memset(host + GUARD, rubbish, bytes);
    int rc = device->alloc(device, whole, &memory);
    if (rc == 0) {
        *out = (char *)memory + GUARD;
        rc = device->copy(device, SB_STREAM_COMPUTE, memory, host, whole, SB_TO_DEVICE);
    }
    if (rc == 0)
        rc = device->wait(device, SB_STREAM_COMPUTE);
    free(host);
    return rc;
}

/* Copies what `take` made back, checks the guards, frees it. `to` may be NULL. */
static int give(sb_device *device, void *memory, size_t bytes, const char *name, unsigned char *to)
{
    size_t whole = guarded_bytes(bytes);
    if (!memory)
        return 0;
    unsigned char *host = malloc(whole);
    char *begin = (char *)memory - GUARD;
    if (!host)
        abort();
    int rc = device->copy(device, SB_STREAM_COMPUTE, host, begin, whole, SB_TO_HOST);
    if (rc == 0)
        rc = device->wait(device, SB_STREAM_COMPUTE);
    for (size_t i = 0; i < GUARD && rc == 0; i++) {
        if (host[i] != GUARD_BYTE)
            rc = sb_fail("%s: byte %zu before its beginning was written", name, GUARD - i);
        else if (host[GUARD + bytes + i] != GUARD_BYTE)
            rc = sb_fail("%s: byte %zu behind its end was written", name, i);
    }
    if (to)
        memcpy(to, host + GUARD, bytes);
    free(host);
    device->release(device, begin);
    return rc;
}

/* Where value i of an array lies: of elements. */
static size_t element_at(const sb_array *a, size_t i)
{
    const size_t c = (size_t)a->shape.c;
    return a->shape.block > 0 ? sb_shape_at(&a->shape, i / c, i % c) : i;
}

static unsigned char *image_of(const sb_array *a)
{
    unsigned char *image = malloc(a->count * element_bytes(a->type) + 1);
    if (!image)
        abort();
    for (size_t i = 0; i < a->count; i++)
        encode(a->type, a->value[i], image + element_at(a, i) * element_bytes(a->type));
    return image;
}

/* Gives the device all that a trial needs. */
static int set_up(sb_trial *t, const sb_operation *op, sb_device *device, unsigned char rubbish)
{
    t->plan = t->scratch = t->packed = NULL;
    for (int i = 0; i < t->array_count; i++)
        t->arrays[i].memory = NULL;
    if (op->open && op->open(t, device) != 0)
        return -1;
    for (int i = 0; i < t->array_count; i++) {
        sb_array *a = &t->arrays[i];
        if (a->over >= 0)
            a->memory = t->arrays[a->over].memory;
        if (a->count == 0 || a->over >= 0)
            continue;
        unsigned char *image = a->role == SB_ARRAY_WRITTEN ? NULL : image_of(a);
        int rc = allocate(device, a->count * element_bytes(a->type), image, rubbish, &a->memory);
        free(image);
        if (rc != 0)
            return -1;
    }
    if (allocate(device, t->scratch_bytes, NULL, rubbish, &t->scratch) != 0 ||
        allocate(device, t->packed_bytes, NULL, rubbish, &t->packed) != 0)
        return -1;
    return op->before ? op->before(t, device) : 0;
}

/* Takes it all back; results[i] gets the bytes of array i where not NULL. */
static int tear_down(sb_trial *t, const sb_operation *op, sb_device *device, unsigned char **results)
{
    int rc = 0;
    for (int i = 0; i < t->array_count; i++) {
        sb_array *a = &t->arrays[i];
        const size_t bytes = a->count * element_bytes(a->type);
        if (a->over >= 0 && results)
            memcpy(results[i], results[a->over], bytes);
        if (a->over < 0 && give(device, a->memory, bytes, a->name, results ? results[i] : NULL) != 0)
            rc = -1;
    }
    if (give(device, t->scratch, t->scratch_bytes, "scratch", NULL) != 0 ||
        give(device, t->packed, t->packed_bytes, "packed", NULL) != 0)
        rc = -1;
    if (op->close)
        op->close(t, device);
    return rc;
}

static int run_once(sb_trial *t, const sb_operation *op, sb_device *device, unsigned char rubbish,
                    unsigned char **results)
{
    int rc = set_up(t, op, device, rubbish);
    if (rc == 0)
        rc = op->call(t, device);
    if (rc == 0)
        rc = device->wait(device, SB_STREAM_COMPUTE);
    if (tear_down(t, op, device, results) != 0)
        rc = -1;
    return rc;
}

/* ---- judging it ---------------------------------------------------------------------------------------- */

/* The value that comes nearest to its bound, or is farthest beyond. */
typedef struct {
    const char *array;
    size_t index;
    double got, wanted, error, bound, ratio;
} verdict;

/* NaN is wrong everywhere, in a bound too, but for a result where a case of NaN wants it. */
static double ratio_of(double got, double wanted, double error, double bound, bool nan)
{
    if (nan && isnan(got) && isnan(wanted))
        return 0;
    if (!isfinite(error) || isnan(bound) || (isnan(wanted) && !nan))
        return INFINITY;
    return error == 0 ? 0 : error / bound;
}

static void judge(const sb_array *a, const unsigned char *result, bool nan, verdict *worst)
{
    for (size_t i = 0; i < a->count; i++) {
        double got = decode(a->type, result + element_at(a, i) * element_bytes(a->type)),
               wanted = a->wanted[i];
        double error = got == wanted ? 0 : fabs(got - wanted);
        const double unit = sb_array_unit(a->type);
        double bound = a->bound[i] * (1 + unit) + unit * fabs(wanted);
        if (sb_array_real(a->type) && wanted != 0)
            bound += 0x1p-148 + sb_array_least(a->type); /* where f32, or f16, has no more digits */
        double ratio = ratio_of(got, wanted, error, bound, nan);
        if (!worst->array || ratio > worst->ratio)
            *worst = (verdict){ a->name, i, got, wanted, error, bound, ratio };
    }
}

/* Compares a run's results with the reference and with what was given. */
static int judge_all(const sb_trial *t, unsigned char *const *results, verdict *worst)
{
    for (int i = 0; i < t->array_count; i++) {
        const sb_array *a = &t->arrays[i];
        if (a->role != SB_ARRAY_GIVEN) {
            judge(a, results[i], t->nan, worst);
            continue;
        }
        unsigned char *image = image_of(a);
        bool changed = memcmp(image, results[i], a->count * element_bytes(a->type)) != 0;
        free(image);
        if (changed)
            return sb_fail("%s was given and has been changed", a->name);
    }
    if (worst->ratio > 1)
        return sb_fail("%s[%zu] is %.9g, should be %.9g: error %.3g, bound %.3g", worst->array, worst->index,
                       worst->got, worst->wanted, worst->error, worst->bound);
    return 0;
}

/* The reference's gradient along random directions against central differences of its loss. 1e-5 leaves room
 * for the differences' own rounding (2^-53 |loss| / step) and for statistics that the gradient is given
 * rounded to f32. */
static int check_gradient(sb_trial *t, const sb_operation *op, double *worst)
{
    const double step = 1e-6, bound = 1e-5;
    for (int i = 0; i < t->array_count; i++) {
        sb_array *g = &t->arrays[i];
        if (g->gradient_of < 0 || g->count == 0)
            continue;
        sb_array *x = &t->arrays[g->gradient_of];
        double *kept = sb_doubles(x->count), *direction = sb_doubles(x->count);
        memcpy(kept, x->value, x->count * sizeof *kept);
        for (int d = 0; d < DIRECTIONS; d++) {
            double slope = 0, size = 0, loss[2];
            for (size_t k = 0; k < x->count; k++) {
                direction[k] = sb_random_below(&t->random, 2) ? 1 : -1;
                double term = (g->wanted[k] - (g->role == SB_ARRAY_UPDATED ? g->value[k] : 0)) * direction[k];
                slope += term;
                size += term * term;
            }
            for (int side = 0; side < 2; side++) {
                for (size_t k = 0; k < x->count; k++)
                    x->value[k] = kept[k] + (side ? -step : step) * direction[k];
                loss[side] = op->loss(t);
            }
            memcpy(x->value, kept, x->count * sizeof *kept);
            double error = fabs((loss[0] - loss[1]) / (2 * step) - slope) / (size == 0 ? 1 : sqrt(size));
            *worst = !(error <= *worst) && !isnan(*worst) ? error : *worst; /* NaN is the worst, and stays */
        }
        free(kept);
        free(direction);
        if (!(*worst <= bound))
            return sb_fail("the gradient %s differs from finite differences by %.3g of its size, bound %.3g",
                           g->name, *worst, bound);
    }
    return 0;
}

/* ---- trials -------------------------------------------------------------------------------------------- */

static void start_trial(sb_trial *t, const test_case *c)
{
    *t = (sb_trial){ .parameters = c->parameters, .kernels = kernels };
    sb_random_init(&t->random, crc32(0, (const unsigned char *)c->name, (unsigned)strlen(c->name)),
                   SB_RANDOM_WEIGHTS, 0, 0, 0);
    c->operation->prepare(t);
}

static void end_trial(sb_trial *t)
{
    for (int i = 0; i < t->array_count; i++) {
        free(t->arrays[i].value);
        free(t->arrays[i].wanted);
        free(t->arrays[i].bound);
    }
}

typedef int (*opener)(sb_device **out, int threads);

/* Where arrays lie in this way; false: there is none, and all lie in their own memory. */
static bool place(sb_trial *t, const sb_operation *op, int way)
{
    const bool there = op->place && op->place(t, way);
    for (int i = 0; i < t->array_count && !there; i++)
        t->arrays[i].over = -1;
    return there;
}

/* Of two runs. What another array was written over is not looked at. */
static int same_bytes(const sb_trial *t, unsigned char *const *first, unsigned char *const *second)
{
    for (int i = 0; i < t->array_count; i++) {
        const sb_array *a = &t->arrays[i], *over = a->over < 0 ? NULL : &t->arrays[a->over];
        bool lost = false;
        for (int k = i + 1; k < t->array_count; k++)
            lost = lost || t->arrays[k].over == i;
        if (!lost && memcmp(first[i], second[i], a->count * element_bytes(a->type)) != 0)
            return sb_fail("%s: a second call%s%s gave other bytes", a->name, over ? ", over " : "",
                           over ? over->name : "");
    }
    return 0;
}

/* Runs on devices of `threads` threads one after the other: two, and one more for each way to write in place.
 * The bytes must be the same although the rubbish is not. */
static int compare_threads(sb_trial *t, const sb_operation *op, opener open, int threads, verdict *worst)
{
    unsigned char *results[2][SB_ARRAYS_MAX];
    int rc = 0;
    for (int run = 0; run < 2; run++)
        for (int i = 0; i < t->array_count; i++)
            if (!(results[run][i] = calloc(t->arrays[i].count + 1, element_bytes(t->arrays[i].type))))
                abort();
    for (int run = 0; rc == 0 && (run < 2 || place(t, op, run - 2)); run++) {
        sb_device *device = NULL;
        rc = open(&device, threads);
        if (rc == 0)
            rc = run_once(t, op, device, run ? 0x3C : 0xFF, results[run > 0]);
        sb_device_close(&device);
        if (rc == 0)
            rc = run ? same_bytes(t, results[0], results[1]) : judge_all(t, results[0], worst);
    }
    for (int run = 0; run < 2; run++)
        for (int i = 0; i < t->array_count; i++)
            free(results[run][i]);
    return rc == 0 ? 0 : sb_context("%d thread%s", threads, sb_plural((uint64_t)threads));
}

static bool compare_case(const test_case *c, int number, opener open, const int *threads, bool differences)
{
    sb_trial t;
    verdict worst = { .array = "" };
    double slope = 0;
    if (c->lacks) {
        printf("ok %d - %s # SKIP %s\n", number, c->name, c->lacks);
        return true;
    }
    start_trial(&t, c);
    c->operation->reference(&t);
    int rc = differences && c->operation->loss ? check_gradient(&t, c->operation, &slope) : 0;
    for (const int *n = threads; *n && rc == 0; n++)
        rc = compare_threads(&t, c->operation, open, *n, &worst);
    if (rc != 0)
        printf("not ok %d - %s: %s\n", number, c->name, sb_error());
    else
        printf("ok %d - %s: %s error %.1e, bound %.1e (%.0f %%)", number, c->name, worst.array, worst.error,
               worst.bound, 100 * worst.ratio);
    if (rc == 0 && differences && c->operation->loss)
        printf("; differences %.0e", slope);
    if (rc == 0)
        putchar('\n');
    fflush(stdout);
    end_trial(&t);
    return rc == 0;
}

static bool refuse(const refusal *r, int number, opener open, int threads)
{
    sb_device *device = NULL;
    int rc = open(&device, threads);
    if (rc == 0)
        rc = r->call(device) == -1 ? 0 : sb_fail("was not refused");
    sb_device_close(&device);
    printf("%sok %d - refused: %s: %s\n", rc == 0 ? "" : "not ", number, r->name, sb_error());
    fflush(stdout);
    return rc == 0;
}

static bool begins(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

/* Asks the device once which cases are its own, and for what each of them needs. */
static void ask(sb_device *device)
{
    size_t own = 0;
    kernels = device->kernels;
    for (size_t i = 0; i < case_count; i++) {
        const sb_operation *o = cases[i].operation;
        if (!o->concerns || o->concerns(cases[i].parameters, device))
            cases[own++] = cases[i];
    }
    case_count = own;
    for (size_t i = 0; i < case_count; i++)
        cases[i].lacks = cases[i].operation->lacks ? cases[i].operation->lacks(cases[i].parameters, device)
                                                   : NULL;
}

static int compare(const char *name, opener open, const int *threads, bool differences)
{
    int number = 0, failed = 0, planned = 0;
    sb_device *device = NULL;
    if (open(&device, threads[0]) != 0) {
        printf("1..1\nnot ok 1 - the device: %s\n", sb_error());
        return 1;
    }
    ask(device);
    sb_device_close(&device);
    for (size_t i = 0; i < case_count; i++)
        planned += !cases[i].timed && begins(cases[i].name, name);
    for (size_t i = 0; i < refusal_count; i++)
        planned += begins(refusals[i].name, name);
    printf("1..%d\n", planned);
    for (size_t i = 0; i < case_count; i++)
        if (!cases[i].timed && begins(cases[i].name, name))
            failed += !compare_case(&cases[i], ++number, open, threads, differences);
    for (size_t i = 0; i < refusal_count; i++)
        if (begins(refusals[i].name, name))
            failed += !refuse(&refusals[i], ++number, open, threads[0]);
    return failed > 0;
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int smaller(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int time_call(sb_trial *t, const sb_operation *op, sb_device *device, const sb_stopwatch *watch,
                     double *seconds)
{
    if (watch)
        return watch->start(device) != 0 || op->call(t, device) != 0 ? -1 : watch->stop(device, seconds);
    double from = now();
    if (op->call(t, device) != 0 || device->wait(device, SB_STREAM_COMPUTE) != 0)
        return -1;
    *seconds = now() - from;
    return 0;
}

/* Calls it for `seconds` (up to 1000 times, at least once) after one call to warm up: the median, and the
 * least, which a busy machine disturbs less. */
static int time_calls(sb_trial *t, const sb_operation *op, sb_device *device, const sb_stopwatch *watch,
                      double seconds, double *median, double *least)
{
    double times[1000] = { 0 }, begin;
    int count = 0;
    if (time_call(t, op, device, watch, &times[0]) != 0)
        return -1;
    begin = now();
    do {
        if (time_call(t, op, device, watch, &times[count++]) != 0)
            return -1;
    } while (now() - begin < seconds && count < 1000);
    qsort(times, (size_t)count, sizeof *times, smaller);
    *median = times[count / 2];
    *least = times[0];
    return 0;
}

static void print_time(const char *name, const sb_trial *t, const sb_stopwatch *watch, double median,
                       double least)
{
    sb_work w = t->work;
    double bytes = 0;
    for (int k = 0; k < t->array_count; k++) {
        const sb_array *a = &t->arrays[k];
        bytes += (double)(a->count * element_bytes(a->type) * (a->role == SB_ARRAY_UPDATED ? 2 : 1));
    }
    if (watch) {
        w.cost.bytes = w.cost.bytes > 0 ? w.cost.bytes : bytes;
        sb_beside_call(name, &watch->peak, &w, median);
        return;
    }
    printf("%-72s %9.6f s, least %9.6f s %7.2f GB/s", name, median, least, 1e-9 * bytes / least);
    if (w.cost.operations > 0)
        printf(" %7.1f GFLOP/s", 1e-9 * w.cost.operations / least);
    putchar('\n');
}

static int time_all(const char *name, double seconds, opener open, int threads, const sb_stopwatch *watch)
{
    sb_device *device = NULL;
    int rc = open(&device, threads);
    if (rc == 0)
        ask(device);
    for (size_t i = 0; i < case_count && rc == 0; i++) {
        if (!cases[i].timed || !begins(cases[i].name, name))
            continue;
        if (cases[i].lacks) {
            printf("%s # SKIP %s\n", cases[i].name, cases[i].lacks);
            continue;
        }
        sb_trial t;
        double median = 0, least = 0;
        start_trial(&t, &cases[i]);
        rc = set_up(&t, cases[i].operation, device, 0);
        if (rc == 0)
            rc = time_calls(&t, cases[i].operation, device, watch, seconds, &median, &least);
        if (tear_down(&t, cases[i].operation, device, NULL) != 0)
            rc = -1;
        if (rc != 0)
            sb_context("%s", cases[i].name);
        else
            print_time(cases[i].name, &t, watch, median, least);
        fflush(stdout);
        end_trial(&t);
    }
    sb_device_close(&device);
    if (rc != 0)
        fprintf(stderr, "%s\n", sb_error());
    return rc != 0;
}

static int describe(opener open, int threads)
{
    sb_device *device = NULL;
    if (open(&device, threads) != 0)
        return fprintf(stderr, "%s\n", sb_error()) > 0;
    printf("%s\n", device->description);
    sb_device_close(&device);
    return 0;
}

static int list(const char *name, opener open, int threads)
{
    sb_device *device = NULL;
    if (open(&device, threads) != 0) {
        fprintf(stderr, "the device: %s\n", sb_error());
        return 1;
    }
    ask(device);
    sb_device_close(&device);
    for (size_t i = 0; i < case_count; i++)
        if (begins(cases[i].name, name))
            printf("%s%s\n", cases[i].name, cases[i].timed ? " (timed)" : "");
    return 0;
}

int sb_cases_main(int argc, char **argv, opener open, const int *threads, bool differences,
                  const sb_stopwatch *watch)
{
    const char *mode = argc > 1 ? argv[1] : "compare", *name = argc > 2 ? argv[2] : "";
    const int only[] = { argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0, 0 };
    fill_list();
    int status = 0;
    if (strcmp(mode, "compare") == 0)
        status = only[0] > 0 ? compare(name, open, only, false) : compare(name, open, threads, differences);
    else if (strcmp(mode, "time") == 0)
        status = time_all(name, argc > 3 ? strtod(argv[3], NULL) : 0.2, open, threads[0], watch);
    else if (strcmp(mode, "device") == 0)
        status = describe(open, threads[0]);
    else if (strcmp(mode, "list") == 0)
        status = list(name, open, threads[0]);
    else
        status = fprintf(stderr, "usage: %s [compare | time | list | device] [NAME] [THREADS | SECONDS]\n",
                         argv[0]) > 0
                     ? 2
                     : 0;
    free(cases);
    free(refusals);
    return status;
}

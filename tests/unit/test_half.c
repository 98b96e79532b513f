/* Every number of f16 and bf16, and what lies between two of them, against arithmetic (kernels/share/half.h).
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/share/half.h"

typedef struct {
    int digits, least; /* of the significand without the first; the exponent of the smallest number */
    uint16_t infinite; /* its bits */
    uint16_t (*to)(float value);
    float (*from)(uint16_t bits);
} type;

static uint16_t to_f16(float value) { return sb_to_f16(value); }
static float from_f16(uint16_t bits) { return sb_from_f16(bits); }
static uint16_t to_bf16(float value) { return sb_to_bf16(value); }
static float from_bf16(uint16_t bits) { return sb_from_bf16(bits); }

static const type types[] = { { 10, -24, 0x7C00, to_f16, from_f16 },
                              { 7, -133, 0x7F80, to_bf16, from_bf16 } };

/* Of positive bits; of those of infinity, what would come after the largest number. */
static double value_of(const type *t, int bits)
{
    const int exponent = bits >> t->digits, digits = bits & ((1 << t->digits) - 1);
    return exponent == 0 ? ldexp(digits, t->least)
                         : ldexp((1 << t->digits) + digits, t->least + exponent - 1);
}

static void expect(const type *t, double value, int bits)
{
    const float f = (float)value;
    for (int sign = 0; sign < 2; sign++) {
        const int wanted = bits | sign << 15, got = t->to(sign ? -f : f);
        if (got != wanted)
            fail_msg("%a is %04x, and not %04x", value, (unsigned)got, (unsigned)wanted);
    }
}

static void every_number(void **state)
{
    const type *t = *state;
    for (int bits = 0; bits < t->infinite; bits++) {
        const double value = value_of(t, bits), next = value_of(t, bits + 1), middle = (value + next) / 2;
        assert_true((double)t->from((uint16_t)bits) == value);
        assert_true((double)t->from((uint16_t)(bits | 0x8000)) == -value);
        expect(t, value, bits);
        if (middle > FLT_MAX || (double)(float)middle != middle)
            continue;
        expect(t, middle, bits + bits % 2); /* to the even one */
        expect(t, (double)nextafterf((float)middle, 0), bits);
        expect(t, (double)nextafterf((float)middle, INFINITY), bits + 1);
    }
}

static void what_is_no_number(void **state)
{
    const type *t = *state;
    expect(t, INFINITY, t->infinite);
    expect(t, FLT_MAX, t->infinite);
    assert_true(isinf(t->from(t->infinite)) && t->from(t->infinite) > 0);
    assert_true(isinf(t->from(t->infinite | 0x8000)) && t->from(t->infinite | 0x8000) < 0);
    for (int bits = t->infinite + 1; bits < 0x8000; bits++)
        assert_true(isnan(t->from((uint16_t)bits)) && isnan(t->from((uint16_t)(bits | 0x8000))));
    for (uint32_t low = 1; low < 0x800000; low = 2 * low + low % 3) {
        sb_float_bits nan = { .u = 0x7F800000 | low };
        assert_true(isnan(t->from(t->to(nan.f))) && isnan(t->from(t->to(-nan.f))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "f16: every number", every_number, NULL, NULL, (void *)&types[0] },
        { "f16: infinity and NaN", what_is_no_number, NULL, NULL, (void *)&types[0] },
        { "bf16: every number", every_number, NULL, NULL, (void *)&types[1] },
        { "bf16: infinity and NaN", what_is_no_number, NULL, NULL, (void *)&types[1] },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

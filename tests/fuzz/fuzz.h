/* fuzz.h: what the fuzz targets share: sound inputs are mutated by a generator with a fixed seed, so a run is
 * the same everywhere and a failure repeats. Run under AddressSanitizer and UBSan by
 * tests/sanitizers/address.sh; without them they still check the targets' own properties. A target says
 * whether it accepts an input; whoever refuses has to say why. */
#ifndef SB_TESTS_FUZZ_H
#define SB_TESTS_FUZZ_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/random.h"

#define FUZZ_MAX 65536 /* bytes of an input */

typedef struct {
    const void *data;
    size_t bytes;
} fuzz_seed;

/* True: accepted. False: refused, with sb_error set. Checks what must hold either way by cmocka's assertions.
 */
typedef bool (*fuzz_target)(const uint8_t *data, size_t bytes);

static inline void fuzz_replace(uint8_t *data, size_t *bytes, size_t at, size_t out, const void *in,
                                size_t in_bytes)
{
    if (at > *bytes || out > *bytes - at || *bytes - out + in_bytes > FUZZ_MAX)
        return;
    memmove(data + at + in_bytes, data + at + out, *bytes - at - out);
    memcpy(data + at, in, in_bytes);
    *bytes = *bytes - out + in_bytes;
}

/* One small damage. */
static inline void fuzz_damage(sb_random *r, uint8_t *data, size_t *bytes, const fuzz_seed *other)
{
    static const uint64_t numbers[] = { 0,
                                        1,
                                        0x7F,
                                        0x80,
                                        0xFF,
                                        0x7FFF,
                                        0xFFFF,
                                        0x7FFFFFFF,
                                        0x80000000,
                                        0xFFFFFFFF,
                                        0x7FFFFFFFFFFFFFFF,
                                        0x8000000000000000,
                                        UINT64_MAX,
                                        4096,
                                        1 << 20 };
    static const char *const words[] = {
        "-1",      "0",        "2147483647", "4294967296", "99999999999999999999",
        "1e999",   "nan",      "\"",         "{",          "}",
        "[",       "]",        ",",          ":",          "\n",
        "\\u0000", "\xC0\xAF", "null",       "- ",         "  ",
        "&a *a",   "'"
    };
    size_t at = *bytes ? sb_random_below(r, (uint32_t)*bytes) : 0, left = *bytes - at;
    uint64_t number = numbers[sb_random_below(r, sizeof numbers / sizeof *numbers)];
    const char *word = words[sb_random_below(r, sizeof words / sizeof *words)];
    size_t width = (size_t)1 << sb_random_below(r, 4), some = 1 + sb_random_below(r, 8);
    uint8_t copy[64];
    char decimal[24];
    switch (sb_random_below(r, 10)) {
    case 0: /* a bit */
        if (left)
            data[at] ^= (uint8_t)(1u << sb_random_below(r, 8));
        break;
    case 1: /* a byte */
        if (left)
            data[at] = (uint8_t)sb_random_u32(r);
        break;
    case 2: /* a telling number, either end first */
        if (sb_random_below(r, 2))
            number = __builtin_bswap64(number) >> 8 * (8 - width);
        if (left >= width)
            memcpy(data + at, &number, width);
        break;
    case 3: fuzz_replace(data, bytes, at, left < some ? left : some, "", 0); break;
    case 4: fuzz_replace(data, bytes, at, 0, word, strlen(word)); break;
    case 5: fuzz_replace(data, bytes, at, left < some ? left : some, word, strlen(word)); break;
    case 6: /* twice */
        some = left < sizeof copy ? left : 1 + sb_random_below(r, sizeof copy);
        memcpy(copy, data + at, some);
        fuzz_replace(data, bytes, at, 0, copy, some);
        break;
    case 7: /* another number where one is written in digits */
        while (at < *bytes && (data[at] < '0' || data[at] > '9'))
            at++;
        for (some = 0; at + some < *bytes && data[at + some] >= '0' && data[at + some] <= '9'; some++)
            ;
        fuzz_replace(data, bytes, at, some, decimal,
                     (size_t)snprintf(decimal, sizeof decimal, "%" PRIu64, number >> sb_random_below(r, 2)));
        break;
    case 8: /* cut off */
        if (sb_random_below(r, 4) == 0)
            *bytes = at;
        break;
    default: /* a piece of another input */
        some = other->bytes < 64 ? other->bytes : 1 + sb_random_below(r, 64);
        if (some)
            fuzz_replace(
                data, bytes, at, left < some ? left : some,
                (const uint8_t *)other->data + sb_random_below(r, (uint32_t)(other->bytes - some + 1)), some);
    }
}

/* Runs a target; false needs a reason. */
static inline bool fuzz_one(fuzz_target target, const uint8_t *data, size_t bytes)
{
    static const char before[] = "(no reason given)";
    /* A copy of exactly this size: a byte read behind it is seen. */
    uint8_t *exact = malloc(bytes ? bytes : 1);
    assert_non_null(exact);
    memcpy(exact, data, bytes);
    sb_fail("%s", before);
    bool accepted = target(exact, bytes);
    if (!accepted) {
        assert_string_not_equal(sb_error(), before);
        assert_true(strlen(sb_error()) > 0);
    }
    free(exact);
    return accepted;
}

/* Every seed must be accepted; then `rounds` damaged ones, of which at least some are accepted and some
 * refused. */
static inline void fuzz(const fuzz_seed *seeds, uint32_t count, uint32_t rounds, fuzz_target target)
{
    static uint8_t data[FUZZ_MAX];
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!fuzz_one(target, seeds[i].data, seeds[i].bytes))
            fail_msg("seed %u: %s", i, sb_error());
    for (uint32_t round = 0; round < rounds; round++) {
        sb_random r;
        sb_random_init(&r, 2026, SB_RANDOM_EVALUATE, round, 0,
                       0); /* each round by itself: a failing one can be run alone */
        const fuzz_seed *seed = &seeds[sb_random_below(&r, count)];
        size_t bytes = seed->bytes < FUZZ_MAX ? seed->bytes : FUZZ_MAX;
        memcpy(data, seed->data, bytes);
        for (uint32_t n = 1 + sb_random_below(&r, 4); n > 0; n--)
            fuzz_damage(&r, data, &bytes, &seeds[sb_random_below(&r, count)]);
        accepted += fuzz_one(target, data, bytes);
    }
    print_message("%u of %u damaged inputs accepted\n", accepted, rounds);
    assert_true(accepted > 0 && accepted < rounds);
}

/* A file without a name that holds `data`; its path into `path`. Returns the descriptor. */
static inline int fuzz_file(const void *data, size_t bytes, char *path, size_t room)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    snprintf(path, room, "/proc/self/fd/%d", fd);
    return fd;
}

#endif

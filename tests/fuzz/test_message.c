/* Messages: a frame that unpacks packs back to the same meaning, every other frame is refused with a reason,
 * and unpacking allocates nothing. The frames are made by msgpack-c's packer field by field, not by
 * message.c. */
#include <malloc.h>

#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"

static bool unpack(const uint8_t *data, size_t bytes)
{
    static sb_message m, again;
    struct mallinfo2 before = mallinfo2();
    int rc = sb_message_unpack(&m, data, bytes);
    struct mallinfo2 after = mallinfo2();
    assert_true(before.uordblks == after.uordblks && before.hblkhd == after.hblkhd &&
                before.arena == after.arena);
    if (rc != 0)
        return false;
    uint8_t packed[SB_MESSAGE_MAX];
    int length = sb_message_pack(&m, packed);
    assert_true(length > 0);
    assert_int_equal(sb_message_unpack(&again, packed, (size_t)length), 0);
    assert_memory_equal(&m, &again, sizeof m);
    return true;
}

static void test_damaged_messages(void **state)
{
    (void)state;
    static uint8_t data[2 * FRAMES][SB_MESSAGE_MAX];
    fuzz_seed seeds[2 * FRAMES];
    for (size_t i = 0; i < 2 * FRAMES; i++)
        seeds[i] = (fuzz_seed){ data[i], make_frame(i / 2, i % 2, data[i]) };
    fuzz(seeds, 2 * FRAMES, 200000, unpack);
}

/* What another program packed means what it says. */
static void test_the_meaning(void **state)
{
    (void)state;
    uint8_t data[SB_MESSAGE_MAX];
    sb_message m;
    assert_int_equal(sb_message_unpack(&m, data, make_frame(1, true, data)), 0);
    assert_true(m.type == SB_MESSAGE_WELCOME && m.welcome.incarnation == 7 && m.welcome.pid == 4711 &&
                m.welcome.start == 99);
    assert_true(m.welcome.first == 5000000000 && m.welcome.memory == 6000000000 &&
                m.welcome.segment_count == 1 && m.welcome.segments[0].id == 0x1122334455667788);
    assert_true(m.welcome.segments[0].kind == SB_SEGMENT_TILES && m.welcome.segments[0].fd == 5 &&
                m.welcome.segments[0].bytes == 8192);
    assert_int_equal(sb_message_unpack(&m, data, make_frame(5, false, data)), 0);
    assert_true(m.type == SB_MESSAGE_WORK && m.work.segment == 42 && m.work.slot == 3 &&
                m.work.generation == 70000);
    assert_true(m.work.sample == 1 && m.work.image == UINT32_MAX && m.work.left == -5 &&
                m.work.top == INT32_MAX && m.work.side == 1024 && m.work.memory == 7000000000);
    assert_int_equal(sb_message_unpack(&m, data, make_frame(6, false, data)), 0);
    assert_true(m.type == SB_MESSAGE_DONE && m.done.bad == 2 && m.done.decode_ns == 300);
    assert_string_equal(m.done.reason, "cannot be decoded: \xC3\xA4 \xF0\x9F\x90\x88");
}

/* Every prefix, every byte too many, every other version and type. */
static void test_cut_and_grown_messages(void **state)
{
    (void)state;
    uint8_t data[SB_MESSAGE_MAX + 1];
    sb_message m;
    for (size_t i = 0; i < FRAMES; i++) {
        size_t bytes = make_frame(i, false, data);
        for (size_t cut = 0; cut < bytes; cut++)
            assert_int_equal(sb_message_unpack(&m, data, cut), -1);
        data[bytes] = 0;
        assert_int_equal(sb_message_unpack(&m, data, bytes + 1), -1);
        for (int other = 0; other < 256; other++) {
            data[1] = (uint8_t)other;
            assert_int_equal(sb_message_unpack(&m, data, bytes), other == SB_MESSAGE_VERSION ? 0 : -1);
        }
        data[1] = 1;
        sb_message_unpack(&m, data, bytes);
        assert_non_null(strstr(sb_error(), "message of version 1, this program speaks version 4"));
    }
    memset(data, 0x91, sizeof data); /* arrays of arrays */
    assert_int_equal(sb_message_unpack(&m, data, SB_MESSAGE_MAX), -1);
    assert_int_equal(sb_message_unpack(&m, data, SB_MESSAGE_MAX + 1), -1);
    const uint8_t huge[] = { 0xDD, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1 }; /* an array of 4 billion elements */
    assert_int_equal(sb_message_unpack(&m, huge, sizeof huge), -1);
}

/* Text up to what its field holds. */
static void test_long_texts(void **state)
{
    (void)state;
    uint8_t data[SB_MESSAGE_MAX] = { 0x93, SB_MESSAGE_VERSION, SB_MESSAGE_REFUSE, 0xDA };
    sb_message m;
    memset(data + 6, 'x', sizeof data - 6);
    for (size_t length = SB_MESSAGE_TEXT - 2; length <= SB_MESSAGE_TEXT + 1; length++) {
        data[4] = (uint8_t)(length >> 8);
        data[5] = (uint8_t)length;
        assert_int_equal(sb_message_unpack(&m, data, 6 + length), length < SB_MESSAGE_TEXT ? 0 : -1);
        if (length < SB_MESSAGE_TEXT)
            assert_int_equal(strlen(m.refuse.reason), length);
    }
    data[20] = '\n';
    data[4] = 0;
    data[5] = 100;
    assert_int_equal(sb_message_unpack(&m, data, 106), -1);
    assert_non_null(strstr(sb_error(), "control characters"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_meaning),
        cmocka_unit_test(test_damaged_messages),
        cmocka_unit_test(test_cut_and_grown_messages),
        cmocka_unit_test(test_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Segments, rings and broadcasts whose header or ticket is hostile: joining fails with a reason, or
 * everything that follows stays inside the mapping. */
#include "tests/fuzz/fuzz.h"

#include "proto/broadcast.h"
#include "proto/ring.h"

#define HEAD 32 /* bytes of the segment's header */
#define PAYLOAD \
    160 /* bytes of the payload's head that are damaged: the ring's or broadcast's header, the first word */

/* An input: the ticket, the segment's header, the head of its payload. The segment itself keeps its size. */
typedef struct {
    sb_segment_ticket ticket;
    uint8_t head[HEAD], payload[PAYLOAD];
} input;

static sb_segment *owner;

static input input_of(const sb_segment *s)
{
    input in;
    uint64_t id = 0x0123456789ABCDEF; /* instead of the random one, so that every run is the same */
    memset(&in, 0, sizeof in);
    in.ticket = s->ticket;
    in.ticket.id = id;
    memcpy(in.head, s->mapping, HEAD);
    memcpy(in.head + 16, &id, sizeof id);
    memcpy(in.payload, s->payload, PAYLOAD);
    return in;
}

/* The damaged input becomes the segment's contents; the ticket may name any descriptor of this process, but
 * no other process. */
static input load(const uint8_t *data, size_t bytes)
{
    input in = input_of(owner);
    memcpy(&in, data, bytes < sizeof in ? bytes : sizeof in);
    memcpy(owner->mapping, in.head, HEAD);
    memcpy(owner->payload, in.payload, PAYLOAD);
    in.ticket.pid = (int32_t)getpid();
    return in;
}

static bool join_ring(const uint8_t *data, size_t bytes)
{
    sb_ring ring;
    input in = load(data, bytes);
    if (sb_ring_join(&ring, SB_SEGMENT_VIEWS, &in.ticket) != 0) {
        assert_null(ring.segment.mapping);
        return false;
    }
    for (uint32_t slot = 0; slot < ring.count; slot++) {
        sb_slot_word word = sb_ring_look(&ring, slot);
        if (sb_ring_claim(&ring, slot, word.generation, 1)) {
            memset(sb_ring_meta(&ring, slot), 1, sizeof(sb_slot_meta));
            ((char *)sb_ring_data(&ring, slot))[0] = 1;
            ((char *)sb_ring_data(&ring, slot))[ring.stride - 1] = 1;
            assert_true(sb_ring_abandon(&ring, slot, word.generation, 1));
        }
    }
    sb_ring_reclaim(&ring, 1);
    assert_null(sb_ring_data(&ring, ring.count));
    sb_ring_close(&ring);
    return true;
}

static bool join_broadcast(const uint8_t *data, size_t bytes)
{
    sb_broadcast b;
    input in = load(data, bytes);
    if (sb_broadcast_join(&b, SB_SEGMENT_EMBEDDINGS, &in.ticket) != 0) {
        assert_null(b.segment.mapping);
        return false;
    }
    char *record = malloc(b.record_bytes);
    assert_non_null(record);
    uint64_t next = sb_broadcast_next(&b);
    for (uint64_t back = 0; back <= b.count + 1; back++)
        sb_broadcast_read(&b, next - back, record);
    free(record);
    sb_broadcast_close(&b);
    return true;
}

static void test_rings(void **state)
{
    (void)state;
    sb_ring ring;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 3, 5000, 7), 0);
    owner = &ring.segment;
    input seed = input_of(owner);
    fuzz(&(fuzz_seed){ &seed, sizeof seed }, 1, 20000, join_ring);
    sb_ring_close(&ring);
}

static void test_broadcasts(void **state)
{
    (void)state;
    sb_broadcast b;
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 3, 300), 0);
    char record[300] = "a record";
    for (int i = 0; i < 5; i++)
        assert_int_equal(sb_broadcast_write(&b, &(sb_broadcast_part){ record, sizeof record }, 1), 0);
    owner = &b.segment;
    input seed = input_of(owner);
    fuzz(&(fuzz_seed){ &seed, sizeof seed }, 1, 20000, join_broadcast);
    sb_broadcast_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rings),
        cmocka_unit_test(test_broadcasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* message.c: see message.h.
 *
 * Every message is described by one table of its fields, from which both directions follow. Packing is
 * msgpack-c's. Unpacking walks the few msgpack types that occur (unsigned and signed integers, strings, one
 * array) by itself, because a general parser allocates what an array's head asks for before it has seen the
 * elements. */
#include "proto/message.h"

#include <inttypes.h>
#include <limits.h>
#include <msgpack.h>
#include <stdbool.h>
#include <string.h>

#include "proto/error.h"

typedef enum { FIELD_U32, FIELD_I32, FIELD_U64, FIELD_TEXT, FIELD_SEGMENTS } field_kind;

typedef struct {
    field_kind kind;
    size_t offset;
    uint64_t min, max; /* of U32 and U64; I32: 0 .. max, or the whole range if max is 0 */
} field;

#define AT(member) offsetof(sb_message, member)
#define U32(member, low, high)           \
    {                                    \
        FIELD_U32, AT(member), low, high \
    }
#define U64(member)                          \
    {                                        \
        FIELD_U64, AT(member), 0, UINT64_MAX \
    }
#define ID(member)                           \
    {                                        \
        FIELD_U64, AT(member), 1, UINT64_MAX \
    }
#define PID(member)                       \
    {                                     \
        FIELD_I32, AT(member), 1, INT_MAX \
    }
#define I32(member)                 \
    {                               \
        FIELD_I32, AT(member), 0, 0 \
    }
#define TEXT(member)                 \
    {                                \
        FIELD_TEXT, AT(member), 0, 0 \
    }
#define FIELDS_MAX 12
#define INCARNATIONS 0xFFFFFF

static const struct {
    int count;
    field fields[FIELDS_MAX];
} layouts[] = {
    [SB_MESSAGE_HELLO] = { 3,
                           { U32(hello.role, SB_ROLE_LOADER, SB_ROLE_EVALUATOR), PID(hello.pid),
                             U64(hello.start) } },
    [SB_MESSAGE_WELCOME] = { 6,
                             { U32(welcome.incarnation, 0, INCARNATIONS),
                               PID(welcome.pid),
                               U64(welcome.start),
                               U64(welcome.first),
                               U64(welcome.memory),
                               { FIELD_SEGMENTS, 0, 0, 0 } } },
    [SB_MESSAGE_REFUSE] = { 1, { TEXT(refuse.reason) } },
    [SB_MESSAGE_WANT] = { 2, { ID(want.segment), U32(want.incarnation, 1, INCARNATIONS) } },
    [SB_MESSAGE_WORK] = { 9,
                          { ID(work.segment),
                            U32(work.slot, 0, UINT32_MAX),
                            U32(work.generation, 0, UINT32_MAX),
                            U64(work.sample),
                            U32(work.image, 0, UINT32_MAX),
                            I32(work.left),
                            I32(work.top),
                            { FIELD_I32, AT(work.side), 1, 1 << 20 },
                            U64(work.memory) } },
    [SB_MESSAGE_DONE] = { 9,
                          { ID(done.segment), U32(done.incarnation, 1, INCARNATIONS),
                            U32(done.slot, 0, UINT32_MAX), U64(done.sample), U32(done.image, 0, UINT32_MAX),
                            U32(done.bad, 0, 3), U64(done.read_ns), U64(done.decode_ns),
                            TEXT(done.reason) } },
    [SB_MESSAGE_READY] = { 9,
                           { ID(ready.segment), U64(ready.read_ns), U64(ready.decode_ns),
                             U64(ready.augment_ns), U32(ready.loaders, 0, UINT32_MAX),
                             U32(ready.quarantined, 0, UINT32_MAX), U32(ready.away, 0, UINT32_MAX),
                             U32(ready.tiles_ready, 0, UINT32_MAX), U32(ready.tiles, 0, UINT32_MAX) } },
};
#define TYPES ((uint64_t)(sizeof layouts / sizeof *layouts))

static bool in_range(const field *f, uint64_t value) { return value >= f->min && value <= f->max; }

/* Text that may stand in a log line: no control characters. */
static bool printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return false;
    return true;
}

/* ---- pack ---------------------------------------------------------------------------------------------- */

/* msgpack_packer's sink: a fixed buffer. */
typedef struct {
    uint8_t *out;
    size_t used;
} sink;

static int sink_write(void *data, const char *bytes, size_t length)
{
    sink *s = data;
    if (length > SB_MESSAGE_MAX - s->used)
        return -1;
    memcpy(s->out + s->used, bytes, length);
    s->used += length;
    return 0;
}

static int pack_segments(msgpack_packer *p, const sb_message *m)
{
    int rc = msgpack_pack_uint32(p, m->welcome.segment_count);
    if (m->welcome.segment_count > SB_MESSAGE_SEGMENTS)
        return -1;
    for (uint32_t i = 0; rc == 0 && i < m->welcome.segment_count; i++) {
        const sb_segment_ticket *t = &m->welcome.segments[i];
        rc = msgpack_pack_uint32(p, t->kind) || msgpack_pack_uint64(p, t->id) ||
             msgpack_pack_int32(p, t->pid) || msgpack_pack_int32(p, t->fd) ||
             msgpack_pack_uint64(p, t->bytes);
    }
    return rc;
}

int sb_message_pack(const sb_message *m, uint8_t *out)
{
    if ((uint64_t)m->type >= TYPES || layouts[m->type].count == 0)
        return sb_fail("message type %d does not exist", (int)m->type);
    sink s = { .out = out };
    msgpack_packer p;
    msgpack_packer_init(&p, &s, sink_write);
    int count = layouts[m->type].count;
    int extra = m->type == SB_MESSAGE_WELCOME ? 5 * (int)m->welcome.segment_count : 0;
    int rc = msgpack_pack_array(&p, (size_t)(2 + count + extra)) ||
             msgpack_pack_uint32(&p, SB_MESSAGE_VERSION) || msgpack_pack_uint32(&p, (uint32_t)m->type);
    for (int i = 0; rc == 0 && i < count; i++) {
        const field *f = &layouts[m->type].fields[i];
        const char *at = (const char *)m + f->offset;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        switch (f->kind) {
        case FIELD_U32:
            memcpy(&u32, at, sizeof u32);
            rc = !in_range(f, u32) || msgpack_pack_uint32(&p, u32);
            break;
        case FIELD_I32:
            memcpy(&i32, at, sizeof i32);
            rc = (f->max && (i32 < 0 || !in_range(f, (uint64_t)i32))) || msgpack_pack_int32(&p, i32);
            break;
        case FIELD_U64:
            memcpy(&u64, at, sizeof u64);
            rc = !in_range(f, u64) || msgpack_pack_uint64(&p, u64);
            break;
        case FIELD_TEXT: {
            size_t length = strnlen(at, SB_MESSAGE_TEXT - 1);
            char clean[SB_MESSAGE_TEXT]; /* a reason may quote a file's name or bytes */
            memcpy(clean, at, length);
            for (size_t c = 0; c < length; c++)
                if ((unsigned char)clean[c] < 0x20 || clean[c] == 0x7F)
                    clean[c] = ' ';
            rc = msgpack_pack_str(&p, length) || msgpack_pack_str_body(&p, clean, length);
            break;
        }
        case FIELD_SEGMENTS: rc = pack_segments(&p, m); break;
        }
        if (rc)
            return sb_fail("message type %d: field %d is out of range", (int)m->type, i);
    }
    return rc ? sb_fail("message type %d does not fit %d bytes", (int)m->type, SB_MESSAGE_MAX) : (int)s.used;
}

/* ---- unpack -------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at, *end;
} reader;

static int take_bytes(reader *r, int bytes, uint64_t *value)
{
    if (r->end - r->at < bytes)
        return sb_fail("message ends in the middle of a number");
    *value = 0;
    for (int i = 0; i < bytes; i++)
        *value = *value << 8 | *r->at++;
    return 0;
}

/* An integer: its magnitude's 64 bits, and whether it is negative. */
static int read_integer(reader *r, uint64_t *value, bool *negative)
{
    if (r->at == r->end)
        return sb_fail("message ends before its last field");
    uint8_t head = *r->at++;
    *negative = false;
    if (head <= 0x7F) {
        *value = head;
        return 0;
    }
    if (head >= 0xE0) {
        *value = (uint64_t)(int64_t)(int8_t)head;
        *negative = true;
        return 0;
    }
    if (head >= 0xCC && head <= 0xCF)
        return take_bytes(r, 1 << (head - 0xCC), value);
    if (head >= 0xD0 && head <= 0xD3) {
        int bytes = 1 << (head - 0xD0);
        if (take_bytes(r, bytes, value) != 0)
            return -1;
        int shift = 64 - 8 * bytes;
        int64_t wide = (int64_t)(*value << shift) >> shift;
        *value = (uint64_t)wide;
        *negative = wide < 0;
        return 0;
    }
    return sb_fail("message holds type 0x%02x where an integer belongs", head);
}

static int read_unsigned(reader *r, uint64_t min, uint64_t max, uint64_t *value)
{
    bool negative;
    if (read_integer(r, value, &negative) != 0)
        return -1;
    if (negative || *value < min || *value > max)
        return sb_fail("message holds %s%" PRIu64 ", allowed is %" PRIu64 " to %" PRIu64,
                       negative ? "a negative number, bits " : "", *value, min, max);
    return 0;
}

static int read_signed(reader *r, int32_t *out)
{
    uint64_t value;
    bool negative;
    if (read_integer(r, &value, &negative) != 0)
        return -1;
    if ((!negative && value > INT_MAX) || (negative && (int64_t)value < INT_MIN))
        return sb_fail("message holds a number that does not fit 32 bits");
    *out = (int32_t)(int64_t)value;
    return 0;
}

static int read_text(reader *r, char *out)
{
    uint64_t length = 0;
    uint8_t head = r->at < r->end ? *r->at++ : 0;
    if ((head & 0xE0) == 0xA0)
        length = head & 0x1F;
    else if (head == 0xD9 || head == 0xDA) {
        if (take_bytes(r, head == 0xD9 ? 1 : 2, &length) != 0)
            return -1;
    } else
        return sb_fail("message holds type 0x%02x where text belongs", head);
    if (length >= SB_MESSAGE_TEXT || length > (uint64_t)(r->end - r->at))
        return sb_fail("message holds text of %" PRIu64 " bytes", length);
    if (!printable((const char *)r->at, length))
        return sb_fail("message holds text with control characters");
    memcpy(out, r->at, length);
    out[length] = '\0';
    r->at += length;
    return 0;
}

static int read_segments(reader *r, sb_message *m)
{
    uint64_t value;
    if (read_unsigned(r, 0, SB_MESSAGE_SEGMENTS, &value) != 0)
        return -1;
    m->welcome.segment_count = (uint32_t)value;
    for (uint32_t i = 0; i < m->welcome.segment_count; i++) {
        sb_segment_ticket *t = &m->welcome.segments[i];
        uint64_t kind, pid, fd;
        if (read_unsigned(r, SB_SEGMENT_TILES, SB_SEGMENT_WEIGHTS, &kind) != 0 ||
            read_unsigned(r, 1, UINT64_MAX, &t->id) != 0 || read_unsigned(r, 1, INT_MAX, &pid) != 0 ||
            read_unsigned(r, 0, INT_MAX, &fd) != 0 ||
            read_unsigned(r, SB_SEGMENT_HEADER + 1, 1ull << 47, &t->bytes) != 0)
            return -1;
        t->kind = (uint32_t)kind;
        t->pid = (int32_t)pid;
        t->fd = (int32_t)fd;
    }
    return 0;
}

static int read_field(reader *r, const field *f, sb_message *m)
{
    char *at = (char *)m + f->offset;
    uint64_t value;
    int32_t number = 0;
    uint32_t narrow;
    switch (f->kind) {
    case FIELD_U32:
        if (read_unsigned(r, f->min, f->max, &value) != 0)
            return -1;
        narrow = (uint32_t)value;
        memcpy(at, &narrow, sizeof narrow);
        return 0;
    case FIELD_U64:
        if (read_unsigned(r, f->min, f->max, &value) != 0)
            return -1;
        memcpy(at, &value, sizeof value);
        return 0;
    case FIELD_I32:
        if (read_signed(r, &number) != 0)
            return -1;
        if (f->max && (number < 0 || !in_range(f, (uint64_t)number)))
            return sb_fail("message holds %d, allowed is %" PRIu64 " to %" PRIu64, (int)number, f->min,
                           f->max);
        memcpy(at, &number, sizeof number);
        return 0;
    case FIELD_TEXT: return read_text(r, at);
    case FIELD_SEGMENTS: return read_segments(r, m);
    }
    return sb_fail("a field of no kind");
}

int sb_message_unpack(sb_message *out, const uint8_t *data, size_t bytes)
{
    *out = (sb_message){ 0 };
    if (bytes < 3 || bytes > SB_MESSAGE_MAX)
        return sb_fail("message of %zu bytes, allowed are 3 to %d", bytes, SB_MESSAGE_MAX);
    reader r = { .at = data, .end = data + bytes };
    uint64_t elements, version, type;
    if ((*r.at & 0xF0) == 0x90) {
        elements = *r.at++ & 0x0F;
    } else if (*r.at == 0xDC) {
        r.at++;
        if (take_bytes(&r, 2, &elements) != 0)
            return -1;
    } else {
        return sb_fail("message begins with 0x%02x, not with an array", *r.at);
    }
    if (read_unsigned(&r, 0, UINT32_MAX, &version) != 0)
        return -1;
    if (version != SB_MESSAGE_VERSION)
        return sb_fail("message of version %" PRIu64
                       ", this program speaks version %d: are all programs from one build?",
                       version, SB_MESSAGE_VERSION);
    if (read_unsigned(&r, 1, TYPES - 1, &type) != 0)
        return -1;
    out->type = (sb_message_type)type;
    for (int i = 0; i < layouts[type].count; i++)
        if (read_field(&r, &layouts[type].fields[i], out) != 0)
            return sb_context("type %" PRIu64 " field %d", type, i);
    uint64_t expected = 2 + (uint64_t)layouts[type].count;
    if (out->type == SB_MESSAGE_WELCOME)
        expected += 5 * (uint64_t)out->welcome.segment_count;
    if (elements != expected || r.at != r.end)
        return sb_fail("message type %" PRIu64 " has %" PRIu64
                       " elements and %td bytes too many, expected %" PRIu64 " elements",
                       type, elements, r.end - r.at, expected);
    return 0;
}

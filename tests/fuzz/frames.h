/* frames.h: a sound frame of every type of message, made by msgpack-c's packer field by field, not by
 * message.c. */
#ifndef SB_TESTS_FRAMES_H
#define SB_TESTS_FRAMES_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/message.h"

/* The fields of each type that follow version and type, as message.h lists them: numbers, and one text at the
 * end for t. */
static const struct {
    sb_message_type type;
    bool text;
    int count;
    int64_t number[12];
} frames[] = {
    { SB_MESSAGE_HELLO, false, 3, { SB_ROLE_AUGMENT, 4711, 123456789 } },
    { SB_MESSAGE_WELCOME,
      false,
      11,
      { 7, 4711, 99, 5000000000, 6000000000, 1, SB_SEGMENT_TILES, 0x1122334455667788, 4711, 5, 8192 } },
    { SB_MESSAGE_WELCOME, false, 6, { 0, 1, 0, 0, 0, 0 } },
    { SB_MESSAGE_REFUSE, true, 0, { 0 } },
    { SB_MESSAGE_WANT, false, 2, { 42, 16777215 } },
    { SB_MESSAGE_WORK, false, 9, { 42, 3, 70000, 1, 4294967295, -5, 2147483647, 1024, 7000000000 } },
    { SB_MESSAGE_DONE, true, 8, { 42, 1, 3, 1, 9, 2, 1000000, 300 } },
    { SB_MESSAGE_READY, false, 9, { 42, 1, 2, 3, 5, 6, 7, 8, 9 } },
};
#define FRAMES (sizeof frames / sizeof *frames)

/* wide: every number in 8 bytes, which is sound msgpack too. */
static inline size_t make_frame(size_t i, bool wide, uint8_t *out)
{
    msgpack_sbuffer buffer;
    msgpack_packer p;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&p, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&p, (size_t)(2 + frames[i].count + frames[i].text));
    msgpack_pack_int(&p, SB_MESSAGE_VERSION);
    msgpack_pack_int(&p, (int)frames[i].type);
    for (int n = 0; n < frames[i].count; n++)
        wide ? msgpack_pack_fix_int64(&p, frames[i].number[n]) : msgpack_pack_int64(&p, frames[i].number[n]);
    if (frames[i].text) {
        const char *reason = "cannot be decoded: \xC3\xA4 \xF0\x9F\x90\x88";
        msgpack_pack_str(&p, strlen(reason));
        msgpack_pack_str_body(&p, reason, strlen(reason));
    }
    size_t bytes = buffer.size;
    memcpy(out, buffer.data, bytes);
    msgpack_sbuffer_destroy(&buffer);
    return bytes;
}

#endif

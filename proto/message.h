/* message.h: the messages between the processes, in msgpack.
 *
 * A message is a msgpack array [version, type, fields...] of at most SB_MESSAGE_MAX bytes. Messages say "look
 * here": losing or repeating one changes nothing, because the slot words are the truth. The decoder is
 * bounded (no nesting, fixed counts, ranges checked, trailing bytes refused) and gives a reason for what it
 * refuses, since any process of the user may write to the socket. */
#ifndef SB_PROTO_MESSAGE_H
#define SB_PROTO_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/segment.h"

#define SB_MESSAGE_VERSION 4
#define SB_MESSAGE_MAX 2048
#define SB_MESSAGE_TEXT 512

typedef enum { SB_ROLE_LOADER = 1, SB_ROLE_AUGMENT = 2, SB_ROLE_EVALUATOR = 3 } sb_role;

typedef enum {
    SB_MESSAGE_HELLO = 1,   /* joiner -> owner: who I am */
    SB_MESSAGE_WELCOME = 2, /* owner -> joiner: your incarnation, the segments */
    SB_MESSAGE_REFUSE = 3,  /* owner -> joiner: why not */
    SB_MESSAGE_WANT = 4,    /* loader -> augment: idle, give me work */
    SB_MESSAGE_WORK = 5,    /* augment -> loader: decode this tile into this slot */
    SB_MESSAGE_DONE = 6,    /* loader -> augment: the slot is READY, or why it cannot be */
    SB_MESSAGE_READY =
        7 /* augment -> trainer: views were published (doorbell, with counters of the stages) */
} sb_message_type;

#define SB_MESSAGE_SEGMENTS \
    16 /* at most, in a welcome: augment gets one view ring for each size of view, ascending */

typedef struct {
    sb_message_type type;
    union {
        struct {
            uint32_t role; /* sb_role */
            int32_t pid;
            uint64_t start; /* sb_process.start */
        } hello;
        struct {
            uint32_t incarnation;
            int32_t pid; /* of the owner, to watch */
            uint64_t start;
            uint64_t first;  /* the next sample that is needed */
            uint64_t memory; /* to augment: bytes for all loaders together; 0: unknown, or nothing to you */
            uint32_t segment_count;
            sb_segment_ticket segments[SB_MESSAGE_SEGMENTS];
        } welcome;
        struct {
            char reason[SB_MESSAGE_TEXT];
        } refuse;
        struct {
            uint64_t segment; /* id of the tile ring that the loader has joined */
            uint32_t incarnation;
        } want;
        struct {
            uint64_t segment;
            uint32_t slot, generation;
            uint64_t sample;
            uint32_t image; /* row of the index */
            int32_t left, top, side;
            uint64_t memory; /* bytes that this loader may take from now on; 0: unknown */
        } work;
        struct {
            uint64_t segment;
            uint32_t incarnation, slot;
            uint64_t sample;
            uint32_t image;
            uint32_t bad; /* 0: READY. 1: the image cannot be used. 2: only this tile cannot. 3: its file
                             cannot be read now */
            uint64_t read_ns, decode_ns;  /* what this tile cost */
            char reason[SB_MESSAGE_TEXT]; /* why it is bad; "" otherwise */
        } done;
        struct {
            uint64_t segment;                        /* id of the view ring */
            uint64_t read_ns, decode_ns, augment_ns; /* totals since augment started, over all loaders */
            uint32_t loaders;                        /* alive now */
            uint32_t quarantined, away;              /* images */
            uint32_t tiles_ready, tiles;             /* as dispatch.h counts them */
        } ready;
    };
} sb_message;

/* Packs into `out` (SB_MESSAGE_MAX bytes). Returns the length, or -1 if a field is out of range. */
int sb_message_pack(const sb_message *message, uint8_t *out);

/* Unpacks `bytes` bytes. -1 with the reason in sb_error() if they are not exactly one sound message of this
 * version. */
int sb_message_unpack(sb_message *out, const uint8_t *data, size_t bytes);

#endif

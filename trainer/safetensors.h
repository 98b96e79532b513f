/* safetensors.h: reads and writes safetensors files (github.com/huggingface/safetensors, format in its
 * README).
 *
 * 8 bytes header length, JSON header, raw little-endian data without gaps. Files are written whole under a
 * temporary name, synced and renamed. Opening validates everything: offsets, shapes, gaps, overlaps, length,
 * checksum. Neither side ever holds more of the data than a piece. */
#ifndef SB_TRAINER_SAFETENSORS_H
#define SB_TRAINER_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#define SB_TENSOR_NAME 128
#define SB_TENSOR_DIMS 8

typedef enum {
    SB_TENSOR_F32,
    SB_TENSOR_I64,
    SB_TENSOR_F16,
    SB_TENSOR_BF16,
    SB_TENSOR_F64,
    SB_TENSOR_I32,
    SB_TENSOR_U8
} sb_tensor_type;

typedef struct {
    char name[SB_TENSOR_NAME];
    sb_tensor_type type;
    int dims;
    int64_t shape[SB_TENSOR_DIMS];
    size_t bytes;
    const void *data; /* write: the caller's own, for its `look` */
    size_t begin;     /* read: its first byte in the file */
} sb_tensor;

/* "f32 [3, 4]", into `out`, which it returns. */
#define SB_TENSOR_DESCRIBED (16 + 24 * SB_TENSOR_DIMS)
const char *sb_tensor_describe(const sb_tensor *tensor, char out[SB_TENSOR_DESCRIBED]);

/* Where `bytes` bytes of a tensor, from its byte `at` on, lie in host memory until the next call; NULL with
 * sb_error set: they cannot be had. */
typedef const void *(*sb_tensor_look)(void *context, const sb_tensor *tensor, size_t at, size_t bytes);

/* Writes tensors (any order given; stored by descending alignment, then name) with string metadata pairs
 * {key, value, ..., NULL}. Their bytes are asked for in pieces of at most SB_TENSOR_PIECE, each once. */
#define SB_TENSOR_PIECE ((size_t)4 << 20)
int sb_safetensors_write(const char *path, const sb_tensor *tensors, int count, const char *const *metadata,
                         sb_tensor_look look, void *context);

typedef struct {
    sb_tensor *tensors;
    int count;
    char **metadata; /* key, value, ..., NULL */
    int fd;
} sb_safetensors;

/* Opens a file of at most 64 GiB and reads its header; the error says what is wrong with it. If the metadata
 * has a checksum ("crc32" over the data section, which write adds), it is verified. close tolerates what open
 * refused. */
int sb_safetensors_open(sb_safetensors *out, const char *path);
void sb_safetensors_close(sb_safetensors *file);

/* Reads `bytes` bytes of a tensor of this file, from its byte `at` on. */
int sb_safetensors_read(const sb_safetensors *file, const sb_tensor *tensor, size_t at, void *to,
                        size_t bytes);
const sb_tensor *sb_safetensors_find(const sb_safetensors *file, const char *name);
const char *sb_safetensors_metadata(const sb_safetensors *file, const char *key);

#endif

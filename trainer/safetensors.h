/* safetensors.h: reads and writes safetensors files (github.com/huggingface/safetensors, format in its
 * README).
 *
 * 8 bytes header length, JSON header, raw little-endian data without gaps. Files are written whole under a
 * temporary name, synced and renamed. Reading validates everything: offsets, shapes, gaps, overlaps, length.
 */
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
    const void *data; /* write: the caller's; read: into the file's memory */
    size_t bytes;
} sb_tensor;

/* Writes tensors (any order given; stored by descending alignment, then name) with string metadata pairs
 * {key, value, ..., NULL}. */
int sb_safetensors_write(const char *path, const sb_tensor *tensors, int count, const char *const *metadata);

typedef struct {
    sb_tensor *tensors;
    int count;
    char **metadata; /* key, value, ..., NULL */
    void *file;      /* the file's bytes */
} sb_safetensors;

/* Reads a file of at most 64 GiB; the error says what is wrong with it. A checksum in the metadata ("crc32"
 * over the data section, which write adds) is verified if there. */
int sb_safetensors_read(sb_safetensors *out, const char *path);
void sb_safetensors_free(sb_safetensors *file);
const sb_tensor *sb_safetensors_find(const sb_safetensors *file, const char *name);
const char *sb_safetensors_metadata(const sb_safetensors *file, const char *key);

#endif

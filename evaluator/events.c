/* events.c: see events.h. */
#include "evaluator/events.h"

#include <dirent.h>
#include <endian.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluator/event.pb-c.h" /* Tensorboard__* */
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define VERSION "brain.Event:2"
#define POLYNOMIAL 0x82F63B78u /* of CRC-32C, its bits reversed */
#define NAME "events.out.tfevents.%09u.smallbatch"
#define NUMBER_MOST 999999999u

/* ---- records ---------------------------------------------------------------------------------------------- */

uint32_t sb_events_crc32c(const void *bytes, size_t count)
{
    static uint32_t table[256]; /* of a byte's value; the same whoever fills it */
    const uint8_t *at = bytes;
    for (uint32_t value = 0; table[255] == 0 && value < 256; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[value] = crc;
    }
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++)
        crc = crc >> 8 ^ table[(crc ^ at[i]) & 0xFF];
    return ~crc;
}

/* As records have it, little-endian: turned, so that the checksum of data that hold one is not a special
 * value. */
static uint32_t masked(const void *bytes, size_t count)
{
    const uint32_t crc = sb_events_crc32c(bytes, count);
    return htole32((crc >> 15 | crc << 17) + 0xA282EAD8u);
}

/* Its length and the checksum of that, the event and its checksum. */
static int put(FILE *out, const Tensorboard__Event *event)
{
    const size_t bytes = tensorboard__event__get_packed_size(event);
    uint8_t *data = sb_zeroed(bytes, 1, "an event");
    if (!data)
        return -1;
    tensorboard__event__pack(event, data);
    const uint64_t length = htole64((uint64_t)bytes);
    const uint32_t of_length = masked(&length, sizeof length), of_data = masked(data, bytes);
    const bool whole = fwrite(&length, sizeof length, 1, out) == 1 &&
                       fwrite(&of_length, sizeof of_length, 1, out) == 1 &&
                       fwrite(data, 1, bytes, out) == bytes && fwrite(&of_data, sizeof of_data, 1, out) == 1;
    free(data);
    return whole ? 0 : sb_fail_errno("writing an event");
}

int sb_events_start(FILE *out, double time)
{
    char version[] = VERSION;
    Tensorboard__SessionLog log = TENSORBOARD__SESSION_LOG__INIT;
    Tensorboard__Event first = TENSORBOARD__EVENT__INIT, second = TENSORBOARD__EVENT__INIT;
    log.status = TENSORBOARD__SESSION_LOG__SESSION_STATUS__START; /* from step 0 on */
    first.wall_time = second.wall_time = time;
    first.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    first.file_version = version;
    second.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    second.session_log = &log;
    return put(out, &first) != 0 ? -1 : put(out, &second);
}

static int put_value(FILE *out, double time, int64_t step, Tensorboard__Summary__Value *value)
{
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    summary.n_value = 1;
    summary.value = &value;
    event.wall_time = time;
    event.step = step;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return put(out, &event);
}

int sb_events_scalar(FILE *out, double time, int64_t step, const char *tag, float number)
{
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)(uintptr_t)tag;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    value.simple_value = number;
    return put_value(out, time, step, &value);
}

int sb_events_image(FILE *out, double time, int64_t step, const char *tag, const sb_events_picture *picture)
{
    Tensorboard__Summary__Image image = TENSORBOARD__SUMMARY__IMAGE__INIT;
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    image.width = picture->width;
    image.height = picture->height;
    image.colorspace = 3;
    image.encoded_image_string = (ProtobufCBinaryData){ .len = picture->count, .data = picture->bytes };
    value.tag = (char *)(uintptr_t)tag;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_IMAGE;
    value.image = &image;
    return put_value(out, time, step, &value);
}

/* ---- files ------------------------------------------------------------------------------------------------ */

/* A file's number by its name; 0: it is none of these files. */
static unsigned number_of(const char *name)
{
    unsigned number;
    char same[64];
    if (sscanf(name, NAME, &number) != 1)
        return 0;
    snprintf(same, sizeof same, NAME, number);
    return number < NUMBER_MOST && strcmp(same, name) == 0 ? number : 0;
}

static int newest(const char *folder, unsigned *out)
{
    DIR *d = opendir(folder);
    if (!d)
        return sb_fail_errno("%s", folder);
    *out = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        const unsigned number = number_of(entry->d_name);
        *out = number > *out ? number : *out;
    }
    closedir(d);
    return 0;
}

/* What came before file `number` is emptied; what came long before it goes. What cannot be, stays: a reader
 * is told to forget it. */
static void retire(const char *folder, unsigned number)
{
    char path[PATH_MAX];
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        const unsigned before = number_of(entry->d_name);
        if (before == 0 || before >= number || sb_rundir_path(path, folder, "%s", entry->d_name) != 0)
            continue;
        if ((number - before > SB_EVENTS_EMPTY ? unlink(path) : truncate(path, 0)) != 0)
            sb_note("%s: it stays as it was", path);
    }
    if (d)
        closedir(d);
}

int sb_events_replace(const char *folder, const void *bytes, size_t count)
{
    char path[PATH_MAX], begun[PATH_MAX];
    unsigned number = 0;
    if (newest(folder, &number) != 0 || sb_rundir_path(path, folder, NAME, ++number) != 0 ||
        sb_rundir_path(begun, folder, "next-%d", (int)getpid()) != 0 || /* no name that a reader looks for */
        sb_file_replace(begun, bytes, count) != 0)
        return -1;
    if (rename(begun, path) != 0) {
        sb_fail_errno("renaming %s", begun);
        unlink(begun);
        return -1;
    }
    retire(folder, number);
    return 0;
}

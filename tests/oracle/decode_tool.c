/* decode_tool.c: tiles as the loader decodes them, for the tests. Reads lines
 * "PATH\tPAGE\tLEFT\tTOP\tSIDE\tBYTES\tREPEAT" and answers each with "ok WIDTH HEIGHT PAGES RANDOM_ACCESS
 * RSS_KIB PEAK_KIB\n" and the pixels, or "bad WHERE REASON\n" (WHERE: probe, probe3 where the file is away,
 * or what sb_decoder_tile returned), and "pages\tPATH" with "ok COUNT\n" and for each page a line
 * "KIND\tWIDTH\tHEIGHT\tRANDOM_ACCESS\t REASON\n". BYTES replaces the file's size as indexed where it is not
 * 0; REPEAT decodes as often.
 *
 * usage: decode_tool CHANNELS CACHE_MIB UNTRUSTED [KEY=VALUE...]; decode_tool profile NAME FILE writes one of
 * libvips' own colour profiles. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

#include "loader/readers/decoder.h"
#include "proto/error.h"

static long memory(const char *name)
{
    char line[128], format[32];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    snprintf(format, sizeof format, "%s: %%ld", name);
    while (file && fgets(line, sizeof line, file) && sscanf(line, format, &kib) != 1)
        ;
    if (file)
        fclose(file);
    return kib;
}

static int answer_pages(sb_decoder *decoder, const char *path)
{
    sb_decode_pages all;
    const int rc = sb_decoder_pages(decoder, path, &all);
    if (rc != 0)
        return printf("bad %d %s\n", rc, sb_error()) < 0;
    printf("ok %d\n", all.count);
    for (int i = 0; i < all.count; i++) {
        const sb_decode_page *p = &all.pages[i];
        printf("%s\t%d\t%d\t%d\t%s\n", sb_page_kind_name(p->kind), p->width, p->height, p->random_access,
               p->reason ? p->reason : "");
    }
    sb_decode_pages_free(&all);
    return 0;
}

static int answer(sb_decoder *decoder, int channels, char *line)
{
    char *path = strtok(line, "\t"), *rest = strtok(NULL, "");
    int page, left, top, side, repeat;
    int64_t bytes;
    if (path && rest && strcmp(path, "pages") == 0)
        return answer_pages(decoder, rest);
    if (!path || !rest ||
        sscanf(rest, "%d\t%d\t%d\t%d\t%" SCNd64 "\t%d", &page, &left, &top, &side, &bytes, &repeat) != 6)
        return sb_fail("not a request: %s", line);
    sb_decode_header h;
    const int found = sb_decoder_probe(decoder, path, page, &h);
    if (found != 0)
        return printf("bad probe%s %s\n", found == SB_DECODE_AWAY ? "3" : "", sb_error()) < 0;
    sb_decode_source source = { .path = path,
                                .page = page,
                                .bytes = bytes ? bytes : h.bytes,
                                .width = h.width,
                                .height = h.height,
                                .random_access = h.random_access };
    size_t size = (size_t)side * (size_t)side * (size_t)channels;
    uint8_t *pixels = malloc(size);
    uint64_t ignored = 0;
    int rc = pixels ? 0 : -1;
    for (int i = 0; rc == 0 && i < repeat; i++)
        rc = sb_decoder_tile(decoder, &source, left, top, side, pixels, &ignored, &ignored);
    if (rc != 0) {
        printf("bad %d %s\n", rc, sb_error());
    } else {
        printf("ok %d %d %d %d %ld %ld\n", h.width, h.height, h.pages, h.random_access, memory("VmRSS"),
               memory("VmHWM"));
        rc = fwrite(pixels, 1, size, stdout) == size ? 0 : -1;
    }
    free(pixels);
    return rc < 0 ? -1 : 0;
}

static int write_profile(const char *name, const char *path)
{
    VipsBlob *blob;
    size_t bytes;
    if (VIPS_INIT("decode_tool") != 0 || vips_profile_load(name, &blob, NULL) != 0)
        return sb_fail("%s", vips_error_buffer());
    const void *data = vips_blob_get(blob, &bytes);
    FILE *file = fopen(path, "wbe");
    int rc = file && fwrite(data, 1, bytes, file) == bytes ? 0 : sb_fail_errno("%s", path);
    if (file)
        fclose(file);
    vips_area_unref(VIPS_AREA(blob));
    return rc;
}

/* What of the keys concerns samples. */
static int read_samples(char **assignments, const char *channels, sb_samples_keys *out)
{
    char own[64];
    sb_config config;
    sb_data_keys data;
    sb_loader_keys loader;
    sb_config_init(&config);
    snprintf(own, sizeof own, "data.channels=%s", channels);
    int rc = sb_config_set(&config, own) != 0 || sb_config_set(&config, "data.path=/") != 0 ? -1 : 0;
    for (; rc == 0 && *assignments; assignments++)
        rc = sb_config_set(&config, *assignments);
    if (rc == 0)
        rc = sb_loader_keys_read(&config, &data, &loader);
    if (rc == 0)
        *out = data.samples;
    sb_config_free(&config);
    return rc;
}

int main(int argc, char **argv)
{
    sb_decoder *decoder = NULL;
    char line[PATH_MAX + 256];
    sb_samples_keys samples = { 0 };
    int rc;
    if (argc == 4 && strcmp(argv[1], "profile") == 0)
        rc = write_profile(argv[2], argv[3]);
    else if (argc < 4)
        rc = sb_fail("usage: decode_tool CHANNELS CACHE_MIB UNTRUSTED [KEY=VALUE...]");
    else
        rc = read_samples(argv + 4, argv[1], &samples) != 0
                 ? -1
                 : sb_decoder_create(&decoder, &samples, (size_t)atoi(argv[2]) << 20, atoi(argv[3]) != 0);
    while (rc == 0 && decoder && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        rc = answer(decoder, samples.channels, line);
        fflush(stdout);
    }
    sb_decoder_destroy(&decoder);
    if (rc != 0)
        fprintf(stderr, "%s\n", sb_error());
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

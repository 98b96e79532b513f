/* page.c: see page.h. */
#include "evaluator/page.h"

#include <glib.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "evaluator/record.h"
#include "evaluator/report.h"
#include "evaluator/sheet.h"
#include "evaluator/lists.h"
#include "evaluator/verdict.h"
#include "proto/cores.h"
#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/outfile.h"
#include "proto/rundir.h"

/* A file of evaluator/page as it was when this one was compiled, with a 0 byte behind it. */
#define ASSET(name, file)                                                                       \
    __asm__(".pushsection .rodata\n" #name ":\n.incbin \"evaluator/page/" #file "\"\n.byte 0\n" \
            ".popsection\n");                                                                   \
    extern const char(name)[] __attribute__((visibility("hidden")))
ASSET(page_html, report.html);
ASSET(page_css, report.css);
ASSET(page_js, report.js);

/* ---- data ------------------------------------------------------------------------------------------------- */

/* The processor's name, as the kernel has it. */
static void read_processor(char out[128])
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, 128, "unknown processor");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n]", out) == 1)
            break;
    if (f)
        fclose(f);
}

/* What wrote the page, and where. */
static json_t *machine_json(void)
{
    char processor[128], when[32] = "";
    struct utsname system = { 0 };
    struct tm utc;
    const time_t now = time(NULL);
    read_processor(processor);
    uname(&system);
    if (gmtime_r(&now, &utc))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &utc);
    return json_pack("{s:s, s:o, s:i, s:o, s:s, s:s, s:s}", "when", when, "processor",
                     sb_jsonl_text(processor), "cores", sb_cores(), "system", sb_jsonl_text(system.release),
                     "pictures", sb_sheet_library(), "json", "jansson " JANSSON_VERSION, "compiler",
                     "gcc " __VERSION__);
}

/* How the table's rows and columns are called, and what they are. */
static json_t *measures_json(void)
{
    static const char *const places[] = { [SB_IN_TABLE] = "table",
                                          [SB_IN_FEW] = "few",
                                          [SB_IN_SPREAD] = "spread",
                                          [SB_BOUND] = "bound",
                                          [SB_IN_LOG] = "log" };
    json_t *out = json_array();
    for (int k = 0; k < SB_METRICS; k++)
        json_array_append_new(out,
                              json_pack("{s:s, s:s, s:i, s:b, s:s}", "key", sb_metrics[k]->key, "title",
                                        sb_metrics[k]->title, "tells", sb_metrics[k]->tells, "share",
                                        (int)sb_metrics[k]->share, "place", places[sb_metrics[k]->place]));
    return out;
}

static json_t *rows_json(void)
{
    json_t *out = json_array();
    for (int row = 0; row < SB_ROWS; row++)
        json_array_append_new(out, json_pack("[s, s]", sb_report_row(row), sb_report_row_name(row)));
    return out;
}

static json_t *rules_json(void)
{
    json_t *out = json_array();
    for (const char *const *rule = sb_verdict_rules; *rule; rule++)
        json_array_append_new(out, json_string(*rule));
    return out;
}

/* As text in which no `<` stands, which in JSON is within strings alone; malloc'ed. */
static char *dump(const json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)), *out = NULL;
    size_t bytes = 0;
    FILE *f = text ? open_memstream(&out, &bytes) : NULL;
    for (const char *c = text; f && *c; c++)
        *c == '<' ? fputs("\\u003c", f) : fputc(*c, f);
    if (!f || fclose(f) != 0) {
        free(out);
        out = NULL;
        sb_fail("out of memory for the report");
    }
    free(text);
    return out;
}

/* ---- page ------------------------------------------------------------------------------------------------- */

/* The page with its data; malloc'ed. */
static char *assemble(const char *data, size_t *bytes)
{
    unsigned char digest[32];
    gsize length = sizeof digest;
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(checksum, (const guchar *)page_js, -1);
    g_checksum_get_digest(checksum, digest, &length);
    g_checksum_free(checksum);
    gchar *hash = g_base64_encode(digest, length);
    const struct {
        const char *mark, *text;
    } parts[] = { { "@hash@", hash }, { "@style@", page_css }, { "@data@", data }, { "@script@", page_js } };
    char *out = NULL;
    FILE *f = open_memstream(&out, bytes);
    const char *rest = page_html;
    for (size_t i = 0; f && i < sizeof parts / sizeof *parts; i++) { /* the marks come in this order */
        const char *mark = strstr(rest, parts[i].mark);
        fwrite(rest, 1, (size_t)(mark - rest), f);
        fputs(parts[i].text, f);
        rest = mark + strlen(parts[i].mark);
    }
    if (f)
        fputs(rest, f);
    g_free(hash);
    if (!f || fclose(f) != 0) {
        free(out);
        out = NULL;
        sb_fail("out of memory for the report");
    }
    return out;
}

/* Takes out one of the pictures, the least needed first; false: there is none. */
static bool drop_picture(json_t *root)
{
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(root, "runs"), i, run)
    {
        json_t *findings = json_object_get(run, "findings");
        if (json_object_del(run, "index") != 0 && json_object_del(run, "contact") != 0 &&
            json_object_del(findings, "atlas") != 0)
            continue;
        json_object_set_new(run, "too_large", json_true());
        return true;
    }
    return false;
}

static int write_page(json_t *root, const char *path)
{
    int rc = 0;
    bool fits = false;
    while (rc == 0 && !fits) {
        size_t bytes = 0;
        char *data = dump(root), *page = data ? assemble(data, &bytes) : NULL;
        fits = page && bytes < SB_PAGE_BYTES;
        if (!page)
            rc = -1;
        else if (fits)
            rc = sb_file_replace(path, page, bytes);
        else if (!drop_picture(root))
            rc = sb_fail("%s: the report has %zu bytes, %d are allowed: compare fewer runs", path, bytes,
                         SB_PAGE_BYTES);
        free(data);
        free(page);
    }
    return rc;
}

/* It is none of the files that are read. */
static int check_output(const char *path, const char *const *run_dirs, int count)
{
    const sb_outfile output = sb_outfile_look(path);
    char contact[PATH_MAX];
    int rc = sb_outfile_check(&output);
    for (int i = 0; rc == 0 && i < count; i++)
        rc = sb_outfile_check_run(&output, run_dirs[i]) != 0 ||
                     sb_rundir_path(contact, run_dirs[i], "pictures/contact.png") != 0 ||
                     sb_outfile_check_input(&output, contact) != 0
                 ? -1
                 : 0;
    return rc;
}

int sb_page_write(const char *const *run_dirs, int count, const char *output, char *verdict)
{
    char path[PATH_MAX];
    for (int i = 0; i < count; i++)
        if (sb_rundir_check(run_dirs[i]) != 0)
            return -1;
    if (!output && (count != 1 || sb_rundir_path(path, run_dirs[0], "report.html") != 0))
        return count == 1 ? -1 : sb_fail("a report of %d runs needs a file: -o FILE", count);
    if (check_output(output ? output : path, run_dirs, count) != 0)
        return -1;
    json_t *runs = json_array(), *run;
    for (int i = 0; i < count; i++) {
        run = sb_record_read(run_dirs[i], count == 1);
        if (!run) {
            json_decref(runs);
            return -1;
        }
        if (i == 0)
            snprintf(verdict, SB_PAGE_VERDICT, "%s",
                     json_string_value(json_object_get(json_object_get(run, "verdict"), "sentence")));
        json_array_append_new(runs, run);
    }
    json_t *root = json_pack("{s:o, s:o, s:o, s:o, s:f, s:o}", "machine", machine_json(), "measures",
                             measures_json(), "rows", rows_json(), "rules", rules_json(), "alike",
                             SB_LIST_ALIKE, "runs", runs);
    const int rc = root ? write_page(root, output ? output : path) : sb_fail("out of memory for the report");
    json_decref(root);
    return rc;
}

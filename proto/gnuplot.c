/* gnuplot.c: see gnuplot.h. */
#include "proto/gnuplot.h"

#include <stdbool.h>
#include <string.h>

#include "proto/error.h"

void sb_gnuplot_text(FILE *commands, const char *text)
{
    fputc('"', commands);
    for (const char *c = text; *c; c++)
        fprintf(commands, strchr("\"\\", *c) ? "\\%c" : "%c", *c);
    fputc('"', commands);
}

int sb_gnuplot_begin(sb_gnuplot *p, const char *path, int width, int height)
{
    *p = (sb_gnuplot){ 0 };
    int bytes = snprintf(p->path, sizeof p->path, "%s", path);
    if (bytes < 0 || (size_t)bytes >= sizeof p->path ||
        snprintf(p->part, sizeof p->part, "%s.part", path) >= (int)sizeof p->part)
        return sb_fail("%s: the name is too long", path);
    p->commands = popen("gnuplot 2>&1", "we");
    if (!p->commands)
        return sb_fail_errno("starting gnuplot");
    fprintf(p->commands, "set terminal pngcairo size %d,%d noenhanced\nset output ", width, height);
    sb_gnuplot_text(p->commands, p->part);
    fputc('\n', p->commands);
    return 0;
}

int sb_gnuplot_end(sb_gnuplot *p)
{
    bool written = !ferror(p->commands) && fflush(p->commands) == 0;
    int status = pclose(p->commands);
    if (!written || status != 0) {
        sb_note("no %s: gnuplot ended with status %d (package gnuplot-nox)", p->path, status);
        return 0;
    }
    return rename(p->part, p->path) != 0 ? sb_fail_errno("renaming %s", p->part) : 0;
}

/* warnings.c: see warnings.h. */
#include "loader/readers/warnings.h"

#include <stdio.h>

#include "loader/readers/samples.h"
#include "proto/error.h"

static char last[256];

static void take(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)domain, (void)level, (void)data;
    if (sb_samples_warning_matters(message))
        snprintf(last, sizeof last, "%s", message);
}

void sb_warnings_take(void) { g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING, take, NULL); }

void sb_warnings_forget(void) { last[0] = '\0'; }

int sb_warnings_check(const sb_samples_keys *samples, const char *path)
{
    if (last[0] == '\0' || samples->warnings == SB_WARNINGS_ACCEPT)
        return 0;
    sb_text_clean(last);
    return sb_fail("%s: %s (data.warnings)", path, last);
}

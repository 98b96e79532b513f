/* state.c: see state.h. */
#include "supervisor/state.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/request.h"
#include "proto/rundir.h"

#define QUIET_S 60 /* without a step, before it is said */

/* "12:31:08", with the date where it is not today's. */
static void write_time(time_t when, char *out, size_t bytes)
{
    char today[16] = "", day[16] = "", clock[16] = "";
    struct tm local;
    const time_t now = time(NULL);
    if (localtime_r(&now, &local))
        strftime(today, sizeof today, "%Y-%m-%d", &local);
    if (localtime_r(&when, &local)) {
        strftime(day, sizeof day, "%Y-%m-%d", &local);
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    }
    snprintf(out, bytes, "%s%s%s", strcmp(day, today) == 0 ? "" : day, strcmp(day, today) == 0 ? "" : " ",
             clock);
}

static void say(sb_state *s, sb_state_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(sb_state *s, sb_state_kind kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->text, sizeof s->text, format, arguments);
    va_end(arguments);
    s->kind = kind;
}

/* False: its supervisor has ended meanwhile. */
static bool look_at_live(const char *run_dir, int timeout_ms, sb_state *s)
{
    sb_request_state now;
    char when[48];
    if (sb_request_look(run_dir, timeout_ms, &now) != 0) {
        say(s, SB_STATE_MUTE, "%s", sb_error());
        return sb_request_heard(run_dir);
    }
    write_time((time_t)now.since, when, sizeof when);
    const bool waits = strcmp(now.phase, "waiting") == 0,
               quiet = now.quiet >= QUIET_S && strcmp(now.phase, "training") == 0;
    say(s, SB_STATE_LIVES, "%s%s, since %s", now.phase, waits ? " for memory (log/)" : "", when);
    if (quiet)
        snprintf(s->remark, sizeof s->remark, "no step for %" PRId64 " s", now.quiet);
    if (now.silent >= SB_SILENT_S)
        snprintf(s->remark + strlen(s->remark), sizeof s->remark - strlen(s->remark),
                 "%sthe trainer is stopped, or hangs", quiet ? "; " : "");
    return true;
}

/* Of a run that has no supervisor. */
static void look_at_past(const char *run_dir, sb_state *s)
{
    char path[PATH_MAX], when[48] = "", way[PATH_MAX + 64];
    struct stat info;
    const char *phase = s->status.phase, *reason = s->status.reason;
    if (sb_rundir_path(path, run_dir, "status.json") != 0) {
        say(s, SB_STATE_GONE, "%s", sb_error());
        return;
    }
    if (s->known && stat(path, &info) == 0)
        write_time(info.st_mtime, when, sizeof when);
    sb_status_way_on(run_dir, way, sizeof way);
    if (!s->known && access(path, F_OK) == 0)
        say(s, SB_STATE_KILLED,
            "ended without a word that can be read (%s): killed, or the machine went down; %s", s->unread,
            way);
    else if (!s->known)
        say(s, SB_STATE_NEW, "not running; it has not trained yet: ./run resume %s", run_dir);
    else if (strcmp(phase, "finished") == 0)
        say(s, SB_STATE_FINISHED, "finished, %s", when);
    else if (strcmp(phase, "failed") == 0)
        say(s, SB_STATE_FAILED, "failed, %s: %s", when, reason);
    else if (strcmp(phase, "stopped") == 0 && reason[0])
        say(s, SB_STATE_ALARMED, "stopped, %s, by an alarm: %s (docs/alarms.md); %s", when, reason, way);
    else if (strcmp(phase, "stopped") == 0)
        say(s, SB_STATE_STOPPED, "stopped, %s; %s", when, way);
    else {
        say(s, SB_STATE_KILLED, "ended without a word, %s: killed, or the machine went down; %s", when, way);
        snprintf(s->status.phase, sizeof s->status.phase, "ended");
    }
}

void sb_state_look(const char *run_dir, int timeout_ms, sb_state *s)
{
    char path[PATH_MAX];
    *s = (sb_state){ 0 };
    if (sb_rundir_path(path, run_dir, "config.yaml") != 0 || access(path, F_OK) != 0) {
        say(s, SB_STATE_GONE, "the run directory is not there any more");
        return;
    }
    const bool lives = sb_request_heard(run_dir) && look_at_live(run_dir, timeout_ms, s);
    s->known = sb_status_read(run_dir, &s->status) == 0; /* after its supervisor, which writes it last */
    if (!s->known)
        snprintf(s->unread, sizeof s->unread, "%s", sb_error());
    if (!lives)
        look_at_past(run_dir, s);
}

/* main.c of sb_evaluator: measures the encoder of a run, live or finished, and gives features of any data
 * set. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluator/attach.h"      /* sb_attach */
#include "evaluator/best.h"        /* sb_best_* */
#include "evaluator/embed.h"       /* sb_embed */
#include "evaluator/evaluate.h"    /* sb_evaluation_* */
#include "evaluator/falling.h"     /* sb_falling_check */
#include "evaluator/findings.h"    /* sb_findings_* */
#include "evaluator/held.h"        /* sb_held_say */
#include "evaluator/lists.h"       /* sb_list_* */
#include "evaluator/page.h"        /* sb_page_write */
#include "evaluator/pictures.h"    /* sb_picture_* */
#include "evaluator/tensorboard.h" /* sb_tensorboard_write */
#include "proto/error.h"           /* sb_fail, sb_note */
#include "proto/program.h"         /* sb_program_* */
#include "trainer/alarm.h"         /* sb_alarm_raise */
#include "trainer/status.h"        /* sb_status_read */

#define POLL_US 500000
#define CHECKPOINT_POLLS 120 /* a minute: longer no trainer that lives writes one */
#define LIST_MAX 10000       /* lines: more make a picture too large */

typedef struct {
    const char *command, *run_dir, *data, *output;
    const char *runs[SB_PAGE_RUNS]; /* of a report, run_dir the first */
    int run_count;
    bool follow, pictures, report, kept; /* kept: evaluation.jsonl can be written */
    bool best;                           /* of the checkpoints the best one, not the newest */
    bool accompany; /* follow every evaluate.every-th snapshot alone, until the trainer ends */
    int threads;    /* 0: chosen */
    int most;       /* lines of a list */
    double from;    /* the least cosine of a pair */
    char **assignments;
    int assignment_count;
} arguments;

/* Behind everything else on the machine: a live trainer must not feel an evaluator. */
static int step_back(void)
{
    const struct sched_param none = { 0 };
    return sched_setscheduler(0, SCHED_IDLE, &none) != 0 ? sb_fail_errno("sched_setscheduler") : 0;
}

/* True if status.json says that the run is training: a trainer answers, or will soon. */
static bool training(const char *run_dir)
{
    sb_status status;
    return sb_status_read(run_dir, &status) == 0 && strcmp(status.phase, "training") == 0;
}

/* What the network saw, if that is not drawn yet: a report goes without it. */
static void draw_contact(const char *run_dir)
{
    if (!sb_picture_has_contact(run_dir) && sb_picture_contact(run_dir) != 0)
        sb_note("%s: there is no picture of what the network saw", sb_error());
}

/* All that the run says of itself, for TensorBoard. Neither an evaluation nor a report fails with it. */
static void write_tensorboard(const char *run_dir)
{
    if (sb_tensorboard_write(run_dir) != 0)
        sb_note("%s: TensorBoard's files stay as they were", sb_error());
}

/* What is found of single tiles, and all that the run says of itself, as a page. An evaluation does not fail
 * with it. */
static void write_report(sb_evaluation *e, const arguments *a)
{
    char verdict[SB_PAGE_VERDICT];
    draw_contact(a->run_dir);
    if (sb_findings_write(e) != 0)
        sb_note("%s: the report does without what was found now of single tiles", sb_error());
    if (sb_page_write(&a->run_dir, 1, NULL, verdict) != 0)
        sb_note("%s: the report was not written", sb_error());
    else
        printf("%s\n%s/report.html\n", verdict, a->run_dir);
    fflush(stdout);
    write_tensorboard(a->run_dir);
}

/* live: whose embeddings are measured as well, NULL none. One that has just attached has none yet: it looks
 * again once the weights are measured, which takes a while. */
static int conclude(sb_evaluation *e, sb_attachment *live, const arguments *a)
{
    sb_stream_measures *stream = &e->report.stream;
    *stream = (sb_stream_measures){ 0 };
    if ((live && sb_attachment_measure(live, stream) != 0) || sb_evaluation_measure(e) != 0 ||
        (live && stream->count == 0 && sb_attachment_measure(live, stream) != 0))
        return -1;
    sb_report_print(&e->report);
    if (a->kept && sb_report_append(&e->report, a->run_dir) != 0)
        return sb_context("the table above was not kept");
    if (a->kept && e->report.given && e->config.continuing.enabled) {
        char line[2 * PATH_MAX];
        if (sb_held_say(&e->report, a->run_dir, e->config.continuing.stop, line, sizeof line) != 0)
            return -1;
        printf("%s\n", line);
        fflush(stdout);
    }
    if (a->pictures && sb_pictures(e) != 0)
        return -1;
    if (a->report)
        write_report(e, a);
    return 0;
}

static int evaluate_checkpoint(sb_evaluation *e, const arguments *a)
{
    if (sb_evaluation_measure_given(e) != 0 || sb_evaluation_measure_supervised(e) != 0)
        return -1;
    int rc = sb_encoder_load(e->encoder, a->run_dir, false, &e->report.step);
    if (rc == 0)
        return sb_fail("%s has no checkpoint yet, and no trainer that answers", a->run_dir);
    e->report.source = "checkpoint";
    if (rc != 1 || sb_evaluation_measure_sizes(e) != 0 || conclude(e, NULL, a) != 0)
        return -1;
    if (a->kept && (sb_best_hold(e) < 0 || sb_best_settle(e) != 0))
        sb_note("the best checkpoint stays what it was: %s", sb_error());
    return 0;
}

/* The trainer writes it behind the snapshot. As sb_best_hold. */
static int await_checkpoint(const sb_evaluation *e, const sb_attachment *live)
{
    const bool comes = e->report.step % e->config.trainer.checkpoint_every == 0;
    for (int i = 0;; i++) {
        const bool last = !comes || i == CHECKPOINT_POLLS || sb_attachment_ended(live);
        const int held = sb_best_hold(e);
        if (held != 0 || last)
            return held;
        usleep(POLL_US);
    }
}

/* One snapshot of a live run. The evaluator that accompanies it keeps the best checkpoint, and raises an
 * alarm. 0; SB_EXIT_ALARM: that is to stop the run; -1. */
static int measure_snapshot(sb_evaluation *e, sb_attachment *live, const arguments *a)
{
    const bool judges = a->accompany && a->kept;
    sb_alarm alarm;
    int held = judges ? sb_best_hold(e) : 0;
    if (conclude(e, live, a) != 0)
        return -1;
    if (!judges)
        return 0;
    if (held == 0)
        held = await_checkpoint(e, live);
    if (held < 0 || sb_best_settle(e) != 0)
        sb_note("the best checkpoint stays what it was: %s", sb_error());
    const int falls = sb_falling_check(e, &alarm);
    if (falls <= 0)
        return falls;
    if (sb_alarm_raise(a->run_dir, &alarm) != 0)
        return -1;
    return e->config.trainer.on_alarm == SB_ALARM_STOP ? SB_EXIT_ALARM : 0;
}

/* The step from which on the next snapshot is measured. */
static int64_t due_after(const sb_evaluation *e, int64_t step, const arguments *a)
{
    const int every = e->config.evaluate.every;
    const int64_t between = (int64_t)(every > 0 ? every : 1) * e->config.evaluate.snapshot_every;
    return a->accompany ? (step / between + 1) * between : 0;
}

/* Every snapshot from now on, or one. due: the step from which on the next is measured. 0: done with the
 * trainer (it ended, or one was enough); SB_EXIT_ALARM; -1. */
static int evaluate_live(sb_evaluation *e, sb_attachment *live, int64_t *due, const arguments *a)
{
    for (;;) {
        bool ended = sb_attachment_ended(
            live); /* before the look: what it published last is still looked at */
        const sb_snapshot_head *head;
        const float *weight, *running;
        int rc = sb_attachment_weights(live, &head, &weight, &running);
        if (rc < 0)
            return -1;
        if (rc == 1 && head->step >= *due) {
            *due = due_after(e, head->step, a);
            e->report.step = head->step;
            e->report.source = "snapshot";
            if (sb_evaluation_measure_given(e) != 0 || sb_evaluation_measure_supervised(e) != 0 ||
                sb_encoder_set(e->encoder, weight, head->weight_floats, running, head->statistic_floats) != 0)
                return -1;
            rc = measure_snapshot(e, live, a);
            if (rc != 0 || !a->follow)
                return rc;
        } else if (rc == 0 && ended) {
            return 0;
        } else {
            usleep(POLL_US);
        }
    }
}

static int evaluate_run(sb_evaluation *e, const arguments *a)
{
    int rc = 0;
    bool attached = false, live = a->accompany || training(a->run_dir);
    int64_t due = due_after(e, 0, a);
    do {
        sb_attachment trainer;
        rc = live ? sb_attach(&trainer, a->run_dir, e->config_text) : 0;
        if (rc != 1)
            break;
        attached = true;
        rc = evaluate_live(e, &trainer, &due, a);
        sb_detach(&trainer);
        live = a->follow && training(a->run_dir); /* its supervisor starts it again */
    } while (rc == 0 && live);
    return rc == 0 && !a->accompany && (!attached || a->follow) ? evaluate_checkpoint(e, a) : rc;
}

/* What cannot be kept is said before anything is computed, and what can be shown is shown. */
static void look_at_run(arguments *a)
{
    a->kept = sb_report_check(a->run_dir) == 0;
    if (!a->kept)
        sb_note("%s: the table is printed and not kept", sb_error());
    if (a->pictures && sb_pictures_check(a->run_dir) != 0) {
        sb_note("%s: no pictures are drawn", sb_error());
        a->pictures = false;
    }
    if (a->report && sb_findings_check(a->run_dir) != 0) {
        sb_note("%s: no report is written", sb_error());
        a->report = false;
    }
}

/* Behind a live trainer, unless a supervisor has said how far behind it is already. Chooses how many threads
 * compute. */
static int make_way(arguments *a, bool live)
{
    if (live && !a->accompany && step_back() != 0)
        return -1;
    if (live && a->threads == 0)
        a->threads = 1;
    return 0;
}

static int evaluate(arguments *a)
{
    sb_evaluation e = { 0 };
    if (access(a->run_dir, F_OK) == 0)
        look_at_run(a);
    if (make_way(a, a->accompany || training(a->run_dir)) != 0)
        return -1;
    int rc = -1;
    if (sb_evaluation_create(&e, a->run_dir, a->threads) == 0)
        rc = evaluate_run(&e, a);
    sb_evaluation_free(&e);
    return rc;
}

static int list_tiles(arguments *a)
{
    const bool similar = strcmp(a->command, "similar") == 0;
    if (similar && !a->data)
        return sb_fail("similar needs an image");
    if (make_way(a, training(a->run_dir)) != 0)
        return -1;
    if (similar)
        return sb_list_similar(a->run_dir, a->data, a->most, a->threads);
    return strcmp(a->command, "outliers") == 0 ? sb_list_outliers(a->run_dir, a->most, a->threads)
                                               : sb_list_duplicates(a->run_dir, a->most, a->from, a->threads);
}

/* Where what the network saw is not drawn yet there is first a report without: an image on which a decoder
 * dies takes that alone. */
static int report(const arguments *a)
{
    char verdict[SB_PAGE_VERDICT];
    int rc = sb_page_write(a->runs, a->run_count, a->output, verdict);
    if (rc == 0 && a->run_count == 1 && !sb_picture_has_contact(a->run_dir)) {
        draw_contact(a->run_dir);
        rc = sb_page_write(a->runs, 1, a->output, verdict);
    }
    if (rc != 0)
        return -1;
    if (a->run_count == 1)
        printf("%s\n", verdict);
    if (a->output) {
        printf("%s\n", a->output);
    } else {
        printf("%s/report.html\n", a->run_dir);
        write_tensorboard(a->run_dir);
    }
    return 0;
}

/* How they are looked at; TensorBoard is no part of this project. */
static int tensorboard(const arguments *a)
{
    if (sb_tensorboard_write(a->run_dir) != 0)
        return -1;
    printf("%s/tensorboard is written. To look at it (pip install tensorboard):\n"
           "tensorboard --logdir %s/tensorboard\n",
           a->run_dir, a->run_dir);
    return 0;
}

static int whole(const char *text, int most, int *out)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    *out = (int)value;
    return errno || *end || end == text || value < 1 || value > most ? -1 : 0;
}

enum { KEY_FOLLOW = 0x100, KEY_NO_PICTURES, KEY_THREADS, KEY_FROM, KEY_BEST };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case KEY_FOLLOW: a->follow = true; break;
    case KEY_BEST: a->best = true; break;
    case KEY_NO_PICTURES: a->pictures = false; break;
    case KEY_THREADS:
        if (whole(argument, 1024, &a->threads) != 0)
            return sb_program_wrong("--threads %s: a whole number from 1 to 1024 was expected", argument);
        break;
    case 'n':
        if (whole(argument, LIST_MAX, &a->most) != 0)
            return sb_program_wrong("-n %s: a whole number from 1 to %d was expected", argument, LIST_MAX);
        break;
    case KEY_FROM: {
        char *end;
        a->from = strtod(argument, &end);
        if (*end || end == argument || !(a->from >= -1 && a->from <= 1))
            return sb_program_wrong("--from %s: a cosine from -1 to 1 was expected", argument);
        break;
    }
    case 'o': a->output = argument; break;
    case ARGP_KEY_ARG:
        if (!a->command) {
            a->command = argument;
        } else if (!a->run_dir) {
            a->run_dir = a->runs[a->run_count++] = argument;
        } else if (strcmp(a->command, "report") == 0) {
            if (a->run_count == SB_PAGE_RUNS)
                return sb_program_wrong("report: at most %d runs", SB_PAGE_RUNS);
            a->runs[a->run_count++] = argument;
        } else if ((strcmp(a->command, "embed") == 0 || strcmp(a->command, "similar") == 0) && !a->data) {
            a->data = argument;
        } else if (strcmp(a->command, "embed") == 0) {
            a->assignments = &state->argv[state->next - 1];
            a->assignment_count = state->argc - state->next + 1;
            state->next = state->argc;
        } else {
            return sb_program_wrong(strchr(argument, '=')
                                        ? "%s takes no keys: %s (those of the run count; --help)"
                                        : "%s: one argument too many: %s (--help)",
                                    a->command, argument);
        }
        break;
    case ARGP_KEY_END:
        if (!a->run_dir)
            return sb_program_wrong("a command and a run directory were expected (--help)");
        return sb_program_check_options(state, a->command);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp_option options[] = {
        { "follow", KEY_FOLLOW, NULL, 0,
          "evaluate: every new snapshot of a live run until it ends, then its last checkpoint", 0 },
        { "no-pictures", KEY_NO_PICTURES, NULL, 0,
          "evaluate: the table and evaluation.jsonl only, no pictures and no report", 0 },
        { "threads", KEY_THREADS, "N", 0, "compute threads (default: 1 beside a live run, else all cores)",
          0 },
        { "output", 'o', "FILE", 0,
          "embed: where the features go (.npy; a .csv of paths and tiles beside it). report: the page, by "
          "default RUN_DIR/report.html",
          0 },
        { "best", KEY_BEST, NULL, 0, "embed: with the best checkpoint, not the newest", 0 },
        { "most", 'n', "N", 0, "similar, outliers, duplicates: lines of the list (default: 20)", 0 },
        { "from", KEY_FROM, "COSINE", 0, "duplicates: the least cosine of a pair (default: 0.95)", 0 },
        { 0 },
    };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "evaluate RUN_DIR\naccompany RUN_DIR\nembed RUN_DIR DATA -o FILE [KEY=VALUE...]\nsimilar "
                    "RUN_DIR IMAGE\noutliers RUN_DIR\nduplicates RUN_DIR\nreport RUN_DIR "
                    "[RUN_DIR...]\ntensorboard RUN_DIR",
        .doc = "Measures the encoder of a run on held-out tiles, writes its features of any data set, or "
               "lists tiles by "
               "them. "
               "Used by ./run.\vaccompany exits with 8 when an alarm is to stop the run.",
    };
    arguments a = { .pictures = true, .most = 20, .from = SB_LIST_ALIKE };
    sb_program_begin("evaluator");
    sb_program_arguments(&argp, argc, argv, &a);
    int rc;
    a.accompany = strcmp(a.command, "accompany") == 0;
    a.follow = a.follow || a.accompany;
    a.report = a.pictures;
    a.pictures = a.pictures && !a.accompany;
    if (strcmp(a.command, "evaluate") == 0 || a.accompany)
        rc = evaluate(&a);
    else if (strcmp(a.command, "embed") == 0)
        rc = a.data && a.output
                 ? sb_embed(a.run_dir, a.best, a.data, a.assignments, a.assignment_count, a.threads, a.output)
                 : sb_fail("embed needs DATA and -o FILE");
    else if (strcmp(a.command, "similar") == 0 || strcmp(a.command, "outliers") == 0 ||
             strcmp(a.command, "duplicates") == 0)
        rc = list_tiles(&a);
    else if (strcmp(a.command, "report") == 0)
        rc = report(&a);
    else if (strcmp(a.command, "tensorboard") == 0)
        rc = tensorboard(&a);
    else
        rc = sb_fail("no command `%s`; there are evaluate, accompany, embed, similar, outliers, duplicates, "
                     "report and tensorboard",
                     a.command);
    return sb_program_end(rc);
}

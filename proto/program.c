/* program.c: see program.h. */
#include "proto/program.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/alive.h"
#include "proto/error.h"
#include "proto/unfinished.h"

extern char **environ;

/* Variables whose names begin like this. */
static const char *const dropped[] = {
    "ONEDNN_",
    "DNNL_",
    "MKLDNN_",
    "VIPS_",
    "IM_",
    "G_DEBUG",
    "G_MESSAGES",
    "CUDNN_LOG",
    "CUBLAS_LOG",
    "CUBLASLT_LOG",
    "NVIDIA_TF32_O",
    "LC_",
    "LANG" /* and LANGUAGE */,
    "POSIXLY_CORRECT",
};
static const char *const kept[] = { "ONEDNN_MAX_CPU_ISA=", "DNNL_MAX_CPU_ISA=" };

static bool begins(const char *text, const char *const *with, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(text, with[i], strlen(with[i])) == 0)
            return true;
    return false;
}

static bool utf8;

bool sb_program_utf8(void) { return utf8; }

static void look_at_locale(void)
{
    const locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0)
        return; /* there is none of that name */
    utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
}

/* In place: what getenv gave before stays valid. */
static void clean_environment(void)
{
    char **to = environ;
    for (char **from = environ; from && *from; from++)
        if (!begins(*from, dropped, sizeof dropped / sizeof *dropped) ||
            begins(*from, kept, sizeof kept / sizeof *kept))
            *to++ = *from;
    if (to)
        *to = NULL;
    setenv("LC_ALL", "C.UTF-8", 1); /* without memory for it the "C" that a program begins with remains */
}

static void open_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) /* the lowest that is free */
            _exit(EXIT_FAILURE);
}

static atomic_bool held;
static atomic_int came; /* a signal's number */

static void end_by(int number)
{
    sb_unfinished_remove();
    signal(number, SIG_DFL);
    raise(number);
}

/* On any thread. Either this finds `held` down, or sb_program_go_on finds what came. */
static void on_end(int number)
{
    atomic_store(&came, number); /* partner: the load in sb_program_go_on */
    if (!atomic_load(&held))
        end_by(number);
}

void sb_program_hold(void) { atomic_store(&held, true); }

void sb_program_go_on(void)
{
    atomic_store(&held, false); /* partner: the load in on_end */
    if (atomic_load(&came))
        end_by(atomic_load(&came));
}

static void set_signals(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT }, errors[] = { SIGPIPE, SIGXFSZ };
    const struct sigaction end = { .sa_handler = on_end, .sa_flags = SA_NODEFER };
    sigset_t none;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction now;
        if (sigaction(ends[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaction(ends[i], &end, NULL);
    }
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        signal(errors[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void sb_program_begin(const char *name)
{
    open_descriptors();
    look_at_locale();
    clean_environment();
    umask(umask(0777) & 077);
    set_signals();
    sb_alive_begin();
    sb_note_program(name);
}

/* Does the argument ask argp for help, which it prints only where it prints errors, too? */
static bool asks_for_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "--usage") == 0 || strcmp(argument, "-?") == 0;
}

/* An option as getopt takes it: a name or the beginning of one, or a letter. NULL: there is none. */
static const struct argp_option *find_option(const struct argp_option *options, const char *argument)
{
    const size_t length = strcspn(argument, "=");
    const struct argp_option *found = NULL;
    for (const struct argp_option *o = options; o && o->name; o++) {
        const bool is_long = argument[1] == '-';
        if (is_long ? strncmp(o->name, argument + 2, length - 2) != 0 : o->key != argument[1])
            continue;
        if (!is_long || strlen(o->name) == length - 2)
            return o;
        found = found ? found : o; /* the beginning of its name */
    }
    return found;
}

/* What getopt did not take. */
static void fail_option(const struct argp *argp, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bool is_option = argv[i][0] == '-' && argv[i][1] != '\0';
        const struct argp_option *o = is_option ? find_option(argp->options, argv[i]) : NULL;
        if (is_option && !o) {
            sb_fail("no option %s (./run help)", argv[i]);
            return;
        }
        if (o && !o->arg && strchr(argv[i], '=')) {
            sb_fail("%s: this option takes no value", argv[i]);
            return;
        }
    }
    sb_fail("%s: its value was expected", argv[argc - 1]);
}

/* Whether `command` is among the names that begin a sentence: "export, loss: ". *headed: names begin it. */
static bool is_named(const char *sentence, const char *command, bool *headed)
{
    bool named = false;
    for (const char *at = sentence;; at += 2) {
        const size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        named = named || (length == strlen(command) && strncmp(at, command, length) == 0);
        at += length;
        *headed = *headed || at[0] == ':';
        if (at[0] != ',' || at[1] != ' ')
            return named && at[0] == ':';
    }
}

static bool is_for(const char *doc, const char *command)
{
    bool headed = false;
    for (const char *at = doc; at; at = strstr(at, ". ") ? strstr(at, ". ") + 2 : NULL)
        if (is_named(at, command, &headed))
            return true;
    return !headed;
}

static const struct argp_option *known; /* of sb_program_arguments */

/* By now getopt has moved options in front of all else. */
error_t sb_program_check_options(const struct argp_state *state, const char *command)
{
    for (int i = 1; i < state->argc; i++) {
        const char *text = state->argv[i];
        if (text[0] != '-' || text[1] == '\0' || strcmp(text, "--") == 0)
            break;
        const struct argp_option *o = find_option(known, text);
        if (o && !is_for(o->doc, command))
            return sb_program_wrong("%s: no option %s (./run help %s)", command, text, command);
        const bool apart = text[1] == '-' ? !strchr(text, '=') : text[2] == '\0';
        i += o && o->arg && apart;
    }
    return 0;
}

void sb_program_arguments(const struct argp *argp, int argc, char **argv, void *input)
{
    unsigned flags = ARGP_NO_ERRS;
    known = argp->options;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (asks_for_help(argv[i]))
            flags = 0;
    if (argp_parse(argp, argc, argv, flags, NULL, input) == 0)
        return;
    if (sb_error()[0] == '\0')
        fail_option(argp, argc, argv);
    exit(sb_program_end(-1));
}

bool sb_program_flush(void) { return fflush(stdout) == 0 && !ferror(stdout); }

/* The reader of a pipe or a socket is gone. */
static bool is_unread(int fd)
{
    struct pollfd look = { .fd = fd, .events = POLLOUT };
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLERR | POLLHUP));
}

int sb_program_end(int rc)
{
    errno = 0;
    const bool printed = sb_program_flush();
    const int error = errno;
    if (rc < 0)
        sb_note("%s", sb_error());
    if (!printed && !is_unread(STDOUT_FILENO)) {
        sb_note("not all of the output could be written%s%s", error ? ": " : "",
                error ? strerror(error) : "");
        return EXIT_FAILURE;
    }
    return rc < 0 ? EXIT_FAILURE : rc;
}

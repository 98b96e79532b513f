/* program.h: how each of the programs begins and ends: what its main does first, before it reads its
 * arguments, and last. What surrounds a program, but for what its documentation names, neither changes what
 * it computes nor what it writes:
 *
 *   descriptors  0, 1 and 2 are open, on /dev/null where they were closed. Else the next file that is opened
 *                would be one of them, and a message would be written into a checkpoint.
 *   environment  What makes a library print to standard output, where only a program's answer belongs, or
 *                compute otherwise, is taken out: for instance ONEDNN_VERBOSE, G_MESSAGES_DEBUG,
 *                ONEDNN_DEFAULT_FPMATH_MODE, NVIDIA_TF32_OVERRIDE. So is POSIXLY_CORRECT, which moves options
 *                behind arguments out of reach. ONEDNN_MAX_CPU_ISA stays: the device's description names it.
 *   locale       "C.UTF-8" for whoever asks for the user's (a library, gnuplot): numbers have points.
 *   umask        The owner may use what he makes; only what others may is the user's choice.
 *   signals      None is blocked. A child can be waited for. Writing to a pipe that nobody reads, or beyond
 *                the limit of a file's size, is an error and no death. SIGINT, SIGTERM, SIGHUP and SIGQUIT,
 *                where they are not ignored, remove what is unfinished (unfinished.h) before they end the
 *                program. A program that saves first takes some of them over (sb_stop_install). */
#ifndef SB_PROTO_PROGRAM_H
#define SB_PROTO_PROGRAM_H

#include <argp.h>
#include <errno.h>
#include <stdbool.h>

#include "proto/error.h"

/* `name` is what notes begin with ("trainer"), a string that lives on. Where even /dev/null cannot be opened
 * the program ends here. */
void sb_program_begin(const char *name);

/* Whether the terminal of who started the program takes UTF-8: what the locale said before it was replaced.
 */
bool sb_program_utf8(void);

/* Reads the command line as argp_parse does. What is wrong with it is said in a line, as any other failure,
 * and the program ends: a parser says so by sb_program_wrong. */
void sb_program_arguments(const struct argp *argp, int argc, char **argv, void *input);

/* For a parser at its end (ARGP_KEY_END), where a program has commands: an option that is described as other
 * commands' ("export: the file. loss, plan: the folder") is wrong. */
error_t sb_program_check_options(const struct argp_state *state, const char *command);

/* As sb_fail; what a parser returns then. */
#define sb_program_wrong(...) (sb_fail(__VA_ARGS__), EINVAL)

/* The exit status of a main whose work gave `rc`: below 0 a failure, whose sb_error is noted, else itself.
 * A standard output that took not all that was printed is a failure, too; but that nobody reads on (`| head`)
 * is none. */
int sb_program_end(int rc);

/* Brings out what was printed so far. False: it is in vain, because nobody reads it or it cannot be written.
 * A program that only prints may end then; sb_program_end knows whether that is a failure. */
bool sb_program_flush(void);

/* Between hold and go_on no signal that sb_program_begin prepares for ends the program: one that comes
 * meanwhile ends it at go_on. For what must be done whole, as long as it takes no longer than a user waits.
 */
void sb_program_hold(void);
void sb_program_go_on(void);

#endif

/* error.h: how a library function says what went wrong.
 *
 * Every function that can fail returns 0 (or a documented value >= 0) on success and -1 on failure. The
 * function that finds the fault calls sb_fail; each caller that knows more calls sb_context, which puts its
 * words in front: "reading recipe a.yaml: line 3: no key `trainer.bach`". Only a program's main prints the
 * text (sb_error) and exits. The text belongs to the calling thread. */
#ifndef SB_PROTO_ERROR_H
#define SB_PROTO_ERROR_H

#include <stdint.h>

#define SB_ERROR_MAX 2048 /* bytes of the whole text; longer texts are cut */

/* Sets the calling thread's error text. Always returns -1, so that `return sb_fail(...)` is the idiom. */
int sb_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As sb_fail, with ": strerror(errno)" added. */
int sb_fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts "text: " in front of the calling thread's error text. Always returns -1. */
int sb_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells the compiler that they return -1, so that it sees which variables are set on success. */
static inline int sb_failed(int ignored) { return (void)ignored, -1; }
#define sb_fail(...) sb_failed(sb_fail(__VA_ARGS__))
#define sb_fail_errno(...) sb_failed(sb_fail_errno(__VA_ARGS__))
#define sb_context(...) sb_failed(sb_context(__VA_ARGS__))

/* The calling thread's error text; "" where nothing failed yet. */
const char *sb_error(void);

/* Turns a text that comes from elsewhere (a file's name, a library's message) into one line of valid UTF-8,
 * in place: control characters (C0, DEL, C1) become spaces, and bytes that are not UTF-8 become question
 * marks. Returns how many it replaced. */
int sb_text_clean(char *line);

/* What a message puts behind a noun that it counts: "%d loader%s", n, sb_plural(n). */
static inline const char *sb_plural(uint64_t count) { return count == 1 ? "" : "s"; }

/* A line on standard error, "smallbatch PROGRAM: text\n", in one write. For notes and warnings of a program's
 * main and its loop. */
void sb_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The name that sb_note prints (a string that lives on); main calls it once. */
void sb_note_program(const char *name);

#endif

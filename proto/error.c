/* error.c: see error.h. */
#include "proto/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#undef sb_fail
#undef sb_fail_errno
#undef sb_context

static _Thread_local char text[SB_ERROR_MAX];
static const char *program = "";

int sb_fail(const char *format, ...)
{
    char now[SB_ERROR_MAX]; /* the arguments may be the old text */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(now, sizeof now, format, arguments);
    va_end(arguments);
    memcpy(text, now, sizeof text);
    return -1;
}

int sb_fail_errno(const char *format, ...)
{
    int error = errno;
    char now[SB_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(now, sizeof now, format, arguments);
    va_end(arguments);
    return sb_fail("%s: %s", now, strerror(error));
}

int sb_context(const char *format, ...)
{
    char now[SB_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(now, sizeof now, format, arguments);
    va_end(arguments);
    return sb_fail("%s: %s", now, text);
}

const char *sb_error(void) { return text; }

/* Bytes of the UTF-8 sequence at `at` (RFC 3629: shortest form, no surrogates, at most U+10FFFF); 0: none. */
static int sequence(const unsigned char *at)
{
    int length = at[0] < 0x80                    ? 1
                 : at[0] >= 0xC2 && at[0] < 0xE0 ? 2
                 : (at[0] & 0xF0) == 0xE0        ? 3
                 : at[0] >= 0xF0 && at[0] < 0xF5 ? 4
                                                 : 0;
    for (int i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    bool wrong = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] >= 0xA0) ||
                 (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] >= 0x90);
    return wrong ? 0 : length;
}

/* C1 is control, too: a terminal takes U+009B as it takes ESC [. */
static bool is_control(const unsigned char *at, int length)
{
    return (length == 1 && (at[0] < 0x20 || at[0] == 0x7F)) || (length == 2 && at[0] == 0xC2 && at[1] < 0xA0);
}

int sb_text_clean(char *line)
{
    int replaced = 0;
    for (unsigned char *at = (unsigned char *)line; *at;) {
        int length = sequence(at);
        if (is_control(at, length)) {
            memset(at, ' ', (size_t)length);
            replaced++;
        } else if (length == 0) {
            *at = '?';
            length = 1;
            replaced++;
        }
        at += length;
    }
    return replaced;
}

void sb_note_program(const char *name) { program = name; }

void sb_note(const char *format, ...)
{
    char line[SB_ERROR_MAX + 64];
    int head = snprintf(line, sizeof line, "smallbatch%s%s: ", program[0] ? " " : "", program);
    va_list arguments;
    va_start(arguments, format);
    int body = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, arguments);
    va_end(arguments);
    if (body < 0)
        return;
    sb_text_clean(line); /* a message may quote a file's name or a value with line breaks in it */
    size_t length = strlen(line);
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line,
                            length); /* one write, so that lines of several processes do not mix */
    (void)written;
}

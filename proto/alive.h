/* alive.h: signs of life, by which a supervisor tells a program that works or waits from one that is stopped
 * or hangs.
 *
 * A program shows one whenever it looks for messages (socket.c), which is several times a second unless it
 * has something else in hand. It is a write to an eventfd that the program has from its supervisor, by the
 * number in the environment variable SB_ALIVE. A program that nobody supervises shows nothing. */
#ifndef SB_PROTO_ALIVE_H
#define SB_PROTO_ALIVE_H

#include <stdbool.h>

/* Of a supervisor: a descriptor for one program, to be closed; -1. */
int sb_alive_create(void);

/* In the new process, before it becomes the program, which then inherits the descriptor. -1 with errno. */
int sb_alive_hand_on(int fd);

/* Whether there was a sign since this was asked last. */
bool sb_alive_shown(int fd);

/* Of a program: takes what its supervisor has handed on, if there is one (sb_program_begin). Before there are
 * threads. */
void sb_alive_begin(void);

/* A sign of life. Any thread. */
void sb_alive_show(void);

#endif

/* hello.h: how a process joins another: the joiner says hello until it is answered.
 *
 * The owner of a socket may start later, may be stopped, and may die between a hello and its welcome, and a
 * message may be lost; so a joiner repeats itself until there is a welcome or it has a reason to give up. */
#ifndef SB_PROTO_HELLO_H
#define SB_PROTO_HELLO_H

#include <stdbool.h>

#include "proto/socket.h"

/* Says hello as `role` every interval_ms until the owner, called `owner` in an error, welcomes this process:
 * 1 and *welcome. 0: goes_on, asked before each hello, said no. -1: refused, or broken. */
int sb_hello(sb_socket *socket, sb_role role, const char *owner, int interval_ms,
             bool (*goes_on)(void *context), void *context, sb_message *welcome);

#endif

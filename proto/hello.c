/* hello.c: see hello.h. */
#include "proto/hello.h"

#include "proto/error.h"
#include "proto/process.h"

int sb_hello(sb_socket *socket, sb_role role, const char *owner, int interval_ms,
             bool (*goes_on)(void *context), void *context, sb_message *welcome)
{
    sb_process self;
    if (sb_process_self(&self) != 0)
        return -1;
    const sb_message hello = { .type = SB_MESSAGE_HELLO,
                               .hello = { .role = role, .pid = self.pid, .start = self.start } };
    while (goes_on(context)) {
        if (sb_socket_send(socket, NULL, &hello) != 0)
            return -1;
        int rc = sb_socket_receive(socket, NULL, welcome, interval_ms, NULL, 0);
        if (rc < 0)
            return -1;
        if (rc == 1 && welcome->type == SB_MESSAGE_REFUSE)
            return sb_fail("%s refuses: %s", owner, welcome->refuse.reason);
        if (rc == 1 && welcome->type == SB_MESSAGE_WELCOME)
            return 1;
    }
    return 0;
}

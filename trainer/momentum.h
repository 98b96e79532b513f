/* momentum.h: how fast a target network follows the trained one: keys that the methods with a target share.
 *
 * A paper's momentum belongs to its batch. The average reaches equally many images back at any other batch
 * with momentum^(batch / momentum_batch), which is what is used (0.99 at 4096 is 0.99984 at 64). */
#ifndef SB_TRAINER_MOMENTUM_H
#define SB_TRAINER_MOMENTUM_H

#include "proto/key.h"

typedef enum { SB_MOMENTUM_CONSTANT, SB_MOMENTUM_COSINE } sb_momentum_schedule;

typedef struct {
    double momentum;
    int batch;
    sb_momentum_schedule schedule;
} sb_momentum_keys;

/* The rows of a method's table, for the field `member` of its struct; as the text of the first momentum, of
 * its batch and of the schedule. */
#define SB_KEYS_MOMENTUM(type, member, first, of_batch, how)                                   \
    SB_KEY_MOMENTUM(SB_KIND_REAL, type, member, momentum, "momentum", first, 1,                \
                    "of the target network, at a batch of momentum_batch"),                    \
        SB_KEY_MOMENTUM(SB_KIND_INT, type, member, batch, "momentum_batch", of_batch, 1 << 20, \
                        "the batch that momentum is meant for; it is rescaled to the run's"),  \
        SB_KEY_MOMENTUM(SB_KIND_CHOICE, type, member, schedule, "momentum_schedule", how, 0,   \
                        "cosine: momentum is that of the first step, and goes to 1",           \
                        .choices = "constant|cosine")
#define SB_KEY_MOMENTUM(kind_, type, member, field, name_, first, high, ...)                   \
    {                                                                                          \
        .name = (name_), .kind = (kind_), .initial = (first), .least = (kind_) == SB_KIND_INT, \
        .most = (high), .offset = offsetof(type, member) + offsetof(sb_momentum_keys, field),  \
        .meaning = __VA_ARGS__                                                                 \
    }

/* The momentum of a step of `samples`, in a run of `steps`. */
double sb_momentum_at(const sb_momentum_keys *keys, int samples, int64_t step, int64_t steps);

#endif

/* control.h: the trainer's control thread. It talks with the other processes while the main thread computes.
 *
 * The thread owns the ROUTER "trainer". It welcomes augment, one process at a time, and takes back what a
 * dead one held in the view rings. It welcomes evaluators, hears doorbells, and writes status.json once a
 * second. The main thread never waits for it, and it never touches a device.
 *
 * An evaluator says hello once and then only reads, so a stopped evaluator holds nobody up. It counts as a
 * reader for as long as its process lives: the thread watches the process (pidfd) until it is gone. */
#ifndef SB_TRAINER_CONTROL_H
#define SB_TRAINER_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/ring.h"
#include "trainer/status.h"

typedef struct sb_control sb_control;

/* Starts the thread. The rings (one for each size of view, ascending) and the tickets for evaluators are the
 * caller's and must outlive it; `first` is the first sample needed; `memory` the bytes that loaders may take
 * (shares.h); `phase` and counts of `status` are the start of status.json. */
int sb_control_start(sb_control **out, const char *run_dir, sb_ring *const *rings, int ring_count,
                     const sb_segment_ticket *broadcasts, int broadcast_count, uint64_t first, size_t memory,
                     const sb_status *status);

/* Stops the thread, writes status.json with this phase ("finished", "stopped", "failed"; "training": another
 * trainer goes on) and frees; tolerates NULL. */
void sb_control_stop(sb_control **control, const char *phase);

/* Main thread: waits for a doorbell, a signal, or timeout_ms. -1 if the thread met a fault (sb_error tells).
 */
int sb_control_wait(sb_control *control, int timeout_ms);

/* Main thread: how many evaluators read the broadcasts. An evaluator that has got its welcome is counted. */
int sb_control_readers(const sb_control *control);

/* Main thread: `first` is the next sample that is needed, and this is how far the run is (waited: nanoseconds
 * that the main thread has waited and worked in all, from which the shares follow). */
void sb_control_progress(sb_control *control, uint64_t first, const sb_status *status, uint64_t waited_ns,
                         uint64_t total_ns);

#endif

/* supervise.h: the supervisor of a run: starts its programs, starts again those that die, scales loaders,
 * stops, answers requests, shows how far it is. */
#ifndef SB_SUPERVISOR_SUPERVISE_H
#define SB_SUPERVISOR_SUPERVISE_H

#define SB_EXIT_STOPPED 130 /* the run can go on */

/* Supervises the run until it has ended. programs: the folder of the programs. ready: a descriptor that gets
 * an empty line as soon as the run can be asked for something, and is closed then and -1; -1: nobody waits
 * for that. Returns the exit status: 0 finished, SB_EXIT_STOPPED, SB_EXIT_ALARM (trainer/alarm.h), 1
 * failed, and the reason is printed; -1: nothing was started, and sb_error says why. */
int sb_supervise(const char *run_dir, const char *programs, int *ready);

#endif

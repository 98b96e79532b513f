/* remarks.h: what a method really sees in a run, and what is known to fail, said once at the start. */
#ifndef SB_TRAINER_REMARKS_H
#define SB_TRAINER_REMARKS_H

#include "proto/config.h"
#include "trainer/method.h"

/* Notes of what the loss and the norms see; then a warning, with what to do, for each choice that is known to
 * fail. The method is built. Returns the number of warnings. */
int sb_remarks(const sb_settings *config, const sb_method *method);

/* A note of the recipe for a method that was set over another recipe's: that one's keys may be refused, or
 * not suit it. Before the settings are read. */
void sb_remarks_recipe(const sb_config *config);

#endif

/* prepare.h: makes a run directory, with the whole configuration in it, in which nothing has run yet. */
#ifndef SB_TRAINER_PREPARE_H
#define SB_TRAINER_PREPARE_H

#include "trainer/configuration.h"

/* Chooses what is auto, checks that the run could be trained here, and makes its directory with config.yaml:
 * run.dir, or runs/DATE-TIME-NAME by the name of the recipe. settings->run.dir is where. */
int sb_prepare(sb_settings *settings, sb_config *config, const char *recipe);

/* RUN/supervised: a run with the encoder, views, steps and optimiser of RUN that learns the labels of its
 * data (methods/supervised.c); what RUN began with (init) it begins with, too. Makes it, or makes it ready to
 * go on where it stopped. 0: it is to be trained; SB_RESUME_FINISHED; -1. */
int sb_prepare_supervised(const char *run_dir);

#endif

/* catalogue.h: the methods as a list (./run methods): what each does, of what it is made, what it costs, and
 * from which batch on it is known to work. */
#ifndef SB_TRAINER_CATALOGUE_H
#define SB_TRAINER_CATALOGUE_H

/* Prints all methods, or the one of this name with its keys and defaults. */
int sb_catalogue(const char *name);

#endif

/* export.h: the backbone alone, as torchvision and timm load it. */
#ifndef SB_TRAINER_EXPORT_H
#define SB_TRAINER_EXPORT_H

#include <stdbool.h>

/* Writes the backbone of a run's newest sound checkpoint, or of its best one: weights and running statistics,
 * without projector and optimiser, but with the encoder's `head` (encoder.h). Filters that are standardised
 * in use (conv.h) are written standardised. */
int sb_export_backbone(const char *run_dir, bool best, const char *out);

/* Prints the lines of Python that load what was exported to `out`. */
int sb_export_show(const char *run_dir, const char *out);

#endif

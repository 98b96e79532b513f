/* init.h: weights to start from: a safetensors file with torchvision's or timm's names, also behind a prefix
 * ("module.", "encoder_q." and the like: the one behind which most names are found).
 *
 * What matches in name and shape is taken, from f32, f16, bf16 or f64. Filters over pixels (sb_entry.stem) of
 * another size or number of channels are resized:
 *
 *   channels   into 1: their sum; from 1 into c: the filter over c. A grey picture keeps its response. From 3
 *              into more: the first three, the others 0, so that a picture keeps its. Other numbers do not
 *              match.
 *   size       k into m: value i is the sum of the old ones under [i k / m, (i + 1) k / m), each by how much
 * of it lies there, along each side. The filter keeps its sum, and to a picture that is resampled by m / k it
 * answers as the old one did to the picture.
 *
 * A table of positions (sb_entry.grid) of another grid is resized by bicubic interpolation, anti-aliased
 * where the grid shrinks (kernels/op/tokens.h); those in front of the grid are taken, but a class token's
 * where the network has none. A token that the file has without a position (timm's no_embed_class) gets 0.
 *
 * All else stays as it was initialised. The report names everything: what was taken, resized, of another
 * shape, new (not in the file), left over (in the file alone). */
#ifndef SB_TRAINER_INIT_H
#define SB_TRAINER_INIT_H

#include "trainer/checkpoint.h"

/* Takes weights and running statistics, the view's parts without a prefix, from the file. *report: malloc'ed.
 * whole (by sb_entry_kind; NULL: nothing): floats at the beginning of each array that must all be taken. An
 * error if one of these is not, or one that stays as it was given (sb_extent), or if nothing matches, or,
 * where `exact`, if a block of the network has more in the file: then nothing was changed. For a pickle of
 * PyTorch's (by its name or what it holds) the error shows the command that converts it. */
int sb_init_take(const sb_checkpoint_view *view, const char *path, const size_t *whole, bool exact,
                 char **report);

#endif

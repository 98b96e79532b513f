/* lists.h: features put to use on the run's own data set: tiles that look like an image, that look like
 * nothing else, that look like each other. Each prints its first lines, and writes a list and a picture of
 * all: RUN/lists/NAME.csv and NAME.png. Features are compared by cosine, less their mean over the data set.
 */
#ifndef SB_EVALUATOR_LISTS_H
#define SB_EVALUATOR_LISTS_H

#define SB_LIST_ALIKE 0.95 /* the cosine from which on tiles may show the same */

/* The `most` tiles nearest to a tile of the image at `path`, on its grid; those of the image's own file are
 * left out. Picture: the image's tile that the nearest one is near to, framed, then the others in their
 * order. */
int sb_list_similar(const char *run_dir, const char *path, int most, int threads);

/* The `most` tiles that are farthest from their 10 nearest others, by the mean of 1 - cosine. */
int sb_list_outliers(const char *run_dir, int most, int threads);

/* The `most` pairs of tiles of different images with the highest cosine from `least` on. The second of a pair
 * is the one to drop: the one that is trained on, if the other is held out, else the later one. Picture:
 * pairs side by side, in frames that change from one to the next, red where one is held out and the other
 * trained on. */
int sb_list_duplicates(const char *run_dir, int most, double least, int threads);

#endif

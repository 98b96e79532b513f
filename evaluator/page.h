/* page.h: the report of a run, or of several beside each other, as one HTML file: it loads nothing, and is
 * readable on a phone, in print, in light and dark.
 *
 * The page is static (page/report.html, .css, .js, which are in the program); what is written is data alone,
 * one JSON object (record.h for each run) in which no `<` stands. The page's script makes every text of it a
 * text node, and its content policy allows this one script, by its hash, and pictures that are in the file.
 */
#ifndef SB_EVALUATOR_PAGE_H
#define SB_EVALUATOR_PAGE_H

#define SB_PAGE_RUNS 16
#define SB_PAGE_BYTES 5000000 /* at most: pictures are left out where they make it larger */

/* Writes the page to `output`; NULL: to RUN/report.html of the one run. verdict[SB_PAGE_VERDICT] gets the
 * first run's. */
#define SB_PAGE_VERDICT 512
int sb_page_write(const char *const *run_dirs, int count, const char *output, char *verdict);

#endif

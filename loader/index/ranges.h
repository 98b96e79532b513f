/* ranges.h: what the samples of a data set span, and whether the range that is in force makes pictures of
 * them. Private to loader/index. */
#ifndef SB_LOADER_INDEX_RANGES_H
#define SB_LOADER_INDEX_RANGES_H

#include "loader/index/builder.h"
#include "loader/index/prober.h"

/* Looks at samples of the rows' pages, which are sorted: of each whose samples are not 8 bits, and of some of
 * the others; of more than there is time for, evenly spread. Settles the index's range where data.range is to
 * be found, and remarks on what would be nearly black, nearly white or of few levels, with the range that
 * would mend it; on samples that are not numbers; and on those that are left out. */
int sb_scan_ranges(sb_builder *builder, sb_prober *prober);

#endif

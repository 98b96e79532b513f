/* pages.c: see pages.h. */
#include "loader/readers/pages.h"

#include <tiffio.h>
#include <vips/vips.h>

size_t sb_pages_tile_bytes(const char *path, int page)
{
    TIFF *file = TIFFOpen(path, "rm"); /* not mapped */
    tmsize_t bytes = file && TIFFSetDirectory(file, (tdir_t)page) && TIFFIsTiled(file) ? TIFFTileSize(file)
                                                                                       : 0;
    if (file)
        TIFFClose(file);
    vips_error_clear(); /* libvips takes libtiff's messages */
    return bytes > 0 ? (size_t)bytes : 0;
}

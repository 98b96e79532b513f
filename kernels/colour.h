/* colour.h: colour arithmetic of one pixel, f32 on [0, 1], as torchvision's tensor functions compute it. C and CUDA C compile this same
 * file; no library function whose last bit may differ is used. */
#ifndef SB_KERNELS_COLOUR_H
#define SB_KERNELS_COLOUR_H

#ifdef __CUDACC__
#define SB_COLOUR_FN static inline __host__ __device__
#else
#define SB_COLOUR_FN static inline
#endif

SB_COLOUR_FN float sb_clamp01(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }

/* factor a + (1 - factor) b, clamped. */
SB_COLOUR_FN float sb_blend(float a, float b, float factor) { return sb_clamp01(factor * a + (1.0f - factor) * b); }

/* ITU-R 601 luma, torchvision's digits. */
SB_COLOUR_FN float sb_luma(float r, float g, float b) { return 0.2989f * r + 0.587f * g + 0.114f * b; }

/* x - floor(x) for |x| < 2^30. */
SB_COLOUR_FN float sb_fraction(float x)
{
    float whole = (float)(int)x;
    whole = whole > x ? whole - 1.0f : whole;
    return x - whole;
}

/* Turns the hue by `turn` (of a full circle): RGB to HSV, add, and back. Branches are selects, so that loops over pixels vectorise. */
SB_COLOUR_FN void sb_turn_hue(float *r, float *g, float *b, float turn)
{
    float most = *r > *g ? *r : *g, least = *r < *g ? *r : *g;
    most = *b > most ? *b : most;
    least = *b < least ? *b : least;
    float range = most - least;
    float saturation = range / (most == least ? 1.0f : most), divisor = most == least ? 1.0f : range;
    float rc = (most - *r) / divisor, gc = (most - *g) / divisor, bc = (most - *b) / divisor;
    float hue = most == *r ? bc - gc : most == *g ? 2.0f + rc - bc : 4.0f + gc - rc;
    hue = sb_fraction(hue / 6.0f + 1.0f);
    hue = sb_fraction(hue + turn);
    float six = hue * 6.0f;
    int sector = (int)six;
    float f = six - (float)sector;
    sector = sector >= 6 ? 0 : sector;
    float p = sb_clamp01(most * (1.0f - saturation));
    float q = sb_clamp01(most * (1.0f - saturation * f));
    float t = sb_clamp01(most * (1.0f - saturation * (1.0f - f)));
    *r = sector == 0 || sector == 5 ? most : sector == 1 ? q : sector == 4 ? t : p;
    *g = sector == 1 || sector == 2 ? most : sector == 3 ? q : sector == 0 ? t : p;
    *b = sector == 3 || sector == 4 ? most : sector == 5 ? q : sector == 2 ? t : p;
}

#endif

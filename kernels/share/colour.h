/* colour.h: colour arithmetic of one pixel, f32 on [0, 1], as torchvision's tensor functions compute it. C
 * and CUDA C compile this same file; no library function whose last bit may differ is used. */
#ifndef SB_KERNELS_COLOUR_H
#define SB_KERNELS_COLOUR_H

#include "kernels/share/share.h"

SB_SHARED float sb_clamp01(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }

/* factor a + (1 - factor) b, clamped. */
SB_SHARED float sb_blend(float a, float b, float factor)
{
    return sb_clamp01(factor * a + (1.0f - factor) * b);
}

/* ITU-R 601 luma, torchvision's digits. */
SB_SHARED float sb_luma(float r, float g, float b) { return 0.2989f * r + 0.587f * g + 0.114f * b; }

typedef struct {
    float r, g, b;
} sb_rgb;

/* How much of the range a channel lacks at hue `six` (of 6): the distance to its plateau, whose middle lies
 * at 6 - middle. */
SB_SHARED float sb_hue_lack(float six, float middle)
{
    float k = six + middle;
    k = k >= 6.0f ? k - 6.0f : k;
    return sb_clamp01(k < 4.0f - k ? k : 4.0f - k);
}

/* Turns the hue by `turn` (of a full circle, -0.5 .. 0.5): what RGB to HSV, an addition and the way back
 * give, without the detour over saturation and sectors. Values and selects only, so that loops over pixels
 * vectorise. */
SB_SHARED sb_rgb sb_turn_hue(float r, float g, float b, float turn)
{
    float most = r > g ? r : g, least = r < g ? r : g;
    most = b > most ? b : most;
    least = b < least ? b : least;
    float range = most - least, divisor = range > 0.0f ? range : 1.0f;
    float from = most == r   ? 0.0f
                 : most == g ? 2.0f
                             : 4.0f,
          step = most == r   ? g - b
                 : most == g ? b - r
                             : r - g;
    float six = from + step / divisor + 6.0f * turn;
    six = six < 0.0f ? six + 6.0f : six;
    six = six >= 6.0f ? six - 6.0f : six;
    sb_rgb out;
    out.r = most - range * sb_hue_lack(six, 5.0f);
    out.g = most - range * sb_hue_lack(six, 3.0f);
    out.b = most - range * sb_hue_lack(six, 1.0f);
    return out;
}

#endif

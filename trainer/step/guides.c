/* guides.c: what the columns that guide say of a batch's samples, as the heads are given it (step.h,
 * heads/guide.h). */
#include <math.h>
#include <string.h>

#include "proto/error.h"
#include "trainer/step/private.h"

/* Of one column: s->said_host. */
static int ask(sb_step *s, const sb_step_source *source, int guide)
{
    const int batch = s->method.batch, classes = s->config->guides[guide].classes;
    for (int i = 0; i < batch; i++)
        s->said_host[i] = classes > 0 ? (float)(i % classes) : (float)(1 - 2 * (i % 2));
    if (source->guide && source->guide(source->context, guide, s->said_host) != 0)
        return -1;
    for (int i = 0; i < batch && classes > 0; i++)
        if (!isnan(s->said_host[i]) && !(s->said_host[i] >= 0 && s->said_host[i] < (float)classes))
            return sb_fail("sample %d of the batch has class %g of %d", i, (double)s->said_host[i], classes);
    return 0;
}

/* Of how many samples the column says something. */
static int count_said(const sb_step *s)
{
    int count = 0;
    for (int i = 0; i < s->method.batch; i++)
        count += !isnan(s->said_host[i]);
    return count;
}

static void fill_leaf(const sb_step *s, int leaf, int said)
{
    const sb_given *given = &s->method.given[leaf];
    const int batch = s->method.batch, classes = s->config->guides[given->index].classes;
    const sb_shape shape = sb_shape_of(s->loss, s->loss->leaves[leaf]);
    float *to = s->given_host + s->given_offset[leaf];
    memset(to, 0, sb_shape_elements(&shape) * sizeof *to);
    for (int i = 0; i < batch; i++) {
        const float value = s->said_host[i];
        if (isnan(value))
            continue;
        if (given->kind == SB_GIVEN_SAID)
            to[i] = (float)batch / (float)said;
        else if (classes > 0)
            to[(size_t)i * (size_t)classes + (size_t)value] = 1;
        else
            to[i] = value;
    }
}

int sb_step_ask_guides(sb_step *s, const sb_step_source *source)
{
    for (int guide = 0; guide < s->config->guide_count; guide++) {
        if (ask(s, source, guide) != 0)
            return -1;
        const int said = count_said(s);
        for (int k = 0; k < s->loss->leaf_count; k++) {
            const sb_given *given = &s->method.given[k];
            if ((given->kind == SB_GIVEN_SAID || given->kind == SB_GIVEN_TOLD) && given->index == guide)
                fill_leaf(s, k, said);
        }
    }
    return 0;
}

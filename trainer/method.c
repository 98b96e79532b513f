/* method.c: see method.h. */
#include "trainer/method.h"

#include "trainer/configuration.h"
#include "trainer/heads/projector.h"

int sb_method_build(sb_graph *g, const sb_settings *settings, int width)
{
    sb_method m = { .graph = g,
                    .keys = settings->method_keys,
                    .samples = settings->trainer.batch,
                    .views = settings->view_count };
    sb_t features = sb_leaf(g, "features", (sb_shape){ m.views * m.samples, 1, 1, width, SB_F32 }, true);
    m.skip = sb_leaf(g, "skip", (sb_shape){ m.samples, 1, 1, m.samples, SB_U8 }, false);
    m.embeddings = sb_output(g, sb_projector(g, features, &settings->projector), false);
    if (sb_output(g, settings->method->build(&m), true) < 0)
        return -1;
    return 0;
}

/* method.c: see method.h. */
#include "trainer/method.h"

#include "trainer/heads/projector.h"

const sb_method_kind *sb_method_of(const sb_config *config)
{
    static const sb_method_kind *const kinds[] = {
        [SB_METHOD_SIMCLR] = &sb_method_simclr, [SB_METHOD_DCL] = &sb_method_dcl
    };
    return kinds[config->method];
}

int sb_method_build(sb_graph *g, const sb_config *config, int width)
{
    sb_method m = {
        .graph = g, .config = config, .samples = config->trainer.batch, .views = config->view_count
    };
    sb_t features = sb_leaf(g, "features", (sb_shape){ m.views * m.samples, 1, 1, width, SB_F32 }, true);
    m.skip = sb_leaf(g, "skip", (sb_shape){ m.samples, 1, 1, m.samples, SB_U8 }, false);
    m.embeddings = sb_output(g, sb_projector(g, features, config), false);
    if (sb_output(g, sb_method_of(config)->build(&m), true) < 0)
        return -1;
    return 0;
}

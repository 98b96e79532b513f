/* projector.c: see projector.h. */
#include "trainer/heads/projector.h"

static const sb_key projector_keys[] = {
    SB_KEY_INT(sb_projector_keys, layers, "2", 0, 8,
               "linear layers of the head; 0: the embeddings are the features"),
    SB_KEY_INT(sb_projector_keys, hidden, "0", 0, 65536,
               "width of its hidden layers; 0: that of what comes in"),
    SB_KEY_INT(sb_projector_keys, out, "128", 1, 65536, "width of an embedding"),
    SB_KEY_CHOICE(sb_projector_keys, last, "norm", "norm|bias|plain|unscaled",
                  "its last layer has a batch norm without shift behind it, a bias, neither, or a batch "
                  "norm with neither scale nor shift"),
    SB_KEY_CHOICE(sb_projector_keys, views, "together", "together|apart",
                  "its norms see all views together, or each view alone"),
};

const sb_key_table sb_projector_table = SB_KEY_TABLE("projector", NULL, sb_projector_keys, projector_keys);

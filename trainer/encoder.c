/* encoder.c: see encoder.h. */
#include "trainer/encoder.h"

#include "trainer/configuration.h"

sb_t sb_encoder_build(sb_graph *graph, const sb_settings *settings, sb_type type)
{
    return settings->encoder->build(graph, settings->encoder_keys, settings->data.channels, type);
}

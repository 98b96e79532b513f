/* encoder.c: see encoder.h. */
#include "trainer/encoder.h"

#include "trainer/configuration.h"

sb_t sb_encoder_build(sb_graph *graph, const sb_settings *settings, sb_type type)
{
    return settings->encoder->build(graph, settings->encoder_keys, settings->data.channels, type);
}

sb_encoder_norm sb_encoder_norm_of(const sb_settings *settings)
{
    return settings->encoder->norm ? settings->encoder->norm(settings->encoder_keys) : SB_ENCODER_BATCH;
}

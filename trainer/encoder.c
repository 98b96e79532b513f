/* encoder.c: see encoder.h. */
#include "trainer/encoder.h"

#include "trainer/configuration.h"

static sb_encoder_input input_of(const sb_settings *settings, sb_type type, bool masked)
{
    const sb_sides *sides = &settings->views[0].size;
    int most = 0;
    for (int i = 0; i < sides->count; i++)
        most = sides->sides[i] > most ? sides->sides[i] : most;
    return (sb_encoder_input){ settings->data.channels, most, type, masked };
}

sb_t sb_encoder_build(sb_graph *graph, const sb_settings *settings, sb_type type)
{
    sb_encoder_map map;
    return sb_encoder_build_map(graph, settings->encoder, settings->encoder_keys, settings, type, false,
                                &map);
}

sb_t sb_encoder_build_map(sb_graph *graph, const sb_encoder_kind *kind, const void *keys,
                          const sb_settings *settings, sb_type type, bool masked, sb_encoder_map *map)
{
    const sb_encoder_input input = input_of(settings, type, masked);
    *map = (sb_encoder_map){ .map = SB_NONE };
    return kind->build(graph, keys, &input, map);
}

void sb_encoder_show(FILE *out, const sb_settings *settings)
{
    const sb_encoder_input input = input_of(settings, SB_F32, false);
    settings->encoder->show(out, settings->encoder_keys, &input);
}

sb_encoder_norm sb_encoder_norm_of(const sb_settings *settings)
{
    return settings->encoder->norm ? settings->encoder->norm(settings->encoder_keys) : SB_ENCODER_BATCH;
}

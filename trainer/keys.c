/* keys.c: see keys.h. */
#include "trainer/keys.h"

static const sb_key start_keys[] = {
    SB_KEY_TEXT(sb_start_keys, init, "", "safetensors file to start from (torchvision or timm names)",
                .apart = true, .path = true),
};

static const sb_key continue_keys[] = {
    SB_KEY_BOOL(
        sb_continue_keys, enabled, "false",
        "go on from the weights of init with care; continue=true, or any other key of these, sets it"),
    SB_KEY_INT64(sb_continue_keys, heads, "100", 0, 1e12,
                 "steps in which the heads learn alone: the backbone stays as it was given"),
    SB_KEY_INT64(sb_continue_keys, ramp, "100", 0, 1e12,
                 "steps after these in which the backbone's learning rate rises from 0, linear"),
    SB_KEY_REAL(sb_continue_keys, lr, "0.1", 0, 1, "where it ends: as a share of the optimiser's"),
    SB_KEY_INT(
        sb_continue_keys, lora, "0", 0, 4096,
        "rank of adapters that learn in place of the backbone's matrices, which stay as given; 0: none"),
    SB_KEY_REAL(sb_continue_keys, lora_alpha, "16", 0, 1e6, "what they add is scaled by this over the rank"),
    SB_KEY_REAL(sb_continue_keys, stop, "0.02", 0, 1,
                "what held-out quality may lose against the weights as given before ./run evaluate says to "
                "stop",
                .apart = true),
};

static const sb_key run_keys[] = {
    SB_KEY_TEXT(sb_run_keys, dir, "", "the run directory; empty: runs/DATE-RECIPE", .apart = true,
                .path = true),
    SB_KEY_INT(sb_run_keys, loaders, "2", 1, 256, "loaders at the start; ./run scale changes it",
               .apart = true),
};

static const sb_key trainer_keys[] = {
    SB_KEY_INT(sb_trainer_keys, batch, "16", 1, 65536,
               "samples of a loss, and of an optimiser step if nothing is accumulated"),
    SB_KEY_INT(sb_trainer_keys, chunk, "auto", 1, 1 << 20,
               "views in the backbone at once, and in its norms; auto: as many as fit, at most all of a size",
               .automatic = true),
    SB_KEY_INT(sb_trainer_keys, accumulate, "1", 1, 4096,
               "batches whose gradients are averaged in an optimiser step; no larger batch for the loss"),
    SB_KEY_CHOICE(sb_trainer_keys, recompute, "auto", "none|norms|wide|blocks|auto",
                  "what is made again on the way back to save memory: outputs of norms and GELU; wide: also "
                  "of 1 x 1 convolutions that widen at most 64 channels; blocks: all but blocks' outputs; "
                  "auto: what the batch needs",
                  .apart = true),
    SB_KEY_INT(sb_trainer_keys, replicas, "1", 1, SB_REPLICAS_MAX,
               "compute as so many devices would: norms see a share of the batch, the loss all of it"),
    SB_KEY_INT64(sb_trainer_keys, steps, "1000", 1, 1e12, "optimiser steps of the run"),
    SB_KEY_INT(sb_trainer_keys, threads, "0", 0, 1024,
               "compute threads, part of the result; 0: the cores that may be used"),
    SB_KEY_CHOICE(sb_trainer_keys, precision, "auto", "auto|f32|tf32|bf16|f16",
                  "of the backbone; auto: bf16 on a GPU that has it, f32 elsewhere"),
    SB_KEY_INT(sb_trainer_keys, checkpoint_every, "50", 1, 1 << 30, "steps between checkpoints",
               .apart = true),
    SB_KEY_INT(sb_trainer_keys, checkpoint_keep, "3", 1, 1 << 20, "checkpoints that are kept", .apart = true),
    SB_KEY_INT(sb_trainer_keys, look_every, "10", 0, 1 << 30,
               "steps between looks at how far the embeddings are spread; 0: none", .apart = true),
    SB_KEY_INT(sb_trainer_keys, leak_every, "50", 0, 1 << 30,
               "steps between looks at whether replicas learn who shares a norm with whom; 0: none",
               .apart = true),
    SB_KEY_CHOICE(sb_trainer_keys, on_alarm, "note", "note|stop",
                  "when something goes wrong (docs/alarms.md): say so and go on, or save and end the run",
                  .apart = true),
};

const sb_key_table sb_start_table = SB_KEY_TABLE("", NULL, sb_start_keys, start_keys),
                   sb_continue_table = { .section = "continue",
                                         .keys = continue_keys,
                                         .count = (int)(sizeof continue_keys / sizeof *continue_keys),
                                         .bytes = sizeof(sb_continue_keys),
                                         .own = "enabled" },
                   sb_run_table = SB_KEY_TABLE("run", NULL, sb_run_keys, run_keys),
                   sb_trainer_table = SB_KEY_TABLE("trainer", NULL, sb_trainer_keys, trainer_keys);

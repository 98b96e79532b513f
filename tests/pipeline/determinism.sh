#!/bin/bash
# The same seed gives the same weights, byte for byte, whatever the number of loaders and whatever is killed on the way.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

stop_loader() { pkill -STOP -o -f "sb_loader serve $work/$1"; }
kill_augment() { pkill -KILL -f "sb_augment $work/$1"; }
scale() { ./run scale "$work/$1" "loaders=$((RANDOM % 3 + 1))"; }

make_images
ok "a run ends" run_small reference run.loaders=1
ok "again: the same weights" run_small again run.loaders=1
ok "  byte for byte" same_weights reference again
ok "another seed: a run" run_small other seed=2
ok "  other weights" bash -c "! cmp -s $work/reference/backbone.safetensors $work/other/backbone.safetensors"
ok "three loaders" run_small three run.loaders=3
ok "  the same weights" same_weights reference three
ok "loaders come and go" disturbed scaled scale run_small scaled
ok "  the same weights" same_weights reference scaled
ok "loaders are killed" disturbed killed kill_loader run_small killed run.loaders=3
ok "  the same weights" same_weights reference killed
ok "a loader is stopped" disturbed stopped stop_loader run_small stopped run.loaders=2 loader.timeout=0.5
ok "  the same weights" same_weights reference stopped
ok "augment is killed" disturbed augment kill_augment run_small augment
ok "  the same weights" same_weights reference augment
ok "nothing is left behind" nothing_left
finish

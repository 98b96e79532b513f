#!/bin/bash
# The same seed gives the same weights, byte for byte, whatever the number of loaders and whatever is killed on the way.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

stop_loader() { pkill -STOP -o -f "sb_loader serve $work/$1"; }
kill_augment() { pkill -KILL -f "sb_augment $work/$1"; }
scale() { ./run scale "$work/$1" "loaders=$((RANDOM % 3 + 1))"; }

# How many descriptors trainer and augment have.
descriptors() {
    local program
    for program in "sb_trainer train" sb_augment; do
        find "/proc/$(pgrep -o -f "^${SB_BUILD:-build}/$program $work/descriptors")/fd" -mindepth 1 2>/dev/null | wc -l
    done
}
settled() { before=$(descriptors) && sleep 0.2 && [ "$(descriptors)" = "$before" ]; }
as_before() { [ "$(descriptors)" = "$before" ]; }

# The trainer watches two processes: augment, and its evaluator, which comes once there are weights to look at.
joined() { [ "$(find "/proc/$(pgrep -o -f "^${SB_BUILD:-build}/sb_trainer train $work/descriptors")/fd" -lname "*pidfd*" 2>/dev/null | wc -l)" = 2 ]; }

# Augment and loaders come and go many times; whom they join holds as many descriptors as before.
descriptors_constant() {
    local before status
    ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/descriptors" "${small[@]}" trainer.steps=1000 run.loaders=2 evaluate.snapshot_every=4 --detach
    until_true "two loaders" grep -qs '"loaders": 2' "$work/descriptors/status.json" && until_true "an evaluator" joined &&
        until_true "settled descriptors" settled || return 1
    for _ in 1 2 3 4 5 6; do
        pkill -KILL -f "sb_augment $work/descriptors"
        pkill -KILL -n -f "sb_loader serve $work/descriptors"
        wait_step "$work/descriptors" $(($(lines "$work/descriptors/metrics.jsonl") + 4)) || return 1
    done
    until_true "as many descriptors as before: $before" as_before
    status=$?
    echo "descriptors of trainer and augment: first $before, then $(descriptors)"
    ./run stop "$work/descriptors"
    within flock "$work/descriptors/lock" true && return $status # held while the run lives
}

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
ok "three batches a step" run_small batches trainer.accumulate=3
ok "three batches a step, augment is killed" disturbed batches_augment kill_augment run_small batches_augment trainer.accumulate=3
ok "  the same weights" same_weights batches batches_augment
# Faults in the order of sums do not show with two threads.
ok "seven threads" run_small seven trainer.threads=7 run.loaders=1
ok "seven threads again, loaders are killed" disturbed seven_killed kill_loader run_small seven_killed trainer.threads=7 run.loaders=3
ok "  the same weights" same_weights seven seven_killed
ok "seven threads again, augment is killed" disturbed seven_augment kill_augment run_small seven_augment trainer.threads=7
ok "  the same weights" same_weights seven seven_augment
ok "descriptors stay as many over many restarts" descriptors_constant
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# Any process of the user may write to a run's sockets: whatever it sends, the run ends, with the same weights.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"
tool=build/tests/pipeline/hostile_tool

make_noise() {
    seed=$((${seed:-0} + 1))
    "$tool" noise "$work/$1" augment $seed
    "$tool" noise "$work/$1" trainer $seed
}
tell_lies() {
    local augment
    augment=$(pgrep -f "sb_augment $work/$1") && "$tool" lies "$work/$1" "$augment"
}
stay_idle() { "$tool" idle "$work/$1"; }

make_images
ok "a run ends" run_small reference
ok "noise on both sockets" disturbed noise make_noise run_small noise
ok "  the same weights" same_weights reference noise
ok "  it arrived, and was refused with a reason" grep -q "a message was refused: message of version" "$work/noise/log/augment.log"
ok "  by the trainer too" grep -q "a message was refused" "$work/noise/log/trainer.log"
ok "lies about the work of others" disturbed lies tell_lies run_small lies
ok "  the same weights" same_weights reference lies
ok "  no image was given up" test ! -s "$work/lies/quarantine.jsonl"
ok "a loader that never does its work" disturbed idle stay_idle run_small idle loader.timeout=0.5
ok "  the same weights" same_weights reference idle
ok "nothing is left behind" nothing_left
finish

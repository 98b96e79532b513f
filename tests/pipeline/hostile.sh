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
# Which of them stand in the log depends on the order in which four connections are heard: the first three that were refused.
refusals() { [ "$(grep -cE "a message was refused: (message |type [0-9]+ field |wrong number of parts)" "$work/noise/log/$1.log")" -eq 3 ]; }
ok "  it arrived, and was refused with reasons" refusals augment
ok "  by the trainer too" refusals trainer
ok "lies about the work of others" disturbed lies tell_lies run_small lies
ok "  the same weights" same_weights reference lies
ok "  no image was given up" test ! -s "$work/lies/quarantine.jsonl"
ok "a loader that never does its work" disturbed idle stay_idle run_small idle loader.timeout=0.5
ok "  the same weights" same_weights reference idle
ok "nothing is left behind" nothing_left
finish

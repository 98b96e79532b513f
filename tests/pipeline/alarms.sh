#!/bin/bash
# What alarms do: where they are seen, the stop and its exit status, going on after it, and that a run which is killed raises the same ones. The rules
# are test_alarms.c's and test_falling.c's in tests/unit; here runs are driven into a collapse and into a spike, and one is healthy.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# recipe NAME METHOD IMAGES VIEW [LAST]: of a small run that looks at each step.
recipe() {
    cat >"$work/$1.yaml" <<END
method: { name: $2, temperature: 0.5 }
data: { path: "$work/$3", tile: 64, view: 16 }
projector: { layers: 1, out: 32, last: ${5:-bias} }
trainer: { batch: 8, steps: 24, threads: 2, precision: f32, look_every: 1, checkpoint_every: 5 }
optimiser: { name: sgd, scaling: none, warmup: 0, weight_decay: 0, lr: 0.001 }
views: [{ count: 2, $4 }]
END
}
flat="jitter: 0, grey: 0" plain="jitter: 0, grey: 0, blur: 0"
# train NAME [KEY=VALUE...]
train() { within ./run train "$work/$1.yaml" run.dir="$work/$1" "${@:2}"; }
raised() { [ "$(grep -oE '"step":[0-9]+,"alarm":"[a-z]+"' "$work/$1/alarms.jsonl" | tr -d '"' | tr '\n' ' ')" = "$2 " ]; }

# keys_of RATE: the heads learn alone for 60 steps, then the backbone with them.
keys_of() { keys=(init="$work/first/backbone.safetensors" continue.heads=60 continue.ramp=0 continue.lr=1 trainer.steps=80 trainer.on_alarm=stop "optimiser.lr=$1"); }
weights() { recipe first simclr hues "$plain" norm && train first trainer.steps=2; }
healthy() {
    recipe healthy simclr hues "$plain" norm
    keys_of 0.1
    train healthy "${keys[@]}" && [ ! -e "$work/healthy/alarms.jsonl" ]
}
jumped() {
    local step
    step=$(lines "$work/spike/metrics.jsonl")
    echo "stopped after step $step" && [ "$step" -gt 60 ] && [ "$step" -lt 80 ] && raised spike "step:$step,alarm:spike" &&
        [ -e "$work/spike/checkpoints/step-0000000$step.safetensors" ]
}

killed() {
    recipe killed dcl grey "$flat"
    held 9 killed train killed trainer.look_every=2
    pkill -KILL -f "sb_trainer train $work/killed"
    wait "$run"
}
# Two of the three looks that make it one lie before the checkpoint of step 5, from which the killed one goes on.
same_alarms() { raised wild "step:6,alarm:collapse" && cmp "$work/wild/alarms.jsonl" "$work/killed/alarms.jsonl"; }

make_fault
# Images of one colour, all of the same; and each of another one, which are told apart at once.
mkdir "$work/grey" "$work/hues" && /usr/bin/python3 - "$work" <<'END'
import colorsys, sys
from PIL import Image
for i in range(12):
    Image.new("RGB", (600, 400), (90, 120, 150)).save(f"{sys.argv[1]}/grey/{i:02d}.png")
    hue = colorsys.hsv_to_rgb(i / 12, 1, 0.5 + i % 3 / 4)
    Image.new("RGB", (96, 64), tuple(int(255 * c) for c in hue)).save(f"{sys.argv[1]}/hues/{i:02d}.png")
END

recipe flat dcl grey "$flat"
ok "a collapse stops the run, with a status of its own" says 8 "^stopped by an alarm \(collapse at step 3\) after step 3, saved; .*docs/alarms.md; go on with: ./run resume" \
    ./run train "$work/flat.yaml" run.dir="$work/flat" trainer.on_alarm=stop
ok "  what it is and what to do is said" said "alarm: collapse at step 3: the embeddings have become one: they deviate by 0\.0.* Lower optimiser.lr"
ok "  and written" raised flat "step:3,alarm:collapse"
ok "  status has it" says 0 "stopped, .*, by an alarm: collapse at step 3: the embeddings have become one" ./run status "$work/flat"
ok "  in its line, too" said "^step 3/24  alarm: collapse at step 3  loss "
ok "  resume says so, and goes on to the end" says 0 "$work/flat was stopped by an alarm, collapse at step 3: .*\. It goes on" ./run resume "$work/flat"
ok "  it is not raised again while it lasts" raised flat "step:3,alarm:collapse"
ok "weights to continue from" weights
ok "a backbone that joins in at a fair rate: no alarm" healthy
recipe spike simclr hues "$plain" norm
keys_of 10
ok "at a rate that is far too large: a spike stops the run" says 8 "alarm: spike at step .*: the loss has jumped to" \
    ./run train "$work/spike.yaml" run.dir="$work/spike" "${keys[@]}"
ok "  at once, and its checkpoint is there" jumped
recipe wild dcl grey "$flat"
ok "a run collapses, and is not stopped" train wild trainer.look_every=2
ok "  again, killed on the way" killed
ok "  the same alarms" same_alarms
ok "  the same weights" same_weights wild killed
ok "nothing is left behind" nothing_left
finish

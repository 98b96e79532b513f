#!/bin/bash
# What a run shows: the notes of its programs, each once, whatever was said before the one that shows them was ready to look.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Programs of which the follower starts late: the run may even have ended by then.
make_slow() {
    mkdir "$work/programs" && ln -s "$PWD"/build/sb_{loader,augment} "$work/programs" &&
        printf '#!/bin/bash\n[ "$1" != status ] || sleep 3\nexec "%s/build/sb_trainer" "$@"\n' "$PWD" >"$work/programs/sb_trainer" &&
        chmod +x "$work/programs/sb_trainer"
}
shown_once() {
    cat "$work/screen"
    [ "$(grep -cF "$1" "$work/screen")" -eq 1 ]
}
train() { SB_BUILD="$work/programs" run_small run device=cpu trainer.steps=4 trainer.checkpoint_every=2 >"$work/screen" 2>&1; }
resume() {
    rm "$work/run/backbone.safetensors" "$work/run/checkpoints/step-000000004.safetensors"
    SB_BUILD="$work/programs" ./run resume "$work/run" >"$work/screen" 2>&1
}

make_images
./run help keys >/dev/null # builds what is missing
make_slow
ok "a run" train
ok "  which device, and why" shown_once "trainer: device: CPU"
ok "  and augment's" shown_once "augment: device: CPU"
ok "resumed" resume
ok "  which device, and why" shown_once "trainer: device: CPU"
ok "  from where" shown_once "trainer: resuming after step 2"
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# ./run doctor says what a machine lacks: this one, and ones that a stand-in for nvidia-smi makes of it.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

topics() {
    local topic
    ./run doctor >"$work/out" || true
    cat "$work/out"
    for topic in GPU toolkit cuDNN plug-in memory /dev/shm CPU disk demo demo-time; do
        grep -qE "^(good|note|BAD) +$topic +" "$work/out" || { echo "nothing on $topic"; return 1; }
    done
}

# Behind topics: f16 is for a GPU.
other_cards() { grep -q "^note *8gb-swav-224.*precision = f16" "$work/out" && ! grep -E "^BAD *([0-9]+gb-|slides|small-images)" "$work/out"; }

# A machine with a GPU of $1 MiB. The toolkit is elsewhere.
with_gpu() {
    mkdir -p "$work/bin"
    printf '#!/bin/sh\ncase "$*" in *"-i 0"*) ;; *) exit 1 ;; esac; case "$*" in *nounits*) echo %s ;; *) echo "NVIDIA Test, %s MiB, 580.1" ;; esac\n' "$1" "$1" >"$work/bin/nvidia-smi"
    chmod +x "$work/bin/nvidia-smi"
    PATH=$work/bin:$PATH CUDA=/nowhere ./run doctor >"$work/out"
    local status=$?
    cat "$work/out"
    return $status
}

no_toolkit() { ! with_gpu 80000 && grep -q "^good.*NVIDIA Test" "$work/out" && grep -q "^BAD.*no nvcc in /nowhere" "$work/out" && grep -q "^good.*demo" "$work/out"; }
small_gpu() { ! with_gpu 100 && grep -q "^BAD.*demo.*lower trainer.chunk" "$work/out"; }

# A recipe that no memory holds: what would fit.
too_large() {
    mkdir -p "$work/recipes" && sed 's/batch: 16/batch: 65536, chunk: 131072/; s/view: 128/view: 1024/' recipes/demo.yaml >"$work/recipes/large.yaml"
    ! build/sb_trainer needs --recipe "$work/recipes/large.yaml" >"$work/out" 2>&1 && cat "$work/out" &&
        grep -q "a chunk of 131072 views of 1024 x 1024 cannot be planned; lower trainer.chunk or trainer.batch" "$work/out"
}

# The steps are the recipe's and the keys', and the whole is what they take: STEPS SECONDS-OF-ONE UNIT WHOLE of the line in $work/out.
read_time() { sed -nE 's/^(good +demo-time +)?about ([0-9.]+) (seconds|minutes|hours|days): ([0-9]+) steps of ([0-9.]+) s \(.*; (f32|bf16); measured for [0-9.]+ s.*\)$/\4 \5 \3 \2/p' "$work/out"; }
adds_up() {
    read_time | awk -v steps="$1" '
        BEGIN { of["seconds"] = 1; of["minutes"] = 60; of["hours"] = 3600; of["days"] = 86400 }
        { all = $1 * $2 / of[$3]; rounding = all * ($2 < 1 ? 0.000005 : 0.005) / $2 + (all < 9.55 ? 0.05 : 0.5) + 1e-9; good = $1 == steps && $2 > 0 && $4 - all <= rounding && all - $4 <= rounding }
        END { exit !(NR == 1 && good) }'
}
timed() { build/sb_trainer time --recipe recipes/demo.yaml "$@" >"$work/out" && cat "$work/out"; }
more_steps() { timed trainer.steps=2000 && adds_up 2000; }
# Of a batch that takes longer than a second.
large_batch() { timed trainer.batch=4096 trainer.chunk=64 trainer.steps=1000000 && grep -q "with [0-9]* of 4096 samples" "$work/out" && adds_up 1000000; }

ok "a line on every topic" topics
ok "what a card would need that is not here is no fault of this machine" other_cards
ok "how long the demo takes: its steps, times what one takes" adds_up 1000
ok "twice the steps" more_steps
ok "a batch that takes long: a part of it is measured" large_batch
ok "a recipe too large for any memory: what to lower" too_large
ok "a GPU without the toolkit: what to install" no_toolkit
ok "a GPU too small for the recipe: what to lower" small_gpu
finish

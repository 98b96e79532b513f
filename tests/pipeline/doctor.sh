#!/bin/bash
# ./run doctor says what a machine lacks: this one, and ones that a stand-in for nvidia-smi makes of it.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

topics() {
    local topic
    ./run doctor >"$work/out" || true
    cat "$work/out"
    for topic in GPU toolkit cuDNN plug-in memory /dev/shm CPU disk demo; do
        grep -qE "^(good|note|BAD) +$topic +" "$work/out" || { echo "nothing on $topic"; return 1; }
    done
}

# A machine with a GPU of $1 MiB. The toolkit is elsewhere.
with_gpu() {
    mkdir -p "$work/bin"
    printf '#!/bin/sh\ncase "$*" in *nounits*) echo %s ;; *) echo "NVIDIA Test, %s MiB, 580.1" ;; esac\n' "$1" "$1" >"$work/bin/nvidia-smi"
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
    mkdir -p "$work/recipes" && sed 's/batch: 16/batch: 65536/; s/view: 128/view: 1024/' recipes/demo.yaml >"$work/recipes/large.yaml"
    ! build/sb_trainer needs --recipe "$work/recipes/large.yaml" >"$work/out" 2>&1 && cat "$work/out" &&
        grep -q "trainer.batch = 65536 .* and [0-9]* are free beside a reserve: .*" "$work/out"
}

ok "a line on every topic" topics
ok "a recipe too large for any memory: what to lower" too_large
ok "a GPU without the toolkit: what to install" no_toolkit
ok "a GPU too small for the recipe: what to lower" small_gpu
finish

#!/bin/bash
# Whole runs with augment and trainer on the emulated CUDA device: real processes and files, no GPU. They show that the CUDA device computes
# what the CPU's does, in any order of threads, blocks and streams, and survives kills; how fast it is and whether the drivers and
# libraries of NVIDIA agree is for a GPU to show (tests/gpu.sh).
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

plugin=build/tests/sb_emulated.so
if ! [ "$(head -c 4 $plugin 2>/dev/null)" = $'\x7fELF' ]; then
    echo "1..0 # SKIP the emulated device was not built (CUDA toolkit with cuDNN, g++, x86-64)"
    exit
fi
small+=(optimiser.scaling=none optimiser.lr=0.000002 trainer.chunk=6 trainer.checkpoint_every=3)

# run_on DEVICE NAME [KEY=VALUE...]
run_on() {
    local device=$1 name=$2
    shift 2
    run_small "$name" device="$device" cuda.plugin=$plugin trainer.steps=6 "$@"
}

# The loss depends chaotically on the weights: a gradient through 17 batch norms of 6 views is only good to 1e-3, and that grows with each step.
# So the learning rate is small, and what learning changed in all steps' losses is compared, the run's less those of a run that does not learn.
# Without learning both devices agree to rounding. Seen: 0.03; without momentum: 0.5.
same_losses() {
    /usr/bin/python3 - "$work/frozen" "$work/cpu" "$work/cuda" <<'END'
import json, sys
import numpy
frozen, cpu, cuda = (numpy.array([json.loads(line)["loss"] for line in open(f"{run}/metrics.jsonl")]) for run in sys.argv[1:4])
print("frozen", frozen, "cpu", cpu, "cuda", cuda, sep="\n")
assert len(frozen) == len(cpu) == len(cuda) == 6
assert abs(cuda[0] - cpu[0]) < 2e-5, "the first step, which knows nothing of learning"
changed, differs = numpy.linalg.norm(cpu - frozen), numpy.linalg.norm(cuda - cpu)
print("changed", changed, "differs", differs)
assert changed > 0.02 and differs < 0.1 * changed
END
}

same() { cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors"; }

# The plans' times are others than before.
killed() {
    SB_EMULATION_TIMES=1,2,3 SB_EMULATION_ORDER=random:5 run_on cuda killed &
    local run=$!
    wait_step "$work/killed" 1 && pkill -KILL -f "sb_augment $work/killed"
    wait_step "$work/killed" 4 && pkill -KILL -f "sb_trainer train $work/killed"
    wait $run
}

# The check before the run is the first to plan.
timed() {
    grep -q "cuDNN: [1-9][0-9]* plans timed for [1-9][0-9]* operations, [0-9]* operations as kept in $XDG_CACHE_HOME/smallbatch/emulated-GPU" "$work/log" &&
        grep -q 'eng3_k17=2' "$XDG_CACHE_HOME"/smallbatch/*.json && ! grep -q 'eng3_k17=[13]' "$XDG_CACHE_HOME"/smallbatch/*.json
}

as_kept() {
    grep -q "cuDNN: 0 plans timed for 0 operations, [1-9][0-9]* operations as kept in" "$work/killed/log/trainer.log" &&
        ! grep -q "cuDNN: [1-9]" "$work/killed/log/trainer.log"
}

refused() {
    ! run_on cuda refused cuda.plugin=/nowhere.so >"$work/refusal" 2>&1 && [ ! -e "$work/refused" ] &&
        grep -q "device = cuda: there is no /nowhere.so: .make cuda. builds it" "$work/refusal"
}

alone() {
    run_on auto auto cuda.plugin=/nowhere.so trainer.steps=1 &&
        grep -q "device: CPU.*no GPU: there is no /nowhere.so" "$work/auto/log/trainer.log"
}

make_images
ok "a run on the CPU that does not learn" run_on cpu frozen optimiser.lr=0
ok "a run on the CPU" run_on cpu cpu
SB_EMULATION_TIMES=2,1,3 ok "a run on the emulated GPU" run_on cuda cuda
ok "  times the plans of its convolutions and takes the fastest" timed
ok "  changes the losses as the CPU's does" same_losses
ok "again, with augment and trainer killed, threads, blocks and streams in another order" killed
ok "  takes the plans that were kept, untimed" as_kept
ok "  the same weights, byte for byte" same cuda killed
ok "device = auto without a plug-in: the CPU, and why" alone
ok "device = cuda without one: an error that says what to do" refused
ok "nothing is left behind" nothing_left
finish

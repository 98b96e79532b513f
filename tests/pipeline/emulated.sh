#!/bin/bash
# Whole runs on photographs with augment and trainer on the emulated CUDA device: real processes and files, no GPU. They show that the CUDA
# device computes what the CPU's does, in any order of threads, blocks and streams, and survives kills; how fast it is and whether the drivers
# and libraries of NVIDIA agree is for a GPU to show (tests/gpu.sh).
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

plugin=build/tests/sb_emulated.so
if ! [ "$(head -c 4 $plugin 2>/dev/null)" = $'\x7fELF' ]; then
    echo "1..0 # SKIP the emulated device was not built (CUDA toolkit with cuDNN, g++, x86-64)"
    exit
fi
small+=(data.path="$work/photographs" data.tile=128 optimiser.scaling=none optimiser.lr=0.000001 trainer.chunk=6 trainer.checkpoint_every=2)

# run_on DEVICE NAME [KEY=VALUE...]
run_on() {
    local device=$1 name=$2
    shift 2
    run_small "$name" device="$device" cuda.plugin=$plugin trainer.steps=5 "$@"
}

# losses PYTHON: what PYTHON asserts of the runs' losses, by name.
losses() {
    /usr/bin/python3 - "$work" "$1" <<'END'
import glob, json, sys
from numpy import array
from numpy.linalg import norm
runs = {path.split("/")[-2]: array([json.loads(line)["loss"] for line in open(path)]) for path in glob.glob(f"{sys.argv[1]}/*/metrics.jsonl")}
for name, values in runs.items():
    print(f"{name:<12}", *(f"{value:9.6f}" for value in values))
exec(sys.argv[2], dict(runs, norm=norm))
END
}

# The loss depends chaotically on the weights: a gradient through 17 batch norms of 6 views is only good to 1e-3, and that grows with each step.
# So the learning rate is small, and what learning changed in all steps' losses is compared, the run's less those of a run that does not learn.
# Without learning both devices agree to rounding, seen 1e-5. Seen: 0.02; without momentum: 0.4.
same_losses='
assert len(frozen) == len(cpu) == len(cuda) == 5
assert abs(cuda[0] - cpu[0]) < 1e-4, "the first step, which knows nothing of learning"
changed, differs = norm(cpu - frozen), norm(cuda - cpu)
print("changed", changed, "differs", differs)
assert changed > 0.01 and differs < 0.1 * changed'

# A similarity of unit vectors that 40 layers have rounded to bf16 is wrong by some 2^-9 sqrt(40), which makes 0.12 at a temperature of 0.1; a
# loss, a mean of differences of such, by less. Seen: 0.05; without the residuals in bf16: 0.8.
near_losses='
assert len(bf16) == 5 and 0 < abs(bf16[0] - cpu[0]) < 0.12'

# f16 has three digits more.
nearer_losses='
assert len(f16) == 8 and 0 < abs(f16[0] - cpu[0]) < 0.12 / 8'

# TF32 has as many digits as f16. In f32 both devices agree to 1e-4.
rounded_losses='
assert len(tf32) == 1 and 1e-4 < abs(tf32[0] - cpu[0]) < 0.12 / 8'

# What `auto` is on this device stands in the run's configuration, and its start says it.
settled() {
    grep -q "^  precision: bf16" "$work/bf16/config.yaml" && grep -q "precision: bf16: of the backbone's activations" "$work/bf16/log/trainer.log"
}

# The scale of each step, and where it lies: a checkpoint has it. 65536 is too much here: seen, six steps are skipped.
scaled() {
    /usr/bin/python3 - "$work/f16" <<'END'
import glob, json, struct, sys
scale, skipped = 65536, 0
for line in open(f"{sys.argv[1]}/metrics.jsonl"):
    step = json.loads(line)
    skipped += step["skipped"]
    scale /= 1 + step["skipped"]
    assert step["scale"] == scale, step
path = max(glob.glob(f"{sys.argv[1]}/checkpoints/*"))
with open(path, "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    begin, end = header["loss_scale"]["data_offsets"]
    file.seek(begin, 1)
    kept = struct.unpack("<3f", file.read(end - begin))
print(path, kept)
assert kept[0] == scale and kept[2] == skipped < 8, (scale, skipped)
END
}

lacking() {
    ! run_on cpu lacking trainer.precision=f16 >"$work/refusal" 2>&1 && [ ! -e "$work/lacking" ] && cat "$work/refusal" &&
        grep -q "trainer.precision = f16: this device does not have it (CPU.*): set trainer.precision=auto, which is f32 here" "$work/refusal"
}

same() { cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors"; }

# The plans' times are others than before.
killed() {
    SB_EMULATION_TIMES=1,2,3 SB_EMULATION_ORDER=random:5 run_on cuda cuda_killed &
    local run=$!
    wait_step "$work/cuda_killed" 1 && pkill -KILL -f "sb_augment $work/cuda_killed"
    wait_step "$work/cuda_killed" 3 && pkill -KILL -f "sb_trainer train $work/cuda_killed"
    wait $run
}

# The check before the run is the first to plan.
timed() {
    grep -q "cuDNN: [1-9][0-9]* plans timed for [1-9][0-9]* operations, [0-9]* operations as kept in $XDG_CACHE_HOME/smallbatch/emulated-GPU" "$work/log" &&
        grep -q 'eng3_k17=2' "$XDG_CACHE_HOME"/smallbatch/*.json && ! grep -q 'eng3_k17=[13]' "$XDG_CACHE_HOME"/smallbatch/*.json
}

as_kept() {
    grep -q "cuDNN: 0 plans timed for 0 operations, [1-9][0-9]* operations as kept in" "$work/cuda_killed/log/trainer.log" &&
        ! grep -q "cuDNN: [1-9]" "$work/cuda_killed/log/trainer.log"
}

# A loader, and then the supervisor, with which everything dies. PRECISION STEP STEPS
resumed() {
    export SB_EMULATION_ORDER=reverse
    run_on cuda "$1_killed" trainer.precision="$1" trainer.steps="$3" &
    local run=$!
    wait_step "$work/$1_killed" 1 && kill_loader "$1_killed"
    wait_step "$work/$1_killed" "$2" && kill -KILL "$(cat "$work/$1_killed/lock")"
    wait $run
    nothing_left && within ./run resume "$work/$1_killed"
    local status=$?
    unset SB_EMULATION_ORDER
    return $status
}

refused() {
    ! run_on cuda refused cuda.plugin=/nowhere.so >"$work/refusal" 2>&1 && [ ! -e "$work/refused" ] &&
        grep -q "device = cuda: there is no /nowhere.so: .make cuda. builds it" "$work/refusal"
}

# outdated WHY FORM: a plug-in that was built before the programs were, with FORM in place of theirs.
outdated() {
    printf '#include "kernels/plugin.h"\nstatic const sb_plugin_form old = %s;\nconst sb_plugin_form *%s(void) { return &old; }
int sb_device_cuda(sb_device **out) { (void)out; return 0; }\n' "$2" "${3:-sb_device_form}" >"$work/old.c" &&
        cc -I. -shared -fPIC -o "$work/old.so" "$work/old.c" && ! run_on cuda outdated cuda.plugin="$work/old.so" >"$work/refusal" 2>&1 &&
        cat "$work/refusal" && grep -q "old.so is not of this version: .make cuda. builds it anew ($1)" "$work/refusal"
}
sizes='sizeof(sb_device), sizeof(sb_call), sizeof(sb_kernel)'

alone() {
    run_on auto auto cuda.plugin=/nowhere.so trainer.steps=1 &&
        grep -q "device: CPU.*no GPU: there is no /nowhere.so" "$work/auto/log/trainer.log"
}

# crowded OTHERS COMMAND...: on a card of 8 GiB of which others hold OTHERS MiB; a context takes 200, a library's handle 64, and once the trainer has
# asked what is free, augment and kernels take another 300. Plans are not timed, which would take long for so many sizes of a chunk.
crowded() {
    (
        unset HOME XDG_CACHE_HOME
        export SB_EMULATION_MEMORY=8192,$1,200,64,300
        "${@:2}"
    )
}
run_crowded() { crowded "$1" run_on cuda "$2" trainer.chunk=16 trainer.recompute=none trainer.steps=2 "${@:3}"; }

needed=0 free=0 chunk=0 others=0
# One that does not fit says by how much it does not, and what would.
refused_for_memory() {
    ! run_crowded 7215 crowd data.view=32 >"$work/refusal" 2>&1 && [ ! -e "$work/crowd" ] && cat "$work/refusal" && read -r needed free chunk < <(
        sed -n 's/.*trainer.batch = 8 with 16 views .* needs \([0-9]*\) MiB of memory, and \([0-9]*\) are free .*: trainer.chunk=\([0-9]*\) would.*/\1 \2 \3/p' "$work/refusal"
    ) && [ "$chunk" -ge 1 ] && [ "$chunk" -lt 16 ] && others=$((7215 - (needed - free)))
}

# The same with all that it needs free, to the MiB, and no more.
just_fits() {
    ! run_crowded $((others + 1)) crowd data.view=32 >/dev/null 2>&1 && run_crowded $((others - 1)) crowd data.view=32 && ! grep "out of memory" "$work"/crowd/log/*.log
}

chunk_fits() { run_crowded 7215 chunk data.view=32 trainer.chunk="$chunk"; }

# With less and less free, what is auto is chosen so that all of it can be made, although others take their part after the choice: the whole batch
# with all kept at first, and a part of it in the end.
chosen() {
    local others chunk again first=""
    for others in 6400 6600 6800 6900; do
        rm -rf "$work/chosen"
        crowded $others build/sb_trainer prepare --recipe recipes/demo.yaml data.path="$work/photographs" data.tile=256 data.view=224 trainer.batch=16 \
            device=cuda cuda.plugin=$plugin run.dir="$work/chosen" || return 1
        chunk=$(sed -n 's/^  chunk: //p' "$work/chosen/config.yaml") again=$(sed -n 's/^  recompute: //p' "$work/chosen/config.yaml")
        echo "$others MiB taken: chunk $chunk, $again"
        first=${first:-$chunk $again}
    done
    [ "$first" = "32 none" ] && [ "$chunk" -lt 32 ]
}

# Its memory is not the trainer's: two tiles of 768 MiB.
augment_lacks_memory() {
    run_crowded 7000 tiles data.tile=16384 data.tiles_per_image=2 >"$work/refusal" 2>&1
    local status=$?
    cat "$work/refusal"
    [ $status -eq 1 ] && grep -q "run: augment cannot go on" "$work/refusal" && [ "$(grep -c "device: emulated GPU" "$work/tiles/log/augment.log")" -eq 1 ] &&
        grep -q "views need [0-9]* MiB beside the trainer; lower data.tile or views.N.size, or trainer.chunk.*out of memory" "$work/refusal"
}

full() {
    ! crowded 8100 run_on auto full >"$work/refusal" 2>&1 && cat "$work/refusal" && grep -q "device = auto: taking the GPU: out of memory; end what else uses" "$work/refusal"
}

old_driver() {
    ! SB_EMULATION_DRIVER=11080 run_on cuda driver >"$work/refusal" 2>&1 && cat "$work/refusal" &&
        grep -q "the driver is for CUDA 11.8 and older than the toolkit, CUDA [1-9][0-9]*\.[0-9]: update the driver" "$work/refusal"
}

ok "photographs" take_photographs
ok "a run on the CPU that does not learn" run_on cpu frozen optimiser.lr=0
ok "a run on the CPU" run_on cpu cpu
SB_EMULATION_TIMES=2,1,3 ok "a run on the emulated GPU" run_on cuda cuda
ok "  times the plans of its convolutions and takes the fastest" timed
ok "  changes the losses as the CPU's does" losses "$same_losses"
ok "again, with augment and trainer killed, threads, blocks and streams in another order" killed
ok "  takes the plans that were kept, untimed" as_kept
ok "  the same weights, byte for byte" same cuda cuda_killed
ok "a run on the emulated GPU in what it does best" run_on cuda bf16 trainer.precision=auto
ok "  is in bf16, and says so" settled
ok "  begins with the CPU's loss" losses "$near_losses"
ok "again, with a loader and the supervisor killed, and resumed, in another order" resumed bf16 3 5
ok "  the same weights, byte for byte" same bf16 bf16_killed
ok "a run on the emulated GPU in f16" run_on cuda f16 trainer.precision=f16 trainer.steps=8
ok "  begins with the CPU's loss" losses "$nearer_losses"
ok "  has scaled its gradients, and keeps the scale" scaled
ok "again, with a loader and the supervisor killed, and resumed, in another order" resumed f16 7 8
ok "  the same weights, byte for byte" same f16 f16_killed
SB_EMULATION_TF32=1 ok "a run on the emulated GPU in tf32" run_on cuda tf32 trainer.precision=tf32 trainer.steps=1
ok "  begins near the CPU's loss, and not with it" losses "$rounded_losses"
ok "f16 where there is none: refused, with what to do" lacking
ok "device = auto without a plug-in: the CPU, and why" alone
ok "device = cuda without one: an error that says what to do" refused
ok "a plug-in of another version: the same" outdated "it does not say what it was built with" "{ $sizes, \"\" }" older
ok "  with another device" outdated "it has another sb_device" "{ 8 + $sizes, \"\" }"
ok "  with another call" outdated "it has another sb_call" "{ ${sizes/, /, 8 + }, \"\" }"
ok "  with another kernel" outdated "it has another sb_kernel" "{ $sizes + 8, \"\" }"
ok "  with other operations" outdated "it has other operations" "{ $sizes, \"avgpool batchnorm \" }"
ok "a driver older than the toolkit: both versions" old_driver
ok "a batch that the memory does not hold: refused, with the largest chunk" refused_for_memory
ok "  which is held" chunk_fits
ok "a batch that it just holds: 300 MiB less behind the check, and nothing fails" just_fits
ok "auto: with less free, less at once" chosen
ok "no memory for tiles and views: the run ends and says what to lower" augment_lacks_memory
ok "a full GPU is no reason to take the CPU" full
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# Everything that only a GPU can show, in one command for a machine that has one: builds the plug-in for it, compares every operation with the
# reference, runs compute-sanitizer's four tools, trains the demo twice, and times the real shapes beside what is predicted. Leaves a
# dated report, tests/reports/gpu-DATE-NAME.txt, to be committed whatever it says.
#   tests/gpu.sh [quick]      quick: without compute-sanitizer
set -u
cd "$(dirname "$0")/.." || exit 1
CUDA=${CUDA:-/usr/local/cuda}
for tool in nvidia-smi "$CUDA/bin/nvcc"; do
    command -v "$tool" >/dev/null || { echo "gpu.sh: there is no $tool: this is for a machine with a GPU and the CUDA toolkit" >&2; exit 1; }
done
export CUDA_DEVICE_ORDER=PCI_BUS_ID # as nvidia-smi numbers GPUs
name=$(nvidia-smi --query-gpu=name --format=csv,noheader -i 0) || exit 1
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d .)
mkdir -p tests/reports
export XDG_CACHE_HOME=$PWD/build/cache # plans are timed anew, and twice the same run takes the same
rm -rf "$XDG_CACHE_HOME"
report=tests/reports/gpu-$(date +%F)-$(tr -c 'A-Za-z0-9\n' '-' <<<"$name").txt
failed=0

# part NAME COMMAND...: runs it into the report; the last line says how it ended.
part() {
    local title=$1 begin=$SECONDS status
    shift
    echo "== $title" | tee -a "$report"
    "$@" >>"$report" 2>&1
    status=$?
    [ $status -eq 0 ] || failed=1
    echo "== $title: $([ $status -eq 0 ] && echo passed || echo "FAILED ($status)") after $((SECONDS - begin)) s" | tee -a "$report"
}

machine() {
    nvidia-smi
    "$CUDA/bin/nvcc" --version | tail -n 2
    grep -hE "define CUDNN_(MAJOR|MINOR|PATCHLEVEL)" "$CUDA/include/cudnn_version.h" /usr/include/cudnn_version.h 2>/dev/null
    git describe --always --dirty
    uname -a
}

cases() { build/tests/cuda/test_gpu compare | tee /dev/stderr | awk '/^not ok/ { bad++ } /^ok/ { good++ } END { exit bad > 0 || good == 0 }'; }

# A tool of compute-sanitizer over the small cases of every subject.
sanitizer() {
    local subject
    for subject in $(sed -n 's/^SB_OP(.*, \(.*\))$/\1/p' kernels/ops.def); do
        "$CUDA/bin/compute-sanitizer" --tool "$1" --error-exitcode 9 build/tests/cuda/test_gpu compare "$subject" || return
    done
}

# Twice the same bytes, on the GPU.
demo() {
    local run
    for run in a b; do
        rm -rf "runs/gpu-$run"
        ./run demo device=cuda run.dir="runs/gpu-$run" trainer.precision="$1" || return
    done
    grep -h "device:" runs/gpu-a/log/*.log
    cmp runs/gpu-a/backbone.safetensors runs/gpu-b/backbone.safetensors
}

# By CUDA events, each beside the bound and the model for this GPU, with a verdict; then the share of the GPU that each kind of kernel reached, by
# which sb_assumed (tests/bench/model.c) is to be corrected. What is predicted for GPUs whose figures are published comes before.
times() {
    local recipe
    build/tests/bench/counts_tool recipes/*.yaml && build/tests/bench/counts_tool || return
    build/tests/cuda/test_gpu time && build/tests/cuda/test_gpu steps "" || return
    for recipe in recipes/*.yaml; do build/tests/cuda/test_gpu step "$recipe" || return; done
}

: >"$report"
part "machine" machine
part "build for sm_$arch" make -j"$(nproc)" CUDA="$CUDA" CUDA_ARCHS="$arch" all tests cuda
part "every operation against the reference" cases
if [ "${1:-}" != quick ]; then
    for tool in memcheck racecheck initcheck synccheck; do part "compute-sanitizer $tool" sanitizer $tool; done
fi
for precision in auto f16; do part "the demo in $precision, twice, byte for byte" demo $precision; done
part "times beside predictions" times
echo "report: $report"
exit $failed

#!/bin/bash
# doctor.sh PROGRAMS: one line a topic, with a verdict: what this machine has, what each recipe needs and how long it takes. Exit status 1 if
# anything is bad.
programs=$1
cd "$(dirname "$0")/.." || exit 1
bad=0 cuda=${CUDA:-/usr/local/cuda}
# verdict good|note|BAD TOPIC FACT
verdict() {
    printf '%-5s %-9s %s\n' "$1" "$2" "$3"
    if [ "$1" = BAD ]; then bad=1; fi
}
gpus=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader -i 0 2>/dev/null)
if [ -z "$gpus" ]; then verdict note GPU "none, or no driver: everything runs on the CPU"; else verdict good GPU "$gpus"; fi
if [ -x "$cuda/bin/nvcc" ]; then verdict good toolkit "$("$cuda/bin/nvcc" --version | sed -n 's/.*release/CUDA/p') in $cuda"
elif [ -n "$gpus" ]; then verdict BAD toolkit "no nvcc in $cuda: install the CUDA toolkit, or name its folder with CUDA=..."
else verdict note toolkit "no CUDA toolkit: not needed without a GPU"; fi
if [ -e "$cuda/lib64/libcudnn.so.9" ] || ldconfig -p | grep -q libcudnn.so.9; then verdict good cuDNN "version 9"
elif [ -n "$gpus" ]; then verdict BAD cuDNN "no libcudnn.so.9: install cuDNN 9"
else verdict note cuDNN "none: not needed without a GPU"; fi
if [ -e "$programs"/sb_cuda.so ]; then verdict good plug-in "$programs/sb_cuda.so"
elif [ -n "$gpus" ]; then verdict BAD plug-in "not built: make cuda"
else verdict note plug-in "not built (make cuda): not needed without a GPU"; fi
memory=$("$programs"/sb_trainer memory)
if [ "$memory" -ge 4096 ]; then verdict good memory "$memory MiB available"; else verdict note memory "$memory MiB available: keep trainer.chunk small"; fi
shm=$(df -m --output=avail /dev/shm 2>/dev/null | tail -n 1 | tr -d ' ')
if [ "${shm:-0}" -ge 1024 ]; then verdict good /dev/shm "$shm MiB free"
else verdict note /dev/shm "${shm:-0} MiB free: rings take memory of their own instead (memfd); in a container, --shm-size=8g"; fi
cores=$("$programs"/sb_trainer cores)
if [ "$cores" -eq 1 ]; then cores+=" core"; else cores+=" cores"; fi
case $(grep -m 1 '^flags' /proc/cpuinfo) in
    *amx_bf16* | *avx512_bf16*) verdict good CPU "$cores, bf16 native" ;;
    *avx2*) verdict good CPU "$cores, AVX2, no bf16" ;;
    *) verdict BAD CPU "$cores without AVX2: training will take very long" ;;
esac
speed=$(dd if="$programs"/sb_trainer of=/dev/null bs=1M iflag=direct 2>&1 | sed -n 's/.*, //p')
verdict good disk "${speed:-unknown} read here (decoding: ./run bench decode)"
device=$memory
[ -z "$gpus" ] || device=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits -i 0)
for recipe in recipes/*.yaml recipes/cards/*.yaml; do
    name=$(basename "$recipe" .yaml) lacking=BAD
    case $recipe in recipes/cards/cpu.yaml) ;; recipes/cards/*) lacking=note ;; esac # for a card that this machine need not have
    # Without a place to keep it a GPU makes no choice of plans: timed now, it would be the choice of a machine that may be busy.
    needs=$(env -u HOME -u XDG_CACHE_HOME "$programs"/sb_trainer needs --recipe "$recipe" 2>&1) || { verdict $lacking "$name" "${needs##*trainer: }"; continue; }
    chosen=$(sed -n 's/.*: trainer.chunk = \(.*\) views, trainer.recompute = \([a-z]*\):.*/, chunk \1, recompute \2/p' <<<"$needs")
    read -ra needs <<<"${needs##*$'\n'}" # behind notes
    if [ "${needs[0]}" -le "$device" ] && [ "$((needs[1] + 256))" -le "$memory" ]; then verdict good "$name" "needs ${needs[0]} MiB on the device and $((needs[1] + 256)) MiB in rings$chosen"
    else verdict $lacking "$name" "needs ${needs[0]} MiB on the device and $((needs[1] + 256)) MiB in rings: lower trainer.chunk or trainer.batch"; fi
    [[ $recipe != recipes/cards/* ]] || continue # how long those take, ./run plan says
    if duration=$(env -u HOME -u XDG_CACHE_HOME "$programs"/sb_trainer time --recipe "$recipe" 2>&1); then verdict good "$name-time" "${duration##*$'\n'}"
    else verdict BAD "$name-time" "${duration##*trainer: }"; fi
done
exit $bad

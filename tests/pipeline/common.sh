# common.sh: what the pipeline tests share: small images, short runs, TAP. Sourced, with the name of the test's folder.
# shellcheck shell=bash
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
work=$(mktemp -d /tmp/smallbatch-test-XXXXXX)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache # what the GPU's device keeps there is the test's, not the user's
number=0 failed=0

# ok NAME COMMAND...: one test.
ok() {
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >>"$work/log" 2>&1; then echo "ok $number - $name"; else
        failed=1
        echo "not ok $number - $name"
        tail -n 20 "$work/log" | sed 's/^/# /'
    fi
}

finish() {
    echo "1..$number"
    exit $failed
}

# A dozen photographs-to-be: smooth noise, 600 x 400, JPEG.
make_images() {
    /usr/bin/python3 - "$work/images" <<'END'
import os, sys
import numpy
from PIL import Image
os.makedirs(sys.argv[1])
generator = numpy.random.default_rng(7)
for i in range(12):
    small = generator.integers(0, 256, (13, 19, 3), dtype=numpy.uint8)
    Image.fromarray(small).resize((600, 400), Image.BICUBIC).save(f"{sys.argv[1]}/{i:02d}.jpg", quality=90)
END
}

# The six smallest files of the demo's photographs.
take_photographs() {
    local files
    ./run photographs && mapfile -t files < <(find data/demo -name '*.jpg' -printf '%s %p\n' | sort -n | head -n 6 | cut -d' ' -f2) &&
        mkdir "$work/photographs" && cp "${files[@]}" "$work/photographs"
}

small=(data.tile=64 data.view=32 encoder.stem=small trainer.batch=8 trainer.threads=2 trainer.checkpoint_every=4 trainer.precision=f32
       optimiser.name=sgd optimiser.scaling=linear optimiser.lr=0.48 optimiser.weight_decay=0.0001 method.temperature=0.1)

# run_small NAME [KEY=VALUE...]: a run to its end.
run_small() {
    local name=$1
    shift
    timeout 600 ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$name" "${small[@]}" trainer.steps=12 "$@"
}

# Waits until run $1 has finished step $2.
wait_step() {
    local tries
    for tries in {1..600}; do
        [ "$(wc -l 2>/dev/null <"$1/metrics.jsonl" || echo 0)" -ge "$2" ] && return
        sleep 0.05
    done
    echo "step $2 of $1 did not come in $((tries / 20)) s"
    return 1
}

# Three PNG files of whole and ragged tiles of 64 pixels, so that nothing is resampled, and a broken one.
make_tiles() {
    mkdir "$work/tiles" && /usr/bin/python3 - "$work/tiles" <<'END'
import sys
import numpy
from PIL import Image
generator = numpy.random.default_rng(5)
for i in range(3):
    pixels = generator.integers(0, 256, (64 + 40 * i, 140, 3), dtype=numpy.uint8)
    Image.fromarray(pixels).save(f"{sys.argv[1]}/a,{i}.png")
open(f"{sys.argv[1]}/broken.png", "wb").write(open(f"{sys.argv[1]}/a,0.png", "rb").read()[:9000])
END
}

# same_features NAME ENCODER STEM: `embed` with run NAME gives the features that torchvision gives with its weights.
same_features() {
    ./run embed "$work/$1" "$work/tiles" -o "$work/$1.npy" data.view=64 &&
        /usr/bin/python3 tests/pipeline/features.py "$work/$1" "$work/$1" "$2" "$3"
}

# disturbed NAME PEST COMMAND...: while COMMAND, which runs $work/NAME, is at work, PEST NAME is applied once a step, so that the number of deaths
# without progress, five of which end a run, does not depend on the machine's speed.
disturbed() {
    local name=$1 pest=$2 steps=0 now
    shift 2
    "$@" &
    local run=$!
    while kill -0 $run 2>/dev/null; do
        now=$(wc -l 2>/dev/null <"$work/$name/metrics.jsonl" || echo 0)
        if [ "$now" -gt "$steps" ]; then
            steps=$now
            $pest "$name"
        fi
        sleep 0.05
    done
    wait $run
}
kill_loader() { pkill -KILL -n -f "sb_loader serve $work/$1"; }

same_weights() {
    cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors" &&
        cmp "$work/$1/checkpoints/step-000000012.safetensors" "$work/$2/checkpoints/step-000000012.safetensors"
}

# No process names the test's folder, and /dev/shm is as it was.
nothing_left() {
    local tries
    for tries in {1..40}; do
        pgrep -f "$work/" >/dev/null || find /dev/shm -name 'smallbatch*' | grep -q . || return 0 # a name lives for a moment beside other runs
        sleep 0.1
    done
    pgrep -af "$work/"
    ls -l /dev/shm
    return 1
}

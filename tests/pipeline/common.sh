# common.sh: what the pipeline tests share: small images, short runs, TAP, waiting. Sourced.
#
# No test assumes a speed. What must come is waited for itself (until_true), what must be in progress is held
# there (held, pause), and one deadline, which only what hangs can meet, ends either and says what hung. At
# the end whatever still names the test's folder is killed.
# shellcheck shell=bash
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
work=$(mktemp -d /tmp/smallbatch-test-XXXXXX)
trap 'pkill -KILL -f "$work/"; rm -rf "$work"' EXIT
DEADLINE=900 # seconds
# Built once here: each ./run would look for packages and call make, which takes 0.7 s of a core.
[ -n "${SB_BUILD:-}" ] || make -s all >&2 || exit 1
SB_BUILD=$(realpath "${SB_BUILD:-build}") && export SB_BUILD # ./run takes it from where it is called
export XDG_STATE_HOME=$work/state # the runs that a command without one chooses from
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

# skip NAME WHY
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

finish() {
    echo "1..$number"
    exit $failed
}

alive() { pgrep -af "$work/"; }

# until_true WHAT COMMAND...: waits until COMMAND succeeds. At the deadline it says WHAT did not come, and who lives.
until_true() {
    local what=$1 end=$((SECONDS + DEADLINE))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then
            echo "not within $DEADLINE s: $what. Alive are:"
            alive
            return 1
        fi
        sleep 0.1
    done
}

# What makes a command subject to permissions where root runs the tests; `bounded` puts it before what a test runs.
bound=() plain_user=()
[ "$(id -u)" -ne 0 ] || plain_user=(setpriv "--bounding-set=-dac_override,-dac_read_search")
bounded() {
    local bound=("${plain_user[@]}")
    "$@"
}

# within COMMAND...: a program that the deadline ends. Killed with it are those that it started.
within() {
    timeout -k 10 $DEADLINE "${bound[@]}" "$@"
    local status=$?
    [ $status -ne 124 ] && [ $status -ne 137 ] || echo "ended by the deadline of $DEADLINE s, or killed: $*"
    return $status
}

# says STATUS PATTERN COMMAND...: the command's exit status, and a line of what it prints, which is in $work/out.
says() {
    local status=$1 pattern=$2 got
    shift 2
    within "$@" >"$work/out" 2>&1 </dev/null
    got=$?
    cat "$work/out"
    [ "$got" -eq "$status" ] && said "$pattern"
}
said() { grep -qE -- "$1" "$work/out"; }

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

small=(data.tile=64 data.view=16 encoder.stem=small trainer.batch=8 trainer.threads=2 trainer.checkpoint_every=4 trainer.precision=f32
       optimiser.name=sgd optimiser.scaling=linear optimiser.lr=0.48 optimiser.weight_decay=0.0001 method.temperature=0.1)

# run_small NAME [KEY=VALUE...]: a run to its end.
run_small() {
    local name=$1
    shift
    within ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$name" "${small[@]}" trainer.steps=12 "$@"
}

# The number of lines of a file that may not be there yet. Builtins only: it is asked again and again.
lines() {
    local all=()
    [ ! -e "$1" ] || mapfile -t all <"$1"
    echo ${#all[@]}
}

# Waits until run $1 has finished step $2.
wait_step() {
    has_step() { [ "$(lines "$1/metrics.jsonl")" -ge "$2" ]; }
    until_true "step $2 of $1" has_step "$@"
}

# held STEP NAME COMMAND...: COMMAND, which runs $work/NAME, in the background as $run. Its trainer stops
# itself (SIGSTOP), once, when it has computed that step: what comes next comes within the run however fast it
# is. This returns when it has; `go_on trainer NAME` lets it go on.
held() {
    local step=$1 name=$2
    shift 2
    LD_PRELOAD=$work/fault.so FAULT=open:19 FAULT_PROGRAM="sb_trainer train" FAULT_FILE=metrics.jsonl FAULT_COUNTER=$work/held.$name \
        FAULT_SKIP=$((step - 1)) FAULT_TIMES=1 "$@" &
    run=$!
    until_true "step $step of $name" is_stopped "sb_trainer train $work/$name"
}
# Of a program that is stopped: SIGTERM waits for it.
is_told() { grep -q '^ShdPnd:.*[4-7c-f]...$' "/proc/$(pgrep -f "$1")/status"; }
is_stopped() {
    local pid
    for pid in $(pgrep -f "$1"); do grep -qs '^State:.T' "/proc/$pid/status" && return; done
    return 1
}

# suspend PID...: stops processes, and returns when each has stopped: one that has not yet would still take a
# SIGTERM that is sent after the SIGSTOP, and take it first.
suspend() {
    local pid
    kill -STOP "$@" && for pid in "$@"; do until_true "the stop of $pid" grep -qs "^State:.T" "/proc/$pid/status" || return 1; done
}

# pause PROGRAM NAME, go_on PROGRAM NAME: of run NAME; `trainer` or `loader`.
command_of() { case $1 in trainer) echo "sb_trainer train $work/$2" ;; loader) echo "sb_loader serve $work/$2" ;; esac; }
pause() {
    local pids
    mapfile -t pids < <(pgrep -f "$(command_of "$@")")
    [ ${#pids[@]} -gt 0 ] && suspend "${pids[@]}"
}
go_on() { pkill -CONT -f "$(command_of "$@")"; }
make_fault() { cc -shared -fPIC -O1 -D_GNU_SOURCE -Wall -Werror -o "$work/fault.so" tests/pipeline/preload/fault.c -ldl; }

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

# loads NAME [FILE...]: what `export` writes of run NAME loads into torchvision as it says (features.py).
loads() {
    ./run export "$work/$1" -o "$work/$1.safetensors" >"$work/$1.py" && /usr/bin/python3 tests/pipeline/features.py "$work/$1.py" "${@:2}"
}
# same_features NAME: `embed` with run NAME gives the features that torchvision then gives.
same_features() { ./run embed "$work/$1" "$work/tiles" -o "$work/$1.npy" data.view=64 && loads "$1" "$work/$1.npy" "$work/$1.csv"; }

# disturbed NAME PEST COMMAND...: while COMMAND, which runs $work/NAME, is at work, PEST NAME is applied once a step, so that the number of deaths
# without progress, five of which end a run, does not depend on the machine's speed.
disturbed() {
    local name=$1 pest=$2 steps=0 times=0 now
    shift 2
    "$@" &
    local run=$!
    while kill -0 $run 2>/dev/null; do
        now=$(lines "$work/$name/metrics.jsonl")
        if [ "$now" -gt "$steps" ]; then
            steps=$now times=$((times + 1))
            $pest "$name"
        fi
        sleep 0.1
    done
    echo "$pest, $times times"
    wait $run && [ $times -gt 0 ]
}
kill_loader() { pkill -KILL -n -f "sb_loader serve $work/$1"; }

same_weights() {
    local newest
    newest=$(find "$work/$1/checkpoints" -name 'step-*.safetensors' -printf '%f\n' | sort | tail -n 1)
    cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors" && cmp "$work/$1/checkpoints/$newest" "$work/$2/checkpoints/$newest"
}

# No process names the test's folder, or has a run there: one that was killed names nothing while it dies, and
# keeps its lock until then. And /dev/shm is as it was. Beside other runs a segment's name lives there for a
# moment.
nothing_left() {
    unlocked() {
        local lock
        for lock in "$work"/*/lock; do
            [ ! -e "$lock" ] || flock -n "$lock" true || return 1
        done
    }
    nobody() { ! pgrep -f "$work/" >/dev/null && unlocked; }
    no_names() { ! compgen -G '/dev/shm/smallbatch*' >/dev/null; }
    until_true "the end of every process" nobody && until_true "the end of names in /dev/shm" no_names
}

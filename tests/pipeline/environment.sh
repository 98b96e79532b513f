#!/bin/bash
# Wrong configurations, a hostile environment and damaged run directories: each ends with an error that says what, where and what to do, starts
# nothing, and leaves what was there as it was.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"
unset SB_BUILD # ./run looks for packages and builds before each command, as it does for users

# refused PATTERN [KEY=VALUE...]: a run that does not start and leaves no directory.
refused() {
    local pattern=$1
    shift
    says 1 "$pattern" ./run train "$work/recipe.yaml" data.path="$work/images" run.dir="$work/refused" "${small[@]}" trainer.steps=4 "$@" &&
        [ ! -e "$work/refused" ] && nothing_left
}

# wrong RECIPE PATTERN: a recipe that is refused, with file and line.
wrong() {
    printf '%b' "$1" >"$work/wrong.yaml"
    says 1 "$work/wrong.yaml$2" build/sb_trainer prepare --recipe "$work/wrong.yaml" data.path="$work/images" run.dir="$work/refused" &&
        [ ! -e "$work/refused" ]
}

run_four() { run_small "$1" trainer.steps=4 trainer.checkpoint_every=2 trainer.checkpoint_keep=2 "${@:2}"; }
same() { cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors"; }

# A copy of the reference run without its end: to be resumed from step 4 or, if that is damaged, 2.
half_done() {
    rm -rf "${work:?}/$1"
    cp -a "$work/reference" "$work/$1" && rm "$work/$1/backbone.safetensors" "$work/$1/status.json"
}
hurt() { printf 'XXXX' | dd of="$1" bs=1 seek=5000000 conv=notrunc status=none; }

newest_damaged() {
    half_done newest
    hurt "$work/newest/checkpoints/step-000000004.safetensors"
    ./run resume "$work/newest" && same newest reference && grep -q "step-000000004.safetensors: the data's checksum is" "$work/newest/log/trainer.log" &&
        grep -q "resuming after step 2" "$work/newest/log/trainer.log"
}

all_damaged() {
    half_done all
    truncate -s 1000000 "$work/all/checkpoints/step-000000002.safetensors"
    hurt "$work/all/checkpoints/step-000000004.safetensors"
    says 1 "of 2 checkpoints in $work/all/checkpoints none can be used" ./run resume "$work/all" && nothing_left
}

# damaged FILE SED PATTERN: the reference's FILE after SED; the error matches PATTERN.
damaged() {
    half_done damaged
    rm "$work/damaged/checkpoints/step-000000004.safetensors" # else nothing is left to be done but the export
    sed -i "$2" "$work/damaged/$1" && says 1 "$3" ./run resume "$work/damaged" && [ ! -e "$work/damaged/status.json" ]
}

changed_files() {
    half_done changed
    cp -a "$work/images" "$work/kept"
    touch "$work/images/05.jpg"
    echo >>"$work/images/03.jpg"
    rm "$work/images/07.jpg"
    says 0 "03.jpg was changed since the run began" build/sb_augment --check "$work/changed"
    local status=$?
    cp -a "$work"/kept/* "$work/images"
    [ $status -eq 0 ] && grep -q "07.jpg has vanished since the run began" "$work/out" && grep -q "1 of the files have another time than when the run began" "$work/out"
}

second_supervisor() {
    run_small busy trainer.steps=10000 --detach || return 1
    local status
    says 1 "$work/busy is running already: ./run status" ./run resume "$work/busy" &&
        says 1 "$work/busy is running already: ./run status" ./run resume "$work/busy" --detach &&
        says 1 "$work/busy is a run already: resume it" ./run train demo data.path="$work/images" run.dir="$work/busy" "${small[@]}"
    status=$?
    # At once, even where the trainer does not answer; and nothing is left that answers.
    wait_step "$work/busy" 1 && pause trainer busy && says 0 "stopped at once, after step [0-9]+; (go on from step [0-9]+|no step is saved: begin again) with" ./run stop "$work/busy" --now &&
        nothing_left && says 1 "$work/busy is not running" ./run stop "$work/busy" && says 1 "$work/busy is not running" ./run scale "$work/busy" loaders=3 &&
        says 0 "$work/busy: stopped, .*; (go on from|no step is saved)" ./run status && return $status
}

# A lock that names a process of somebody else: it is not signalled, and the run goes on.
strange_lock() {
    sleep 1000 &
    local bystander=$!
    half_done strange
    rm "$work/strange/checkpoints/step-000000004.safetensors"
    echo $bystander >"$work/strange/lock"
    says 1 "is not running" ./run stop "$work/strange" && says 0 "ended without a word|has not trained yet" ./run status "$work/strange" &&
        ./run resume "$work/strange" && same strange reference && kill $bystander
}

on_one=(taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')") # the first processor that this shell may use
one_core() { says 0 "device: CPU, 1 thread," "${on_one[@]}" ./run train demo data.path="$work/images" run.dir="$work/one" "${small[@]}" trainer.steps=2 trainer.threads=0; }

fewer_cores() {
    half_done fewer && rm "$work/fewer/checkpoints/step-000000004.safetensors" && "${on_one[@]}" ./run resume "$work/fewer" &&
        grep -q "resuming after step 2" "$work/fewer/log/trainer.log" && same fewer reference
}

# in_space SCRIPT: as root of an own mount namespace.
in_space() { unshare -rm bash -c "$1"; }
export work DEADLINE
export small_keys="${small[*]}"
train_command='timeout -k 10 $DEADLINE ./run train recipes/demo.yaml data.path="$work/images" $small_keys trainer.steps=4 trainer.checkpoint_every=2 trainer.checkpoint_keep=2'

disk_full() {
    mkdir -p "$work/disk"
    # shellcheck disable=SC2016
    in_space 'mount -t tmpfs -o size=150m none "$work/disk" || exit 99
        '"$train_command"' run.dir="$work/disk/run" && exit 1
        grep -q "No space left on device" "$work/disk/run/log/trainer.log" || exit 2
        ls -l "$work/disk/run/checkpoints"; [ -f "$work/disk/run/checkpoints/step-000000002.safetensors" ] || exit 3
        mount -o remount,size=700m "$work/disk" && timeout -k 10 $DEADLINE ./run resume "$work/disk/run" && cmp "$work/disk/run/backbone.safetensors" "$work/reference/backbone.safetensors"'
}

little_shared_memory() {
    # shellcheck disable=SC2016
    in_space 'mount -t tmpfs -o size=1m none /dev/shm || exit 99
        '"$train_command"' run.dir="$work/shm"' &&
        grep -q "/dev/shm has .* of the .* bytes needed (No space left on device); using anonymous memory instead" "$work/shm/log/trainer.log" && same shm reference
}

no_shared_memory() {
    # shellcheck disable=SC2016
    in_space 'mkdir "$work/dev" && mount -t tmpfs none "$work/dev" && for d in null zero urandom random; do touch "$work/dev/$d" && mount --bind /dev/$d "$work/dev/$d"; done
        ln -s /proc/self/fd "$work/dev/fd"; mount --rbind "$work/dev" /dev || exit 99
        '"$train_command"' run.dir="$work/noshm"' &&
        grep -q "using anonymous memory instead" "$work/noshm/log/trainer.log" && same noshm reference
}

# The project's folder cannot be written, and run is called from another one: what is current is not built again.
installed() {
    mkdir -p "$work/tree" "$work/elsewhere"
    # shellcheck disable=SC2016
    in_space 'mount --bind . "$work/tree" && mount -o remount,bind,ro "$work/tree" || exit 99
        cd "$work/elsewhere" && ln -s ../images photos && touch "$work/tree/x" && exit 98
        ../tree/run index photos data.tile=64 && ../tree/run train demo data.path=photos run.dir=out $small_keys trainer.steps=4 trainer.checkpoint_every=2 &&
        ../tree/run status && ../tree/run export out -o b.safetensors && cmp b.safetensors out/backbone.safetensors && ../tree/run embed photos -o x.npy data.view=32' &&
        cmp "$work/elsewhere/out/backbone.safetensors" "$work/reference/backbone.safetensors" && [ -s "$work/elsewhere/x.npy" ]
}

read_only() {
    mkdir -p "$work/ro"
    # shellcheck disable=SC2016
    in_space 'mount -t tmpfs -o ro none "$work/ro" || exit 99
        '"$train_command"' run.dir="$work/ro/run" >"$work/out" 2>&1; [ $? -eq 1 ] && grep -q "making directory .*/ro/run: Read-only file system" "$work/out"'
}

# Tensors as safetensors: FILE PREFIX SHARE-OF-NAMES-KEPT WIDTH; from the reference's backbone.
write_init() {
    /usr/bin/python3 - "$work/reference/backbone.safetensors" "$@" <<'END'
import json, struct, sys
source, target, prefix, keep, cut = sys.argv[1:]
data = open(source, "rb").read()
length, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
out, body = {}, b""
for number, (name, entry) in enumerate(header.items()):
    if name == "__metadata__" or number >= int(keep):
        continue
    piece = data[8 + length:][slice(*entry["data_offsets"])]
    if cut == name: # half of its rows
        piece, entry["shape"] = piece[:len(piece) // 2], [entry["shape"][0] // 2] + entry["shape"][1:]
    out[prefix + name] = dict(entry, data_offsets=[len(body), len(body) + len(piece)])
    body += piece
text = json.dumps(out).encode()
open(target, "wb").write(struct.pack("<Q", len(text)) + text + body)
END
}

init_says() { says 0 "$1" build/sb_trainer prepare --recipe recipes/demo.yaml data.path="$work/images" run.dir="$work/init$number" "${small[@]}" init="$2"; }

make_images
printf '{}' >"$work/recipe.yaml"
ok "a run ends" run_four reference

# Configurations
for case in 'trainer:\n  bach: 3\n|:2: there is no key trainer.bach; the nearest is trainer.batch' 'trainer: {batch: 0}\n|:1: trainer.batch = 0: must be a whole number from 1 to 65536' \
    'seed: 1\ntrainer:\n  batch: many\n|:3: trainer.batch = many: must be a whole' 'method: {name: simclrr}\n|:1: method.name = simclrr: must be one of simclr' \
    'views:\n  - {size: 8}\n|:2: views.0.size = 8: a size is beyond that range: must be 0 or a whole number from 16 to 1024' 'views:\n  - {blurr: 1}\n|:2: there is no key views.0.blurr; the nearest is views.0.blur' \
    'views:\n  - {count: 17}\n|:2: count = 17' 'data: {untrusted: perhaps}\n|:1: data.untrusted = perhaps: must be true or false' 'data: {tile: 15}\n|:1: data.tile = 15' \
    'optimiser: {lr: nan}\n|:1: optimiser.lr = nan: must be a number from 0 to 1000' 'seed: 1\nseed: 2\n|:2: seed stands here twice' 'data:\n\tpath: x\n|:2: not YAML' 'data: [1]\n|:1: a single value' \
    '- a\n|:1: keys and values belong here' 'init: "a\\nb"\n|:1: init = .*without line breaks' 'data: {max_bad: 1.1}\n|:1: data.max_bad = 1.1: must be a number from 0 to 1' \
    'seed: 1\nviews: [{}, {}, {}]\n|:2: views: method dcl compares 2 views of a sample, not 3' \
    'loader: {timeout: 0}\n|:1: loader.timeout = 0: must be a number from 0.1 to 86400' 'data: {channels: 9}\n|:1: data.channels = 9: must be a whole number from 1 to 8' \
    'views: [{crop_min: 0.5, crop_max: 0.4}, {}]\n|:1: views.0.crop_min = 0.5: must not be above views.0.crop_max = 0.4 (.*/wrong.yaml:1)' 'seed: 99999999999999999999\n|:1: seed = 9'; do
    ok "refused: ${case%%|*}" wrong "${case%%|*}" "${case#*|}"
done
ok "refused: on the command line" refused 'command line: there is no key trainer.stepps; the nearest is trainer.steps' trainer.stepps=3
for name in demo demo.yaml recipes/demo.yaml; do # each names the same recipe, whose keys are then looked at
    ok "a recipe is found as $name" says 1 'there is no key trainer.bach' ./run train $name trainer.bach=4
done
ok "refused: no such recipe" says 1 'there is no recipe demon.yaml; there are .*demo.yaml' ./run train demon.yaml
ok "refused: a batch larger than an epoch" refused 'an epoch has .* samples, a batch needs 64: lower trainer.batch' data.tile=400 trainer.batch=64
ok "refused: a chunk larger than the batch" refused 'command line: trainer.chunk = 17: a batch has only 16 views' trainer.chunk=17
ok "refused: a batch too small for the method" refused 'command line: trainer.batch = 1: method .* needs at least 2' trainer.batch=1
ok "refused: views too small for the encoder" says 1 'views of 16 x 16 \(data.view, views.N.size\) cannot go through the encoder' \
    ./run train demo data.path="$work/images" run.dir="$work/refused" device=cpu encoder.name=convnext_atto data.tile=64 data.view=16
ok "refused: no such data" refused "data.path = .*/nowhere: No such file" data.path="$work/nowhere"
ok "refused: an image in the place of its folder" refused "data.path = .*/03.jpg is an image: a folder of images or a manifest" data.path="$work/images/03.jpg"
ok "refused: no such device" refused "device = cuda: there is no /nowhere.so" device=cuda cuda.plugin=/nowhere.so
ok "refused: no such init" refused "init: opening .*/nowhere: No such file" init="$work/nowhere"
mkdir "$work/nothing" && : >"$work/nothing/empty.jpg"
ok "refused: nothing usable" refused "no image that can be used; .*empty.jpg: the file is empty" data.path="$work/nothing"
mkdir -m 0 "$work/locked"
mkdir -m 555 "$work/shut"
mkdir "$work/some" && cp "$work"/images/0[0-3].jpg "$work/some" && chmod 0 "$work/some/02.jpg"
if "${plain_user[@]}" true && ! "${plain_user[@]}" ls "$work/locked" 2>/dev/null; then
    ok "refused: unreadable data" bounded refused "locked: Permission denied" data.path="$work/locked"
    ok "an unreadable image is left out, and named" bounded says 0 "some/02.jpg: Permission denied" ./run index "$work/some" data.tile=64
    ok "refused: no permission to write" bounded refused "making directory $work/shut/run: Permission denied" run.dir="$work/shut/run"
else
    for what in "unreadable data" "an unreadable image" "no permission to write"; do ok "refused: $what # SKIP root cannot give up its privileges here" true; done
fi

# Processors
ok "bound to one processor: one thread" one_core
ok "resumed with fewer processors: the same weights" fewer_cores

# Commands
for verb in train resume status stop scale export "evaluate $work/reference" "embed $work/reference $work/images" index check; do
    ok "${verb%% *}: a wrong option" bash -c "./run $verb --wrong >$work/out 2>&1 </dev/null && exit 1; cat $work/out; grep -qE 'wrong|unrecognized' $work/out"
    ok "${verb%% *} --help" says 0 "usage:" ./run "${verb%% *}" --help
done
for program in loader augment trainer evaluator supervisor sweep; do
    wrong='says 1 "^smallbatch $program: no option --wrong" build/sb_$program --wrong && [ "$(lines "$work/out")" = 1 ]'
    ok "sb_$program: --help and a wrong option" eval "says 0 'Usage: ' build/sb_$program --help && $wrong"
done
ok "an option without its value" says 1 "^smallbatch sweep: -o: its value was expected" ./run sweep -o
ok "a value where none belongs" says 1 "^smallbatch evaluator: --best=1: this option takes no value" build/sb_evaluator embed --best=1 "$work/reference"
ok "a value that is none" says 1 "^smallbatch trainer: --device-memory 8GB: a size like 8GiB or 6000MiB was expected" ./run plan demo --device-memory 8GB
ok "study --help" says 0 "^usage: ./run study NAME" ./run study --help
ok "a second supervisor, a taken directory, a stop at once" second_supervisor
ok "a lock with the number of somebody else's process" strange_lock

# Run directories
ok "the newest checkpoint is damaged: the one before is used" newest_damaged
ok "all checkpoints are damaged" all_damaged
ok "a damaged configuration" damaged config.yaml 's/^  tile: .*/  tile: wide/' "damaged/config.yaml:[0-9]+: data.tile = wide: must be"
ok "an index that is none" damaged index.bin 's/sbindex/sbidxen/' "damaged/index.bin: .*no index of this version and machine"
ok "images changed and vanished since the run began" changed_files

# Weights to start from
write_init "$work/plain.safetensors" "" 1000 ""
write_init "$work/prefix.safetensors" module. 1000 ""
write_init "$work/other.safetensors" nothing.like. 1000 ""
write_init "$work/part.safetensors" "" 40 ""
write_init "$work/shape.safetensors" "" 1000 layer1.0.conv1.weight
head -c 2000000 "$work/plain.safetensors" >"$work/cut.safetensors"
ok "init: every tensor of the backbone" init_says "init: .*: 100 tensors taken; 0 resized; 0 of another type or shape.*; [0-9]+ new: .*\(projector.*; 0 left over" "$work/plain.safetensors"
ok "init: names behind a prefix" init_says "100 tensors taken" "$work/prefix.safetensors"
ok "init: a part" init_says "[0-9]+ tensors taken; 0 resized; 0 of another type or shape" "$work/part.safetensors"
ok "init: one of another shape is named" init_says "99 tensors taken; 0 resized; 1 of another type or shape.*\(layer1.0.conv1.weight: f32 \[32, 64, 3, 3\] to f32 \[64, 64, 3, 3\]\)" "$work/shape.safetensors"
ok "init: nothing fits" refused "init: .*other.safetensors: none of its [0-9]+ tensors has a name and shape of this encoder" init="$work/other.safetensors"
ok "init: a cut file" refused "init: .*cut.safetensors: .*" init="$work/cut.safetensors"
ok "init: no safetensors file" refused "init: .*01.jpg: " init="$work/images/01.jpg"

# Space
if unshare -rm mount -t tmpfs none /mnt 2>/dev/null; then
    ok "the disk is full: an error, the older checkpoint stays, resumed to the same weights" disk_full
    ok "a small /dev/shm: other memory, the same weights" little_shared_memory
    ok "no /dev/shm" no_shared_memory
    ok "a directory that cannot be written" read_only
    ok "a project's folder that cannot be written, called from elsewhere" installed
else
    for what in "the disk is full" "a small /dev/shm" "no /dev/shm" "a directory that cannot be written" "called from elsewhere"; do ok "$what # SKIP no mount namespaces here" true; done
fi
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# How a run is resumed: keys that are applied and refused, an edited config.yaml, data that were moved, a finished run, one that was interrupted before
# it began, and directories that are taken once.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

trainer=$SB_BUILD/sb_trainer
steps=(trainer.steps=8)

# A copy of the reference as if it had been killed behind its first checkpoint, or (whole) as it is.
whole() { rm -rf "${work:?}/$1" && cp -a "$work/reference" "$work/$1"; }
half() { whole "$1" && rm "$work/$1"/{backbone.safetensors,status.json} "$work/$1/checkpoints/step-000000008.safetensors"; }
# refused NAME PATTERN KEY=VALUE...: and the run is what it was.
contents() { (cd "$work/$1" && find . -type f ! -name '*lock' ! -name '*.log' -printf '%p %T@ ' -exec md5sum {} \; | sort); }
refused() {
    local before
    before=$(contents "$1")
    says 1 "$2" ./run resume "$work/$1" "${@:3}" && [ "$before" = "$(contents "$1")" ]
}

as_it_was() { half as && says 0 "^done" ./run resume "$work/as" && ! said "was" && same_weights reference as && cmp "$work/reference/config.yaml" "$work/as/config.yaml"; }

applied() {
    half keys
    says 0 "^run.loaders = 1 \(was 2\)$" ./run resume "$work/keys" run.loaders=1 trainer.checkpoint_every=2 trainer.checkpoint_keep=9 evaluate.views=3 data.tile=64 &&
        said "^evaluate.views = 3 \(was 8\)$" && said "^trainer.checkpoint_every = 2 \(was 4\)$" && ! said "^data.tile" && said "^done" &&
        [ -e "$work/keys/checkpoints/step-000000006.safetensors" ] && grep -q "^  loaders: 1$" "$work/keys/config.yaml" && same_weights reference keys
}

named() {
    half named
    refused named "optimiser.lr = 0.1 \(command line\): in the checkpoint of step 4 it is 0.48" seed=2 optimiser.lr=0.1 run.loaders=1 && said "seed = 2 .*it is 1" &&
        said "init=$work/named/checkpoints/step-000000004.safetensors" && refused named "trainer.batch = 4 \(command line\): in the checkpoint" trainer.batch=4 &&
        refused named "method.name = byol" method.name=byol && refused named "run.dir = /x .*moved by moving" run.dir=/x &&
        refused named "init = .*the run took its weights when it began" init="$work/reference/backbone.safetensors"
}

edited() {
    half edited
    sed -i 's/^seed: 1$/seed: 3/' "$work/edited/config.yaml"
    refused edited "seed = 3 \($work/edited/config.yaml:[0-9]+\): in the checkpoint of step 4 it is 1" && says 1 "seed = 3" "$trainer" train "$work/edited" &&
        says 0 "^seed = 1 \(was 3\)$" ./run resume "$work/edited" seed=1 && same_weights reference edited
}

# config.yaml is that of before or that of after, whenever it is killed: from half of the time that it takes on.
killed_while_applying() {
    local i now took begin=${EPOCHREALTIME/./}
    half killed
    "$trainer" resume "$work/killed" run.loaders=7 && took=$((${EPOCHREALTIME/./} - begin)) || return 1
    for i in 10 11 12 13 14 15 16 17 18 19 20 21; do
        timeout -s KILL "$(printf '0.%06d' $((took * i / 20)))" "$trainer" resume "$work/killed" run.loaders="$i" >"$work/out" 2>&1
        now=$(sed -n 's/^  loaders: //p' "$work/killed/config.yaml")
        [[ $now =~ ^(7|1[0-9]|20|21)$ ]] && [ "$(lines "$work/killed/config.yaml")" -eq "$(lines "$work/reference/config.yaml")" ] || return 1
    done
    says 0 "loaders = 9" "$trainer" resume "$work/killed" run.loaders=9
}

moved() {
    half moved
    mv "$work/images" "$work/photographs"
    refused moved "of 12 files of .*If the data were moved: ./run resume $work/moved data.path=NEW" && refused moved "of 12 files" data.path="$work/nowhere" &&
        mkdir "$work/part" && cp "$work/photographs"/0[0-7].jpg "$work/part" && refused moved "4 of the 12 files .*: not there, or of another size, as .*08.jpg" data.path="$work/part" &&
        says 0 "^data.path = $work/photographs \(was $work/images\)$" ./run resume "$work/moved" data.path="$work/photographs" && same_weights reference moved
    local status=$?
    mv "$work/photographs" "$work/images"
    return $status
}

# A manifest's files lie beside it, below it, or where they always do. Whatever was given up stays so.
moved_manifest() {
    mkdir -p "$work/set/below" && cp "$work/images"/0[0-4].jpg "$work/set" && cp "$work/images"/0[5-9].jpg "$work/set/below" && mkdir "$work/apart" && cp "$work/images/10.jpg" "$work/apart"
    printf '%s\n' path "$work/apart/10.jpg" 0{0..4}.jpg below/0{5..9}.jpg >"$work/set/list.csv"
    prepare list data.path="$work/set/list.csv" && "$SB_BUILD"/sb_loader index "$work/list" --freeze && grep -q '^"\.\./below/07.jpg",' "$work/list/index.csv" || return 1
    echo '{"path":"../below/07.jpg","page":0,"reason":"as a test"}' >"$work/list/quarantine.jsonl"
    mv "$work/set" "$work/set.moved"
    refused list "data.path = $work/apart: a CSV manifest was expected" data.path="$work/apart" &&
        refused list "10 of the 11 files .*: not there, or of another size, as $work/apart/00.jpg" data.path="$work/apart/list.csv" || return 1
    says 0 "^data.path" "$trainer" resume "$work/list" data.path="$work/set.moved/list.csv" && "$SB_BUILD"/sb_augment --check "$work/list" 2>"$work/out" && [ ! -s "$work/out" ] || return 1
    says 0 "^done" ./run resume "$work/list" && said "quarantined: 1" && [ "$(lines "$work/list/quarantine.jsonl")" -eq 1 ]
}

too_few() {
    whole few
    refused few "trainer.steps = 5 \(command line\): $work/few has done 8, and no fewer are possible" trainer.steps=5 || return 1
    sed -i 's/^  steps: 8$/  steps: 5/' "$work/few/config.yaml"
    refused few "trainer.steps = 5 \($work/few/config.yaml:[0-9]+\)" && says 1 "trainer.steps = 5" "$trainer" train "$work/few"
}

finished() {
    local before
    whole finished
    before=$(contents finished)
    says 0 "finished is finished: step 8 of 8" ./run resume "$work/finished" && [ "$before" = "$(contents finished)" ] && says 0 "is finished" ./run resume "$work/finished" evaluate.views=3 &&
        grep -q "^  views: 3" "$work/finished/config.yaml" && cmp "$work/finished/status.json" "$work/reference/status.json" || return 1
    mv "$work/images" "$work/away" # which it does not need any more
    says 0 "is finished" ./run resume "$work/finished"
    local status=$?
    mv "$work/away" "$work/images"
    return $status
}
# As if it had been killed behind its last checkpoint; also by who starts the trainer again.
end_again() {
    local how
    for how in "./run resume" "$trainer train"; do
        whole end && rm "$work"/end/{backbone.safetensors,status.json}
        within $how "$work/end" && same_weights reference end && ./run status "$work/end" | grep -E "^step 8/8  loss [1-9]" || return 1
    done
}

longer() {
    whole longer
    says 0 "^trainer.steps = 10 \(was 8\): .* stretched from step 9 on" ./run resume "$work/longer" trainer.steps=10 && [ "$(lines "$work/longer/metrics.jsonl")" -eq 10 ] &&
        cp -a "$work/longer" "$work/again" && rm "$work"/again/{backbone.safetensors,checkpoints/step-000000010.safetensors} &&
        says 0 "^trainer.steps = 10 \(was 8\)" ./run resume "$work/again" && same_weights longer again
}

prepare() { "$trainer" prepare --recipe recipes/demo.yaml data.path="$work/images" run.dir="$work/$1" "${small[@]}" "${steps[@]}" "${@:2}"; }
# train NAME PATTERN: refused.
train() { says 1 "$2" ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$1" "${small[@]}" "${steps[@]}"; }
# Its supervisor died while the data were read: there is no index yet.
before_the_index() {
    prepare early && echo '{"path":"gone.jpg","page":0,"reason":"of the first try"}' >"$work/early/quarantine.jsonl"
    train early "is a run already: resume it \(./run resume $work/early\)" && says 0 "^done" ./run resume "$work/early" && same_weights reference early &&
        [ ! -e "$work/early/quarantine.jsonl" ]
}
# So was a run whose user pressed Ctrl-C, which everything in the foreground gets: a line says what is left.
interrupted_index() {
    local pid
    LD_PRELOAD=$work/fault.so FAULT=open:hang FAULT_PROGRAM="sb_loader index" FAULT_FILE=05.jpg FAULT_COUNTER=$work/looked FAULT_TIMES=1 \
        setsid env --default-signal=INT ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/looked.at" "${small[@]}" "${steps[@]}" >"$work/out" 2>&1 &
    pid=$!
    until_true "the index" test -s "$work/looked" && kill -INT -- "-$pid"
    wait $pid
    [ $? -eq 130 ] && cat "$work/out" && said "^stopped while the data set was looked at.*; go on with: ./run resume $work/looked.at" && nothing_left && says 0 "^done" ./run resume "$work/looked.at" &&
        same_weights reference looked.at
}
# Of an earlier version, in which a key had another name.
renamed_key() {
    half renamed && sed -i 's/^  on_alarm: .*/  on_collapse: "warn"/' "$work/renamed/config.yaml" && says 0 "^trainer.on_collapse = warn, of an earlier version, is trainer.on_alarm = note now$" ./run resume "$work/renamed" &&
        grep -q "^  on_alarm: " "$work/renamed/config.yaml" && same_weights reference renamed
}
# Before the first step what the index does not depend on is free.
before_the_first_step() {
    prepare first trainer.batch=4 && "$SB_BUILD"/sb_loader index "$work/first" --freeze || return 1
    refused first "data.tile = 48 \(command line\): index.bin was made with 64" data.tile=48 &&
        says 0 "^trainer.batch = 8 \(was 4\)$" ./run resume "$work/first" trainer.batch=8 trainer.chunk=16 && same_weights reference first
}
without_index() { half bare && rm "$work/bare/index.bin" && refused bare "index.bin is gone"; }

# Six at once, in one second: as many runs, or one.
six_names() {
    local i
    launch_six "" || return 1
    [ "$(cat "$work"/many/made.* | sort -u | wc -l)" -eq 6 ] && for i in 1 2 3 4 5 6; do grep -q "dir: '$(cat "$work/many/made.$i")'" "$work/many/$(cat "$work/many/made.$i")/config.yaml" || return 1; done
}
one_name() { launch_six run.dir=one; [ "$(cat "$work"/many/made.* | wc -l)" -eq 1 ]; }
launch_six() {
    local i absolute pids=()
    absolute=$(readlink -f "$trainer")
    rm -rf "$work/many" && mkdir "$work/many" && cp recipes/demo.yaml "$work/many" || return 1
    for i in 1 2 3 4 5 6; do
        # shellcheck disable=SC2086
        (cd "$work/many" && exec "$absolute" prepare --recipe demo.yaml data.path="$work/images" "${small[@]}" $1 >"made.$i") &
        pids+=($!)
    done
    wait "${pids[@]}"
}
weights_without_configuration() { half left && rm "$work/left/config.yaml" && train left "name another run.dir"; }

make_images
ok "a run ends" run_small reference "${steps[@]}"
ok "resumed without keys: the same bytes" as_it_was
ok "keys on which the result does not depend are applied: the same weights" applied
ok "others are refused by name" named
ok "an edited config.yaml is compared with the checkpoint" edited
ok "killed while keys are applied: the old configuration or the new one" killed_while_applying
ok "data that were moved" moved
ok "a manifest that was moved" moved_manifest
ok "steps below those done are refused" too_few
ok "a finished run says so, and stays" finished
ok "one that was killed behind its last checkpoint is ended" end_again
ok "a longer run" longer
ok "interrupted before its index: completed" before_the_index
ok "what is preloaded" make_fault
ok "Ctrl-C while the data are looked at" interrupted_index
ok "a key that had another name: taken" renamed_key
ok "before the first step: what the index was made with is refused, other keys are free" before_the_first_step
ok "an index that is gone is not made again" without_index
ok "six runs of one second have six directories" six_names
ok "six runs of one name: one has it" one_name
ok "what a run left is not gone on from" weights_without_configuration
ok "a mistyped key" says 1 "there is no key trainer.step; the nearest is trainer.steps" ./run resume "$work/reference" trainer.step=9
ok "a bad value" says 1 "command line: run.loaders = no: must be a whole number" ./run resume "$work/reference" run.loaders=no
ok "no such run" says 1 "nowhere is no run directory .*: name one, or none for the run used last" ./run resume "$work/nowhere"
ok "two runs" says 1 "resume: one run, not $work/reference $work/applied \(a key is given as KEY=VALUE\)" ./run resume "$work/reference" "$work/applied"
ok "a key and its value apart" says 1 "resume: trainer.steps=VALUE was expected" ./run resume "$work/reference" trainer.steps 9
ok "nothing is left behind" nothing_left
finish

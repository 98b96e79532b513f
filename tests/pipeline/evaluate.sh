#!/bin/bash
# The evaluator on live and finished runs: what it writes, that a run does not notice it, and features of a data set.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

steps=(trainer.steps=24 evaluate.every=0 evaluate.snapshot_every=4 evaluate.max_tiles=30 evaluate.views=2)

same_end() {
    cmp "$work/reference/backbone.safetensors" "$work/$1/backbone.safetensors" &&
        cmp "$work/reference/checkpoints/step-000000024.safetensors" "$work/$1/checkpoints/step-000000024.safetensors"
}

# Every line has all rows; shares lie in 0 .. 1; the untrained row never changes; steps are those of `--follow`'s source.
sound_log() {
    /usr/bin/python3 - "$work/$1/evaluation.jsonl" "${@:2}" <<'END_PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert lines
for line in lines:
    assert line["rows"].keys() == {"chance", "colour", "pixels", "untrained", "trained"}, line
    assert line["tiles"] >= 24 and line["rows"]["chance"]["view_retrieval"] == round(1 / line["tiles"], 8) or abs(
        line["rows"]["chance"]["view_retrieval"] * line["tiles"] - 1) < 1e-6, line
    for row in line["rows"].values():
        assert 0 <= row["view_retrieval"] <= 1, line
    assert line["rows"]["untrained"] == lines[0]["rows"]["untrained"] and line["telling"] == {"key": "group_retrieval", "title": "group"}
    assert line["rows"]["trained"] != line["rows"]["untrained"] or line["step"] == 0
sources = {line["source"] for line in lines}
assert sources == set(sys.argv[2:]), sources
snapshots = [line for line in lines if line["source"] == "snapshot"]
assert all(line["step"] % 4 == 0 for line in snapshots)
assert all(line["embeddings"]["count"] > 0 for line in snapshots if "embeddings" in line), snapshots
END_PYTHON
}

pictures() {
    /usr/bin/python3 - "$work/$1/pictures" <<'END_PYTHON'
import sys
import numpy
from PIL import Image
for name in ("contact", "mosaic", "curves"):
    pixels = numpy.asarray(Image.open(f"{sys.argv[1]}/{name}.png").convert("RGB"))
    assert pixels.std() > 5, name
END_PYTHON
}

# In the background, as `run`. Its loaders are stopped from the fifth step on: its trainer has five steps more
# at most, and then waits for them.
start_run() { # NAME
    held 5 "$1" run_small "$1" "${steps[@]}" loader.timeout=$DEADLINE && pause loader "$1" && unheard "$1" && go_on trainer "$1"
}

# An evaluator in the background, as the last of `evaluators`. Beside a live run it only gets what nobody else
# wants of the processors, which beside other work may be nothing; these take their share.
follow() { # NAME
    LD_PRELOAD=$work/eager.so build/sb_evaluator evaluate --follow --no-pictures "$work/$1" >"$work/followed.${#evaluators[@]}" 2>&1 &
    evaluators+=($!)
}
make_eager() { cc -shared -fPIC -Wall -Werror -o "$work/eager.so" tests/pipeline/preload/eager.c; }

wait_snapshots() { # NAME COUNT: so many snapshots of the run have been evaluated
    has_snapshots() { [ "$(cat "$work/$1/evaluation.jsonl" 2>/dev/null | grep -c '"source":"snapshot"')" -ge "$2" ]; }
    until_true "snapshot $2 of $1 evaluated" has_snapshots "$@" || { cat "$work"/followed*; return 1; }
}

# Without help an evaluator puts itself behind everything else.
steps_back() {
    build/sb_evaluator evaluate --follow --no-pictures "$work/$1" >>"$work/followed" 2>&1 &
    local evaluator=$!
    is_idle() { [ "$(ps -o class= -p $evaluator)" = IDL ]; }
    until_true "the evaluator's stepping back" is_idle
    local status=$?
    kill -KILL $evaluator
    return $status
}

# The evaluators that stayed have looked at every embedding of the steps after $since, when all were attached, to
# 24, of 8 samples in 2 views, at one snapshot or another: a look may take those of the next snapshot early, and
# one that was stopped finds all of them at once.
with_embeddings() {
    local said
    for said in "$work/followed.0" "$work/followed.2"; do
        echo "after step $since:" && grep " training embeddings (" "$said" &&
            awk -v all=$(((24 - since) * 8 * 2)) '/ training embeddings \(/ { sum += $2; missed += substr($5, 2) } END { exit !(sum >= all && missed == 0) }' "$said" || return 1
    done
}
# Both of the trainer's broadcasts are mapped.
attached() { [ "$(grep -cE "/(dev/shm/|memfd:)smallbatch" "/proc/$1/maps")" -ge 2 ]; }

# published NAME: how many embeddings and snapshots its trainer has published.
published() { build/tests/pipeline/broadcast_tool "$(pgrep -f "sb_trainer train $work/$1")"; }
# Nobody listens before step 5: the trainer has published its weights then, and no embedding.
unheard() { read -r embeddings snapshots < <(published "$1") && echo "$embeddings $snapshots" && [ "$embeddings" -eq 0 ] && [ "$snapshots" -gt 0 ]; }

# Evaluators come, are stopped, go on, and are killed while the run trains.
pestered() {
    local run evaluator evaluators=()
    start_run pestered || return 1
    steps_back pestered || return 1
    follow pestered
    follow pestered
    follow pestered
    for evaluator in "${evaluators[@]}"; do
        until_true "the evaluator's attaching" attached "$evaluator" || return 1
    done
    since=$(($(lines "$work/pestered/metrics.jsonl") + 1)) # one step may have asked who listens, and not be written yet
    wait_snapshots pestered 3 || return 1
    kill -STOP "${evaluators[0]}"
    kill -KILL "${evaluators[1]}"
    go_on loader pestered
    wait_step "$work/pestered" 16 || return 1
    kill -CONT "${evaluators[0]}"
    wait $run || return 1
    wait "${evaluators[0]}" && wait "${evaluators[2]}"
}

# One evaluator follows a run whose trainer dies under it.
orphaned() {
    local run evaluators=()
    start_run orphaned || return 1
    follow orphaned
    wait_snapshots orphaned 1 || return 1
    pkill -KILL -f "sb_trainer train $work/orphaned"
    go_on loader orphaned
    wait $run && wait "${evaluators[0]}"
}

# A trainer that is stopped is named, and not waited for; it goes on when it is let.
stopped_trainer() {
    local run status
    stopped() { says 0 "training, since .*; the trainer is stopped, or hangs" ./run status "$work/paused"; }
    held 9 paused run_small paused "${steps[@]}" && until_true "the supervisor's suspicion" stopped &&
        says 0 "the trainer of $work/paused is stopped, or hangs: it is not waited for" build/sb_evaluator evaluate --no-pictures "$work/paused" && use reference && latest paused
    status=$?
    go_on trainer paused && wait "$run" && return $status
}
# A run that measures itself: its trainer, which has no loaders from step 8 on, answers its evaluator, and has the snapshot of step 8. Then that dies, and
# the run goes on without.
accompanied() {
    local run evaluators=()
    held 8 accompanied run_small accompanied "${steps[@]}" evaluate.every=2 loader.timeout=$DEADLINE && pause loader accompanied && go_on trainer accompanied &&
        wait_snapshots accompanied 1 && until_true "its best checkpoint" [ -e "$work/accompanied/checkpoints/best.safetensors" ] &&
        pkill -KILL -f "sb_evaluator accompany $work/accompanied" && until_true "what is said of its evaluator" said_of_evaluator &&
        go_on loader accompanied && wait $run
}
said_of_evaluator() { grep -q "the evaluator .*; the run goes on without" "$work/accompanied/log/evaluator.log"; }
not_the_first() {
    grep -q "^  untrained " "$work/accompanied/log/evaluator.log" && [ "$(lines "$work/accompanied/evaluation.jsonl")" = 1 ] &&
        grep -qE '^\{"step":(8|12),"source":"snapshot"' "$work/accompanied/evaluation.jsonl"
}

# Of the run that measured itself once: that step's checkpoint outlives the others, and can be named.
best_is_kept() {
    local step
    step=$(grep -oE '^\{"step":(8|12)' "$work/accompanied/evaluation.jsonl" | grep -oE '[0-9]+$') && ls "$work/accompanied/checkpoints" &&
        [ ! -e "$work/accompanied/checkpoints/step-0000000$(printf %02d "$step").safetensors" ] && names_step "$work/accompanied/checkpoints/best.safetensors" "$step" &&
        ./run export "$work/accompanied" --best -o "$work/best.safetensors" && names_step "$work/best.safetensors" "$step" &&
        ./run embed "$work/accompanied" "$work/tiles" --best -o "$work/best.npy" data.view=64
}
names_step() { head -c 100000 "$1" | grep -aoE '"smallbatch.step":"[0-9]+"' | grep -q "\"$2\"$"; }
# A copy of it goes back there; trained again, the rest of the way is the same.
back_to_best() {
    cp -r "$work/accompanied" "$work/back" && within ./run resume "$work/back" --best >"$work/went" 2>&1
    local status=$?
    cat "$work/went"
    [ $status -eq 0 ] && grep -qE "it goes on from the best checkpoint, step (8|12); 3 later ones are in $work/back/checkpoints/left" "$work/went" && same_end back &&
        [ "$(lines "$work/back/metrics.jsonl")" = 24 ]
}

# Without a name it is the run that was used last.
latest() { [ "$(./run status | head -n 1 | cut -d: -f1)" = "$work/$1" ]; }
use() { ./run export "$work/$1" -o "$work/used.safetensors"; }
used_last() {
    latest paused && use orphaned && latest orphaned && ./run embed "$work/pestered" "$work/tiles" -o "$work/used.npy" data.view=64 && latest pestered &&
        ./run status "$work/orphaned" && latest pestered && ./run evaluate --no-pictures "$work/reference" && latest reference
}

refused() { # NAME TEXT COMMAND...: fails and says TEXT
    local text=$1
    shift
    ! "$@" >"$work/refusal" 2>&1 && cat "$work/refusal" && grep -q "$text" "$work/refusal"
}

# Each file that cannot be decoded is named once, however many tiles it has.
named_once() { # FILE COMMAND...
    local file=$1
    shift
    "$@" >"$work/said" 2>&1 && cat "$work/said" && [ "$(grep -c "left out: .*$file" "$work/said")" = 1 ]
}

make_images
ok "what is preloaded" eval "make_fault && make_eager"
ok "a run ends" run_small reference "${steps[@]}"
ok "it is evaluated" ./run evaluate "$work/reference"
ok "  a log of its last checkpoint" sound_log reference checkpoint
ok "  three pictures" pictures reference
ok "evaluators come and go while a run trains" pestered
ok "  the same weights" same_end pestered
ok "  a log of snapshots and the last checkpoint" sound_log pestered snapshot checkpoint
ok "  the snapshots with embeddings" with_embeddings pestered
ok "a run measures itself, and goes on without its evaluator" accompanied
ok "  the same weights" same_end accompanied
ok "  one snapshot, not the first, in the log and in the evaluator's own" not_the_first
make_tiles
ok "  its checkpoint is the best one, and outlives the others" best_is_kept
ok "  the run goes back to it" back_to_best
ok "an evaluator's trainer dies and comes back" orphaned
ok "  the same weights" same_end orphaned
ok "  a log of snapshots and the last checkpoint" sound_log orphaned snapshot checkpoint
ok "its trainer is stopped: the newest checkpoint is evaluated" stopped_trainer
ok "  a log of that" sound_log paused checkpoint
ok "  the same weights" same_end paused
ok "without a name it is the run used last" used_last
ok "features of a folder are torchvision's" same_features reference
ok "  no file is left half written" bash -c "! ls $work/*.part"
ok "  a broken file is named once" named_once broken.png ./run embed "$work/reference" "$work/tiles" -o "$work/z.npy" data.view=64
ok "  its tiles are counted" grep -q "2 tiles left out" "$work/said"
ok "a folder without images is refused" refused "no image" ./run embed "$work/reference" "$work/pestered/log" -o "$work/y.npy"
ok "  and nothing written" bash -c "! ls $work/y*"
truncate -s 5000 "$work/images/01.jpg"
ok "a held-out photograph broke: named once, the rest is evaluated" named_once 01.jpg ./run evaluate "$work/reference"
ok "nothing is left behind" nothing_left
finish

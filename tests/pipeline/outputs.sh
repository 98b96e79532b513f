#!/bin/bash
# What is written, and what is not: an output is never a file that was read, a file of the user's is not replaced by one whose name only follows
# from another, what cannot be kept is said before anything is computed, and a signal leaves nothing unfinished.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# spared FILE STATUS PATTERN COMMAND...: as says, and the file, or what it links to, is as it was.
spared() {
    local file=$1
    shift
    cp -L "$file" "$work/before" && says "$@" && cmp "$file" "$work/before" && [ -z "$(find "$work" -name '*.tmp-*')" ]
}

embed() { spared "$1" 1 "$2" ./run embed "$work/run" "$3" -o "$4" data.view=16; }
byol() { ./run loss byol "$work/loss/a.npy" "$work/loss/b.npy" method.hidden=5 -o "$work/loss/byol"; }

# stopped_at FILE SKIP COMMAND...: the command in the background as $run, with no signal ignored; it has stopped itself where it opens a file
# of that name, after so many times.
stopped_at() {
    local file=$1 skip=$2 program
    shift 2
    program="sb_evaluator $2"
    rm -f "$work/counter"
    LD_PRELOAD=$work/fault.so FAULT=open:19 FAULT_PROGRAM="$program" FAULT_FILE=$file FAULT_COUNTER=$work/counter FAULT_SKIP=$skip FAULT_TIMES=1 \
        env --default-signal=INT,TERM,HUP "$@" >"$work/out" 2>&1 &
    run=$!
    until_true "$file" is_stopped "$program"
}

# ended SIGNAL STATUS: what stopped_at stopped had unfinished files, and has none when the signal has ended it.
ended() {
    local status
    find "$work" -name '*.tmp-*' | grep . || { kill -KILL $run; return 1; }
    kill "-$1" $run
    kill -CONT $run
    wait $run
    status=$?
    cat "$work/out"
    [ $status -eq "$2" ] && [ -z "$(find "$work" -name '*.tmp-*' -o -name '*.part')" ]
}

# A file is opened last when it is decoded. Before that the scan opens it, as often as it likes.
embed_ended() {
    local opened
    rm -f "$work"/x.* "$work/counter"
    LD_PRELOAD=$work/fault.so FAULT=open:19 FAULT_PROGRAM="sb_evaluator embed" FAULT_FILE=07.jpg FAULT_COUNTER=$work/counter FAULT_SKIP=1000 FAULT_TIMES=1 \
        ./run embed "$work/run" "$work/images" -o "$work/x.npy" data.view=16 || return 1
    opened=$(stat -c %s "$work/counter")
    rm -f "$work"/x.*
    echo old >"$work/x.npy"
    stopped_at 07.jpg $((opened - 1)) ./run embed "$work/run" "$work/images" -o "$work/x.npy" data.view=16 && ended "$@" && [ "$(cat "$work/x.npy")" = old ] && [ ! -e "$work/x.csv" ]
}

# While gnuplot waits for what it is to draw.
evaluate_ended() {
    cp "$work/run/pictures/curves.png" "$work/before"
    stopped_at metrics.jsonl 0 ./run evaluate "$work/run" && ended INT 130 && cmp "$work/run/pictures/curves.png" "$work/before"
}

# not_kept STATUS PATTERN FILE: a table is printed, and said why it is not kept; the log is as it was.
not_kept() { bounded spared "$work/run/$3" "$1" "$2" ./run evaluate "$work/run" && grep -q '^  trained  *[0-9.]* %' "$work/out"; }

unwritable() {
    mv "$work/run/pictures" "$work/pictures"
    chmod a-w "$work/run" "$work/run/evaluation.jsonl"
    not_kept 0 "evaluation.jsonl cannot be written: Permission denied: the table is printed and not kept" evaluation.jsonl &&
        head -n 1 "$work/out" | grep -q "not kept" && sed -n 2p "$work/out" | grep -q "no pictures are drawn" && [ ! -e "$work/run/pictures" ]
    local status=$?
    chmod u+w "$work/run" "$work/run/evaluation.jsonl"
    mv "$work/pictures" "$work/run/pictures"
    return $status
}

full() {
    mv "$work/run/evaluation.jsonl" "$work/kept"
    ln -s /dev/full "$work/run/evaluation.jsonl"
    says 1 "the table above was not kept: appending to .*: No space left on device" ./run evaluate "$work/run" --no-pictures && grep -q '^  trained  *[0-9.]* %' "$work/out"
    local status=$?
    mv "$work/kept" "$work/run/evaluation.jsonl"
    return $status
}

make_images
{ echo path; ls "$work"/images/*; echo images/bad.jpg; } >"$work/tiles.csv"
ln -s tiles.csv "$work/link.csv"
ln "$work/tiles.csv" "$work/hard.csv"
ln -s images/05.jpg "$work/photograph.npy"
echo "notes" >"$work/mine.csv"
ok "a run" eval "make_fault && run_small run trainer.steps=4 evaluate.max_tiles=8 evaluate.views=1 && ./run evaluate $work/run"

ok "embed: its list would replace the manifest" embed "$work/tiles.csv" "tiles.csv would be replaced, but it is read" "$work/tiles.csv" "$work/tiles.npy"
ok "  through a link" embed "$work/tiles.csv" "link.csv would be replaced, but it is read, as $work/tiles.csv" "$work/tiles.csv" "$work/link.npy"
ok "  under another name" embed "$work/tiles.csv" "hard.csv would be replaced, but it is read" "$work/link.csv" "$work/hard.npy"
ok "embed: its features would replace an image" embed "$work/images/03.jpg" "03.jpg would be replaced, but it is read" "$work/images" "$work/images/03.jpg"
ok "  through a link" embed "$work/photograph.npy" "photograph.npy would be replaced, but it is read, as .*05.jpg" "$work/images" "$work/photograph.npy"
head -c 900 "$work/images/03.jpg" >"$work/images/bad.jpg"
ok "  or one that cannot be used" embed "$work/images/bad.jpg" "bad.jpg would be replaced, but it is read" "$work/images" "$work/images/bad.jpg"
ok "  under a manifest's name for it" embed "$work/images/bad.jpg" "bad.jpg would be replaced, but it is read" "$work/tiles.csv" "$work/images/bad.jpg"
rm "$work/images/bad.jpg"
ok "embed: a file of the run" embed "$work/run/index.csv" "index.csv would be replaced" "$work/images" "$work/run/index.npy"
ok "embed: a list that it did not write" embed "$work/mine.csv" "mine.csv would be replaced, but it is there and is not a list of tiles that embed wrote: move it away" "$work/images" "$work/mine.npy"
ok "embed: no file" says 1 "/dev/null is no regular file" ./run embed "$work/run" "$work/images" -o /dev/null
ok "embed: no such folder, before anything is computed" says 1 "none/x.npy cannot be written: folder .*none: No such file" ./run embed "$work/run" "$work/nothing" -o "$work/none/x.npy"
ok "embed writes" says 0 "z.npy: [0-9]+ x 512 features, tiles in $work/z.csv" ./run embed "$work/run" "$work/images" -o "$work/z.npy" data.view=16
ok "  and replaces what it wrote" spared "$work/z.csv" 0 "z.npy: [0-9]+ x 512 features" ./run embed "$work/run" "$work/images" -o "$work/z.npy" data.view=16
ok "  but not where it is the manifest" embed "$work/z.csv" "z.csv would be replaced, but it is read" "$work/z.csv" "$work/z.npy"

checkpoint=$work/run/checkpoints/step-000000004.safetensors
ok "export: the checkpoint that it reads" spared "$checkpoint" 1 "would be replaced, but it is read" ./run export "$work/run" -o "$checkpoint"
ok "export: the run's configuration" spared "$work/run/config.yaml" 1 "would be replaced, but it is read" ./run export "$work/run" -o "$work/run/config.yaml"
ok "export: the run's backbone is the same again" spared "$work/run/backbone.safetensors" 0 load_state_dict ./run export "$work/run" -o "$work/run/backbone.safetensors"

mkdir "$work/loss" && /usr/bin/python3 - "$work/loss" <<'END_PYTHON'
import sys
import numpy
generator = numpy.random.default_rng(3)
for name in ("a", "b", "gradient.1"):
    numpy.save(f"{sys.argv[1]}/{name}", generator.standard_normal((9, 6)).astype(numpy.float32))
END_PYTHON
ok "loss: a gradient would replace embeddings" spared "$work/loss/gradient.1.npy" 1 "gradient.1.npy would be replaced, but it is read" ./run loss simclr "$work/loss/a.npy" "$work/loss/gradient.1.npy" -o "$work/loss"
ok "  and nothing else is written" bash -c "[ \$(ls $work/loss | wc -l) = 3 ]"
ok "loss: arrays would replace the arrays" eval "byol && spared $work/loss/byol/arrays/predictor.0.weight.npy 1 'predictor.0.weight.npy would be replaced, but it is read' \
    ./run loss byol $work/loss/a.npy $work/loss/b.npy method.hidden=5 --arrays $work/loss/byol/arrays -o $work/loss/byol"

mkdir "$work/sweep" && cp recipes/demo.yaml "$work/sweep/recipe.yaml"
ok "sweep: its copy would replace the recipe" spared "$work/sweep/recipe.yaml" 1 "recipe.yaml would be replaced, but it is read" ./run sweep "$work/sweep/recipe.yaml" -o "$work/sweep" trainer.steps=2
echo "steps: 7" >"$work/sweep/recipe.yaml"
ok "  or another one" spared "$work/sweep/recipe.yaml" 1 "recipe.yaml is there, and .* holds no sweep" ./run sweep demo -o "$work/sweep" trainer.steps=2
mv "$work/sweep/recipe.yaml" "$work/sweep/table.csv"
ok "  or a table" spared "$work/sweep/table.csv" 1 "table.csv is there, and .* holds no sweep" ./run sweep demo -o "$work/sweep" trainer.steps=2

mkdir "$work/data" && cp "$work/tiles.csv" "$work/data/index.csv"
ok "train: its index would replace the manifest" spared "$work/data/index.csv" 1 "index.csv is there, and .* is no run whose file it would be" ./run train demo data.path="$work/data/index.csv" run.dir="$work/data"

ok "a run that cannot be written is evaluated, and that is said first" unwritable
ok "a full disk: the table, and that it is not kept" full
ok "embed, ended by Ctrl-C, leaves what was there and nothing else" embed_ended INT 130
ok "  by SIGTERM" embed_ended TERM 143
ok "  by SIGHUP" embed_ended HUP 129
ok "evaluate, ended by Ctrl-C while it draws, leaves the pictures that were there" evaluate_ended
ok "nothing is left behind" nothing_left
finish

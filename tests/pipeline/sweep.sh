#!/bin/bash
# A sweep of 2 x 2 x 2 cells, two of which are refused: killed, stopped and gone on with it makes the table of one that ran in one piece.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Six steps a cell. wmse needs two samples for each of four columns: at batch 4 it is refused.
recipe=$work/small.yaml
cat >"$recipe" <<END
encoder: { stem: small }
data: { path: $work/images, tile: 64, view: 16 }
projector: { hidden: 32, out: 4 }
trainer: { steps: 6, threads: 1, checkpoint_every: 2 }
optimiser: { name: sgd, lr: 0.01, scaling: none }
evaluate: { max_tiles: 24, views: 1 }
END
grid=("method.name=dcl,wmse" "trainer.batch=8,4" "seed=1,2")

# sweep NAME ARGUMENT...: it ends with status 1, because cells are refused.
sweep() {
    within ./run sweep "${@:2}" -o "$work/$1"
    [ $? -eq 1 ]
}

sound_table() {
    /usr/bin/python3 - "$work/reference" <<'END_PYTHON'
import csv, math, re, sys
lines = list(csv.DictReader(open(f"{sys.argv[1]}/table.csv", newline="")))
names = [line["cell"] for line in lines]
assert list(dict.fromkeys(names)) == [f"{1 + i}-{m}-{b}-{s}" for i, (m, b, s) in enumerate(
    (m, b, s) for m in ("dcl", "wmse") for b in (8, 4) for s in (1, 2))], names
failed = [line for line in lines if line["row"] == "failed"]
assert [line["cell"] for line in failed] == ["7-wmse-4-1", "8-wmse-4-2"]
assert all("whitens 4 samples" in line["reason"] and not line["view_retrieval"] for line in failed), failed
for name in dict.fromkeys(names[:-2]):
    rows = [line["row"] for line in lines if line["cell"] == name]
    assert sorted(rows) == ["chance", "colour", "pixels", "trained", "untrained"], rows
    assert all(line["reason"] == "" and 0 <= float(line["view_retrieval"]) <= 1 for line in lines if line["cell"] == name)

# Of two values the interval's half is t |a - b| / 2, with the t of one degree of freedom.
t = math.tan(0.95 * math.pi / 2)
values = {(line["method.name"], line["trainer.batch"], line["seed"]): float(line["view_retrieval"]) for line in lines if line["row"] == "trained"}
text = open(f"{sys.argv[1]}/table.md").read()
first, second = text.split("Difference from")
def said(a, b, sign=""):
    return f"{50 * (a + b):{sign}.1f} ± {50 * t * abs(a - b):.1f} |"
for method, batch in (("dcl", "8"), ("dcl", "4"), ("wmse", "8")):
    assert f"| trained | {method} | {batch} | 2 | {said(*(values[method, batch, s] for s in '12'))}" in first, (method, batch, first)
paired = [values["wmse", "8", s] - values["dcl", "8", s] for s in "12"]
assert f"| trained | wmse | 8 | 2 | {said(*paired, '+')}" in second, (paired, second)
assert "| trained | wmse | 4 | 0 |" in second
for row in ("chance", "colour", "pixels", "untrained"): # the same in all settings: once
    assert len(re.findall(rf"^\| {row} \| any \| any \| 2 \|", first, re.M)) == 1, row
assert "- 7-wmse-4-1: " in text
END_PYTHON
}

picture() {
    /usr/bin/python3 - "$1" <<'END_PYTHON'
import sys
import numpy
from PIL import Image
assert numpy.asarray(Image.open(sys.argv[1]).convert("RGB")).std() > 5
END_PYTHON
}

sweeper() { pgrep -f "sb_sweep .*-o $work/broken"; }
nobody() { ! pgrep -f "$work/broken" >/dev/null; }
hold() { # STEP: counted over the cells, as it goes on
    rm -f "$work/held.broken"
    held "$1" broken ./run sweep "${@:2}" -o "$work/broken"
}

# In the second cell everything is killed; in the third the sweep alone, and all that it started dies with it; then it is stopped.
interrupted() {
    hold 10 "$recipe" "${grid[@]}" || return 1
    stat -c %y "$work"/broken/1-*/* >"$work/before"
    pkill -KILL -f "$work/broken"
    wait $run
    until_true "the end of all" nobody || return 1
    hold 7 "$recipe" "${grid[@]}" || return 1
    kill -KILL "$(sweeper)"
    wait $run
    until_true "the end of what the sweep started" nobody || return 1
    hold 3 >"$work/stopped" 2>&1 || return 1
    kill -TERM "$(sweeper)"
    go_on trainer broken
    wait $run
    [ $? -eq 130 ] && cat "$work/stopped" && grep -q "go on with: ./run sweep -o $work/broken" "$work/stopped" && nobody
}

same_table() { cmp "$work/reference/table.csv" "$work/broken/table.csv" && cmp "$work/reference/table.md" "$work/broken/table.md"; }
same_weights_of_all() {
    local weights
    for weights in "$work"/reference/*/backbone.safetensors; do cmp "$weights" "$work/broken/${weights#"$work/reference/"}" || return 1; done
}
first_cell_untouched() { stat -c %y "$work"/broken/1-*/* | cmp - "$work/before"; }

refused() { # TEXT ARGUMENT...: fails, says TEXT and makes no folder
    ! ./run sweep "${@:2}" >"$work/refusal" 2>&1 && cat "$work/refusal" && grep -qF -- "$1" "$work/refusal" && [ ! -e "$work/none" ]
}

# Another data set is missing: its cell fails, the other is done, and one seed has no interval.
missing_data() {
    within ./run sweep "$recipe" data.path="$work/images,$work/absent" trainer.steps=2 --jobs 2 -o "$work/data"
    [ $? -eq 1 ] && grep -q '^2-.*,failed,.*absent' "$work/data/table.csv" && grep -q '^1-.*,trained,' "$work/data/table.csv" &&
        grep -q 'One seed: there are no intervals' "$work/data/table.md" && ! grep -q ± "$work/data/table.md"
}

# A trainer fails under way, as on a full disk: the reason stands in the table, and the other cell is done.
failing_trainer() {
    LD_PRELOAD=$work/fault.so FAULT=open:error=28 FAULT_PROGRAM="sb_trainer train" FAULT_FILE=metrics.jsonl FAULT_COUNTER=$work/failures FAULT_SKIP=2 FAULT_TIMES=1 sweep full "$recipe" seed=1,2 &&
        grep -q '^1-1,.*,failed,.*metrics.jsonl: No space left on device' "$work/full/table.csv" && grep -q '^2-2,.*,trained,' "$work/full/table.csv" && grep -q '^- 1-1: .*No space left' "$work/full/table.md"
}

make_images
ok "the library that stops trainers" make_fault
ok "a trainer that fails under way: its cell alone" failing_trainer
ok "a bad value is refused before anything runs" refused "trainer.batch = x" "$recipe" trainer.batch=4,x -o "$work/none"
ok "  a key that one of the methods does not have" refused "no key method.temperature with method wmse" "$recipe" "${grid[@]}" method.temperature=0.1 -o "$work/none"
ok "  an unknown key" refused "trainer.bach" "$recipe" trainer.bach=4,8 -o "$work/none"
ok "  an empty value, as of a comma in a value" refused "a value that contains a comma cannot be swept" "$recipe" trainer.batch=4,,8 -o "$work/none"
ok "  no number of jobs" refused "--jobs 0" "$recipe" "${grid[@]}" --jobs 0 -o "$work/none"
ok "  no folder" refused "-o DIR" "$recipe" "${grid[@]}"
ok "  a folder without a sweep" refused "holds no sweep" -o "$work/none"
ok "a sweep ends, two cells at a time, with two cells refused" sweep reference "$recipe" "${grid[@]}" --jobs 2
ok "  its table" sound_table
ok "  its picture" picture "$work/reference/table.png"
ok "another is killed twice and stopped" interrupted
ok "  it goes on by its folder alone" sweep broken
ok "  the cell that was done stays as it was" first_cell_untouched
ok "  the same table" same_table
ok "  the same weights" same_weights_of_all
ok "a run is no folder for a sweep" refused "is a run, not a sweep's folder" "$recipe" "${grid[@]}" -o "$work/reference/1-dcl-8-1"
ok "another grid in the same folder is refused" refused "holds a sweep of another grid" "$recipe" "${grid[@]}" trainer.steps=7 -o "$work/broken"
echo "# changed" >>"$recipe"
ok "  and another recipe" refused "holds a sweep of another recipe" "$recipe" "${grid[@]}" -o "$work/broken"
ok "a cell without data fails, the others go on" missing_data
ok "nothing is left behind" nothing_left
finish

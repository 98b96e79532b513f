#!/bin/bash
# Columns of a manifest that guide: what is refused, what a run says, and that a killed run ends as an undisturbed one does.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# manifest NAME COLUMN...: twelve images; of each column the function of that name says what an image has.
manifest() {
    local file=$work/$1.csv image column
    shift
    (IFS=,; echo "path,$*") >"$file"
    for image in {0..11}; do
        printf 'images/%02d.jpg' "$image"
        for column; do printf ',%s' "$("$column" "$image")"; done
        echo
    done >>"$file"
}
plate() { echo "p$(($1 % 3))"; }
scanner() { echo "one"; }
label() { echo "l$(($1 % 2))"; }
gaps() { [ $(($1 % 4)) -eq 0 ] || echo "g$(($1 % 2))"; }
year() { echo "19$((10 + $1))"; }

run() {
    local data=$1 name=$2
    shift 2
    within ./run train recipes/demo.yaml data.path="$work/$data" run.dir="$work/$name" "${small[@]}" trainer.steps=12 "$@"
}
# refuses TEXT DATA KEY=VALUE...: the run does not begin, and says why.
refuses() {
    local text=$1 data=$2
    shift 2
    ! run "$data" refused "$@" >"$work/said" 2>&1 && grep -F "$text" "$work/said"
    local status=$?
    cat "$work/said"
    rm -rf "$work/refused"
    return $status
}
says() { grep -F "$2" "$work/$1/log/trainer.log"; }
killed() {
    held 7 "$1" run all.csv "$1" "${@:2}" || return 1
    pkill -KILL -f "$work/$1"
    wait $run
    nothing_left && within ./run resume "$work/$1"
}
# The columns' losses are in the log of steps: numbers.
logged() {
    /usr/bin/python3 - "$work/$1/metrics.jsonl" "${@:2}" <<'END_OF_PYTHON'
import json, math, sys
for line in open(sys.argv[1]):
    guides = json.loads(line)["guides"]
    assert sorted(guides) == sorted(sys.argv[2:]) and all(math.isfinite(x) for x in guides.values()), line
END_OF_PYTHON
}
# The heads are in checkpoints, and not in what is exported.
keeps() { grep -q guide.0.6.weight "$work/$1/checkpoints/step-000000012.safetensors" && ! grep -q guide "$work/$1/backbone.safetensors"; }

make_images
manifest all plate scanner label gaps year
unused=(guide.scanner=0 guide.plate=0 guide.gaps=0 guide.year=0)
ok "what holds a trainer" make_fault
ok "a column that the manifest does not have is refused with those that it has" refuses "it has path, plate, scanner, label, gaps, year" all.csv guide.plaet=1
ok "so is a column that nothing names" refuses "no use for column \`scanner\`" all.csv guide.plate=1
ok "so is one that says the same of all images" refuses "guide.scanner: the column says one of all images" all.csv "${unused[@]}" guide.scanner=1
ok "so is a folder, whose images have a label alone" refuses "is a folder" images guide.plate=1
ok "and a place" refuses "says where a tile is" all.csv "${unused[@]}" guide.left=1
ok "a number that is none" refuses "guide.plate = much" all.csv "${unused[@]}" guide.plate=much
guides=("${unused[@]}" guide.plate=+0.5 guide.gaps=-0.5)
ok "two columns guide" run all.csv plain "${guides[@]}"
ok "  a run says which, and how many classes" says plain "guide plate: 3 classes, which the features are to tell (+0.5)"
ok "  and of a column with gaps" says plain "guide gaps: 2 classes, which the features are not to tell (-0.5)"
ok "    how many" says plain "guide gaps: 3 rows of the index without a value"
ok "  their losses are logged" logged plain plate gaps
ok "  their heads are kept, and not exported" keeps plain
ok "  killed and resumed" killed killed "${guides[@]}"
ok "    the same weights" same_weights plain killed
ok "  other images need no such columns" within ./run embed "$work/plain" "$work/images" -o "$work/features.npy"
ok "  an evaluator measures it" within ./run evaluate "$work/plain"
ok "labels guide where they are named" run all.csv labels "${unused[@]}" guide.label=1 trainer.steps=2
ok "  and a run says that it sees them" says labels "this run sees labels"
ok "in chunks, with a queue" run all.csv queue "${guides[@]}" method.name=nnclr method.queue=16 method.hidden=32 method.temperature=0.2 trainer.chunk=8 trainer.steps=4
ok "nothing is left behind" nothing_left
finish

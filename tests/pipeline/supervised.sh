#!/bin/bash
# ./run evaluate --supervised: a network that learns the labels beside a run, with its encoder and steps; what of it is in the tables, and when not.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# train NAME FOLDER [KEY=VALUE...]
train() { within ./run train recipes/demo.yaml data.path="$work/$2" run.dir="$work/$1" "${small[@]}" trainer.steps=12 evaluate.every=0 evaluate.views=2 evaluate.max_tiles=20 evaluate.labelled=40 "${@:3}"; }
compare() { within ./run evaluate --no-pictures "$work/$1" --supervised; }
steps() { lines "$work/$1/supervised/metrics.jsonl"; }
# The last evaluation of run $1 has the row, at every size: $2.
row() {
    /usr/bin/python3 - "$work/$1/evaluation.jsonl" "$2" <<'END'
import json, sys
line = json.loads(open(sys.argv[1]).readlines()[-1])
tables = [line["rows"], *line["sizes"].values()]
assert len(tables) > 1 and all(("supervised" in rows) == (sys.argv[2] == "there") for rows in tables), line
if sys.argv[2] == "there":
    assert 0 <= line["rows"]["supervised"]["knn_top1"] <= 1 and line["rows"]["supervised"] not in (line["rows"]["trained"], line["rows"]["untrained"]), line
END
}
# Nothing of these is another than the run's: each line of config.yaml stands in a section, and a view in `views`.
same_keys() {
    /usr/bin/python3 - "$work"/run/{,supervised/}config.yaml <<'END'
import sys
def sections(path):
    found = {}
    for line in open(path):
        if line[0] not in " -#\n":
            name = line.split(":")[0]
        found.setdefault(name, []).append(line)
    return found
run, labels = map(sections, sys.argv[1:])
for section in ("encoder", "data", "optimiser", "views", "trainer"):
    assert run[section] == labels[section] and len(run[section]) > 1, (section, run[section], labels[section])
assert any("supervised" in line for line in labels["method"]) and not any("supervised" in line for line in run["method"])
END
}
stopped() {
    local stop
    mkdir "$work/held.run" && held 5 run/supervised compare run || return 1
    ./run stop "$work/run/supervised" &
    stop=$!
    until_true "the word to stop" is_told "sb_trainer train $work/run/supervised" && go_on trainer run/supervised && wait $stop || return 1
    ! wait $run && [ "$(steps run)" -ge 5 ] && [ "$(steps run)" -lt 12 ] && [ ! -e "$work/run/evaluation.jsonl" ]
}
# What lies in a run is a part of it: without a name the run is meant.
is_last() { [ "$(./run status | head -n 1 | cut -d: -f1)" = "$work/run" ]; }
says() { # TEXT STATUS COMMAND...
    "${@:3}" >"$work/said" 2>&1
    local status=$?
    cat "$work/said"
    [ $status -eq "$2" ] && grep -qF -- "$1" "$work/said"
}
untouched() { [ ! -e "$work/bare/supervised" ]; }
# Another image in it: another data set.
other_tiles() {
    cp -r "$work/labelled" "$work/more" && cp "$work/images/11.jpg" "$work/more/a/12.jpg" && train other more && rm -rf "$work/other/supervised" &&
        cp -r "$work/run/supervised" "$work/other/supervised" && says "was trained on other tiles" 0 ./run evaluate --no-pictures "$work/other"
}

make_images
mkdir -p "$work"/labelled/{a,b} && cp "$work"/images/0[0-5].jpg "$work/labelled/a" && cp "$work"/images/{0[6-9],1?}.jpg "$work/labelled/b"
ok "what holds a trainer" make_fault
ok "a run" train run labelled
cp "$work/run/backbone.safetensors" "$work/before"
ok "it is to be compared, and stopped on the way" stopped
ok "  the run is the one used last" is_last
ok "the same command goes on, without a name too" within ./run evaluate --no-pictures --supervised
ok "  in as many steps as the run" [ "$(steps run)" = 12 ]
ok "  with its keys" same_keys
ok "  and the row is there" row run there
ok "  the run is as it was" cmp "$work/before" "$work/run/backbone.safetensors"
ok "once more: nothing is trained" eval 'touch "$work/then" && compare run && [ ! "$work/run/supervised/metrics.jsonl" -nt "$work/then" ]'
ok "without being asked for it is in the tables, too" eval './run evaluate --no-pictures "$work/run" && row run there'
ok "one that cannot be read is no row, and no failure" eval 'mv "$work/run/supervised/checkpoints" "$work/away" && says "there is no row of" 0 ./run evaluate --no-pictures "$work/run" && row run gone && mv "$work/away" "$work/run/supervised/checkpoints"'
ok "the run has more steps" within ./run resume "$work/run" trainer.steps=16
ok "  what has fewer is left out" says "has done 12 of 16 steps: there is no row of it" 0 ./run evaluate --no-pictures "$work/run"
ok "  in all tables" row run gone
ok "  and is trained further when it is asked for" compare run
ok "    as far" eval '[ "$(steps run)" = 16 ] && row run there'
ok "other data" other_tiles
ok "  are no row" row other gone
ok "without labels" train bare images trainer.steps=2
ok "  it is refused" says "the data have no labels" 1 ./run evaluate "$work/bare" --supervised
ok "  and nothing is begun" untouched
ok "  nor is it for an option that is none" says "no option --foo" 1 ./run evaluate "$work/bare" --supervised --foo
ok "of a run that learns labels it is refused" says "learns labels itself" 1 ./run evaluate "$work/run/supervised" --supervised
ok "nothing is left behind" nothing_left
finish

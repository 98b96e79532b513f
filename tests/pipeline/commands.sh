#!/bin/bash
# What a command says to somebody who mistypes, forgets or asks for what cannot be: one line that names it, before anything is built, fetched
# or computed, and what to do.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# refuses PATTERN COMMAND...: status 1, and one line.
refuses() { says 1 "$@" && [ "$(lines "$work/out")" = 1 ]; }
# A copy in which nothing is built, and whatever would build or fetch says so.
unbuilt() {
    mkdir -p "$work/bare/tests" "$work/tools" && cp -r run launch "$work/bare" && cp -r tests/bench "$work/bare/tests" &&
        for tool in make apt-get pip; do printf '#!/bin/sh\necho built\nexit 1\n' >"$work/tools/$tool" && chmod +x "$work/tools/$tool"; done
}
untouched() {
    local pattern=$1
    shift
    (unset SB_BUILD && PATH=$work/tools:$PATH within "$work/bare/run" "$@" >"$work/out" 2>&1 </dev/null)
    local status=$?
    cat "$work/out"
    [ $status -ne 0 ] && said "$pattern" && ! said built && [ ! -e "$work/bare/build" ]
}

last_says() { tail -n 1 "$work/out" | grep -qE -- "$1"; }
# Said of a data set, and at the start of a run.
held_out() {
    make_images && mkdir "$work/few" && cp "$work"/images/0[0-2].jpg "$work/few" && touch "$work/few/.complete" && says 0 "note: 0 held-out tiles: an evaluation needs 2 .*data.tile = 256.*split" ./run index "$work/few" data.tile=256 &&
        ! said "passed over" && # our own mark is none
        says 0 "nothing can be measured: 0 held-out tiles" ./run train recipes/demo.yaml data.path="$work/few" run.dir="$work/short" "${small[@]}" data.tile=256 data.tiles_per_image=4 trainer.steps=2
}

ok "a command that is none: those that there are" refuses "^run: there is no command trian; there are demo, check, plan, train, .*, help \(\./run help\)$" ./run trian
ok "help for a command" says 0 "^  index RUN --recheck" ./run help index
ok "... that is none" refuses "no command evalute; there are demo" ./run help evalute
ok "a copy in which nothing is built" unbuilt
ok "bench: a peer that is none, before anything is built or fetched" untouched "peer: invalid choice: 'foo'" bench --peer=foo
ok "... a benchmark that is none" untouched "invalid choice: 'fast'" bench fast
ok "... a file that cannot be written" untouched "nowhere/x: it cannot be written" bench --json "$work/nowhere/x"
ok "doctor: an option that is none" untouched "doctor: no option --foo" doctor --foo
for command in demo train resume; do ok "$command: an option that is none" untouched "$command: no option --foo" $command x=1 --foo; done
ok "check: an argument" untouched "check: no option unit" check unit
ok "a key without its value, beside a recipe" refuses "trainer.steps=VALUE was expected: optimiser steps of the run \(default 1000; allowed: 1 to " ./run train demo trainer.steps
ok "... beside a run" refuses "resume: run.loaders=VALUE was expected" ./run resume "$work/one" run.loaders
ok "another method over a recipe: the recipe that is for it" says 1 "the recipe for simsiam is methods/simsiam" ./run plan demo method.name=simsiam
ok "... the reason comes last" last_says "there is no key method.temperature with method simsiam"
ok "images of which nothing is held out" held_out
# The best step is the last: it does not say that it goes on.
best_is_last() {
    run_small best && ./run evaluate --no-pictures "$work/best" && says 0 "^the best checkpoint is the last" ./run resume "$work/best" --best && ! said "it goes on" && said "best is finished: step 12 of 12"
}
ok "a finished run, from its best step" best_is_last
# What it computes on, and why not on a GPU, is said once.
said_once() { says 0 "trainer: device: CPU, " ./run resume "$work/best" trainer.steps=13 && [ "$(grep -c "no GPU" "$work/out")" = 1 ] && said "augment: device: CPU"; }
if [ -e "$SB_BUILD/sb_cuda.so" ]; then skip "no GPU: said once" "there is a plug-in"; else ok "no GPU: said once" said_once; fi
ok "a folder in a recipe's place" refuses "train: $work/images is a folder, and no recipe: ./run train demo data.path=$work/images" ./run train "$work/images"
ok "similar without its image" refuses "similar: IMAGE was expected behind the run $work/best" ./run similar "$work/best"
ok "embed without its data" refuses "embed: DATA was expected behind the run $work/best" ./run embed "$work/best" -o "$work/x.npy"
ok "an option of another command: status" refuses "status: no option --now" ./run status "$work/best" --now
ok "... evaluate" refuses "evaluate: no option -n3" ./run evaluate "$work/best" -n3
ok "... plan" refuses "plan: no option --best" ./run plan demo --best
ok "... behind one that it has" refuses "report: no option --best" ./run report "$work/best" -o "$work/x.html" --best
ok "one argument too many" refuses "export: one argument too many: seed=4" ./run export "$work/best" -o "$work/x" seed=4
ok "an index that is there stays" refuses "best has its index" ./run index "$work/best" --freeze
ok "two recipes" refuses "one recipe, not demo methods/byol \(a key is given as KEY=VALUE\)" ./run train demo methods/byol
finish

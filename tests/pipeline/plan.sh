#!/bin/bash
# ./run plan as a user meets it: every recipe on five sizes of device, with nothing created; and a chunk that was chosen at the start is kept.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Every recipe has a table of four rows for each size of view, and either fits or says that it does not.
every_recipe() {
    local recipe sizes=(4GiB 8GiB 16GiB 24GiB 80GiB)
    for recipe in recipes/*.yaml recipes/*/*.yaml; do
        build/sb_trainer plan --recipe "$recipe" "${sizes[@]/#/--device-memory=}" >"$work/plan" || { echo "$recipe"; return 1; }
        if [ "$(grep -c '^for a device of ' "$work/plan")" -ne 5 ] || [ $(($(grep -c ' px ' "$work/plan") % 20)) -ne 0 ] ||
            ! grep -q " px  *blocks  .* of " "$work/plan"; then echo "$recipe" && cat "$work/plan" && return 1; fi
    done
}
# A recipe for a card fits it, with enough views in a norm; one that names no card fits 8 GB.
cards_fit() {
    local recipe name memory
    for recipe in recipes/cards/*.yaml; do
        name=$(basename "$recipe")
        memory=8
        [[ $name =~ ^([0-9]+)gb- ]] && memory=${BASH_REMATCH[1]}
        build/sb_trainer plan --recipe "$recipe" --device-memory "${memory}GiB" trainer.threads=2 >"$work/plan" || return 1
        if grep "DOES NOT FIT" "$work/plan" || ! sed -n 's/.*trainer.chunk = \([0-9]*\) of .*/\1/p' "$work/plan" | awk '{ views = $1 } END { exit views < 16 }'; then
            echo "$recipe" && cat "$work/plan" && return 1
        fi
    done
}
plugin=build/tests/sb_emulated.so
# README shows what the planner says with the arithmetic of a GPU's kernels.
as_shown() {
    local recipe memory line rows=0
    while IFS='|' read -r _ recipe memory line; do
        recipe=${recipe// /} memory=${memory//[^0-9]/} line=${line%%|}
        build/sb_trainer plan --recipe "recipes/${recipe//\`/}.yaml" device=cuda cuda.plugin=$plugin --device-memory "${memory}GiB" >"$work/plan" || return 1
        awk -v shown="$line" '/trainer.chunk/ { gsub(",", ""); for (i = 1; i < NF; i++) { if ($i == "trainer.chunk") chunk = $(i + 2) " of " $(i + 4); if ($i == "trainer.recompute") again = $(i + 2) } }
            $1 == "all" { all = $2 } END { want = " " all " MiB | " chunk " | " again " "; print want; exit index(shown, want) != 1 }' "$work/plan" || { echo "README: $recipe |$line" && return 1; }
        rows=$((rows + 1))
    done < <(grep '^| `cards/' README.md)
    [ "$rows" -eq "$(find recipes/cards -name '*.yaml' ! -name cpu.yaml | wc -l)" ]
}
# Neither more memory nor more that is made again gives a smaller chunk: the chunks with memory $1, of the rows for views of $2 pixels.
chunks() { build/sb_trainer plan --recipe recipes/methods/dcl.yaml trainer.batch=256 data.view=512 --device-memory "$1" | awk -v px="$2" '$1 == px { print $4 }'; }
more_fits() {
    local few many
    few=$(chunks 4GiB 512) many=$(chunks 16GiB 512)
    echo "$few" "$many"
    paste <(echo "$few") <(echo "$many") | awk '!($1 <= $2 && $1 >= last) { bad = 1 } { last = $1 } END { exit bad || NR != 4 }'
}
# Where a method hides cells, the table's sizes are of whole cells.
whole_cells() {
    build/sb_trainer plan --recipe recipes/methods/fcmae.yaml --device-memory 8GiB data.path="$work" data.view=160 trainer.batch=8 >"$work/plan" &&
        [ "$(awk '$2 == "px" && $3 == "none" { print $1 }' "$work/plan" | tr '\n' ' ')" = "64 160 320 640 " ]
}
too_small() { build/sb_trainer plan --recipe recipes/demo.yaml --device-memory 400MiB | tee "$work/plan" && grep -q "DOES NOT FIT" "$work/plan" && grep -q "does not fit" "$work/plan"; }
# refused TEXT ARGUMENTS...
refused() {
    local text=$1 said
    shift
    ! said=$(./run plan "$@" 2>&1) && echo "$said" && [[ $said == *"$text"* ]]
}
timed() { ./run plan demo data.view=32 trainer.batch=8 >"$work/plan" && cat "$work/plan" && grep -q "^time: .* images/s" "$work/plan"; }
kept() {
    build/sb_trainer prepare --recipe recipes/demo.yaml data.path="$work" data.view=32 run.dir="$work/run" trainer.batch=8 &&
        grep -q '^  chunk: 16$' "$work/run/config.yaml" && grep -q '^  recompute: none$' "$work/run/config.yaml"
}

ok "every recipe on five devices" every_recipe
ok "a recipe for a card fits it" cards_fit
if [ "$(head -c 4 $plugin 2>/dev/null)" = $'\x7fELF' ]; then ok "as README shows" as_shown; else ok "as README shows # SKIP the emulated device was not built" true; fi
ok "more memory, larger chunks" more_fits
ok "sizes of views are of whole cells" whole_cells
ok "a device that is too small" too_small
ok "on this machine it says how long" timed
ok "what is chosen stands in the run's configuration" kept
ok "no recipe" refused "plan: name a recipe: demo.yaml"
ok "an unknown recipe" refused "plan: there is no recipe nowhere" nowhere
ok "a wrong size" refused "a size like 8GiB" demo --device-memory 8
ok "a wrong key" refused "trainer.chnk" demo trainer.chnk=3
ok "a chunk of 0" refused "trainer.chunk = 0: must be auto or a whole number from 1" demo trainer.chunk=0
ok "nothing is left behind" nothing_left
finish

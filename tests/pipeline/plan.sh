#!/bin/bash
# ./run plan as a user meets it: every recipe on five sizes of device, with nothing created; and a chunk that was chosen at the start is kept.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Every recipe has a table of three rows for each size of view, and either fits or says that it does not.
every_recipe() {
    local recipe size
    for recipe in recipes/*.yaml recipes/methods/*.yaml; do
        for size in 4 8 16 24 80; do
            build/sb_trainer plan --recipe "$recipe" --device-memory ${size}GiB >"$work/plan" || { echo "$recipe $size"; return 1; }
            if ! grep -q "for a device of $((size * 1024)) MiB" "$work/plan" || [ $(($(grep -c ' px ' "$work/plan") % 3)) -ne 0 ] ||
                ! grep -q " px  *blocks  .* of " "$work/plan"; then echo "$recipe $size" && cat "$work/plan" && return 1; fi
        done
    done
}
# More memory never gives a smaller chunk, and more that is made again never a larger one; COLUMN of the rows for view size $1.
chunks() { build/sb_trainer plan --recipe recipes/methods/dcl.yaml trainer.batch=256 data.view=512 --device-memory "$1" | awk -v px="$2" '$1 == px { print $4 }'; }
more_fits() {
    local few many
    few=$(chunks 4GiB 512) many=$(chunks 16GiB 512)
    echo "$few" "$many"
    paste <(echo "$few") <(echo "$many") | awk '!($1 <= $2 && $1 >= last) { bad = 1 } { last = $1 } END { exit bad || NR != 3 }'
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
ok "more memory, larger chunks" more_fits
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

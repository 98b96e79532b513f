#!/bin/bash
# Files that cannot be read for a while, tiles that cannot be decoded: what is away is never in the quarantine and comes back; a file of which nothing
# can be decoded is given up once, one of which some tiles can goes on without the others; what was given up can be tried again.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# run_away NAME [KEY=VALUE...]
run_away() {
    local name=$1
    shift
    run_small "$name" trainer.steps=8 trainer.checkpoint_every=2 data.max_bad=0.6 "$@"
}
same() { cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors"; }
blames_nobody() { [ ! -s "$work/$1/quarantine.jsonl" ]; }
augment_said() { grep -qE -- "$2" "$work/$1/log/augment.log"; }

# ---- away ----
# One loader, which keeps one image, so that every file is needed again and again; it goes on until the file was read again.
vanishing() {
    local run status=0
    held 2 vanish run_away vanish run.loaders=1 data.window=1 loader.cache_mb=1 trainer.steps=100000 || return 1
    mv "$work/images/08.jpg" "$work/08.jpg"
    go_on trainer vanish
    until_true "the loss of 08.jpg" augment_said vanish "cannot be read now, and is left out until it can: .*08.jpg: No such file" &&
        until_true "status" eval './run status "$work/vanish" | grep -q "cannot be read now: 1"' || status=1
    mv "$work/08.jpg" "$work/images/08.jpg"
    until_true "its return" augment_said vanish "08.jpg can be read again" && ./run stop "$work/vanish" || status=1
    wait "$run" # which says that it was stopped
    [ "$status" -eq 0 ] && blames_nobody vanish
}
# failing ERRNO NAME: every read of two files fails in every loader.
failing() {
    LD_PRELOAD=$work/fault.so FAULT=read:error=$1 FAULT_FILE='0[35].jpg' run_away "$2" run.loaders=2 &&
        augment_said "$2" "0[35].jpg: $3" && blames_nobody "$2"
}
# More than data.max_bad are away: none takes their place.
many_away() {
    local run i
    held 2 many run_away many run.loaders=2 loader.cache_mb=1 data.max_bad=0.05 || return 1
    mkdir "$work/elsewhere"
    for i in 00 02 03 05 08 09 10 11; do mv "$work/images/$i.jpg" "$work/elsewhere"; done
    go_on trainer many
    until_true "the waiting" augment_said many "images cannot be read, more than data.max_bad = 0.05 allows to be bad: they are waited for"
    mv "$work/elsewhere"/* "$work/images" && wait "$run" && blames_nobody many
}
absent_at_resume() {
    local run
    cp -a "$work/half" "$work/absent" && mv "$work/images" "$work/gone" && mkdir "$work/images" && cp "$work/gone"/0[0-2].jpg "$work/images" || return 1
    says 1 "9 of the 12 files of .*absent/index.bin cannot be read, more than data.max_bad = 0.6 allows" ./run resume "$work/absent" trainer.steps=6 && blames_nobody absent || return 1
    rm -r "$work/images" && mv "$work/gone" "$work/images" && within ./run resume "$work/absent" trainer.steps=6 && blames_nobody absent
}

# ---- tiles ----
# Twelve files of tiles, as they were indexed; then each of those that are named loses its codec, or NAME:SHARE that share of its tiles.
make_tiled() {
    /usr/bin/python3 - "$work/tiled" <<'END'
import os, sys
sys.path.insert(0, "tests/oracle")
from images import pattern, write_tiff
os.makedirs(sys.argv[1])
for i in range(12):
    write_tiff(f"{sys.argv[1]}/{i:02d}.tif", [pattern(600, 400, i)], 2, tile=32, deflate=True)
END
}
spoil() {
    /usr/bin/python3 - "$work/tiled" "$@" <<'END'
import random, struct, sys
generator = random.Random(4)
for what in sys.argv[2:]:
    name, share = (what.split(":") + [None])[:2]
    data = bytearray(open(f"{sys.argv[1]}/{name}.tif", "rb").read())
    start = struct.unpack_from("<I", data, 4)[0]
    entries = {struct.unpack_from("<H", data, start + 2 + 12 * i)[0]: start + 2 + 12 * i for i in range(struct.unpack_from("<H", data, start)[0])}
    if share is None:
        struct.pack_into("<H", data, entries[259] + 8, 34999)  # no codec has this number
    else:
        count, offsets = struct.unpack_from("<II", data, entries[324] + 4)
        for tile in generator.sample(range(count), int(count * float(share))):
            at = struct.unpack_from("<I", data, offsets + 4 * tile)[0]
            data[at:at + 2] = b"no"  # zlib knows that this is none of its own
    open(f"{sys.argv[1]}/{name}.tif", "wb").write(data)
END
}
# tiled NAME [KEY=VALUE...]: a run that was indexed before the files were spoilt.
tiled() {
    cp -a "$work/indexed" "$work/$1" && sed -i "s|^  dir: .*|  dir: '$work/$1'|" "$work/$1/config.yaml" && within ./run resume "$work/$1" "${@:2}"
}
prepare_tiled() {
    "$SB_BUILD"/sb_trainer prepare --recipe recipes/demo.yaml data.path="$work/tiled" run.dir="$work/indexed" "${small[@]}" trainer.steps=8 data.max_bad="$1" "${@:2}" &&
        "$SB_BUILD"/sb_loader index "$work/indexed" --freeze
}
# given_up NAME FILE...: these files, whole and once; of any file at most three tiles.
given_up() {
    /usr/bin/python3 - "$work/$1/quarantine.jsonl" "${@:2}" <<'END'
import collections, json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
whole = [line["path"] for line in lines if "left" not in line]
tiles = collections.Counter(line["path"] for line in lines if "left" in line)
assert sorted(whole) == sorted(f"{name}.tif" for name in sys.argv[2:]), whole
assert len({(line["path"], line.get("left"), line.get("top")) for line in lines}) == len(lines), lines
assert all(count <= 3 for count in tiles.values()), tiles
END
}
nothing_decodes() {
    spoil 01 02 03 05 06 07 08 10 11 && tiled all >"$work/out" 2>&1
    [ $? -eq 1 ] && said "of 12 images cannot be used, more than data.max_bad = 0.6 allows" && [ "$(lines "$work/all/quarantine.jsonl")" -le 48 ] && nothing_left
}
refused_by_the_index() {
    says 1 "no image that can be used; .*00.tif: .*34999" ./run train recipes/demo.yaml data.path="$work/tiled" run.dir="$work/never" "${small[@]}"
}

# ---- again ----
quarantined_and_mended() {
    local run
    cp "$work/images/05.jpg" "$work/05.jpg" && truncate -s 2000 "$work/images/05.jpg" && cp -a "$work/half" "$work/again" && printf 'gone' >"$work/images/text.jpg" &&
        within ./run resume "$work/again" trainer.steps=6 && grep -q '"05.jpg".*has changed' "$work/again/quarantine.jsonl" || return 1
    echo '{"path":"text.jpg","page":0,"reason":"of the index"}' >>"$work/again/quarantine.jsonl"
    says 0 "^stays out: 05.jpg: " ./run index "$work/again" --recheck && [ "$(lines "$work/again/quarantine.jsonl")" -eq 2 ] || return 1
    cp "$work/05.jpg" "$work/images/05.jpg" && rm "$work/images/text.jpg"
    says 0 "^back: 05.jpg$" ./run index "$work/again" --recheck && said "^stays out: text.jpg: the index of this run" || return 1
    [ "$(lines "$work/again/quarantine.jsonl")" -eq 1 ] && ! grep -q 05.jpg "$work/again/quarantine.jsonl"
}
refused_while_live() {
    local run
    held 2 live run_away live || return 1
    says 1 "live is live" ./run index "$work/live" --recheck
    local status=$?
    go_on trainer live
    wait "$run" && return $status
}

make_images
ok "the library that makes disks fail" make_fault
ok "a run whose files are all there" run_away sound data.max_bad=0.05
ok "an image vanishes, is left out, and comes back" vanishing
ok "a disk that fails (EIO) on two files" failing 5 eio "Input/output error"
ok "a file handle that is stale (ESTALE)" failing 116 stale "Stale file handle"
ok "more are away than may be bad: they are waited for" many_away
ok "  the same weights" same sound many
ok "half of a run" run_away half trainer.steps=4
ok "most files are absent at resume: refused, and when they are back it goes on" absent_at_resume
ok "a file is cut, quarantined, mended, tried again" quarantined_and_mended
ok "  not while the run is live" refused_while_live
ok "files of tiles" make_tiled
ok "  are indexed" prepare_tiled 0.6
spoil 00 04 09 03:0.03 07:0.03
ok "three lose their codec, two some tiles: one loader" tiled one run.loaders=1
ok "  the three are given up, once, and of the others at most three tiles are written down" given_up one 00 04 09
ok "three loaders" tiled three run.loaders=3
ok "  the same weights" same one three
ok "loaders are killed" disturbed killed kill_loader tiled killed run.loaders=3
ok "  the same weights" same one killed
ok "nothing can be decoded: the run ends" nothing_decodes
ok "the index refuses them" refused_by_the_index
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# A loader that delivers for many epochs, images of many sizes and formats, most of them decoded anew each time: it needs no more memory, no more
# descriptors and no more threads at the end than after the first few. And a run in a control group of little memory: its processes share what that leaves.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

BEFORE=10 EPOCHS=100 # what the allocator keeps is there after the first
GROWTH_KIB=3072      # of some 40 MiB, while 6000 tiles of 48 KiB are decoded: the system may hand out a huge page of 2 MiB for a small one
GROWTH=2             # threads, descriptors: libvips ends a thread when it has had nothing to do for a while

make_formats() {
    mkdir "$work/formats" && /usr/bin/python3 - "$work/formats" <<'END'
import sys
sys.path.insert(0, "tests/oracle")
import numpy
from PIL import Image
from images import pattern, write_tiff
folder = sys.argv[1] + "/"
sizes = iter([(640, 500), (150, 400), (333, 222), (128, 128), (60, 50), (512, 300), (90, 640), (401, 399), (256, 256), (310, 170), (77, 333), (640, 200),
              (222, 444), (300, 300), (129, 257), (180, 90)])
image = lambda: Image.fromarray(pattern(*next(sizes)))
image().save(folder + "baseline.jpg", quality=85)
image().save(folder + "progressive.jpg", quality=90, progressive=True, subsampling=0)
image().convert("L").save(folder + "grey.jpg")
image().convert("CMYK").save(folder + "cmyk.jpg")
turned = Image.Exif()
turned[274] = 6
image().save(folder + "turned.jpg", exif=turned)
image().save(folder + "colour.png")
image().quantize(50).save(folder + "palette.png", transparency=5)
Image.merge("RGBA", (*(rgb := image()).split(), rgb.convert("L"))).save(folder + "alpha.png")
Image.fromarray(numpy.asarray(image().convert("L")).astype(numpy.uint16) * 256).save(folder + "deep.png")
image().save(folder + "lossy.webp")
image().save(folder + "lossless.webp", lossless=True)
image().quantize(200).save(folder + "palette.gif")
image().save(folder + "lzw.tif", compression="tiff_lzw")
write_tiff(folder + "tiled.tif", [numpy.asarray(image())], 2, tile=64)
write_tiff(folder + "deep.tif", [numpy.asarray(image()).astype(numpy.uint16) * 256], 2)
write_tiff(folder + "pages.tif", [pattern(200, 150, 1), pattern(130, 260, 2)], 2)
data = bytearray(open(folder + "baseline.jpg", "rb").read())
open(folder + "cut.jpg", "wb").write(data[:len(data) // 2])
END
}

# Of the loader: resident memory in KiB, threads, descriptors.
needs() {
    awk '$1 == "VmRSS:" { memory = $2 } $1 == "Threads:" { threads = $2 } END { printf "%d %d ", memory, threads }' "/proc/$loader/status"
    find "/proc/$loader/fd" -mindepth 1 | wc -l
}
epochs() { echo "$1" >&"${tiles[1]}" && read -r -t $DEADLINE <&"${tiles[0]}"; }

# Tiles are taken by loader_tool and thrown away. The cache holds two or three of the images, so that most tiles are decoded anew.
serve_long() {
    local run="$work/run" before after
    build/sb_trainer prepare --recipe recipes/demo.yaml data.path="$work/formats" run.dir="$run" data.tile=128 data.window=20 trainer.batch=8 \
        loader.cache_mb=1 data.max_bad=0.2 && build/sb_loader index "$run" --freeze || return 1
    coproc tiles { exec build/tests/bench/loader_tool "$run" 1; }
    # shellcheck disable=SC2154 # coproc sets it
    local pid=$tiles_PID in=${tiles[1]}
    SB_SUPERVISOR=$$ OMP_NUM_THREADS=1 build/sb_loader serve "$run" &
    loader=$!
    epochs $BEFORE && read -ra before < <(needs) && epochs $EPOCHS && read -ra after < <(needs)
    kill $loader
    exec {in}>&-
    wait $loader "$pid"
    echo "memory in KiB, threads, descriptors: ${before[*]} after $BEFORE epochs, ${after[*]} after $EPOCHS more"
    [ ${#after[@]} -eq 3 ] && [ "${after[0]}" -le $((before[0] + GROWTH_KIB)) ] && [ "${after[1]}" -le $((before[1] + GROWTH)) ] &&
        [ "${after[2]}" -le $((before[2] + GROWTH)) ] && grep -q "cut.jpg" "$run/quarantine.jsonl"
}

# Photographs-to-be of 4000 x 3000: 34 MiB each, 550 in loaders that keep all of them.
make_large() {
    mkdir "$work/large" && /usr/bin/python3 - "$work/large" <<'END'
import sys
import numpy
from PIL import Image
generator = numpy.random.default_rng(7)
for i in range(16):
    small = generator.integers(0, 256, (30, 40, 3), dtype=numpy.uint8)
    Image.fromarray(small).resize((4000, 3000), Image.BILINEAR).save(f"{sys.argv[1]}/{i:02d}.jpg", quality=80)
END
}

# A control group of $1 MiB, of whichever version can be made here, as $group.
make_group() {
    local bytes=$(($1 << 20))
    for group in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        group=$group/${work##*/}
        mkdir "$group" 2>/dev/null || continue
        for limit in memory.limit_in_bytes memory.max; do
            if [ -w "$group/$limit" ] && echo $bytes >"$group/$limit"; then return; fi
        done
        rmdir "$group"
    done 2>/dev/null
    group=
    return 1
}
grouped() { (echo $BASHPID >"$group/cgroup.procs" && "$@"); }
killed() { cat "$group"/memory.oom_control "$group"/memory.events 2>/dev/null | awk '$1 == "oom_kill" { print $2 }'; }

train_large() {
    within ./run train demo data.path="$work/large" run.dir="$work/$1" "${small[@]}" trainer.steps=6 "${@:2}"
}
little_memory() {
    train_large plain run.loaders=1 loader.cache_mb=300 && grouped train_large little || return 1
    echo "killed in the group: $(killed)"
    [ "$(killed)" = 0 ] && grep -q "memory: .* MiB may be used (control group): trainer .*, rings .*, augment .*, 2 loaders up to" "$work/little/log/trainer.log" &&
        cmp "$work/plain/backbone.safetensors" "$work/little/backbone.safetensors"
}
# Others take memory while the run has no trainer. Where that leaves too little to start one it waits, where it leaves less than is planned for it
# goes on with the least; a run that begins then is refused.
hog() { # MIB: takes so much in the group, as $hog
    (echo $BASHPID >"$group/cgroup.procs" && exec /usr/bin/python3 -c 'import sys, time
held = bytearray(b"x") * (int(sys.argv[1]) << 20)
print("taken", flush=True)
time.sleep(3600)' "$1" "$work/" >"$work/hog") &
    hog=$!
    until_true "$1 MiB to be taken" grep -q taken "$work/hog"
}
free_hog() { kill $hog; wait $hog; rm "$work/hog"; }
waits() { says 0 "$work/short: waiting for memory" ./run status "$work/short"; }
others_take_memory() {
    local run before status
    before=$(killed)
    held 3 short grouped train_large short || return 1
    suspend "$(cat "$work/short/lock")" && pkill -KILL -f "sb_trainer train $work/short"
    hog 340 && kill -CONT "$(cat "$work/short/lock")" && until_true "the wait for memory" waits
    status=$?
    free_hog
    hog 100 && [ $status -eq 0 ] && wait "$run"
    status=$?
    ! grouped train_large refused || status=1
    free_hog
    [ $status -eq 0 ] && [ "$(killed)" = "$before" ] && grep -q "supervisor: trainer found too little memory; it is started again" "$work/short/log/trainer.log" &&
        grep -q "The run had begun, and goes on with the least that it needs" "$work/short/log/trainer.log" &&
        grep -q "lower run.loaders" "$work/refused/log/trainer.log" && cmp "$work/plain/backbone.safetensors" "$work/short/backbone.safetensors"
}
# With ten loaders, one image in each is too much; with 64 the loaders themselves.
too_many_loaders() {
    local before
    before=$(killed)
    grouped train_large many run.loaders=10 && return 1
    grouped train_large more run.loaders=64 && return 1
    [ ! -s "$work/more/log/loader.log" ] && grep -q "each of run.loaders = 64 takes" "$work/more/log/trainer.log" &&
        grep -q "each of run.loaders = 10 takes .* MiB to have $work/large/00.jpg decoded (4000 x 3000): lower run.loaders" "$work/many/log/trainer.log" && [ "$(killed)" = "$before" ]
}

scaled_up() {
    local run before
    before=$(killed)
    held 3 scaled grouped train_large scaled || return 1
    says 1 "64 loaders: there is memory for [2-4] " ./run scale "$work/scaled" loaders=64 && go_on trainer scaled && wait "$run" && [ "$(killed)" = "$before" ]
}

make_formats
ok "a loader needs no more after $EPOCHS epochs of images of 17 kinds" serve_long
grep "^memory in KiB" "$work/log" | sed 's/^/# /'
make_large
ok "what holds a trainer" make_fault
if make_group 600; then
    ok "in a control group of 600 MiB: no process is killed, and the weights are the same" little_memory
    ok "others take memory meanwhile: a run that had begun waits, or goes on with less" others_take_memory
    ok "too many loaders for it: refused, with what to lower" too_many_loaders
    ok "too many while it trains: refused, with how many there is memory for" scaled_up
else
    for what in "in a control group of little memory" "others take memory meanwhile" "too many loaders for it" "too many while it trains"; do skip "$what" "no control group of memory can be made here"; done
fi
ok "nothing is left behind" nothing_left
[ -z "$group" ] || rmdir "$group"
finish

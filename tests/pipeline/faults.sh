#!/bin/bash
# Bad images in a run: truncated, damaged, crashing or hanging the decoder. The run ends, each is in quarantine.jsonl with a reason, and the
# weights are the same whatever the moment a fault is found: one loader or three, loaders killed, everything killed and resumed.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# run_bad NAME [KEY=VALUE...]
run_bad() {
    local name=$1
    shift
    run_small "$name" trainer.steps=6 trainer.checkpoint_every=2 data.max_bad=0.6 "$@"
}

same() { cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors"; }

# The paths in a quarantine, from data.path on: each once, each with a reason.
quarantined() {
    /usr/bin/python3 - "$work/$1/quarantine.jsonl" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len({(line["path"], line.get("left"), line.get("top")) for line in lines}) == len(lines), lines
assert all(len(line["reason"]) > 10 for line in lines), lines
print("\n".join(sorted(line["path"] for line in lines)))
END
}
# quarantine_is NAME FILE...
quarantine_is() {
    local name=$1
    shift
    diff <(quarantined "$name") <(printf '%s\n' "$@" | sort)
}

killed_and_resumed() {
    local run
    held 3 resumed run_bad resumed run.loaders=2 || return 1
    pkill -KILL -f "$work/resumed"
    wait "$run"
    nothing_left && within ./run resume "$work/resumed"
}

too_many() {
    run_bad toomany data.max_bad=0.2 >"$work/out" 2>&1
    local status=$?
    cat "$work/out"
    # What it advises helps; and no line names a file twice.
    [ $status -eq 1 ] && grep -q "images cannot be used, more than data.max_bad = 0.2 allows" "$work/out" && nothing_left && ! grep -E 'quarantined (/[^:]*): \1' "$work/out" &&
        ! grep -q '"reason":"/' "$work/toomany/quarantine.jsonl" && within ./run resume "$work/toomany" "$(grep -oE 'data.max_bad=[0-9.]+$' "$work/out" | tail -n 1)"
}

# faulty FAULT FILE TIMES COMMAND...: COMMAND, whose loaders meet FAULT (preload/fault.c) at FILE, TIMES times (0: whenever).
faulty() {
    local limit=()
    [ "$3" -eq 0 ] || limit=(FAULT_COUNTER="$work/counter.$RANDOM" FAULT_TIMES="$3")
    (
        export LD_PRELOAD="$work/fault.so" FAULT=$1 FAULT_FILE=$2 "${limit[@]}"
        "${@:4}"
        status=$?
        for setting in "${limit[@]}"; do
            [[ $setting != FAULT_COUNTER=* ]] || [ "$(stat -c %s "${setting#*=}")" -eq "$3" ] || status=99 # it did not happen
        done
        exit $status
    )
}
killed_for_hanging() { grep -q "made no progress for 0.5 s (loader.timeout) on .*$2 and is killed" "$work/$1/log/augment.log"; }
# failed_thrice NAME FILE HOW: dying loaders said so (one may have had its order before the third), and the quarantine does.
failed_thrice() {
    [ "$(grep -c "loader [0-9]* $3 on .*$2" "$work/$1/log/augment.log")" -ge 3 ] &&
        grep -q "$2.*the decoder failed on it 3 times, the last time it $3" "$work/$1/quarantine.jsonl"
}
not_quarantined() { [ ! -e "$work/$1/quarantine.jsonl" ]; }

# The whole run is stopped for longer than loader.timeout while a loader decodes; augment goes on first.
stopped_and_continued() {
    faulty decode:19 03.jpg 1 run_bad paused run.loaders=1 loader.timeout=10 &
    local run=$!
    until_true "the loader's stop" is_stopped "sb_loader serve $work/paused" && pkill -STOP -f "sb_augment $work/paused" && sleep 10.5 &&
        pkill -CONT -f "sb_augment $work/paused" && sleep 0.3 && go_on loader paused && wait $run && ! grep -q "no progress" "$work/paused/log/augment.log"
}

# A program that gives no sign of life, of augment and of loaders the only one: it is killed and started again, and counts for nothing.
# without_sign PROGRAM NAME: the run's log of PROGRAM says so.
without_sign() { grep -q "smallbatch supervisor: $1.* gave no sign of life for [0-9.]* s (three times loader.timeout) and was killed; it is started again" "$work/$2/log/$1.log"; }
augment_stopped() {
    local run pids
    held 3 silent run_bad silent loader.timeout=0.7 run.loaders=1 || return 1
    mapfile -t pids < <(pgrep -f "sb_augment $work/silent")
    suspend "${pids[@]}" && go_on trainer silent && wait "$run" && without_sign augment silent
}
# The index is the first of the run's files that either opens.
at_start() {
    FAULT=open:$2 FAULT_FILE=index.bin FAULT_PROGRAM="sb_$3" FAULT_COUNTER="$work/counter.$1" FAULT_TIMES=1 LD_PRELOAD="$work/fault.so" \
        run_bad "$1" loader.timeout=0.7 run.loaders=1 && without_sign "${3%% *}" "$1"
}

# FILE loses half its bytes; the header and with it the index stay.
cut_in_half() { truncate -s $(($(stat -c %s "$1") / 2)) "$1"; }

# A disk on a network is away while loaders need it, which leaves an empty folder, and comes back: no file is blamed.
away() {
    local run
    held 1 away run_bad away run.loaders=2 loader.cache_mb=1 || return 1
    mv "$work/images" "$work/elsewhere" && mkdir "$work/images"
    go_on trainer away
    until_true "the loaders' waiting" grep -q "data.path = $work/images is away: waiting for it" "$work/away/log/loader.log" && rmdir "$work/images" && mv "$work/elsewhere" "$work/images" && wait "$run"
}

make_images
ok "the library that crashes and hangs loaders" make_fault
ok "a run without any fault" run_bad sound
ok "a loader hangs" faulty decode:hang 03.jpg 1 run_bad hang loader.timeout=0.5 run.loaders=2
ok "  it is killed" killed_for_hanging hang 03.jpg
ok "  the same weights" same sound hang
ok "a loader gets SIGKILL four times at one image" faulty decode:9 03.jpg 4 run_bad kill run.loaders=1
ok "  which counts for nothing" not_quarantined kill
ok "  the same weights" same sound kill
ok "a loader is stopped three times at one image" faulty decode:19 03.jpg 3 run_bad stop loader.timeout=0.5 run.loaders=1
ok "  which counts for nothing" not_quarantined stop
ok "a disk hangs three times at one image" faulty open:hang 03.jpg 3 run_bad disk loader.timeout=0.5 run.loaders=1
ok "  which counts for nothing" not_quarantined disk
ok "a disk hangs three times in the middle of that image" faulty read:hang 03.jpg 3 run_bad middle loader.timeout=0.5 run.loaders=1
ok "  which counts for nothing" not_quarantined middle
ok "the whole run is stopped and goes on: no loader is blamed" stopped_and_continued
ok "the folder of the data is away for a while" away
ok "  no file is blamed for it" not_quarantined away
ok "  the same weights" same sound away
ok "augment is stopped" augment_stopped
ok "  the same weights" same sound silent
ok "augment hangs at its start" at_start augment_hangs hang "augment $work/augment_hangs"
ok "  the same weights" same sound augment_hangs
ok "a loader is stopped at its start" at_start loader_stopped 19 "loader serve"
ok "  the same weights" same sound loader_stopped
ok "two files crash the decoder" faulty decode:11 '1?.jpg' 0 run_bad crash run.loaders=1
ok "  each is quarantined" quarantine_is crash 10.jpg 11.jpg
ok "one file aborts the decoder, three loaders" faulty open:6 05.jpg 0 run_bad abort run.loaders=3
ok "  quarantined at the third time" failed_thrice abort 05.jpg "was killed by its own signal 6 (Aborted)"
ok "the decoder overflows its stack on the same file" faulty decode:overflow 05.jpg 0 run_bad overflow run.loaders=2
ok "  quarantined at the third time" failed_thrice overflow 05.jpg "was killed by its own signal 11 (Segmentation fault)"
ok "the decoder hangs on the same file" faulty decode:hang 05.jpg 0 run_bad hangs loader.timeout=0.5 run.loaders=3
ok "  quarantined at the third time" failed_thrice hangs 05.jpg "hung for 0.5 s (loader.timeout)"
ok "  the same weights as with the crashes" same hangs abort
ok "the decoder hangs on three files, three loaders" faulty decode:hang '0[579].jpg' 0 run_bad hang_all loader.timeout=0.5 run.loaders=3
ok "  each is quarantined" quarantine_is hang_all 05.jpg 07.jpg 09.jpg
cut_in_half "$work/images/05.jpg"
ok "the same file, cut" run_bad cut
ok "  quarantined" quarantine_is cut 05.jpg
ok "  the same weights as with the crashes" same cut abort
cut_in_half "$work/images/10.jpg"
printf 'not an image' >"$work/images/text.jpg"
: >"$work/images/empty.png"
/usr/bin/python3 - "$work/images" <<'END'
import sys
sys.path.insert(0, "tests/oracle")
from images import pattern, write_tiff
write_tiff(sys.argv[1] + "/tiled.tif", [pattern(300, 300)], 2, tile=32)
data = bytearray(open(sys.argv[1] + "/11.jpg", "rb").read())
data[len(data) // 2:len(data) // 2 + 2] = b"\xff\xd9"
open(sys.argv[1] + "/11.jpg", "wb").write(data)
END
bad=(05.jpg 10.jpg 11.jpg text.jpg empty.png)
ok "good and bad images, one loader" run_bad one run.loaders=1
ok "  the bad ones are quarantined" quarantine_is one "${bad[@]}"
ok "three loaders" run_bad three run.loaders=3
ok "  the same weights" same one three
ok "loaders are killed" disturbed killed kill_loader run_bad killed run.loaders=3
ok "  the same weights" same one killed
ok "  no SIGKILL counts" quarantine_is killed "${bad[@]}"
ok "everything is killed, the run resumed" killed_and_resumed
ok "  the same weights" same one resumed
ok "too many bad images end the run" too_many
ok "nothing is left behind" nothing_left
finish

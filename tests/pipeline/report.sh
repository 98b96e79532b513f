#!/bin/bash
# The report of a run: that it is there at the end of every run and after evaluations, what it says of a run that lacks this or that, and, in headless
# Chromium, that every section is drawn, nothing complains or is loaded, and no name or label of the data becomes markup (report.py).
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Labels and names that would be markup if they were taken for it; bytes that are no UTF-8; a line end; what is held out of one image in another
# one's training part; a broken file.
make_hostile() {
    /usr/bin/python3 - "$work/hostile" <<'END'
import os, sys
import numpy
from PIL import Image
generator = numpy.random.default_rng(7)
names = ["<script>hacked=1<!--.jpg", '"><img src=x onerror=hacked=1>.jpg', "script>hacked=1;.jpg", "line\nend.jpg", "' onload='hacked=1.jpg", "plain.jpg"]
for label in ("a<", 'b"><img src=x onerror=hacked=1>', "c&lt;<b>"):  # the first with the third name: a</script>hacked=1;.jpg
    os.makedirs(f"{sys.argv[1]}/{label}")
    for i, name in enumerate(names):
        small = Image.fromarray(generator.integers(0, 256, (16, 30, 3), dtype=numpy.uint8))
        small.resize((240, 128), Image.BICUBIC).save(f"{sys.argv[1]}/{label}/{name}", quality=90)
copy = Image.open(f"{sys.argv[1]}/c&lt;<b>/plain.jpg")  # its first columns, to be trained on, are another's last, which are held out
copy.paste(Image.open(f"{sys.argv[1]}/a</plain.jpg").crop((176, 0, 240, 128)), (0, 0))
copy.save(f"{sys.argv[1]}/c&lt;<b>/copy.jpg", quality=95)
data = open(f"{sys.argv[1]}/a</plain.jpg", "rb").read()
open(f"{sys.argv[1]}/a</broken<script>.jpg", "wb").write(data[:900])
open(os.fsencode(sys.argv[1]) + b"/a</bad\xff\xfe<b>.jpg", "wb").write(data)
END
}

run_hostile() { run_small "$1" data.path="$work/hostile" trainer.threads=1 data.max_bad=0.3 evaluate.views=2 evaluate.snapshot_every=4 "${@:2}"; }
reported() { [ -s "$work/$1/report.html" ] && [ -z "$(find "$work/$1" -name '*.tmp-*')" ]; }

# Beside a live run: it stands still from step 8 on, until its evaluator has written a report of that.
live() {
    local run
    held 8 live run_hostile live trainer.steps=24 evaluate.every=1 loader.timeout=$DEADLINE && pause loader live && go_on trainer live &&
        until_true "findings of a live run" test -e "$work/live/findings.json" && until_true "its report" reported live && go_on loader live && wait $run &&
        grep -q '"source":"snapshot"' "$work/live/findings.json"
}

# drawn FILE WHAT...: report.py's checks of a page.
browser=$(command -v chromium || command -v google-chrome)
drawn() { /usr/bin/python3 tests/pipeline/report.py "$@"; }
ok_drawn() {
    local name=$1
    shift
    if [ -n "$browser" ]; then ok "$name" drawn "$@"; else skip "$name" "there is no chromium"; fi
}

# What report gives of a run that has next to nothing.
begun() { mkdir "$work/begun" && cp "$work/bare/config.yaml" "$work/begun" && says 0 "Too early to say: no step is done yet" ./run report "$work/begun"; }
failed() {
    cp -r "$work/bare" "$work/failed" && sed -i 's/"phase": "finished"/"phase": "failed"/; s/"reason": ""/"reason": "the <b>disk<\/b> is full"/' "$work/failed/status.json" &&
        rm "$work/failed/checkpoints/step-000000012.safetensors" && says 0 "^Too early to say" ./run report "$work/failed"
}
alarmed() {
    cp -r "$work/bare" "$work/alarmed" && sed -i 's/"phase": "finished"/"phase": "stopped"/; s/"reason": ""/"reason": "spike at step 3: it jumped"/' "$work/alarmed/status.json" &&
        printf '%s\n' '{"step": 3, "alarm": "spike", "what": "the loss <b>jumped</b>", "do": "Lower <i>it</i>"}' '{"step": "x", "alarm": "no"}' >"$work/alarmed/alarms.jsonl" && says 0 "^Too early to say" ./run report "$work/alarmed"
}
# Files of a run that were damaged: each is named in the report, or passed over.
damaged() {
    cp -r "$work/full" "$work/damaged" && echo '{"tiles": [{}, 5], "queries": [{"tile": 99}], "atlas": "x\");}</style>", "held": "<b>"}' >"$work/damaged/findings.json" &&
        printf '{"step": 3, "rows": 7}\nno json\n' >>"$work/damaged/evaluation.jsonl" && echo '[' >"$work/damaged/status.json" && echo broken >"$work/damaged/pictures/contact.png" &&
        printf '{"path": "</script><script>hacked=1</script>", "page": 0, "reason": "<img src=x onerror=hacked=1>"}\n{"path": 1}\n' >>"$work/damaged/quarantine.jsonl" &&
        says 0 "damaged/report.html" ./run report "$work/damaged"
}
# Pictures that would make the page too large are left out.
large() {
    cp -r "$work/full" "$work/large" && /usr/bin/python3 - "$work/large/findings.json" <<'END' && says 0 "large/report.html" ./run report "$work/large"
import json, sys
findings = json.load(open(sys.argv[1]))
findings["atlas"] = "A" * 6_000_000
json.dump(findings, open(sys.argv[1], "w"))
END
}
renamed() { cp -r "$work/full" "$work/$(printf 'full\377 "><b>')" && says 0 report.html ./run report "$work/$(printf 'full\377 "><b>')"; }
not_written() {
    local many=()
    for _ in {1..17}; do many+=("$work/full"); done
    says 1 "config.yaml would be replaced" ./run report "$work/full" -o "$work/full/config.yaml" && says 1 "needs a file: -o FILE" ./run report "$work/full" "$work/bare" &&
        says 1 "nothing is no run directory" ./run report "$work/nothing" && says 1 "nothing is no run directory" ./run report "$work/full" "$work/nothing" -o "$work/x.html" && [ ! -e "$work/x.html" ] &&
        says 1 "report: at most 16 runs" ./run report "${many[@]}" -o "$work/x.html"
}
here() { (root=$PWD && cd "$work/again/full" && says 0 "^./report.html" "$root/run" report .); }
short() { cp -r "$work/bare" "$work/short" && sed -i 's/^  every: .*/  every: 1/; s/^  snapshot_every: .*/  snapshot_every: 50/' "$work/short/config.yaml" && says 0 "^Too early to say" ./run report "$work/short"; }
# A report that cannot be written is none of the run's business.
unwritable() {
    cp -r "$work/bare" "$work/blocked" && rm "$work/blocked/report.html" && mkdir "$work/blocked/report.html" && within ./run resume "$work/blocked" trainer.steps=14 &&
        grep -q "report.html is no regular file" "$work/blocked/log/report.log"
}
without_pictures() { cp "$work/full/report.html" "$work/before" && ./run evaluate --no-pictures "$work/full" && cmp "$work/full/report.html" "$work/before"; }

make_hostile
ok "what is preloaded" make_fault
ok "a run ends with a report" run_hostile bare
ok "  of which nothing is left half written" reported bare
ok_drawn "  it says what is missing" "$work/bare/report.html" bare
ok "a run measures itself, and has its report meanwhile" live
ok_drawn "  which is whole" "$work/live/report.html" full hostile
ok "an evaluation writes it" eval "cp -r '$work/bare' '$work/full' && ./run evaluate '$work/full'"
ok_drawn "  with every section, on a phone and a desktop, in light, dark and print" "$work/full/report.html" full hostile devices
ok "  --no-pictures leaves it" without_pictures
ok "of a run that has just begun" begun
ok_drawn "  it says so" "$work/begun/report.html" begun
ok "of one that failed" failed
ok_drawn "  it says why" "$work/failed/report.html" bare failed
ok "of one that an alarm stopped" alarmed
ok_drawn "  it says which" "$work/alarmed/report.html" bare alarmed
ok "of one whose files are damaged" damaged
ok_drawn "  it says which, and the rest is drawn" "$work/damaged/report.html" damaged
ok "of one with too many pictures" large
ok_drawn "  it is small all the same" "$work/large/report.html" large
ok "of one with a hostile name" renamed
ok_drawn "  which stays text" "$work/$(printf 'full\377 "><b>')/report.html" full hostile
ok "of three runs beside each other" says 0 compared.html ./run report "$work/full" "$work/live" "$work/bare" -o "$work/compared.html"
ok_drawn "  with what differs" "$work/compared.html" compared
ok "of two with one name" eval "mkdir '$work/again' && cp -r '$work/full' '$work/again' && ./run report '$work/full' '$work/again/full' -o '$work/namesakes.html'"
ok_drawn "  which have their paths" "$work/namesakes.html" compared namesakes
ok "of the run that one is in" here
ok_drawn "  by its name, with commands that work anywhere" "$work/again/full/report.html" full here
ok "of a run too short for its evaluations" short
ok_drawn "  it says so, and what to do" "$work/short/report.html" short
ok "what cannot be one is refused" not_written
ok "a run ends well without it" unwritable
ok "nothing is left behind" nothing_left
finish

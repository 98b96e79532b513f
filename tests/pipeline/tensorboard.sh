#!/bin/bash
# TensorBoard's files of a run, read by TensorBoard's own reader and projector, from PyPI (tensorboard.py): they say what the logs say, after a resume
# that cut the logs too, are never read twice, and no name of the data breaks them.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# A manifest whose labels have what ends a cell or a line, or is no UTF-8. Names that have are none of the data set; those that only look odd are.
make_hostile() {
    /usr/bin/python3 - "$work/hostile" <<'END_OF_PYTHON'
import os, sys
import numpy
from PIL import Image
generator = numpy.random.default_rng(7)
folder = os.fsencode(sys.argv[1])
os.makedirs(folder)
odd = ["quote\"'.jpg", "\u00e4\u2028.jpg", "#<b> \\n \\t.jpg", "plain.jpg", "last,.jpg"]
names = [b"%d%s" % (i, odd[i % 5].encode()) for i in range(15)] + [b"tab\there.jpg", b"line\nend.jpg", b"bad\xff\xfe.jpg"]
with open(folder + b"/manifest.csv", "wb") as f:
    f.write(b"path,label\n")
    for i, name in enumerate(names):
        small = Image.fromarray(generator.integers(0, 256, (16, 30, 3), dtype=numpy.uint8))
        small.resize((240, 128), Image.BICUBIC).save(open(folder + b"/" + name, "wb"), "JPEG", quality=90)
        f.write(b'"%s","%s"\n' % (name.replace(b'"', b'""'), (b"a\tb", b"c\nd\r", b"e\xff\t")[i % 3]))
END_OF_PYTHON
}

run_hostile() { run_small "$1" data.path="$work/hostile/manifest.csv" trainer.threads=1 trainer.look_every=3 data.max_bad=0.3 evaluate.views=2 evaluate.snapshot_every=4 "${@:2}"; }

# read NAME [COMMAND...]
read_back() { /usr/bin/python3 tests/pipeline/tensorboard.py "$work/$1" "${@:2}"; }
ok_read() { # TEXT NAME [COMMAND...], which runs in any case
    local text=$1
    shift
    if [ -d build/tensorboard ]; then
        ok "$text" read_back "$@"
    else
        [ $# -eq 1 ] || "${@:2}" >"$work/out" 2>&1
        skip "$text" "there is no build/tensorboard (./run check fetches it)"
    fi
}
names_are_kept() {
    local metadata=$work/full/tensorboard/training/metadata.tsv line
    for line in $'../0quote"\'.jpg\ta b\t' $'../7#<b> \\n \\t.jpg\tc d \t' $'../6\xc3\xa4\xe2\x80\xa8.jpg\ta b\t' $'../8plain.jpg\te? \t'; do grep -qF -- "$line" "$metadata" || return 1; done
    [ "$(awk -F '\t' '{ print NF }' "$metadata" | sort -u)" = 6 ]
}

# The same run, left at step 8 with what was measured at step 12: what resume cuts.
make_cut() { cp -r "$work/full" "$work/cut" && rm "$work"/cut/checkpoints/{step-*12,best}.safetensors; }
cut() { [ "$(lines "$work/cut/evaluation.jsonl")" -eq 0 ] && [ "$(lines "$work/cut/metrics.jsonl")" -eq 10 ]; }

# A log of 100,000 steps, some of whose lines lack this or that, or are no lines; one of fewer is drawn as it is.
make_long() {
    cp -r "$work/bare" "$work/long" && /usr/bin/python3 - "$work/long/metrics.jsonl" <<'END_OF_PYTHON'
import json, math, sys
with open(sys.argv[1], "w") as f:
    for step in range(1, 100_001):
        o = {"step": step, "epoch": step // 1000, "loss": 2 + math.sin(step), "lr": 1e-3 * step, "images_per_second": 85.1, "waited": 0, "gradient_norm": 1e300 if step % 7 == 0 else step}
        if step % 200 == 0:
            o.update({"deviation": 1 / step, "rank": 30, "guides": {"plate\t1": step}})
        if step % 1000 == 1:
            del o["loss"]
        if step % 1000 == 2:
            o.update(loss=None, skipped=True)
        f.write(json.dumps(o, ensure_ascii=False) + ("\n" if step % 999 else "x\n"))
    f.write('[1]\n{"loss": 3}\n{"step": "4", "loss": 3}\n{"step": 100001, "loss"')
END_OF_PYTHON
}
make_small() { [ "$(find "$work/long/tensorboard" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')" -lt 1000000 ]; }
write_long() { within ./run tensorboard "$work/long" && sed -i 's/plate\\t1/plate 1/' "$work/long/metrics.jsonl"; }

# Two at once, again and again, and one that reads meanwhile.
many() { for _ in {1..12}; do ./run tensorboard "$work/full" & ./run tensorboard "$work/full" >/dev/null || return 1; wait $! || return 1; done; }

damaged() {
    cp -r "$work/full" "$work/damaged" && echo '{"tiles": [{}, 5], "atlas": "x"}' >"$work/damaged/findings.json" && echo broken >"$work/damaged/pictures/contact.png" &&
        says 0 "TensorBoard does without what was found" ./run tensorboard "$work/damaged" && said "does without what the network saw" && said "logdir .*/damaged/tensorboard"
}
shorter() {
    cp -r "$work/full" "$work/shorter" && head -c 700 "$work/full/findings.npy" >"$work/shorter/findings.npy" && says 0 "does without what was found" ./run tensorboard "$work/shorter"
}
renamed() { cp -r "$work/bare" "$work/$(printf 'x\377 \ty')" && says 0 "is written" ./run tensorboard "$work/$(printf 'x\377 \ty')"; }
refused() {
    says 1 "nothing" ./run tensorboard "$work/nothing" && [ ! -e "$work/nothing" ] && cp -r "$work/bare" "$work/blocked" && rm -r "$work/blocked/tensorboard" &&
        echo mine >"$work/blocked/tensorboard" && says 1 "blocked/tensorboard" ./run tensorboard "$work/blocked" && [ "$(cat "$work/blocked/tensorboard")" = mine ]
}
# Whether they can be written is none of a run's business.
unwritable() {
    within ./run resume "$work/blocked" trainer.steps=14 && grep -q "TensorBoard's files stay as they were" "$work/blocked/log/report.log" && [ -s "$work/blocked/report.html" ] &&
        says 0 "TensorBoard's files stay as they were" ./run evaluate "$work/blocked" && said "blocked/report.html"
}
alone() { cp -r "$work/full" "$work/other" && rm -r "$work/other/tensorboard" && within ./run report "$work/other" -o "$work/page.html" && [ ! -e "$work/other/tensorboard" ]; }

make_hostile
ok "a run ends with them" run_hostile bare
ok_read "  they say what its log says" bare
ok "an evaluation writes them" eval "cp -r '$work/bare' '$work/full' && ./run evaluate '$work/full'"
ok_read "  with every measure of every row, pictures and the projector" full
ok "  no name ends a cell or a line" names_are_kept
ok_read "  written anew they say the same, to one that has them open" full ./run tensorboard "$work/full"
make_cut
ok_read "a resume that cuts the logs cuts them, for one that has them open too" cut ./run resume "$work/cut" trainer.steps=10
ok "  it did cut" cut
ok "two at once write them" many
ok_read "  and they are whole" full
make_long
ok "100,000 steps, with lines that lack something" write_long
ok_read "  are means of as many as a curve shows" long
ok "  in less than a megabyte" make_small
ok "what is damaged is left out, and said" damaged
ok "  features, too" shorter
ok "a run with a hostile name" renamed
ok "what cannot be written is refused" refused
ok "  and fails no run and no evaluation" unwritable
ok "a page elsewhere leaves them" alone
ok "nothing is left behind" nothing_left
finish

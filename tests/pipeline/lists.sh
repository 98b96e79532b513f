#!/bin/bash
# What features are put to use for, as a user would: tiles that look like an image, like nothing else, like each other. And the measures of a data set
# with labels.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Three labels of twelve images each, 240 x 128, of which the last 64 columns are held out: noise of three sizes. Planted: a copy of fine/03 as another JPEG,
# in another label.
make_labelled() {
    /usr/bin/python3 - "$work/labelled" <<'END'
import os, sys
import numpy
from PIL import Image
generator = numpy.random.default_rng(7)
for label, (height, width) in {"coarse": (4, 8), "middle": (16, 30), "fine": (64, 120)}.items():
    os.makedirs(f"{sys.argv[1]}/{label}")
    for i in range(12):
        small = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=numpy.uint8))
        small.resize((240, 128), Image.BICUBIC).save(f"{sys.argv[1]}/{label}/{i:02d}.jpg", quality=90)
Image.open(f"{sys.argv[1]}/fine/03.jpg").save(f"{sys.argv[1]}/coarse/copy, of one.jpg", quality=20)
END
}
lists() { /usr/bin/python3 - "$work/run/lists/$1.csv" "${@:2}"; }

# The labels' measures are there, with their rows; a probe and its interval; sizes.
measured() {
    /usr/bin/python3 - "$work/run/evaluation.jsonl" <<'END'
import json, sys
line = json.loads(open(sys.argv[1]).read().splitlines()[-1])
rows = line["rows"]
print(rows)
assert line["labelled"] == line["tiles"] == 74 and line["learnt"] == 74 and line["telling"]["key"] == "knn_top1"
assert rows["chance"]["probe"] == rows["chance"]["few_1"] == 0.333333333
for row in ("colour", "pixels", "untrained", "trained"):
    r = rows[row]
    assert 0 <= r["probe_low"] <= r["probe"] <= r["probe_high"] <= 1 and 0 <= r["probe_top1"] <= 1 and "probe_top5" not in r
    assert "few_1" in r and "few_100" in r and "dense_structure" in r and "lidar" in r
assert list(line["sizes"]) == ["32"]
assert all("view_retrieval" in r and "probe" not in r for name, r in line["sizes"]["32"].items())
END
}
printed() { said '^  trained .* %' && said "the probe learns from 74 of the training part" && said 'none of these ranks methods' && said 'by the size of the views'; }

similar() {
    says 0 '^20 of [0-9]+ tiles, nearest first' ./run similar "$work/run" "$work/labelled/fine/03.jpg" && lists similar <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
print(rows)
assert len(rows) == 20 and [int(r["rank"]) for r in rows] == list(range(1, 21))
assert rows[0]["path"].endswith("coarse/copy, of one.jpg") and (rows[0]["left"], rows[0]["top"]) == (rows[0]["of_left"], rows[0]["of_top"])
assert all(not r["path"].endswith("fine/03.jpg") for r in rows)
values = [float(r["similarity"]) for r in rows]
assert values == sorted(values, reverse=True) and values[0] > 0.9
END
}
outliers() {
    says 0 'tiles, the most isolated first' ./run outliers "$work/run" -n 6 && lists outliers <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
print(rows)
assert len(rows) == 6 and all(r["label"] == r["path"].split("/")[-2] for r in rows)
assert {r["part"] for r in rows} <= {"train", "held out", "between"}
END
}
duplicates() {
    says 0 'pairs of [0-9]+ tiles with a cosine of 0.8 or more' ./run duplicates "$work/run" --from 0.8 && lists duplicates <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
print(rows)
pair = {rows[0]["path"].rsplit("/", 2)[-1], rows[0]["drop_path"].rsplit("/", 2)[-1]}
assert pair == {"03.jpg", "copy, of one.jpg"}, pair
assert all((r["across"] == "yes") == (r["part"] == "held out" and r["drop_part"] == "train") for r in rows)
END
}
# The same as numpy finds in what embed writes, less its mean.
by_numpy() {
    ./run embed "$work/run" "$work/labelled" -o "$work/all.npy" && /usr/bin/python3 - "$work/run/lists" "$work/all" <<'END'
import csv, sys
import numpy
rows = lambda name: list(csv.DictReader(open(name)))
tiles = rows(f"{sys.argv[2]}.csv")
at = {(r["path"], r["left"], r["top"]): i for i, r in enumerate(tiles)}
x = numpy.load(f"{sys.argv[2]}.npy").astype(float)
x -= x.mean(axis=0)
x /= numpy.linalg.norm(x, axis=1, keepdims=True)
cosine = x @ x.T
found = [(at[r["path"], r["left"], r["top"]], float(r["distance"])) for r in rows(f"{sys.argv[1]}/outliers.csv")]
numpy.fill_diagonal(cosine, -numpy.inf)
far = 1 - numpy.sort(cosine, axis=1)[:, -10:].mean(axis=1)
assert numpy.allclose(numpy.sort(far)[:-7:-1], [d for _, d in found], atol=2e-5) and numpy.allclose(far[[t for t, _ in found]], [d for _, d in found], atol=2e-5)
pairs = rows(f"{sys.argv[1]}/duplicates.csv")
found = [(at[r["path"], r["left"], r["top"]], at[r["drop_path"], r["drop_left"], r["drop_top"]], float(r["similarity"])) for r in pairs]
other = numpy.array([[a["path"] != b["path"] for b in tiles] for a in tiles])
wanted = numpy.sort(cosine[numpy.triu(other)])[:-21:-1]
assert numpy.allclose(wanted, [s for _, _, s in found], atol=2e-5) and numpy.allclose([cosine[a, b] for a, b, _ in found], wanted, atol=2e-5)
END
}
pictures() {
    /usr/bin/python3 - "$work/run/lists" <<'END'
import sys
import numpy
from PIL import Image
for name in ("similar", "outliers", "duplicates"):
    pixels = numpy.asarray(Image.open(f"{sys.argv[1]}/{name}.png").convert("RGB"))
    assert pixels.std() > 5 and pixels.shape[1] == 6 * 24, name
END
}
# A list without lines has no picture, not an earlier one either.
none_alike() {
    says 0 '^0 pairs of [0-9]+ tiles with a cosine of 1 or more: lower it with --from' ./run duplicates "$work/run" --from 1 &&
        [ "$(lines "$work/run/lists/duplicates.csv")" = 1 ] && [ ! -e "$work/run/lists/duplicates.png" ]
}
# Made once for a checkpoint; another checkpoint has others; one that is damaged is named.
kept() { says 0 isolated ./run outliers "$work/run" && ! said "are made" && [ "$(find "$work/run/features" -name '*.npy' | wc -l)" = 2 ]; }
damaged() { truncate -s 1000 "$work"/run/features/step-000000008-16.npy && says 1 "step-000000008-16.npy" ./run outliers "$work/run"; }
made_again() { rm "$work"/run/features/*; says 0 "are made" ./run outliers "$work/run"; }

make_labelled
run_labelled() { within ./run train recipes/demo.yaml data.path="$work/labelled" run.dir="$work/run" "${small[@]}" trainer.steps=8 evaluate.views=2; }
ok "a run on images with labels" run_labelled
ok "its measures" says 0 "^  as given|^  untrained" ./run evaluate "$work/run" --no-pictures
ok "  in the tables" printed
ok "  in the log" measured
ok "an image that is not there, before anything is encoded" eval 'says 1 "nothing.jpg: No such file" ./run similar "$work/run" nothing.jpg && [ ! -e "$work/run/features" ]'
ok "tiles that look like an image" similar
ok "tiles that look like no other" outliers
ok "tiles that look like each other" duplicates
ok "  the two as numpy finds them in what embed writes" by_numpy
ok "  pictures of all" pictures
ok "nothing that is alike" none_alike
ok "features are made once" kept
ok "  damaged ones are refused by name" damaged
ok "  and made again where they are gone" made_again
ok "an image that is none" says 1 "common.sh" ./run similar "$work/run" tests/pipeline/common.sh
ok "  or is not named" says 1 "similar: \[RUN\] IMAGE" ./run similar
ok "no number of lines" says 1 "from 1 to 10000" ./run outliers "$work/run" -n 0
ok "no cosine" says 1 "a cosine" ./run duplicates "$work/run" --from 2
ok "nothing is left behind" nothing_left
finish

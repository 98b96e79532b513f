#!/usr/bin/python3
"""encoders.py: which encoder to take when time is what there is: each trains for equally long on the photographs of solar cells, by one recipe, and a
linear classifier and kNN say what its features are worth then, and what they were before. Writes docs/encoders.md.
`./run study encoders [--seconds S] [--seeds 1,2,3]`."""
import argparse
import csv
import datetime
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parent))
import elpv
import figures
import parity
from kept import Kept

ROOT = elpv.ROOT
ENCODERS = ["resnet18", "resnet18 stem=stride4", "mobilenetv4_conv_small", "convnext_atto", "vit_tiny"]
SIDE, BATCH, TIMED = 96, 32, 16  # TIMED: steps that say how fast an encoder is; the first half of them warms up


def keys(encoder, steps, seed):
    name, *own = encoder.split()
    return ["method.name=dcl", "method.temperature=0.2", f"encoder.name={name}", *(f"encoder.{key}" for key in own), f"data.view={SIDE}",
            f"trainer.batch={BATCH}", f"trainer.steps={steps}", f"seed={seed}"]


def trained(run, encoder, steps, seed, more=()):
    if not (run / "backbone.safetensors").exists():
        command = ["./run", "resume", str(run)] if (run / "index.bin").exists() else ["./run", "train", "study/elpv.yaml", f"run.dir={run}"] + keys(
            encoder, steps, seed) + list(more)
        subprocess.run(command, cwd=ROOT, check=True)
    return run


def seconds_a_step(o, encoder):
    run = trained(o.output / f"time-{encoder.replace(' ', '-')}", encoder, TIMED, 1)
    rows = [json.loads(line) for line in open(run / "metrics.jsonl")]
    return BATCH / statistics.median(row["images_per_second"] for row in rows[TIMED // 2:])


def measured(run):
    """Of the features that `embed` writes."""
    out = run / "features.npy"
    subprocess.run(["./run", "embed", str(run), str(elpv.FOLDER), "-o", str(out), f"data.view={SIDE}"], cwd=ROOT, check=True)
    with open(out.with_suffix(".csv"), newline="") as file:
        row_of = {Path(row["path"]).name: i for i, row in enumerate(csv.DictReader(file))}
    features, parts = numpy.load(out).astype(float), {}
    for split in ("train", "test"):
        rows = elpv.rows(split)
        parts[split] = features[[row_of[row["path"]] for row in rows]], numpy.array([row["label"] == "defective" for row in rows], dtype=int)
    return {"knn": figures.knn(*parts["test"]), "linear": parity.linear(*parts["train"], *parts["test"])}


def learn(o, encoder, steps, seed, learnt):
    """Untrained is a step as good as none."""
    run = o.output / f"{encoder.replace(' ', '-')}-{seed}-{steps if learnt else 'untrained'}"
    trained(run, encoder, steps if learnt else 1, seed, [] if learnt else ["optimiser.lr=1e-12"])
    return {"steps": steps, **measured(run)}


def report(o, results):
    lines = ["# Encoders at equal time", "",
             f"Written by `./run study encoders --seconds {o.seconds} --seeds {','.join(map(str, o.seeds))}` on {datetime.date.today().isoformat()}; "
             f"{figures.machine()}.", "",
             f"Each encoder learns for {o.seconds} seconds from random weights on the photographs of `first-table.md`, in views of {SIDE} pixels, by DCL at batch "
             f"{BATCH} with the recipe of `study/elpv.yaml`: as many steps as fit by its own speed, taken on this machine before all else. Features are measured as in `parity.md`, on "
             f"{len(elpv.rows('test'))} held-out cells; mean and 95 % t interval over {len(o.seeds)} seeds, and of the difference seed by seed.", "",
             "| encoder | ms a step | images seen | kNN, % | against untrained | linear, % | against untrained |", "|---|---|---|---|---|---|---|"]
    for encoder in ENCODERS:
        first, last = results[encoder, False], results[encoder, True]
        cells = []
        for key in ("knn", "linear"):
            cells += [figures.text([row[key] for row in last]), figures.text([a[key] - b[key] for a, b in zip(last, first)], "+")]
        lines.append(f"| {encoder} | {1e3 * o.seconds / last[0]['steps']:.0f} | {BATCH * last[0]['steps']} | {' | '.join(cells)} |")
    half = 196 * (0.25 / len(elpv.rows("test"))) ** 0.5
    lines += ["", f"An accuracy from {len(elpv.rows('test'))} cells is uncertain by about ± {half:.0f} points by itself; a difference on the same cells is less so. "
              "One recipe serves all: an encoder with its own rate may do better. Untrained means one step at no rate to speak of: running statistics "
              "have seen a batch."]
    o.document.write_text("\n".join(lines) + "\n")
    print(f"study: {o.document}")


def main():
    parser = argparse.ArgumentParser(prog="./run study encoders", description="Encoders that learn for equally long.")
    parser.add_argument("--seconds", type=int, default=300, help="that each learns (300)")
    parser.add_argument("--seeds", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2, 3])
    parser.add_argument("-o", dest="output", type=Path, default=ROOT / "runs/study-encoders", help="where the runs lie (runs/study-encoders)")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/encoders.md")
    o = parser.parse_args()
    elpv.fetch()
    o.output.mkdir(parents=True, exist_ok=True)
    o.output = o.output.resolve()
    kept, results = Kept(o.output / "measured.jsonl"), {}
    steps_of = {encoder: max(1, round(o.seconds / seconds_a_step(o, encoder))) for encoder in ENCODERS}
    for encoder, steps in steps_of.items():
        for seed in o.seeds:
            for learnt in (False, True):
                name = {"encoder": encoder, "seed": seed, "seconds": o.seconds, "learnt": learnt}
                results.setdefault((encoder, learnt), []).append(kept.row(name, lambda: learn(o, encoder, steps, seed, learnt)))
    report(o, results)


if __name__ == "__main__":
    main()

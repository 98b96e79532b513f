#!/usr/bin/python3
"""continue.py: what continuing does to weights that were good already: a ResNet-18 is trained with labels (PyTorch, table.py) on the photographs of
solar cells, and goes on without labels on the same ones, with `continue=true` and without it, by the same recipe. What its features are worth is
measured before and after. Writes docs/continue.md. `./run study continue [--steps N] [--lr RATE] [--seeds 1,2,3]`."""
import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parent))
import elpv
import figures
import parity
import table
from kept import Kept

ROOT = elpv.ROOT
ARMS = {"continue=true": ["continue=true"], "without it": []}
KEYS = ["method.name=dcl", "method.temperature=0.2", "trainer.batch=16"]
KINDS = {"float32": "F32", "int64": "I64"}


def save_file(tensors, path):
    """As safetensors.torch.save_file, which Debian does not have."""
    header, data = {}, b""
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        array = numpy.ascontiguousarray(tensor.numpy())
        header[name] = {"dtype": KINDS[str(array.dtype)], "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def given(o, seed):
    path = o.output / f"given-{seed}-{o.images}.safetensors"
    if not path.exists():
        print(f"with labels, seed {seed}", flush=True)
        save_file(table.train_supervised(o.images, seed).state_dict(), path)
    return path


def went_on(o, arm, seed):
    run = o.output / f"{arm.split('=')[0].replace(' ', '-')}-{seed}-{o.steps}-{o.images}-{o.lr:g}"
    if not (run / "backbone.safetensors").exists():
        keys = KEYS + ARMS[arm] + [f"trainer.steps={o.steps}", f"optimiser.lr={o.lr:g}", f"seed={seed}", f"init={given(o, seed)}", f"run.dir={run}"]
        command = ["./run", "resume", str(run)] if (run / "index.bin").exists() else ["./run", "train", "study/elpv.yaml"] + keys
        subprocess.run(command, cwd=ROOT, check=True)
    return run / "backbone.safetensors"


def report(o, results):
    lines = ["# Going on from weights that are good already", "",
             f"Written by `./run study continue --steps {o.steps} --lr {o.lr:g} --seeds {','.join(map(str, o.seeds))}` on {datetime.date.today().isoformat()}; "
             f"{figures.machine()}.", "",
             f"A ResNet-18 is trained with labels on photographs of solar cells (`first-table.md` describes them): {o.images} images seen, in PyTorch. From "
             f"its weights {o.steps} steps of DCL at batch 16 go on without labels on the same photographs (`study/elpv.yaml`) at a rate of "
             f"{4 * o.lr:g} (optimiser.lr={o.lr:g} times the root of the batch), {o.lr / 0.000125:g} times the first table's, once with `continue=true` (100 steps "
             f"of the heads alone, 100 of the ramp, a tenth of the rate), once without. Features are measured as in `parity.md`, on "
             f"{len(elpv.rows('test'))} held-out cells; differences are taken seed by seed, with 95 % t intervals where there are seeds enough.", "",
             "| weights | seeds | kNN, % | against as given | linear, % | against as given |", "|---|---|---|---|---|---|"]
    for name, rows in results.items():
        cells = []
        for key in ("knn", "linear"):
            cells.append(figures.text([row[key] for row in rows]))
            cells.append("" if name == "as given" else figures.text([row[key] - old[key] for row, old in zip(rows, results["as given"])], "+"))
        lines.append(f"| {name} | {len(rows)} | {' | '.join(cells)} |")
    lines += ["", f"An accuracy from {len(elpv.rows('test'))} cells is uncertain by about ± {196 * (0.25 / len(elpv.rows('test'))) ** 0.5:.0f} points by itself; "
              "a difference on the same cells is less so.", ""]
    tiles = len(elpv.rows("test"))
    for key, name in (("knn", "kNN"), ("linear", "linear")):
        apart = [guarded[key] - free[key] for guarded, free in zip(*(results[arm] for arm in ARMS))]
        lines.append(f"- {name}: with `continue=true` less without it is {figures.text(apart, '+')} points, {round(sum(apart) / len(apart) * tiles):+d} of {tiles} "
                     f"cells{'' if len(apart) > 1 else '; one seed shows no difference of that size'}.")
    o.document.write_text("\n".join(lines) + "\n")
    print(f"study: {o.document}")


def main():
    parser = argparse.ArgumentParser(prog="./run study continue", description="Weights that are good already, continued with care and without.")
    parser.add_argument("--images", type=int, default=8192, help="that the weights have seen, with labels (8192)")
    parser.add_argument("--steps", type=int, default=200, help="that they go on for (200)")
    parser.add_argument("--lr", type=float, default=0.001, help="optimiser.lr, of which a batch of 16 has four times (0.001)")
    parser.add_argument("--seeds", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2, 3])
    parser.add_argument("-o", dest="output", type=Path, default=ROOT / "runs/study-continue", help="where the runs lie (runs/study-continue)")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/continue.md")
    o = parser.parse_args()
    elpv.fetch()
    o.output.mkdir(parents=True, exist_ok=True)
    o.output = o.output.resolve()
    kept, results = Kept(o.output / "measured.jsonl"), {}

    def once(name, seed, weights):
        what = {"weights": name, "seed": seed, "steps": o.steps, "images": o.images, "lr": o.lr}
        row = kept.row(what, lambda: parity.measured(parity.load_file(weights())))
        print(row, flush=True)
        results.setdefault(name, []).append(row)

    for seed in o.seeds:
        once("as given", seed, lambda: given(o, seed))
        for arm in ARMS:
            once(arm, seed, lambda: went_on(o, arm, seed))
    report(o, results)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""table.py: six methods at two batch sizes on photographs of solar cells (elpv.py), each cell with the same number of images seen, beside rows
that need no training and a network trained with labels. Writes docs/first-table.md. `./run study table [--images N] [--report]`."""
import argparse
import csv
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy
import torch
import torchvision
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import elpv
import figures

ROOT = elpv.ROOT
# What a method has of its own, for small batches, as recipes/methods has it. Left out: the default.
KEYS = ("name", "temperature", "momentum", "momentum_batch", "hidden", "prototypes", "queue", "directions")
METHODS = ({"name": "simclr", "temperature": 0.2}, {"name": "dcl", "temperature": 0.2},
           {"name": "byol", "momentum": 0.99, "momentum_batch": 32, "hidden": 512}, {"name": "swav", "prototypes": 300, "queue": 960},
           {"name": "vicreg"}, {"name": "lejepa", "directions": 256})
NO_TRAINING = ("chance", "colour", "pixels", "untrained")
SIDE, RATE, DECAY = 48, 0.000125, 0.05  # as elpv.yaml has them, for the supervised network


def sweep(o):
    """The seed changes slowest, so that a sweep that is cut short has whole seeds."""
    methods = ",".join(":".join(str(m.get(key, "")) for key in KEYS) for m in METHODS)
    batches = ",".join(f"{b}:{o.images // b}" for b in o.batches)
    command = ["./run", "sweep", "study/elpv.yaml", "seed=" + ",".join(map(str, o.seeds)), ":".join("method." + key for key in KEYS) + "=" + methods,
               "trainer.batch:trainer.steps=" + batches, "-o", str(o.output)]
    status = subprocess.run(command, cwd=ROOT).returncode
    if status not in (0, 1):  # 1: some cells failed, and the table says which
        sys.exit(status)
    if not (o.output / "table.csv").exists():
        sys.exit("study: the sweep made no table")


# ---- with labels ---------------------------------------------------------------------------------------------------------------------------


def images_of(rows):
    """u8 [N, 1, 300, 300] and labels [N]; 1: defective."""
    pixels = numpy.stack([numpy.asarray(Image.open(elpv.FOLDER / row["path"]).convert("L")) for row in rows])
    return torch.from_numpy(pixels)[:, None], numpy.array([row["label"] == "defective" for row in rows], dtype=int)


def normalised(pixels):
    return (pixels.float() / 255 - 0.449) / 0.226


def batch_of(images, chosen, generator):
    """Views as the sweep's, less the change of colours and the blur: a random part of at least a fifth, mirrored by chance."""
    views = []
    for i in chosen:
        crop = torchvision.transforms.RandomResizedCrop.get_params(images[i], (0.2, 1), (3 / 4, 4 / 3))
        view = torchvision.transforms.functional.resized_crop(images[i], *crop, (SIDE, SIDE), antialias=True)
        views.append(view.flip(-1) if torch.rand((), generator=generator) < 0.5 else view)
    return normalised(torch.stack(views))


def train_supervised(images_seen, seed):
    """The same encoder, in batches of 64; half of a batch is defective."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels = images_of(elpv.rows("train"))
    of_label = [torch.from_numpy(numpy.flatnonzero(labels == label)) for label in (0, 1)]
    model = torchvision.models.resnet18(num_classes=2)
    model.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    batch = 64
    steps = max(images_seen // batch, 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE * math.sqrt(batch), weight_decay=DECAY)
    warmup = max(steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: (step + 1) / warmup if step < warmup else (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2)
    target = torch.arange(2).repeat_interleave(batch // 2)
    for _ in range(steps):
        chosen = torch.cat([some[torch.randint(len(some), (batch // 2,), generator=generator)] for some in of_label])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch_of(images, chosen, generator)), target).backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def supervised(o, seed):
    """As many images seen. kNN of its features, and its own answers."""
    model = train_supervised(o.images, seed)
    images, labels = images_of(elpv.rows("test"))
    clean = normalised(torchvision.transforms.functional.resize(images, (SIDE, SIDE), antialias=True))
    with torch.no_grad():
        right = float((model(clean).argmax(1).numpy() == labels).mean())
        model.fc = torch.nn.Identity()
        features = torch.cat([model(part) for part in clean.split(250)]).double().numpy()
    return {"seed": seed, "images": o.images, "knn_top1": figures.knn(features, labels), "right": right}


def all_supervised(o):
    path = o.output / "supervised.jsonl"
    known = [json.loads(line) for line in open(path)] if path.exists() else []
    for seed in o.seeds:
        if not any(line["seed"] == seed and line["images"] == o.images for line in known):
            print(f"with labels, seed {seed}", flush=True)
            known.append(supervised(o, seed))
            with open(path, "a") as file:
                file.write(json.dumps(known[-1]) + "\n")
    return {line["seed"]: line for line in known if line["images"] == o.images}


# ---- the document --------------------------------------------------------------------------------------------------------------------------


def read_table(o):
    """{(method, batch): {seed: row}}, {name: {seed: row}}, the cells that failed."""
    cells, others, failures = {}, {}, []
    with open(o.output / "table.csv", newline="") as file:
        for line in csv.DictReader(file):
            method = next(value for key, value in line.items() if key.startswith("method.name")).split(":")[0]
            batch = int(next(value for key, value in line.items() if key.startswith("trainer.batch")).split(":")[0])
            row = {key: float(value) for key, value in line.items() if key in ("knn_top1", "view_retrieval", "rank") and value}
            if line["row"] == "trained":
                cells.setdefault((method, batch), {})[int(line["seed"])] = row
            elif line["row"] in NO_TRAINING:
                others.setdefault(line["row"], {})[int(line["seed"])] = row
            else:
                failures.append(f"{method} at batch {batch}, seed {line['seed']}: {line['reason'] or line['row']}")
    return cells, others, failures


def differences(a, b, key="knn_top1"):
    """Seed by seed."""
    return [a[seed][key] - b[seed][key] for seed in sorted(a.keys() & b.keys())]


def apart(values):
    """1, -1: the interval lies above, below 0; 0: it has 0 in it, or there is none."""
    if len(values) < 2:
        return 0
    mean, half = figures.interval(values)
    return 0 if abs(mean) <= half else 1 if mean > 0 else -1


def remarks(o, cells, others, labelled):
    tiles = len(elpv.rows("test"))
    names = {(m, b): f"{m} at {b}" for m, b in cells}
    yield (f"The intervals are of the seeds alone. That there are only {tiles} held-out cells adds an uncertainty of its own, "
           f"about ± {196 * math.sqrt(0.25 / tiles):.1f} points for one row; between rows it is smaller, because they are measured on the same cells.")
    if len(o.seeds) < 2:
        yield "There is one seed, and so no interval: no row is shown to be better than another."
        return
    if "untrained" in others and labelled and apart(differences(labelled, others["untrained"])) <= 0:
        yield ("Not even the network with labels is above *untrained*: so few images are too few to tell which method is best, and the table "
               "claims nothing of the kind: it shows how such a comparison is made and read.")
    for name in ("untrained", "pixels", "colour"):
        above = [names[c] for c in cells if name in others and apart(differences(cells[c], others[name])) > 0]
        below = [names[c] for c in cells if name in others and apart(differences(cells[c], others[name])) < 0]
        yield (f"Against *{name}*, seed by seed: above it with an interval that leaves out zero are {', '.join(above) or 'none'}; "
               f"below it {', '.join(below) or 'none'}.")
    for batch in o.batches:
        of_batch = [c for c in cells if c[1] == batch]
        found = []
        for i, a in enumerate(of_batch):
            for b in of_batch[:i]:
                which = apart(differences(cells[a], cells[b]))
                if which:
                    better, worse = (a, b) if which > 0 else (b, a)
                    found.append(f"{better[0]} over {worse[0]}")
        count = len(of_batch) * (len(of_batch) - 1) // 2
        yield (f"Between methods at batch {batch}: {', '.join(found) or 'no pair'} of {count} pairs differ with an interval that leaves out zero; "
               f"of {count} pairs that do not differ, one in twenty would do so by chance.")
    for method in dict.fromkeys(m for m, _ in cells):
        first, last = cells.get((method, o.batches[0])), cells.get((method, o.batches[-1]))
        if first and last and len(o.batches) > 1 and apart(differences(first, last)):
            yield f"{method}: batch {o.batches[0]} less batch {o.batches[-1]} is {figures.text(differences(first, last), '+')} points."


def report(o, labelled):
    cells, others, failures = read_table(o)
    train, test = len(elpv.rows("train")), len(elpv.rows("test"))
    lines = ["# A first table: small batches on photographs of solar cells", "",
             f"Written by `./run study table`{'' if o.images == 2048 else f' --images {o.images}'} on {datetime.date.today().isoformat()}; "
             f"{figures.machine()}.", "",
             f"2,624 photographs of solar cells, 300 x 300 pixels, grey (elpv-dataset, CC-BY-NC-SA, fetched and not shipped), seen in views of {SIDE} "
             f"pixels. {train} cells are trained on; {test} are held out, in blocks of consecutive numbers, half of them defective within each type, "
             "so that guessing is right in 50 %. A ResNet-18 from random weights, AdamW, one recipe (`study/elpv.yaml`) and each method's own keys "
             f"as in `study/table.py`: nothing was tuned. Each cell sees {o.images} images ({o.images / train:.1f} epochs): a batch four times as "
             "large takes a quarter of the steps.", "",
             "*kNN*: the share of held-out cells whose 20 nearest held-out cells, each cell itself left out, vote for the right label. *view*: the share "
             "of distorted views whose nearest clean cell is their own, which is what was trained, not what is wanted. Mean over "
             f"{len(o.seeds)} seeds{' and 95 % t interval' if len(o.seeds) > 1 else ', and no interval'}; *over untrained* is taken seed by seed.", "",
             "| row | batch | seeds | kNN, % | over untrained | view, % | RankMe |", "|---|---|---|---|---|---|---|"]
    untrained = others.get("untrained", {})

    def line(name, batch, of_seed):
        def column(key):
            values = [row[key] for _, row in sorted(of_seed.items()) if key in row]
            return figures.text(values) if values else ""

        over = differences(of_seed, untrained) if untrained and name not in ("chance", "untrained") else []
        ranks = [row["rank"] for _, row in sorted(of_seed.items()) if "rank" in row]
        lines.append(f"| {name} | {batch} | {len(of_seed)} | {column('knn_top1')} | {figures.text(over, '+') if over else ''} | "
                     f"{column('view_retrieval')} | {f'{sum(ranks) / len(ranks):.0f}' if ranks else ''} |")

    for name in NO_TRAINING:
        if name in others:
            line(name, "", others[name])
    for method, batch in cells:
        line(method, batch, cells[method, batch])
    if labelled:
        line("with labels (PyTorch)", 64, labelled)
        lines += ["", "The network with labels is torchvision's ResNet-18 with the same rate, schedule and number of images; its own answers are right in "
                  f"{figures.text([row['right'] for row in labelled.values()])} % of the held-out cells."]
    lines += ["", "What this allows to say:", ""] + [f"- {remark}" for remark in remarks(o, cells, others, labelled)]
    lines.append(f"- {o.images / train:.1f} epochs are a beginning: with more of them the order of the methods may be another.")
    if failures:
        lines += ["", "Without a result:", ""] + [f"- {failure}" for failure in failures]
    o.document.write_text("\n".join(lines) + "\n")
    print(f"study: {o.document}")


def main():
    parser = argparse.ArgumentParser(prog="./run study table", description="Six methods at two batch sizes on photographs of solar cells.")
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser.add_argument("--images", type=int, default=2048, help="that each cell sees (2048)")
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    parser.add_argument("--batches", type=numbers, default=[16, 64])
    parser.add_argument("--report", action="store_true", help="only the document, of the results that are there")
    parser.add_argument("-o", dest="output", type=Path, default=ROOT / "runs/study-table", help="where the runs lie (runs/study-table)")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/first-table.md")
    o = parser.parse_args()
    elpv.fetch()
    if not o.report:
        sweep(o)
    labelled = all_supervised(o)
    report(o, labelled)


if __name__ == "__main__":
    main()

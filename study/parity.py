#!/usr/bin/python3
"""parity.py: SimCLR and BYOL by our programs and by PyTorch: the same encoder, images, kind of views (made by our view operation for both), batch,
number of steps, rates and evaluation, three seeds each. The draws are not the same, so equal means: within the spread of the seeds. Writes
docs/parity.md. `./run study parity [--images N]`."""
import argparse
import datetime
import math
import subprocess
import sys
from pathlib import Path

import numpy
import torch
import torchvision
from PIL import Image
from torch.nn import functional

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests/oracle")]
import elpv
import figures
import view
from kept import Kept
from methods import logsumexp, unit
from reference import load_file, optimiser

ROOT = elpv.ROOT
TILE, SIDE, HIDDEN, OUT, PREDICTOR, MOMENTUM, TEMPERATURE = 300, 48, 256, 128, 256, 0.99, 0.2
DECAY = 1e-4


def keys(o, method, seed):
    own = {"simclr": {"method.temperature": TEMPERATURE, "projector.last": "norm", "projector.views": "together"},
           "byol": {"method.momentum": MOMENTUM, "method.momentum_batch": o.batch, "method.hidden": PREDICTOR, "projector.last": "plain",
                    "projector.views": "apart"}}[method]
    return {"method.name": method, **own, "encoder.name": "resnet18", "data.path": elpv.MANIFEST, "data.tile": TILE, "data.view": SIDE,
            "data.channels": 1, "data.place": "grid", "projector.layers": 2, "projector.hidden": HIDDEN, "projector.out": OUT, "trainer.batch": o.batch,
            "trainer.steps": o.steps, "trainer.precision": "f32", "trainer.checkpoint_every": o.steps, "optimiser.name": "sgd", "optimiser.lr": o.rate,
            "optimiser.scaling": "none", "optimiser.weight_decay": DECAY, "seed": seed}


def ours(o, method, seed):
    run = o.output / f"{method}-{seed}-{o.steps}"
    if not (run / "backbone.safetensors").exists():
        empty = o.output / "empty.yaml"
        empty.write_text("seed: 1\n")
        command = ["./run", "resume", str(run)] if (run / "index.bin").exists() else ["./run", "train", str(empty), f"run.dir={run}"] + [
            f"{key}={value}" for key, value in keys(o, method, seed).items()]
        subprocess.run(command, cwd=ROOT, check=True)
    return load_file(run / "backbone.safetensors")


# ---- in PyTorch ----------------------------------------------------------------------------------------------------------------------------


def head(width, hidden, out, norm):
    """Two layers, drawn as ours are; behind the second a norm without shift, or nothing."""
    parts = [torch.nn.Linear(width, hidden, bias=False), torch.nn.BatchNorm1d(hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, out, bias=False)]
    for linear in parts[::3]:
        torch.nn.init.kaiming_normal_(linear.weight)
    if norm:
        parts.append(torch.nn.BatchNorm1d(out))
        parts[-1].register_parameter("bias", None)
    return torch.nn.Sequential(*parts)


def backbone():
    net = torchvision.models.resnet18()
    net.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    net.fc = torch.nn.Identity()
    return net


def normalised(pixels):
    return (torch.as_tensor(pixels).float() / 255 - 0.449) / 0.226


def pixels_of(rows):
    return [numpy.array(Image.open(elpv.FOLDER / row["path"]).convert("L"))[..., None] for row in rows]


def views_of(tiles, order, seed):
    """Two views for each of the tiles in `order`, u8 [2, N, 1, side, side], drawn and made by our programs' code."""
    count = 2 * len(order)
    got = subprocess.run([view.TOOL, "draw", str(TILE), str(TILE), str(count), f"seed={seed}", f"views.0.size={SIDE}"], stdout=subprocess.PIPE, check=True)
    params = numpy.frombuffer(got.stdout, view.PARAMS)
    out = numpy.zeros((count, 1, SIDE, SIDE), numpy.uint8)
    tile_of = numpy.tile(order, 2)
    for tile in numpy.unique(order):
        places = numpy.flatnonzero(tile_of == tile)
        out[places, 0] = numpy.stack(view.render(tiles[tile], params[places]))[..., 0]
    return out.reshape(2, len(order), 1, SIDE, SIDE)


def nt_xent(z):
    """Chen et al. 2020: the mean over both views of each sample."""
    count = len(z[0])
    logits = unit(torch.cat(z)) @ unit(torch.cat(z)).T / TEMPERATURE
    rows = torch.arange(2 * count)
    return (logsumexp(logits, torch.eye(2 * count, dtype=torch.bool)) - logits[rows, (rows + count) % (2 * count)]).mean()


class Network(torch.nn.Module):
    """Backbone and projector. together: the projector's norms see both views at once; the backbone's always do."""

    def __init__(self, together):
        super().__init__()
        self.backbone, self.projector, self.together = backbone(), head(512, HIDDEN, OUT, together), together

    def forward(self, views):
        features = self.backbone(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        return list(self.projector(features.flatten(0, 1)).unflatten(0, views.shape[:2])) if self.together else [self.projector(f) for f in features]


def theirs(o, method, seed):
    path = o.output / f"pytorch-{method}-{seed}-{o.steps}.pt"
    if path.exists():
        return torch.load(path)
    torch.manual_seed(seed)
    tiles = pixels_of(elpv.rows("train"))
    chance = numpy.random.default_rng(seed)
    epochs = math.ceil(o.steps * o.batch / len(tiles))
    order = numpy.concatenate([chance.permutation(len(tiles)) for _ in range(epochs)])[:o.steps * o.batch]
    views = views_of(tiles, order, 1000 + seed)
    net = Network(method == "simclr")
    target = predictor = None
    learned = torch.nn.ModuleList([net])
    if method == "byol":
        target, predictor = Network(False), head(OUT, PREDICTOR, OUT, False)
        target.load_state_dict(net.state_dict())
        learned.append(predictor)
    steps = optimiser("sgd", learned, DECAY)
    warm = round(0.1 * o.steps)
    for step in range(o.steps):
        rate = (step + 1) / warm if step < warm else (1 + math.cos(math.pi * min((step - warm) / max(o.steps - 1 - warm, 1), 1))) / 2
        for group in steps.param_groups:
            group["lr"] = o.rate * rate
        x = normalised(views[:, step * o.batch:(step + 1) * o.batch])
        z = net(x)
        if method == "simclr":
            loss = nt_xent(z)
        else:
            with torch.no_grad():
                wanted = target(x)
            loss = sum(((unit(predictor(z[v])) - unit(wanted[1 - v])) ** 2).sum(1).mean() for v in range(2))
        steps.zero_grad()
        loss.backward()
        steps.step()
        if target is not None:
            momentum = 1 - (1 - MOMENTUM) * (1 + math.cos(math.pi * step / o.steps)) / 2
            with torch.no_grad():
                for mine, follows in zip(net.parameters(), target.parameters()):
                    follows.lerp_(mine, 1 - momentum)
        if (step + 1) % 20 == 0:
            print(f"PyTorch {method}, seed {seed}: step {step + 1} of {o.steps}, loss {loss.item():.4f}", flush=True)
    torch.save(net.backbone.state_dict(), path)
    return net.backbone.state_dict()


# ---- one evaluation for both ---------------------------------------------------------------------------------------------------------------


def features_of(weights, rows):
    """float64 [N, 512]. The norms take the statistics of the images at hand, as the evaluator's do."""
    clean = functional.interpolate(torch.stack([torch.from_numpy(p)[None, ..., 0] for p in pixels_of(rows)]).float(), (SIDE, SIDE), mode="bilinear",
                                   antialias=True, align_corners=False)
    net = backbone()
    net.load_state_dict(weights, strict=False)
    net.train()
    with torch.no_grad():
        return net(normalised(clean)).double().numpy()


def linear(train, train_labels, test, test_labels):
    """Logistic regression on standardised features, weights decayed, both labels weighing the same; the share right of the held-out."""
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    x, y = torch.from_numpy((train - mean) / deviation), torch.from_numpy(train_labels)
    layer = torch.nn.Linear(x.shape[1], 2, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
    weight = len(y) / (2 * torch.bincount(y).double())
    solver = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        loss = functional.cross_entropy(layer(x), y, weight) + 1e-2 * layer.weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    with torch.no_grad():
        answers = layer(torch.from_numpy((test - mean) / deviation)).argmax(1).numpy()
    return float((answers == test_labels).mean())


def measured(weights):
    labels = [numpy.array([row["label"] == "defective" for row in elpv.rows(split)], dtype=int) for split in ("train", "test")]
    train, test = (features_of(weights, elpv.rows(split)) for split in ("train", "test"))
    return {"knn": figures.knn(test, labels[1]), "linear": linear(train, labels[0], test, labels[1])}


def report(o, results):
    lines = ["# The same methods in PyTorch", "",
             f"Written by `./run study parity --images {o.images}` on {datetime.date.today().isoformat()}; {figures.machine()}.", "",
             f"ResNet-18 on the photographs of `first-table.md`, {o.steps} steps of {o.batch} images ({o.images / len(elpv.rows('train')):.1f} epochs), SGD; the "
             "PyTorch rows are torchvision's network with the losses written out in `study/parity.py`, in its own training loop. Views of both are made by our "
             "view operation, with the same distributions and other draws. Features of both are taken and measured by the same PyTorch code. Mean and 95 % t "
             f"interval over {len(o.seeds)} seeds.", "", "| method | by | kNN, % | linear, % |", "|---|---|---|---|"]
    for (method, by), rows in results.items():
        lines.append(f"| {method} | {by} | {figures.text([r['knn'] for r in rows])} | {figures.text([r['linear'] for r in rows])} |")
    lines.append("")
    for method in ("simclr", "byol"):
        a, b = results[method, "smallbatch"], results[method, "PyTorch"]
        for key in ("knn", "linear"):
            both = [[r[key] for r in rows] for rows in (a, b)]
            within = max(min(both[0]), min(both[1])) <= min(max(both[0]), max(both[1]))
            lines.append(f"- {method}, {key}: seeds from {100 * min(both[0]):.1f} to {100 * max(both[0]):.1f} % here and from {100 * min(both[1]):.1f} to "
                         f"{100 * max(both[1]):.1f} % in PyTorch: the ranges {'overlap' if within else 'do not overlap'}.")
    lines.append(f"- Overlapping ranges of {len(o.seeds)} seeds are no proof of equality; step by step the formulas are held in `tests/oracle`.")
    o.document.write_text("\n".join(lines) + "\n")
    print(f"study: {o.document}")


def main():
    parser = argparse.ArgumentParser(prog="./run study parity", description="SimCLR and BYOL, by our programs and by PyTorch.")
    parser.add_argument("--images", type=int, default=8192, help="that each network sees (8192)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seeds", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2, 3])
    parser.add_argument("-o", dest="output", type=Path, default=ROOT / "runs/study-parity", help="where the runs lie (runs/study-parity)")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/parity.md")
    o = parser.parse_args()
    o.steps = o.images // o.batch
    elpv.fetch()
    subprocess.run(["make", "-s", "build/tests/oracle/view_tool"], cwd=ROOT, check=True)
    o.output.mkdir(parents=True, exist_ok=True)
    kept, results = Kept(o.output / "measured.jsonl"), {}

    def once(method, by, seed, weights):
        name = {"method": method, "by": by, "seed": seed, "steps": o.steps}
        results.setdefault((method, by), []).append(kept.row(name, lambda: measured(weights())))

    for seed in o.seeds:
        torch.manual_seed(seed)
        once("none", "untrained", seed, lambda: backbone().state_dict())
    for method in ("simclr", "byol"):
        for seed in o.seeds:
            once(method, "smallbatch", seed, lambda: ours(o, method, seed))
            once(method, "PyTorch", seed, lambda: theirs(o, method, seed))
    report(o, results)


if __name__ == "__main__":
    main()

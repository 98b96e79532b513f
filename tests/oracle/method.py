#!/usr/bin/python3
"""Every method's loss, its gradients and what a step leaves behind (build/sb_trainer loss) against PyTorch in float64.

A method's formula is written a second time in methods/NAME.py:
    LEAST       samples that it takes at least
    WIDTHS      two widths of an embedding; where it says nothing, 3 and 128
    TARGET      it has a target network, whose embeddings are given; where it says nothing, not
    IMAGES      it keeps something for each image: samples are of some, which may come twice; where it says nothing, not
    VARIANTS    for each: keys of its own; beside them "step", "views" (2), "places" (some samples overlap) and "seed"
    loss(m)     of the embeddings and all else that a Method below has, in the precision of those
    after(m)    the arrays that a step changes, by name; none where there is no such function
    draw(name, shape, generator)    an array of the method's own; None, or no such function: as `draw` below has it
    RELATIONS   functions of (program, generator), whose texts say what must hold: (error, bound) each; program: see Program

An error is |x - x64| / |x64| of a tensor. It may be 8 times the largest that PyTorch makes in f32 in four evaluations whose inputs are wrong at
random, by a unit in the last place or by the sqrt(N) / 4 units that a sum over the batch may lose; and FLOOR, eight units of rounding. That this is tight is shown, too: each tensor, made larger by PLANTED,
has to break it, except where rounding alone does as much (two samples have no more than a sign behind a batch norm).
"""
import importlib
import math
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy
import torch
from torch.nn import functional

from methods import inputs, unit
from philox import normals

ROOT = Path(__file__).parents[2]
TRAINER = ROOT / "build/sb_trainer"
EMULATED = ROOT / "build/tests/sb_emulated.so"
ROUNDING = 2.0**-24
FLOOR = 8 * ROUNDING
PLANTED = 1e-3
SEED, STEPS = 7, 40


def names():
    """Of the methods whose loss is of embeddings; masked.py, distillation.py and guide.py have the others."""
    return [name for name in re.findall(r"^SB_METHOD\((\w+)\)", (ROOT / "trainer/methods/methods.def").read_text(), re.MULTILINE) if name not in ("mae", "fcmae", "cnn_jepa", "distillation", "supervised")]


def value(text):
    try:
        return float(text) if re.search(r"[.e]", text) else int(text)
    except ValueError:
        return text


class Program:
    """`sb_trainer loss` of one method: a call gives the loss, the gradients, and what was written of the method's own arrays."""

    def __init__(self, name):
        self.name = name
        table = subprocess.run([TRAINER, "keys", name], capture_output=True, text=True, check=True).stdout
        self.defaults = {key: value(text) for key, text in re.findall(r"^\| `method\.(\w+)` \| (\S+) \|", table, re.MULTILINE)}

    def __call__(self, views, keys=None, targets=None, arrays=None, places=None, images=None, guides=None, step=0, device="cpu"):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            command = [TRAINER, "loss", self.name]
            for i, view in enumerate(views):
                numpy.save(folder / f"view.{i}.npy", numpy.asarray(view, numpy.float32))
                command.append(folder / f"view.{i}.npy")
            command += [f"{k if '.' in k or k == 'seed' else 'method.' + k}={v}" for k, v in (keys or {}).items()]
            command += [f"trainer.steps={STEPS}", "trainer.threads=2", f"device={device}", "-o", folder / "out", "--step", str(step)]
            if device == "cuda":
                command.append(f"cuda.plugin={EMULATED}")
            for i, target in enumerate(targets or []):
                numpy.save(folder / f"target.{i}.npy", numpy.asarray(target, numpy.float32))
                command += ["--target", folder / f"target.{i}.npy"]
            if arrays:
                (folder / "in").mkdir()
                for name, array in arrays.items():
                    numpy.save(folder / "in" / f"{name}.npy", numpy.asarray(array, numpy.float32))
                command += ["--arrays", folder / "in"]
            if places is not None:
                numpy.save(folder / "places.npy", places.astype(numpy.int32))
                command += ["--places", folder / "places.npy"]
            if images is not None:
                numpy.save(folder / "images.npy", images.astype(numpy.int32))
                command += ["--images", folder / "images.npy"]
            if guides is not None:
                (folder / "guides").mkdir()
                for name, said in guides.items():
                    numpy.save(folder / "guides" / f"{name}.npy", said.astype(numpy.float32))
                command += ["--guides", folder / "guides"]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode != 0:
                raise RuntimeError(ended.stderr.strip())

            def read(part):
                return {p.name[:-len(".npy")]: torch.from_numpy(numpy.load(p)) for p in sorted((folder / "out" / part).glob("*.npy"))}

            return {"loss": torch.tensor(float(ended.stdout.split()[1])),
                    "gradients": [torch.from_numpy(numpy.load(folder / "out" / f"gradient.{i}.npy")) for i in range(len(views))],
                    "arrays": read("arrays"), "own": read("gradients"), "after": read("after")}


def crowd(generator, samples):
    """Places [samples, 4] (image, left, top, side) of two images: some overlap, some touch, the first two overlap."""
    places = numpy.stack([generator.integers(0, most, samples) for most in (2, 12, 12, 5)], 1) + numpy.array([0, 0, 0, 2])
    places[1] = places[0] + numpy.array([0, 1, -1, 0])
    return places


def overlapping(places):
    """[samples, samples]: pairs that share a pixel of an image. A sample beside itself is for each formula to leave out."""
    image, begin, side = places[:, 0], places[:, 1:3], places[:, 3]
    shared = numpy.minimum.outer(begin[:, 0] + side, begin[:, 0] + side) - numpy.maximum.outer(begin[:, 0], begin[:, 0])
    across = numpy.minimum.outer(begin[:, 1] + side, begin[:, 1] + side) - numpy.maximum.outer(begin[:, 1], begin[:, 1])
    return (image[:, None] == image) & (shared > 0) & (across > 0)


class Method:
    """What a reference sees of a step, in one precision."""

    def __init__(self, program, variant, views, targets, arrays, places, images, learnt, kind, wrong=lambda x: x):
        def copy(x):
            return wrong(x.double()).to(kind)

        self.program, self.variant, self.step, self.steps = program, variant, variant.get("step", 0), STEPS
        self.z = [copy(x).requires_grad_() for x in views]
        self.target = [copy(x) for x in targets]
        self.own = {n: copy(x).requires_grad_(n in learnt) for n, x in arrays.items()}
        self.state = {n: x for n, x in self.own.items() if n not in learnt}
        self.skip = None if places is None else torch.from_numpy(overlapping(places))
        self.images = None if images is None else torch.from_numpy(images)
        self.kind = kind

    def key(self, name):
        return self.variant.get(name, self.program.defaults[name])

    def normals(self, which, rows, width):
        """What sb_normal gives as leaf `which` of the graph; the features are leaf 0."""
        return normals(self.variant.get("seed", SEED), self.step, which, rows * width).reshape(rows, width).to(self.kind)

    def mlp(self, x, name, last="plain"):
        """Layers of the method's own, as trainer/heads/mlp.c lays them out."""
        layers = 1 + max(int(n.split(".")[1]) for n in self.own if n.startswith(name + ".")) // 3
        for i in range(layers):
            x = functional.linear(x, self.own[f"{name}.{3 * i}.weight"], self.own.get(f"{name}.{3 * i}.bias"))
            if i < layers - 1 or last == "norm":
                x = functional.batch_norm(x, None, None, self.own[f"{name}.{3 * i + 1}.weight"], self.own.get(f"{name}.{3 * i + 1}.bias"), True)
            if i < layers - 1:
                x = functional.relu(x)
        return x


def draw(reference, name, shape, generator):
    own = getattr(reference, "draw", lambda *_: None)(name, shape, generator)
    if own is not None:
        return torch.as_tensor(own, dtype=torch.float32)
    x = torch.from_numpy(generator.standard_normal(shape).astype(numpy.float32))
    if name.startswith(("queue", "prototypes")):
        return unit(x)
    if name.endswith(".weight") and len(shape) == 1:
        return 1 + 0.2 * x.abs()
    return x / math.sqrt(numpy.prod(shape[1:])) if len(shape) > 1 else 0.3 * x


def results(reference, m):
    """Of a reference, all that is compared."""
    loss = reference.loss(m)
    loss.backward()

    def gradient(x):
        return torch.zeros_like(x) if x.grad is None else x.grad

    found = {"loss": loss.detach(), **{f"gradient {i}": gradient(x) for i, x in enumerate(m.z)},
             **{f"gradient of {n}": gradient(x) for n, x in m.own.items() if x.requires_grad}}
    with torch.no_grad():
        changed = reference.after(m) if hasattr(reference, "after") else {}
    return {**found, **{f"{n} after": changed.get(n, x.detach()) for n, x in m.own.items()}}


def error(x, exact):
    return ((x.double() - exact).norm() / exact.norm().clamp(min=1e-30)).item()


def judge(found, exact, own):
    """Complaints about what was found, against PyTorch's in f64; the largest error as a share of what it may be. own: PyTorch's in f32."""
    complaints, worst = [], 0
    for name, x in exact.items():
        bound = FLOOR + 8 * max(error(o[name], x) for o in own)
        e = error(found[name], x)
        if not e <= bound:
            complaints.append(f"{name} is off by {e:.1e}, may be {bound:.1e}")
        if bound < PLANTED / 4 and x.norm() > 0 and error(found[name] * (1 + PLANTED), x) <= bound:
            complaints.append(f"{name}: an error of {PLANTED} would pass")
        worst = max(worst, e / bound)
    return complaints, worst


def compare(reference, program, variant, kind, samples, width, device, generator):
    """Complaints; the largest error as a share of what it may be."""
    keys = {k: v for k, v in variant.items() if k not in ("step", "places", "views")}
    keys.setdefault("seed", SEED)
    count = variant.get("views", 2)
    views, targets = inputs(generator, kind, count, samples, width), []
    places = crowd(generator, samples) if variant.get("places") else None
    if getattr(reference, "TARGET", False):
        targets = [x + 0.5 * torch.from_numpy(generator.standard_normal(x.shape).astype(numpy.float32)) for x in views]
    images = generator.integers(0, 2 * samples, samples) if getattr(reference, "IMAGES", False) else None  # one may come twice
    more = {"keys": keys, "targets": targets, "places": places, "images": images, "step": variant.get("step", 0), "device": device}
    got = program(views, **more)
    arrays = {n: draw(reference, n, tuple(x.shape), generator) for n, x in got["arrays"].items()}
    if arrays:
        got = program(views, arrays=arrays, **more)
    found = {"loss": got["loss"], **{f"gradient {i}": x for i, x in enumerate(got["gradients"])},
             **{f"gradient of {n}": x for n, x in got["own"].items()}, **{f"{n} after": x for n, x in got["after"].items()}}
    if kind in ("equal", "zero"):  # the gradient may be undefined there, and has to be a number
        return [n for n, x in found.items() if not x.isfinite().all()], 0

    def evaluate(precision, wrong=lambda x: x):
        return results(reference, Method(program, variant, views, targets, arrays, places, images, set(got["own"]), precision, wrong))

    def noise(x):
        return x * (1 + max(1, math.sqrt(samples) / 4) * 2 * ROUNDING * torch.from_numpy(generator.choice([-1.0, 0.0, 1.0], tuple(x.shape))))

    exact = evaluate(torch.float64)
    if set(exact) != set(found):
        return [f"compares {sorted(set(exact) ^ set(found))}"], 0
    own = [evaluate(torch.float32, noise) for _ in range(4)]
    return judge(found, exact, own)


def cases(reference):
    """(what it is, variant, kind of input, samples, width, device)"""
    widths = getattr(reference, "WIDTHS", (3, 128))
    for variant in reference.VARIANTS:
        text = " ".join(f"{k}={v}" for k, v in variant.items())
        for samples in sorted({reference.LEAST, 2, 3, 33, 256}):
            if samples >= reference.LEAST and not (variant.get("places") and samples < 3):
                for width in widths:
                    yield f"{text} [{samples}, {width}]", variant, "usual", samples, width, "cpu"
        for width in widths:
            yield f"{text} [33, {width}] emulated", variant, "usual", 33, width, "cuda"
        for kind in ("large", "equal", "zero"):
            yield f"{text} {kind} [33, {widths[1]}]", variant, kind, 33, widths[1], "cpu"


def main():
    wanted = sys.argv[1:] or names()
    tests = []
    for name in wanted:
        reference, program = importlib.import_module(f"methods.{name}"), Program(name)
        tests += [(name, reference, program, case) for case in cases(reference)]
        tests += [(name, reference, program, relation) for relation in getattr(reference, "RELATIONS", [])]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, (name, reference, program, test) in enumerate(tests, 1):
        generator = numpy.random.default_rng(zlib.crc32(f"{name} {test.__doc__ if callable(test) else test[0]}".encode()))
        try:
            if callable(test):
                what, off, bound = test.__doc__, *test(program, generator)
                complaints, worst = [] if off <= bound else [f"off by {off:.1e}, may be {bound:.1e}"], off / bound
            else:
                what, complaints, worst = test[0], *compare(reference, program, *test[1:], generator)
        except RuntimeError as e:
            what, complaints, worst = test.__doc__ if callable(test) else test[0], str(e).splitlines(), 0
        failed += bool(complaints)
        print(f"{'not ' if complaints else ''}ok {number} - {name} {what}: {worst:.2f} of what it may be off", flush=True)
        for complaint in complaints:
            print(f"# {complaint}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Columns that guide (guide.COLUMN; trainer/heads/guide.h) against PyTorch in float64, over the features that `sb_trainer loss` is given: the
loss with the method's, the gradients of the heads, and at the features lambda times theirs, of either sign. Some samples have no value; a
batch may have none at all. And the method `supervised`, whose loss is of such columns alone. Errors and their bounds are those of method.py; features near a ReLU's kink of a head are drawn again.
"""
import math
import sys
import zlib

import numpy
import torch
from torch.nn import functional

from method import EMULATED, ROUNDING, STEPS, Method, Program, judge
from methods import dcl, inputs

MARGIN = 1e-6  # of activations from their kink: there are 80,000, and errors are some 1e-8
NONE = math.nan
CASES = [
    # method, step, device; of each column its weight, how many classes it has (0: numbers), and the share of samples of which it says nothing
    ("dcl", 39, "cpu", {"plate": (0.5, 3, 0)}),
    ("dcl", 39, "cpu", {"plate": (-0.5, 3, 0.3)}),
    ("dcl", 12, "cpu", {"plate": (2.0, 5, 0.3), "year": (-3.0, 0, 0.3)}),
    ("dcl", 7, "cuda", {"year": (0.5, 0, 0.2), "plate": (-4.0, 2, 0.2)}),
    ("dcl", 2, "cpu", {"plate": (0.5, 3, 0.2)}),
    ("dcl", 39, "cpu", {"plate": (0.5, 3, 1.0), "year": (0.5, 0, 1.0)}),
    ("supervised", 0, "cpu", {"label": (1.0, 5, 0)}),
    ("supervised", 39, "cuda", {"label": (0.5, 3, 0.3), "year": (2.0, 0, 0.3)}),
]
SAMPLES, WIDTH = 33, 24


def scale(step):
    warmup = min(STEPS // 10, 1000)
    return 0 if step < warmup else 2 / (1 + math.exp(-10 * (step - warmup) / (STEPS - warmup))) - 1


def column(generator, classes, empty):
    said = generator.integers(0, classes, SAMPLES).astype(numpy.float32) if classes else generator.standard_normal(SAMPLES).astype(numpy.float32)
    if classes:
        said[:classes] = range(classes)
    gone = generator.random(SAMPLES) < empty
    gone[:classes] &= empty == 1
    said[gone] = NONE
    return said


class Backwards(torch.autograd.Function):
    @staticmethod
    def forward(context, h, factor):
        context.factor = factor
        return h.clone()

    @staticmethod
    def backward(context, gradient):
        return context.factor * gradient, None


def head(own, name, h):
    """Its output, and how near an activation is to its kink."""
    nearest, count = math.inf, sum(n.startswith(name + ".") for n in own) // 2
    for i in range(count):
        h = functional.linear(h, own[f"{name}.{2 * i}.weight"], own[f"{name}.{2 * i}.bias"])
        if i < count - 1:
            nearest = min(nearest, h.detach().abs().min().item())
            h = functional.relu(h)
    return h, nearest


def guided(m, number, weight, step):
    """What the head of a column makes of the features, and how near it is to a kink."""
    views = torch.cat(m.z)
    if m.kind == "supervised":
        return functional.linear(views, m.own[f"classifier.{number}.weight"], m.own[f"classifier.{number}.bias"]), math.inf
    return head(m.own, f"guide.{number}", Backwards.apply(views, math.copysign(scale(step), weight)))


def loss(m, columns, said, step):
    total, nearest = 0 if m.kind == "supervised" else dcl.loss(m), math.inf
    for number, (name, (weight, classes, _)) in enumerate(columns.items()):
        out, near = guided(m, number, weight, step)
        nearest = min(nearest, near)
        known = ~numpy.isnan(said[name])
        rows = torch.from_numpy(numpy.tile(known, 2))
        if not known.any():
            continue
        told = torch.from_numpy(numpy.tile(said[name], 2)[rows.numpy()])
        own = functional.cross_entropy(out[rows], told.long()) if classes else functional.mse_loss(out[rows, 0], told.to(out.dtype))
        total = total + (weight if weight > 0 else -weight / 10) * own
    return total, nearest


def test(program, generator, step, device, columns):
    keys = {"seed": 7, **{f"guide.{n}": w for n, (w, _, _) in columns.items()}}
    said = {n: column(generator, k, empty) for n, (_, k, empty) in columns.items()}
    for _ in range(20):
        views = inputs(generator, "usual", 2, SAMPLES, WIDTH)
        got = program(views, keys=keys, guides=said, step=step, device=device)
        arrays = got["arrays"]

        def evaluate(kind, wrong=lambda x: x):
            m = Method(program, {"step": step}, views, [], arrays, None, None, set(got["own"]), kind, wrong)
            m.kind = program.name
            total, near = loss(m, columns, said, step)
            total.backward()
            results = {"loss": total.detach(), **{f"gradient {i}": x.grad for i, x in enumerate(m.z)}}
            results.update({f"gradient of {n}": torch.zeros_like(x) if x.grad is None else x.grad for n, x in m.own.items()})
            return results, near

        exact, near = evaluate(torch.float64)
        if near > MARGIN:
            break
    else:
        return ["a ReLU is always near its kink"], 0

    def noise(x):
        return x * (1 + 2 * ROUNDING * torch.from_numpy(generator.choice([-1.0, 0.0, 1.0], tuple(x.shape))))

    own = [evaluate(torch.float32, noise)[0] for _ in range(4)]
    found = {"loss": got["loss"], **{f"gradient {i}": x for i, x in enumerate(got["gradients"])}, **{f"gradient of {n}": x for n, x in got["own"].items()}}
    if set(found) != set(exact):
        return [f"compares {sorted(set(found) ^ set(exact))}"], 0
    return judge(found, exact, own)


def main():
    failed = 0
    print(f"1..{len(CASES)}", flush=True)
    for number, (method, step, device, columns) in enumerate(CASES, 1):
        text = f"{method} step {step} {device} " + ", ".join(f"{n} {w:+g} ({k or 'numbers'}, {e:.0%} empty)" for n, (w, k, e) in columns.items())
        try:
            complaints, worst = test(Program(method), numpy.random.default_rng(zlib.crc32(text.encode())), step, device, columns)
        except RuntimeError as e:
            complaints, worst = str(e).splitlines(), 0
        failed += bool(complaints)
        print(f"{'not ' if complaints else ''}ok {number} - {text}: {worst:.2f} of what it may be off", flush=True)
        for complaint in complaints:
            print(f"# {complaint}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

"""Alignment and uniformity (Wang and Isola 2020), over unordered pairs as the paper has it."""
import math

import torch

from methods import bank, inputs, unit

LEAST = 2
VARIANTS = [{}, {"weight": 0.5, "t": 1}, {"t": 25}, {"places": True}]


def loss(m):
    a, b = (unit(z) for z in m.z)
    t, count = m.key("t"), len(a)

    def uniformity(x):
        near = torch.exp(-t * ((x[:, None] - x[None]) ** 2).sum(2))
        keep = torch.ones(count, count, dtype=torch.bool).triu(1)
        if m.skip is not None:
            keep &= ~m.skip
        return (2 * near[keep].sum() / (count * (count - 1))).log()

    return ((a - b) ** 2).sum(1).mean() + m.key("weight") * (uniformity(a) + uniformity(b)) / 2


def apart(program, generator):
    """a small step down its uniformity lowers the mean cosine between samples (the sign is as it should be)"""
    views = inputs(generator, "usual", 2, 33, 31)
    views[0] += 2
    views[1] = views[0].clone()  # aligned: only uniformity has a gradient
    gradient = program(views)["gradients"][0]

    def cosine(x):
        s = unit(x) @ unit(x).T
        return (s.sum() - s.trace()).item() / (len(x) * (len(x) - 1))

    before, after = cosine(views[0]), cosine(views[0] - 0.1 * gradient / gradient.norm() * math.sqrt(len(gradient)))
    return (0.0 if after < before else 1.0), 0.5


RELATIONS = [apart, bank]

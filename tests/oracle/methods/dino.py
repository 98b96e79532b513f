"""DINO (Caron et al. 2021): cross-entropy of every view with a target's sharp and centred softmax of each global view."""
import math

import torch

from methods import far, inputs, unit

LEAST = 1
TARGET = True
VARIANTS = [{"prototypes": 17}, {"prototypes": 33, "temperature": 0.2, "target_temperature": 0.07, "views": 4, "globals": 3, "momentum_batch": 64}]


def scores(m):
    """Of the target, whose prototypes are as the trained network's in the first step."""
    prototypes = m.own["prototypes.weight"].detach()
    return [unit(t) @ prototypes.T for t in m.target[:m.key("globals")]]


def loss(m):
    z, total, count = [unit(z) @ m.own["prototypes.weight"].T for z in m.z], 0, m.key("globals")
    for t, target in enumerate(scores(m)):
        wanted = torch.softmax((target - m.state["centre"]) / m.key("target_temperature"), 1)
        total = total - sum((wanted * torch.log_softmax(z[v] / m.key("temperature"), 1)).sum(1).mean() for v in range(len(z)) if v != t)
    return total / (count * (len(z) - 1))


def after(m):
    kept = m.key("centre_momentum") ** (len(m.z[0]) / m.key("momentum_batch"))
    mean = torch.cat(scores(m)).mean(0, keepdim=True)
    return {"centre": kept * m.state["centre"] + (1 - kept) * mean, "prototypes.weight": unit(m.own["prototypes.weight"])}


def collapsed(program, generator):
    """where all embeddings are one and the centre is their score, the loss is log(prototypes) less what the views' own scores tell"""
    view = [x[:1].expand(9, -1) for x in inputs(generator, "usual", 1, 9, 16)] * 2
    p = unit(torch.from_numpy(generator.standard_normal((17, 16))))
    s = unit(view[0].double()) @ p.T
    got = program(view, keys={"prototypes": 17}, targets=view, arrays={"prototypes.weight": p, "centre": s[:1]})
    return far([got["loss"]], [math.log(17) - (torch.log_softmax(s / 0.1, 1).mean() + math.log(17)).item()]), 2e-6


RELATIONS = [collapsed]

"""Sigmoid loss of pairs (Zhai et al. 2023): a softplus for each pair of two views, summed over one and averaged over the other."""
import torch
from torch.nn import functional

from methods import bank, far, inputs, unit

LEAST = 2
VARIANTS = [{}, {"bias": -3.5, "scale": 5}, {"bias": 0, "scale": 50}, {"places": True}]


def draw(name, shape, generator):
    return 0.3 * torch.from_numpy(generator.standard_normal(shape))


def loss(m):
    a, b = (unit(z) for z in m.z)
    logits = m.key("scale") * m.own["scale.weight"].exp() * (a @ b.T) + m.key("bias") + m.own["bias.weight"]
    same = torch.eye(len(a), dtype=torch.bool)
    pairs = functional.softplus(torch.where(same, -logits, logits))
    if m.skip is not None:
        pairs = pairs.masked_fill(m.skip & ~same, 0)
    return pairs.sum(1).mean()


def initial(program, generator):
    """begins with scale and bias as its keys say"""
    views = inputs(generator, "usual", 2, 33, 31)
    logits = 10 * unit(views[0].double()) @ unit(views[1].double()).T - 10
    wanted = functional.softplus(logits * (1 - 2 * torch.eye(33))).sum(1).mean()
    return far([program(views)["loss"]], [wanted]), 2e-6


RELATIONS = [initial, bank]

"""SimSiam (Chen and He 2021): a predictor against what the projector makes of the other view, without a gradient to that."""
import torch

from methods import bank, far, inputs, unit

LEAST = 2
VARIANTS = [{"hidden": 7}, {"hidden": 33, "predictor_rate": "scheduled"}]


def loss(m):
    """FastSiam's, too: the mean of all other views."""
    total = 0
    for v, z in enumerate(m.z):
        target = torch.stack([w.detach() for k, w in enumerate(m.z) if k != v]).mean(0)
        total = total - (unit(m.mlp(z, "predictor")) * unit(target)).sum(1).mean()
    return total / len(m.z)


def byol(program, generator):
    """with the same predictions and targets BYOL's loss is 4 + 4 times SimSiam's, and so is its gradient"""
    views = inputs(generator, "usual", 2, 33, 31)
    keys = {"hidden": 17}
    arrays = program(views, keys=keys)["own"]
    weights = {n: torch.from_numpy(generator.standard_normal(tuple(x.shape))) for n, x in arrays.items()}
    weights["predictor.3.bias"].zero_()  # BYOL's has none
    mine = program(views, keys=keys, arrays=weights)
    del weights["predictor.3.bias"]
    other = type(program)("byol")(views, keys=keys, targets=views, arrays=weights)
    return far([other["loss"], *other["gradients"]], [4 + 4 * mine["loss"], *(4 * g for g in mine["gradients"])]), 2e-6


RELATIONS = [byol, bank]

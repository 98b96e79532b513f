"""FastSiam (Pototzky et al. 2022): SimSiam against the mean of several other views."""
import torch

from methods import far, inputs
from methods.simsiam import loss  # noqa: F401

LEAST = 2
VARIANTS = [{"hidden": 7, "views": 4}]


def simsiam(program, generator):
    """of two views is SimSiam"""
    views = inputs(generator, "usual", 2, 33, 31)
    keys = {"hidden": 17}
    weights = {n: torch.from_numpy(generator.standard_normal(tuple(x.shape))) for n, x in program(views, keys=keys)["own"].items()}
    mine, other = (p(views, keys=keys, arrays=weights) for p in (program, type(program)("simsiam")))
    return far([mine["loss"], *mine["gradients"]], [other["loss"], *other["gradients"]]), 1e-12


RELATIONS = [simsiam]

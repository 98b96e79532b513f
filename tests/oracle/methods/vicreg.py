"""VICReg (Bardes et al. 2022, section 4): invariance, variance, covariance; the half at the variance is the released code's."""
import torch

from methods import bank, far, inputs

LEAST = 2
VARIANTS = [{}, {"variance": "paper"}, {"covariance_weight": 3, "invariance_weight": 2}]


def variance(x):
    return torch.relu(1 - (x.var(0) + 1e-4).sqrt()).mean()


def covariance(x):
    centred = x - x.mean(0)
    c = centred.T @ centred / (len(x) - 1)
    return (c - c.diagonal().diag()).pow(2).sum() / x.shape[1]


def loss(m):
    a, b = m.z
    half = 1 if m.key("variance") == "paper" else 0.5
    return (m.key("invariance_weight") * (a - b).pow(2).mean() + m.key("variance_weight") * half * (variance(a) + variance(b))
            + m.key("covariance_weight") * (covariance(a) + covariance(b)))


def paper(program, generator):
    """the paper's variance at half its weight is the code's"""
    views = [0.3 * x for x in inputs(generator, "usual", 2, 33, 31)]
    code, other = program(views), program(views, keys={"variance": "paper", "variance_weight": 12.5})
    return far([other["loss"], *other["gradients"]], [code["loss"], *code["gradients"]]), 1e-12


def twice(program, generator):
    """of the variance alone, the paper's is twice the code's"""
    views = [0.3 * x for x in inputs(generator, "usual", 2, 33, 31)]
    alone = {"invariance_weight": 0, "covariance_weight": 0}
    code, other = program(views, keys=alone), program(views, keys={**alone, "variance": "paper"})
    return far([other["loss"] / 2, *(g / 2 for g in other["gradients"])], [code["loss"], *code["gradients"]]), 1e-12


RELATIONS = [paper, twice, bank]

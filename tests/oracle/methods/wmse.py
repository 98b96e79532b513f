"""W-MSE (Ermolov et al. 2021): squared distances of unit embeddings, whitened by Cholesky's factor of each view's covariance."""
import torch

from methods import bank, far, inputs, unit

LEAST = 32
WIDTHS = (3, 16)
VARIANTS = [{}, {"views": 4}]


def whiten(x):
    centred = x - x.mean(0)
    factor = torch.linalg.cholesky(centred.T @ centred / (len(x) - 1))
    return torch.linalg.solve_triangular(factor, centred.T, upper=False).T


def loss(m):
    size = m.key("sub_batch") or len(m.z[0])
    u = [unit(torch.cat([whiten(part) for part in z.split(size)])) for z in m.z]
    pairs = [(v, w) for v in range(len(u)) for w in range(v + 1, len(u))]
    return sum((u[v] - u[w]).pow(2).sum(1).mean() for v, w in pairs) / len(pairs)


def scaled(program, generator):
    """does not change where columns are scaled, and where multiples of columns are added to later ones"""
    views = inputs(generator, "usual", 2, 33, 7)
    by = torch.from_numpy(generator.standard_normal((7, 7))).triu() + 4 * torch.eye(7)
    return far([program([v.double() @ by + 1 for v in views])["loss"]], [program(views)["loss"]]), 1e-5


def halves(program, generator):
    """of two sub-batches is the mean of theirs"""
    views = inputs(generator, "usual", 2, 32, 7)
    both = program(views, keys={"sub_batch": 16})
    parts = [program([v[i:i + 16] for v in views]) for i in (0, 16)]
    gradients = [torch.cat([p["gradients"][i] for p in parts]) / 2 for i in range(2)]
    return far([both["loss"], *both["gradients"]], [(parts[0]["loss"] + parts[1]["loss"]) / 2, *gradients]), 2e-6


RELATIONS = [scaled, halves, bank]

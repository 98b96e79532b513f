"""Spectral contrastive loss (HaoChen et al. 2021): rows that are too long are cut, squares of similarities over pairs of samples."""
import torch

from methods import bank, far, inputs

LEAST = 2
VARIANTS = [{}, {"mu": 10}, {"mu": 128}, {"places": True}]


def cut(x, mu):
    norm = x.norm(dim=1, keepdim=True)
    return torch.where(norm < mu**0.5, x, mu**0.5 * x / norm.clamp(min=1e-30))


def loss(m):
    a, b = (cut(z, m.key("mu")) for z in m.z)
    count = len(a)
    out = torch.eye(count, dtype=torch.bool)
    if m.skip is not None:
        out |= m.skip
    squares = (a @ b.T).masked_fill(out, 0)**2
    return (-2 * (a * b).sum(1).mean() + squares.sum() / (count * (count - 1))) / m.key("mu")


def covariances(program, generator):
    """is the same by matrices of columns, whose products are those of all pairs: sum <a_i, b_j>^2 = <A'A, B'B>"""
    views = inputs(generator, "usual", 2, 33, 31)
    z = [v.double().requires_grad_() for v in views]
    a, b = (cut(x, 16) for x in z)
    own = (a * b).sum(1)
    value = (-2 * own.mean() + ((a.T @ a * (b.T @ b)).sum() - own.pow(2).sum()) / (33 * 32)) / 16
    value.backward()
    got = program(views, keys={"mu": 16})
    return far([got["loss"], *got["gradients"]], [value.detach(), *(x.grad for x in z)]), 2e-6


def unbiased(program, generator):
    """is the mean over all pairs of samples of what a batch of that pair alone has: small batches have no bias"""
    views = inputs(generator, "usual", 2, 5, 31)
    pairs = [[i, j] for i in range(5) for j in range(i)]
    parts = [program([v[pair] for v in views])["loss"].item() for pair in pairs]
    return far([program(views)["loss"]], [sum(parts) / len(parts)]), 2e-6


RELATIONS = [covariances, unbiased, bank]

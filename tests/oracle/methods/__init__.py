"""The methods' formulas in PyTorch, a file each (../method.py says what is in one), and what they share."""
import numpy
import torch
from torch.nn import functional


def unit(x):
    return functional.normalize(x, dim=1)


def inputs(generator, kind, views, samples, width):
    """Embeddings [samples, width] of each view: those of a sample are alike, yet do not drown every difference."""
    x = generator.standard_normal((views, samples, width))
    x[1:] = x[0] + (2 if width < 8 else 0.7) * x[1:]
    if kind == "large":
        x *= 1e4 / numpy.linalg.norm(x, axis=2, keepdims=True)
    elif kind == "equal":
        x[:] = x[0, 0]
    elif kind == "zero":
        x[:] = 0
    return [torch.from_numpy(v.astype(numpy.float32)) for v in x]


def pairs(m):
    """Of the unit embeddings of two views: similarities [2N, 2N], each row's number, that of its positive, and what is neither a positive
    nor a negative."""
    z = unit(torch.cat(m.z))
    rows = torch.arange(len(z))
    out = torch.eye(len(z), dtype=torch.bool)
    if m.skip is not None:
        same = torch.eye(len(z) // 2, dtype=torch.bool).repeat(2, 2)
        out |= m.skip.repeat(2, 2) & ~same
    return z @ z.T, rows, (rows + len(z) // 2) % len(z), out


def logsumexp(logits, out, empty=0.0):
    """Of each row, without what is out; `empty` where nothing is left."""
    none = out.all(1)
    values = torch.logsumexp(logits.masked_fill(out & ~none[:, None], -torch.inf), 1)
    return torch.where(none, torch.full_like(values, empty), values)


def sinkhorn(scores, epsilon, iterations):
    """SwAV's codes of scores [samples, prototypes], as its listing has them."""
    q = ((scores - scores.max()) / epsilon).exp().T
    q = q / q.sum()
    for _ in range(iterations):
        q = q / (q.sum(1, keepdim=True) * q.shape[0])
        q = q / (q.sum(0, keepdim=True) * q.shape[1])
    return (q * q.shape[1]).T


def far(a, b):
    """How far two lists of tensors are from each other, as a share of the second's norm."""
    a, b = (torch.cat([torch.as_tensor(x).double().reshape(-1) for x in list_]) for list_ in (a, b))
    return ((a - b).norm() / b.norm()).item()


def bank(program, generator):
    """beside a bank (method.bank) a batch has the loss of both together, and of its gradient the batch's rows; until it is full neither"""
    views = inputs(generator, "usual", 2, 32, 7)
    earlier = {f"bank.{i}": v[8:] for i, v in enumerate(views)}
    whole, keys = program(views), {"bank": 32}
    parts = program([v[:8] for v in views], keys=keys, step=4, arrays=earlier)
    filling = program([v[:8] for v in views], keys=keys, step=2, arrays=earlier)
    none = max(abs(x).max().item() for x in [filling["loss"], *filling["gradients"], *filling["own"].values()])
    pushed = {f"bank.{i}": torch.cat([v[8:16], v[:8], v[24:]]) for i, v in enumerate(views)}  # step 4 is of turn 1
    left = max(abs(parts["after"][n] - x).max().item() for n, x in pushed.items())
    return far([parts["loss"], *parts["gradients"]], [whole["loss"], *(g[:8] for g in whole["gradients"])]) + none + left, 4e-6

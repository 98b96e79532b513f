"""Barlow Twins (Zbontar et al. 2021), and with a queue (what it has so far stands beside the batch, without a gradient)."""
import torch
from torch.nn import functional

from methods import bank, far, inputs

LEAST = 2
VARIANTS = [{}, {"lambda": 0.2}, {"queue": 513, "step": 0}, {"queue": 513, "step": 1}, {"queue": 513, "lambda": 0.2, "step": 39}]


def stack(m, view):
    rows = m.state.get(f"queue.{view}", m.z[view][:0])
    return torch.cat([m.z[view], rows[:m.step * len(m.z[view])].detach()])


def loss(m):
    a, b = (functional.batch_norm(stack(m, v), None, None, training=True) for v in range(2))
    c = a.T @ b / len(a)
    diagonal = torch.eye(len(c), dtype=torch.bool)
    return ((c - 1)[diagonal] ** 2).sum() + m.key("lambda") * (c[~diagonal] ** 2).sum()


def after(m):
    kept = {}
    for v, z in enumerate(m.z):
        if f"queue.{v}" in m.state:
            rows = m.state[f"queue.{v}"].clone()
            at = m.step % (len(rows) // len(z)) * len(z)
            rows[at:at + len(z)] = z
            kept[f"queue.{v}"] = rows
    return kept


def of_all(program, generator):
    """a batch beside a queue has the loss of both together, and of its gradient the batch's rows"""
    views = inputs(generator, "usual", 2, 32, 7)
    whole = program(views)
    parts = program([v[:8] for v in views], keys={"queue": 24}, step=3, arrays={f"queue.{i}": v[8:] for i, v in enumerate(views)})
    return far([parts["loss"], *parts["gradients"]], [whole["loss"], *(g[:8] for g in whole["gradients"])]), 2e-6


RELATIONS = [of_all, bank]

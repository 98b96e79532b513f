"""NNCLR (Dwibedi et al. 2021): the nearest of a queue's rows, as far as there are some, among the other view's predictions."""
import torch
from torch.nn import functional

from methods import logsumexp, unit

LEAST = 2
VARIANTS = [{"hidden": 7, "queue": 513, "step": 0}, {"hidden": 17, "queue": 513, "step": 1, "temperature": 0.02},
            {"hidden": 7, "queue": 513, "step": 39, "denominator": "dcl", "places": True}]


def nearest(m, view):
    z, queue = unit(m.z[view].detach()), m.state["queue"][:m.step * len(m.z[view])]
    return queue[(z @ queue.T).argmax(1)] if len(queue) > 0 else z


def loss(m):
    total, T = 0, m.key("temperature")
    for v in range(2):
        p = unit(m.mlp(m.z[1 - v], "predictor"))
        logits, out = nearest(m, v) @ p.T / T, torch.eye(len(p), dtype=torch.bool)
        if m.skip is not None:
            out |= m.skip
        if m.key("denominator") == "dcl":
            total = total + (logsumexp(logits, out) - logits.diagonal()).mean() / 2
        else:
            total = total + functional.softplus(logsumexp(logits, out, -torch.inf) - logits.diagonal()).mean() / 2
    return total


def after(m):
    rows, z = m.state["queue"].clone(), unit(m.z[0])
    at = m.step % (len(rows) // len(z)) * len(z)
    rows[at:at + len(z)] = z
    return {"queue": rows}

"""MoCo v2 (Chen et al. 2020): a view's key of a target network among a queue of earlier ones, as far as that is filled."""
import torch
from torch.nn import functional

from methods import unit

LEAST = 2
TARGET = True
VARIANTS = [{"queue": 513, "step": 0}, {"queue": 513, "step": 1, "temperature": 0.02},
            {"queue": 513, "step": 39, "symmetric": "true"}]


def directions(m):
    return [(0, 1), (1, 0)] if m.key("symmetric") == "true" else [(0, 1)]


def loss(m):
    total = 0
    for view, other in directions(m):
        q, k = unit(m.z[view]), unit(m.target[other])
        negatives = m.state[f"queue.{other}"][:m.step * len(q)]
        logits = q @ negatives.T / m.key("temperature")
        n = torch.logsumexp(logits, 1) if len(negatives) > 0 else torch.full_like(logits.sum(1), -torch.inf)
        total = total + functional.softplus(n - (q * k).sum(1) / m.key("temperature")).mean()
    return total


def after(m):
    kept = {}
    for _, other in directions(m):
        rows, k = m.state[f"queue.{other}"].clone(), unit(m.target[other])
        at = m.step % (len(rows) // len(k)) * len(k)
        rows[at:at + len(k)] = k
        kept[f"queue.{other}"] = rows
    return kept

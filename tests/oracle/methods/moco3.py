"""MoCo v3 (Chen, Xie and He 2021): predictions among the target's embeddings of the other view, twice T times the cross-entropy."""
import torch
from torch.nn import functional

from methods import logsumexp, unit

LEAST = 2
TARGET = True
VARIANTS = [{"hidden": 17}, {"hidden": 7, "temperature": 0.02}, {"hidden": 7, "temperature": 0.2, "places": True}]


def loss(m):
    total, T = 0, m.key("temperature")
    for v in range(2):
        p, k = unit(m.mlp(m.z[v], "predictor")), unit(m.target[1 - v])
        logits, out = p @ k.T / T, torch.eye(len(p), dtype=torch.bool)
        if m.skip is not None:
            out |= m.skip
        total = total + 2 * T * functional.softplus(logsumexp(logits, out, -torch.inf) - logits.diagonal()).mean()
    return total

"""SimCLR's NT-Xent (Chen et al. 2020): the mean over the 2N anchors."""
import torch
from torch.nn import functional

from methods import bank, logsumexp, pairs

LEAST = 1
VARIANTS = [{}, {"temperature": 0.5}, {"temperature": 0.02}, {"places": True}]


def loss(m):
    s, rows, positive, out = pairs(m)
    logits = s / m.key("temperature")
    out[rows, positive] = True  # log(exp n + exp p) - p = log(1 + exp(n - p)), which f64 needs, too, where the positive outweighs all
    return functional.softplus(logsumexp(logits, out, -torch.inf) - logits[rows, positive]).mean()


RELATIONS = [bank]

"""DCL (Yeh et al. 2022): NT-Xent without the positive in the denominator."""
import torch

from methods import bank, far, inputs, logsumexp, pairs, unit

LEAST = 2
VARIANTS = [{}, {"temperature": 0.5}, {"temperature": 0.02}, {"skip": True}]


def loss(m):
    s, rows, positive, out = pairs(m)
    logits = s / m.key("temperature")
    out[rows, positive] = True
    return (logsumexp(logits, out) - logits[rows, positive]).mean()


def flatnce(program, generator):
    """has FlatNCE's gradient (Chen et al. 2021): that of exp(c - sg(c)) for the log-sum-exp c of negatives less positive"""
    views = inputs(generator, "usual", 2, 33, 31)
    z = torch.cat(views).double().requires_grad_()
    s = unit(z) @ unit(z).T / 0.1
    rows = torch.arange(66)
    positive = (rows + 33) % 66
    out = torch.eye(66, dtype=torch.bool)
    out[rows, positive] = True
    c = torch.logsumexp((s - s[rows, positive][:, None]).masked_fill(out, -torch.inf), 1)
    (c - c.detach()).exp().mean().backward()
    return far(program(views)["gradients"], z.grad.split(33)), 2e-6


RELATIONS = [flatnce, bank]

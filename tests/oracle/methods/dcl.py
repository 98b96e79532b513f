"""DCL (Yeh et al. 2022): NT-Xent without the positive in the denominator."""
import numpy
import torch

from methods import bank, far, inputs, logsumexp, pairs, unit

LEAST = 2
VARIANTS = [{}, {"temperature": 0.5}, {"temperature": 0.02}, {"places": True}, {"temperature_adapt": 0.5},
            {"temperature_adapt": 0.9, "temperature": 0.02, "places": True}]


def loss(m):
    s, rows, positive, out = pairs(m)
    logits = s / (m.key("temperature") * (1 + m.key("temperature_adapt") * s[rows, positive].mean().detach()))
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


def macl(program, generator):
    """has, with temperature_adapt, MACL's gradient (Huang et al. 2022): that of V NT-Xent for V = sg(1 / (1 - the positive's share))"""
    views = inputs(generator, "usual", 2, 33, 31)
    z = torch.cat(views).double().requires_grad_()
    s = unit(z) @ unit(z).T
    rows = torch.arange(66)
    positive = (rows + 33) % 66
    logits = (s / (0.1 * (1 + 0.5 * s[rows, positive].mean().detach()))).masked_fill(torch.eye(66, dtype=torch.bool), -torch.inf)
    shares = torch.log_softmax(logits, 1)[rows, positive]
    (-shares / (1 - shares.exp()).detach()).mean().backward()
    return far(program(views, keys={"temperature_adapt": 0.5})["gradients"], z.grad.split(33)), 2e-6


def warmer(program, generator):
    """is, with temperature_adapt, itself at the temperature that follows"""
    views = inputs(generator, "usual", 2, 33, 31)
    cosine = (unit(views[0].double()) * unit(views[1].double())).sum(1).mean().item()
    adapted, fixed = program(views, keys={"temperature_adapt": 0.5}), program(views, keys={"temperature": 0.1 * (1 + 0.5 * cosine)})
    return far([adapted["loss"], *adapted["gradients"]], [fixed["loss"], *fixed["gradients"]]), 2e-6


def beside_bank(program, generator):
    """beside a bank leaves out, for overlapping, pairs within the batch alone: what is in the bank lies nowhere"""
    views = inputs(generator, "usual", 2, 32, 7)
    places = numpy.array([[max(0, i - 7), 3 * i, 0, 5] for i in range(32)])  # of the first 8, neighbours overlap
    earlier = {f"bank.{i}": v[8:] for i, v in enumerate(views)}
    whole = program(views, places=places)
    parts = program([v[:8] for v in views], keys={"bank": 32}, step=4, arrays=earlier, places=places[:8])
    return far([parts["loss"], *parts["gradients"]], [whole["loss"], *(g[:8] for g in whole["gradients"])]), 4e-6


RELATIONS = [flatnce, macl, warmer, bank, beside_bank]

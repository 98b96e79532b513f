"""DCLW (Yeh et al. 2022): DCL whose positives have weights of mean 1, without a gradient through them."""
import torch

from methods import bank, far, inputs, logsumexp, pairs

LEAST = 2
VARIANTS = [{}, {"temperature": 0.02}, {"sigma": 0.05, "temperature": 0.5}, {"places": True}]


def loss(m):
    s, rows, positive, out = pairs(m)
    logits, sigma = s / m.key("temperature"), m.key("sigma")
    out[rows, positive] = True
    agree = s[rows, positive]
    half = len(s) // 2
    weight = (2 - half * torch.softmax(agree[:half] / sigma, 0)).detach().repeat(2)
    return (logsumexp(logits, out) - weight * logits[rows, positive]).mean()


def even(program, generator):
    """where all positives agree as much, every weight is 1: DCL"""
    x = inputs(generator, "usual", 1, 33, 31)[0]
    return far([program([x, 2 * x])["loss"], *program([x, 2 * x])["gradients"]],
               [type(program)("dcl")([x, 2 * x])["loss"], *type(program)("dcl")([x, 2 * x])["gradients"]]), 2e-6


RELATIONS = [even, bank]

"""BYOL (Grill et al. 2020): squared distances of unit predictions from the target's unit embeddings."""
from methods import unit

LEAST = 2
TARGET = True
VARIANTS = [{"hidden": 17}]


def loss(m):
    p = [m.mlp(z, "predictor") for z in m.z]
    return sum(((unit(p[v]) - unit(m.target[1 - v])) ** 2).sum(1).mean() for v in range(2))

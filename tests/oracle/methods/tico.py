"""tico: agreement with a target network, and directions that embeddings took lately avoided (Zhu et al. 2022), both ways."""
import torch
from torch.nn import functional

LEAST = 1
VARIANTS = [{}, {"method.rho": 20, "method.beta": 0.5}]
VIEWS = 2


def moment(m):
    beta = m.key("beta") ** (len(m.z[0]) / m.key("beta_batch"))
    z = functional.normalize(torch.cat(m.z), dim=1).detach()
    return beta * m.state["moment"] + (1 - beta) * z.T @ z / len(z)


def loss(m):
    c, total = moment(m), 0
    for v in range(2):
        z, target = functional.normalize(m.z[v], dim=1), functional.normalize(m.target[1 - v], dim=1)
        total = total + (1 - (z * target).sum(1) + m.key("rho") * ((z @ c) * z).sum(1)).mean() / 2
    return total


def after(m):
    return {"moment": moment(m)}

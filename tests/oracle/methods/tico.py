"""TiCo (Zhu et al. 2022), both ways: agreement with a target network, and directions that embeddings took lately avoided."""
import torch

from methods import far, inputs, unit

LEAST = 1
TARGET = True
VARIANTS = [{}, {"rho": 20, "beta": 0.5, "beta_batch": 64}]


def moment(m):
    beta = m.key("beta") ** (len(m.z[0]) / m.key("beta_batch"))
    z = torch.cat([unit(z) for z in m.z]).detach()
    return beta * m.state["moment"] + (1 - beta) * z.T @ z / len(z)


def loss(m):
    c, total = moment(m), 0
    for v in range(2):
        z = unit(m.z[v])
        total = total + (1 - (z * unit(m.target[1 - v])).sum(1) + m.key("rho") * ((z @ c) * z).sum(1)).mean() / 2
    return total


def after(m):
    return {"moment": moment(m)}


def horizon(program, generator):
    """four batches of 8 leave of the moment what one of 32 leaves"""
    views, start = inputs(generator, "usual", 2, 8, 7), torch.eye(7)
    zero = [torch.zeros(8, 7)] * 2  # adds nothing to the moment
    state = {"moment": start}
    for _ in range(4):
        state = program(zero, targets=views, arrays=state)["after"]
    one = program([torch.zeros(32, 7)] * 2, targets=inputs(generator, "usual", 2, 32, 7), arrays={"moment": start})["after"]
    return far(list(state.values()), list(one.values())), 2e-6


RELATIONS = [horizon]

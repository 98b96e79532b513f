"""instances: a learnt unit vector for each image, in the manner of IConE (2026); the equations are our own.

A data set has twice the images of a batch here: sample i is of image i, and all others are those that a vector keeps away from."""
import torch

from methods import far, inputs, unit

LEAST = 1
RATE = {"optimiser.scaling": "none", "optimiser.lr": 0.5}
VARIANTS = [RATE, {**RATE, "mu": 0.3, "temperature": 0.02, "rate": 2.5}, {**RATE, "views": 5}]


def draw(name, shape, generator):
    return unit(torch.from_numpy(generator.standard_normal(shape))).float() if name == "vectors" else None


def terms(m, e):
    """What the network and the vectors have in common, and what keeps the vectors of the batch apart."""
    n, T = len(m.z[0]), m.key("temperature")
    agreement = sum((1 - (unit(z) * e[:n]).sum(1)).mean() for z in m.z) / len(m.z)
    return agreement, T * torch.logsumexp(e[:n] @ e[n:].detach().T / T, 1).mean()


def loss(m):
    agreement, crowd = terms(m, m.state["vectors"])
    return agreement + m.key("mu") * crowd


def after(m):
    with torch.enable_grad():
        e = m.state["vectors"].detach().requires_grad_()
        agreement, crowd = terms(m, e)
        (gradient,) = torch.autograd.grad(agreement + m.key("mu") * crowd, e)
    n = len(m.z[0])
    rows = e.detach().clone()
    rows[:n] = unit(rows[:n] - m.key("rate") * n / RATE["optimiser.lr"] * gradient[:n])  # at a learning rate of 1
    return {"vectors": rows}


def usual(program, generator, samples=33, width=31):
    views = inputs(generator, "usual", 2, samples, width)
    return views, {"vectors": draw("vectors", (2 * samples, width), generator)}


def bounded(program, generator):
    """never gives a sample of N, in one of V views, a larger gradient than 1 / (N V |z|)"""
    views, arrays = usual(program, generator)
    gradients = program(views, arrays=arrays)["gradients"]
    return max((g.norm(dim=1) * z.norm(dim=1)).max().item() * 66 for g, z in zip(gradients, views)), 1 + 1e-6


def alone(program, generator):
    """gives each sample the gradient that it has in a batch of its own, divided by N"""
    views, arrays = usual(program, generator)
    together, one = program(views, arrays=arrays)["gradients"], []
    for i in range(33):
        vectors = arrays["vectors"][[i, 33]]
        one.append(program([z[i:i + 1] for z in views], arrays={"vectors": vectors})["gradients"])
    return far(together, [torch.cat([g[v] for g in one]) / 33 for v in range(2)]), 1e-6


RELATIONS = [bounded, alone]

"""The mean square of the difference of two views' embeddings, and the first's likeness to a vector of each image, which learns at twice the
learning rate of 1. Sample i is of image i."""
import torch

from methods import unit

LEAST = 1
VARIANTS = [{}, {"weight": 3}]


def draw(name, shape, generator):
    return unit(torch.from_numpy(generator.standard_normal(shape))) if name == "vectors" else None


def loss(m):
    likeness = (m.z[0] * m.state["vectors"][:len(m.z[0])]).sum(1).mean()
    return m.key("weight") * (((m.z[0] - m.z[1]) ** 2).mean() + likeness)


def after(m):
    seen, vectors, count = m.state["seen"].clone(), m.state["vectors"].clone(), len(m.z[0])
    seen[:count] += 1
    vectors[:count] = unit(vectors[:count] - 2 * m.key("weight") * m.z[0] / count)
    return {"seen": seen, "vectors": vectors}

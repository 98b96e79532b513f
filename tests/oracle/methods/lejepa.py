"""LeJEPA (Balestriero and LeCun 2025): SIGReg, and the distance of the views from the mean of the global ones."""
import torch

from methods import unit

LEAST = 2
VARIANTS = [{"directions": 33}, {"directions": 16, "lambda": 0.3, "knots": 9, "last": 2, "views": 4, "step": 3}]


def loss(m):
    z = torch.stack(m.z)
    knots, last = m.key("knots"), m.key("last")
    directions = unit(m.normals(1, m.key("directions"), z.shape[2]))
    t = torch.linspace(0, last, knots, dtype=z.dtype)
    phi, weight = (-t**2 / 2).exp(), torch.full_like(t, 2 * last / (knots - 1))
    weight[0] = weight[-1] = last / (knots - 1)
    along = (z @ directions.T)[..., None] * t
    statistic = z.shape[1] * (((along.cos().mean(1) - phi) ** 2 + along.sin().mean(1) ** 2) * phi * weight).sum(-1)
    agreement = ((z - z[:m.key("globals")].mean(0)) ** 2).mean()
    return m.key("lambda") * statistic.mean() + (1 - m.key("lambda")) * agreement

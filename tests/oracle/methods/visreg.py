"""VISReg (arXiv 2606.02572): agreement of views, and mean, deviation and shape of a normal distribution."""
import torch

from methods import unit

LEAST = 2
VARIANTS = [{"directions": 33}, {"directions": 16, "lambda": 0.9, "views": 4, "step": 3}]


def loss(m):
    z = torch.stack(m.z)
    samples = z.shape[1]
    directions = unit(m.normals(2, m.key("directions"), z.shape[2]))
    deviation = (z.var(1) + 1e-4).sqrt()
    standard = (z - z.mean(1, keepdim=True)) / deviation.detach()[:, None]
    rank = torch.arange(1, samples + 1, dtype=torch.float64) / (samples + 1)
    quantiles = torch.special.ndtri(rank).to(z.dtype)
    shape = ((standard @ directions.T).sort(1).values - quantiles[:, None]).pow(2).mean()
    distribution = z.mean(1).pow(2).mean() + (1 - deviation).pow(2).mean() + shape
    agreement = (z - z[:m.key("globals")].mean(0)).pow(2).mean()
    return m.key("lambda") * distribution + (1 - m.key("lambda")) * agreement

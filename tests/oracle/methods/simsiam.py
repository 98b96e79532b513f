"""simsiam: a predictor against the other view without a gradient (Chen and He 2021); fastsiam takes the mean of all other views."""
import torch
from torch.nn import functional

LEAST = 2
VARIANTS = [{}, {"method.hidden": 7}]
VIEWS = 2


def loss(m):
    total = 0
    for v, z in enumerate(m.z):
        target = torch.stack([w.detach() for k, w in enumerate(m.z) if k != v]).mean(0)
        p = m.mlp(z, "predictor", last="bias")
        total = total - (functional.normalize(p, dim=1) * functional.normalize(target, dim=1)).sum(1).mean()
    return total / len(m.z)


def relations(run):
    """Of two views, FastSiam's mean of the others is the other."""
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(8, 5, generator=generator, dtype=torch.float64) for _ in range(2)]
    one, other = run({}, *views), run({"method.name": "fastsiam"}, *views)
    return [("fastsiam of two views is simsiam", abs(one[0] - other[0]), 0.0),
            ("  and its gradient", max((a - b).abs().max().item() for a, b in zip(one[1], other[1])), 0.0)]

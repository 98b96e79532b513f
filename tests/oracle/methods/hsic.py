"""SSL-HSIC (Li et al. 2021): the dependence of embeddings on the image, and the root of that on themselves, with random features."""
import math

import torch

from methods import inputs, unit

LEAST = 2
TARGET = True
VARIANTS = [{"hidden": 7, "features": 33}, {"hidden": 17, "features": 16, "scale": 0.5, "self_weight": 1, "step": 5}]


def loss(m):
    z = torch.cat([torch.stack([unit(m.mlp(z, "predictor")) for z in m.z]), torch.stack([unit(t) for t in m.target])])
    vectors, samples, width = z.shape
    count, draws = m.key("features"), []
    for which in (4, 7):  # after features, two targets, and a number
        directions = m.normals(which, count, width)
        lengths, phases = m.normals(which + 1, 1, count), m.normals(which + 2, 1, count)
        angle = z @ directions.T / m.key("scale") * lengths + 8 * phases
        draws.append(math.sqrt(2 / count) * angle.cos())
    phi = draws[0]
    xy = phi.sum(0).pow(2).sum() / (samples * vectors * (vectors - 1)) - phi.mean((0, 1)).pow(2).sum()
    first, second = ((x - x.mean((0, 1))).flatten(0, 1) for x in draws)
    xx = (first.T @ second / (vectors * samples)).pow(2).sum()
    return m.key("self_weight") * xx.sqrt() - xy


def kernel(program, generator):
    """random features give the inverse multiquadric kernel's dependence, to what 30 draws of 2048 leave"""
    views = inputs(generator, "usual", 2, 9, 16)
    keys = {"hidden": 17, "features": 2048, "self_weight": 0}
    weights = {n: torch.from_numpy(generator.standard_normal(tuple(x.shape))) for n, x in program(views, keys=keys, targets=views)["own"].items()}
    got = [program(views, keys=keys, targets=views, arrays=weights, step=s)["loss"].item() for s in range(30)]

    def predict(x):
        h = torch.nn.functional.batch_norm(x.double() @ weights["predictor.0.weight"].T, None, None, weights["predictor.1.weight"],
                                           weights["predictor.1.bias"], True)
        return unit(h.relu() @ weights["predictor.3.weight"].T)

    z = torch.stack([predict(v) for v in views] + [unit(v.double()) for v in views])
    k = 1 / (1 + torch.cdist(z.flatten(0, 1), z.flatten(0, 1)) ** 2).sqrt()
    same = torch.eye(9, dtype=torch.bool).repeat(4, 4)
    exact = -(k[same].sum() / (9 * 4 * 3) - k.mean()).item()
    return abs(sum(got) / len(got) - exact) / abs(exact), 0.01


RELATIONS = [kernel]

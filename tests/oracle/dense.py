"""The dense term (trainer/dense.h; Wang et al. 2021, section 3.3) in PyTorch, beside whatever a method's loss is: for method_step.py."""
import torch
from torch.nn import functional

from methods import unit


def cells(net, grid):
    """The backbone's map of each view, [views, samples, cells, channels]."""
    maps = functional.adaptive_avg_pool2d(net.maps.flatten(0, 1), min(grid, net.maps.shape[-1]))
    return maps.flatten(2).transpose(1, 2).unflatten(0, net.maps.shape[:2])


def head(net, x):
    x = net.relu(functional.linear(x, net.w["dense.0.weight"], net.w["dense.0.bias"]))
    return functional.linear(x, net.w["dense.2.weight"], net.w["dense.2.bias"])


def along(x):
    return functional.normalize(x, dim=-1)


def answers(m, target):
    """Of the network that has the keys: its map, and its embeddings of places."""
    with torch.no_grad():
        net = target if target.w else m.net
        maps = cells(net, m.case.keys["dense.grid"])
        return maps, head(net, maps)


def loss(m, target):
    own, (other, keys) = cells(m.net, m.case.keys["dense.grid"]), answers(m, target)
    z, T, total = head(m.net, own), m.case.keys["dense.temperature"], 0
    negatives = m.state["dense.queue"][:m.step * z.shape[1]]
    for v in range(len(z)):
        w = (v + 1) % len(z)
        alike = along(own[v].detach()) @ along(other[w]).transpose(1, 2)
        first, second = alike.topk(2, dim=2).values.unbind(2)
        m.net.nearest = min(m.net.nearest, (first - second).min().item())  # a tie would go either way
        q, k = along(z[v]).flatten(0, 1), along(keys[w].gather(1, alike.argmax(2)[:, :, None].expand(-1, -1, keys.shape[-1]))).flatten(0, 1)
        n = torch.logsumexp(q @ negatives.T / T, 1) if len(negatives) > 0 else torch.full_like(q.sum(1), -torch.inf)
        total = total + functional.softplus(n - (q * k).sum(1) / T).mean() / len(z)
    return total


def after(m, target):
    rows, pooled = m.state["dense.queue"].clone(), unit(answers(m, target)[1][0].mean(1))
    at = m.step % (len(rows) // len(pooled)) * len(pooled)
    rows[at:at + len(pooled)] = pooled
    return {"dense.queue": rows}

"""SimDINO (Wu et al. 2025): agreement with a target's global views, and the volume that a batch takes."""
import torch

from methods import unit

LEAST = 1
TARGET = True
VARIANTS = [{}, {"epsilon": 0.05, "weight": 0.3, "views": 4, "globals": 3}]


def loss(m):
    z, targets, count = [unit(z) for z in m.z], [unit(t) for t in m.target], m.key("globals")
    samples, width = z[0].shape
    pairs = [(v, t) for t in range(count) for v in range(len(z)) if v != t]
    agreement = sum((z[v] * targets[t]).sum(1).mean() for v, t in pairs) / len(pairs)
    eye = torch.eye(width, dtype=z[0].dtype)
    volume = sum(torch.logdet(eye + width / (samples * m.key("epsilon")) * v.T @ v) for v in z[:count]) / count
    return -agreement - m.key("weight") * (width + samples) / (width * samples) * volume

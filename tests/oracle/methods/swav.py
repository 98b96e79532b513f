"""SwAV (Caron et al. 2020): the first two views are assigned to prototypes, with what a queue has of each."""
import torch
from torch.nn import functional

from methods import sinkhorn, unit

LEAST = 2
VARIANTS = [{"prototypes": 7, "queue": 0},
            {"prototypes": 13, "queue": 1024, "temperature": 0.3, "epsilon": 0.2, "step": 5, "views": 4},  # not full: not used
            {"prototypes": 13, "queue": 512, "epsilon": 0.2, "step": 39}]


def queue(m, c):
    """The earlier embeddings of view c that count in this step."""
    rows = m.state.get(f"queue.{c}")
    full = rows is not None and m.step * len(m.z[0]) >= len(rows) and m.step >= m.key("queue_from") * m.steps
    return rows if full else m.z[0][:0]


def loss(m):
    prototypes, z = m.own["prototypes.weight"], [unit(view) for view in m.z]
    scores, total = [view @ prototypes.T for view in z], 0
    for c in range(2):
        stack = torch.cat([queue(m, c) @ prototypes.T, scores[c]]).detach()
        codes = sinkhorn(stack, m.key("epsilon"), m.key("iterations"))[-len(z[c]):]
        others = [v for v in range(len(z)) if v != c]
        total = total - sum((codes * functional.log_softmax(scores[v] / m.key("temperature"), 1)).sum(1).mean() for v in others) / len(others) / 2
    return total


def after(m):
    kept = {}
    for c in range(2):
        if f"queue.{c}" in m.state:
            rows = m.state[f"queue.{c}"].clone()
            at = m.step % (len(rows) // len(m.z[c])) * len(m.z[c])
            rows[at:at + len(m.z[c])] = unit(m.z[c])
            kept[f"queue.{c}"] = rows
    return {**kept, "prototypes.weight": unit(m.own["prototypes.weight"])}

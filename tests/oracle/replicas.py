#!/usr/bin/python3
"""trainer.replicas=4 against four PyTorch processes: ten steps of DistributedDataParallel over gloo, each process with a quarter of every batch.

Where a loss compares samples the processes gather their embeddings, with the gradient: each computes the whole loss, what flows back to an
embedding is added up over the processes, and DistributedDataParallel takes the mean of what that makes of the weights. Running statistics
are process 0's, as it broadcasts its buffers. Both sides go on by themselves in f32 from one start, so rounding adds up over the steps;
BOUND holds it, and a run without replicas is to be far outside.
"""
import copy
import os
import sys
import tempfile
import time
import traceback

import numpy
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import method_step
from method_step import DECAY, LR, MOMENTUM, Case, importlib

STEPS, SHARES, BOUND = 10, 4, 1e-4
MEETING = 300  # seconds: some five are used
method_step.SAMPLES = SAMPLES = 16

HEAD = {"method.hidden": 17, "projector.last": "plain", "projector.views": "apart"}
CASES = [
    ("simclr", {"method.name": "simclr", "method.temperature": 0.5, "projector.last": "plain", "projector.views": "together"}),
    ("barlow", {"method.name": "barlow", "method.lambda": 0.02, "method.vector_rate": 1, "projector.last": "plain", "projector.views": "apart"}),
    ("simsiam", {"method.name": "simsiam", **HEAD, "method.predictor_rate": "scheduled"}),
    ("byol", {"method.name": "byol", **HEAD, "method.momentum": 0.7, "method.momentum_batch": SAMPLES, "method.momentum_schedule": "constant"}),
]


class Gathered(torch.autograd.Function):
    """The rows of all processes; backward the sum of what all processes have for mine."""

    @staticmethod
    def forward(_, x):
        rows = [torch.empty_like(x) for _ in range(SHARES)]
        distributed.all_gather(rows, x.contiguous())
        return torch.cat(rows)

    @staticmethod
    def backward(_, gradient):
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return gradient.chunk(SHARES)[distributed.get_rank()]


def mlp(weights, name):
    """Two layers, as the arrays say."""
    first, second = weights[f"{name}.0.weight"], weights[f"{name}.3.weight"]
    return nn.Sequential(nn.Linear(first.shape[1], first.shape[0], bias=False), nn.BatchNorm1d(first.shape[0]), nn.ReLU(),
                         nn.Linear(second.shape[1], second.shape[0], bias=f"{name}.3.bias" in weights))


class Network(nn.Module):
    """The encoder of method_step_tool.c, projector, and a predictor if the method has one."""

    def __init__(self, weights, together):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 12, 4, 4, bias=False), nn.BatchNorm2d(12)
        self.projector, self.together = mlp(weights, "projector"), together
        if "predictor.0.weight" in weights:
            self.predictor = mlp(weights, "predictor")

    def project(self, views):
        """[samples, 3, side, side] of each view -> embeddings of each."""
        features = self.norm(self.conv(torch.cat(views))).mean((2, 3))
        if self.together:
            return list(self.projector(features).chunk(len(views)))
        return [self.projector(x) for x in features.chunk(len(views))]

    def forward(self, views):
        z = self.project(views)
        return z, [self.predictor(x) for x in z] if hasattr(self, "predictor") else []


class Share:
    """What a formula of methods/ sees: here the embeddings of all processes, or, where no sample is compared with another, of this one."""

    def __init__(self, case, z, predictions, target):
        self.case, self.z, self.target, self.skip, self.state = case, z, target, None, {}
        self.step, self.predictions = 0, list(zip(z, predictions))

    def key(self, name):
        return self.case["method." + name] if "method." + name in self.case else self.case["defaults"][name]

    def mlp(self, x, name):
        assert name == "predictor"
        return next(p for z, p in self.predictions if z is x)


def load(network, start, prefix=""):
    arrays = {**start[prefix + "weights"], **start[prefix + "statistics"]}
    state = {n: arrays[n] for n in network.state_dict() if n in arrays}
    assert len(state) == len(arrays)
    network.load_state_dict(state, strict=False)


def process(rank, folder):
    """One of the four. It never leaves its group, which gloo can wait in for ever: the other side ends it when it has what it wants."""
    try:
        take_steps(rank, folder)
    except Exception:
        traceback.print_exc()
        os._exit(1)
    time.sleep(MEETING)
    os._exit(1)


def take_steps(rank, folder):
    """Its share of every step. Process 0 writes what it has after each."""
    torch.set_num_threads(1)
    keys, start, batches = torch.load(f"{folder}/begin")
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SHARES)
    network = Network(start["weights"], keys["projector.views"] == "together")
    target = Network({n: w for n, w in start["weights"].items() if not n.startswith("predictor")}, network.together)
    load(network, start)
    if start["target weights"]:
        load(target, start, "target ")
    parallel, reference = DistributedDataParallel(network), importlib.import_module("methods." + keys["method.name"])
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim < 2]
    optimiser = torch.optim.SGD([{"params": matrices, "weight_decay": DECAY}, {"params": vectors}], LR, MOMENTUM)
    for name, p in network.named_parameters():
        optimiser.state[p]["momentum_buffer"] = start["state"][name].clone()
    after, alone = [], hasattr(network, "predictor")
    for batch in batches:
        views = [torch.from_numpy(v).chunk(SHARES)[rank].float().permute(0, 3, 1, 2).div(255).sub(0.5).div(0.25) for v in batch]
        z, predictions = parallel(views)
        with torch.no_grad():
            answer = target.project(views)
        if not alone:
            z = [Gathered.apply(x) for x in z]
        loss = reference.loss(Share(keys, z, predictions, answer))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for name, p in target.named_parameters():
                p.lerp_(network.get_parameter(name), 1 - keys.get("method.momentum", 0))
        loss = loss.detach()
        if alone:
            distributed.all_reduce(loss)
            loss /= SHARES
        after.append(copy.deepcopy({"loss": loss, **network.state_dict(), **{"target " + n: x for n, x in target.state_dict().items()}}))
    if rank == 0:
        torch.save(after, f"{folder}/part")
        os.rename(f"{folder}/part", f"{folder}/after")


def by_pytorch(keys, start, batches):
    with tempfile.TemporaryDirectory() as folder:
        torch.save((keys, start, batches), f"{folder}/begin")
        group = torch.multiprocessing.spawn(process, (folder,), nprocs=SHARES, join=False, daemon=True)
        end = time.monotonic() + MEETING
        try:
            while not os.path.exists(f"{folder}/after"):
                if group.join(0.1) or time.monotonic() > end:
                    raise RuntimeError(f"{SHARES} processes of PyTorch did not take {STEPS} steps within {MEETING} s")
            return torch.load(f"{folder}/after")
        finally:
            for p in group.processes:
                p.kill()
            for p in group.processes:
                p.join()


def by_program(case, start, batches):
    steps = []
    for number, batch in enumerate(batches):
        got, _, _, after, running, _ = case.take(number, start, batch)
        steps.append({"loss": got["loss"], **after, **running})
        start = case.following(running, after)
    case.process.stdin.close()
    case.process.wait()
    return steps


def distance(mine, theirs):
    """The largest error of a tensor in any step, and which one."""
    worst, where = 0, "nothing"
    for number, (a, b) in enumerate(zip(mine, theirs)):
        for name in set(a) & set(b):
            error = ((a[name].double() - b[name].double()).norm() / b[name].double().norm()).item()
            if not error <= worst:
                worst, where = error, f"{name} after step {number}"
    return worst, where


def main():
    failed = 0
    print(f"1..{2 * len(CASES)}", flush=True)
    for count, (name, keys) in enumerate(CASES):
        generator = numpy.random.default_rng(7)
        case = Case([16, 16], {**keys, "trainer.replicas": SHARES}, generator)
        start, batches = case.start(), [case.pixels() for _ in range(STEPS)]
        theirs = by_pytorch({**case.keys, "defaults": case.defaults}, start, batches)
        mine = by_program(case, start, batches)
        compared = set(mine[0]) & set(theirs[0])
        assert compared >= {"loss", "conv.weight", "norm.running_var", "projector.1.running_mean"}
        error, where = distance(mine, theirs)
        plain = by_program(Case([16, 16], {**keys, "trainer.replicas": 1}, numpy.random.default_rng(7)), start, batches)
        for ok, text in ((error <= BOUND, f"four processes: off by at most {error:.1e} ({where})"),
                         (distance(plain, theirs)[0] > 100 * BOUND, f"without replicas: off by {distance(plain, theirs)[0]:.1e}")):
            failed += not ok
            print(f"{'' if ok else 'not '}ok {2 * count + 1 + text.startswith('without')} - {name}: {text}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

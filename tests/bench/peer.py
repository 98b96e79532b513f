#!/usr/bin/python3
"""The peers of bench.py as workers (worker.h): `step SIDE BATCH f32|bf16 THREADS`: PyTorch's training step of the same network, loss and
optimiser, channels last; `view TILE SIDE`: two views of torchvision's SimCLR chain of a PIL image, one thread; `loss SAMPLES WIDTH
THREADS`: the denominators of DCL by the matrix of all pairs, and their gradient."""
import sys
import time

import numpy
import torch
import torchvision
from torchvision import transforms


def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def serve(work, base):
    for line in sys.stdin:
        begin, busy = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            work()
        print(time.perf_counter() - begin, time.process_time() - busy, memory("VmHWM") - base, flush=True)


def step(side, batch, precision, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    base = memory("VmRSS")
    backbone = torchvision.models.resnet18()
    backbone.fc = torch.nn.Identity()
    backbone = backbone.to(memory_format=torch.channels_last)
    linear, norm = torch.nn.Linear, torch.nn.BatchNorm1d
    projector = torch.nn.Sequential(linear(512, 512, bias=False), norm(512), torch.nn.ReLU(inplace=True),
                                    linear(512, 128, bias=False), norm(128))
    optimiser = torch.optim.SGD([*backbone.parameters(), *projector.parameters()], lr=1e-4, momentum=0.9, weight_decay=1e-4)
    pixels = torch.randint(0, 256, (2 * batch, side, side, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    rows = torch.arange(2 * batch)
    positive = (rows + batch) % (2 * batch)
    out = torch.eye(2 * batch, dtype=torch.bool)
    out[rows, positive] = True

    def work():
        x = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            features = backbone(x)
        z = torch.nn.functional.normalize(projector(features.float()), dim=1)
        logits = z @ z.T / 0.1
        loss = (torch.logsumexp(logits.masked_fill(out, -torch.inf), 1) - logits[rows, positive]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    serve(work, base)


def view(tile, side):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    from PIL import Image
    image = Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (tile, tile, 3), dtype=numpy.uint8))
    width = side // 10 | 1
    chain = transforms.Compose([
        transforms.RandomResizedCrop(side, scale=(0.2, 1)), transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), transforms.RandomGrayscale(0.2),
        transforms.RandomApply([transforms.GaussianBlur(width, (0.1, 2))], 0.5), transforms.PILToTensor()])
    serve(lambda: (chain(image), chain(image)), 0)


def loss(samples, width, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    rows = torch.arange(2 * samples)
    z = torch.nn.functional.normalize(torch.rand(2 * samples, width) - 0.5, dim=1).requires_grad_()
    base = memory("VmRSS")
    out = torch.eye(2 * samples, dtype=torch.bool)
    out[rows, (rows + samples) % (2 * samples)] = True

    def work():
        z.grad = None
        torch.logsumexp((z @ z.T / 0.1).masked_fill(out, -torch.inf), 1).mean().backward()

    serve(work, base)


if sys.argv[1] == "step":
    step(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
elif sys.argv[1] == "loss":
    loss(*map(int, sys.argv[2:]))
else:
    view(int(sys.argv[2]), int(sys.argv[3]))

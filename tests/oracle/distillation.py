#!/usr/bin/python3
"""Distillation (trainer/methods/distillation.c) against PyTorch in f64: the loss, the gradient of every tensor and what a step leaves in the queue, of steps of
the program's own (step_tool), with teachers from files: torchvision's ResNet-18 in evaluation mode, and a ViT, in precision f64. Teachers whose map is coarser
than the student's and finer; a queue that is empty, half full and full; the whole batch, in chunks and a batch of one. A gradient that is 0.001 too large would
be found. Prints TAP."""
import json
import subprocess
import sys
import tempfile

import numpy
import torch
import torchvision
from torch.nn import functional

from gradients import TOOL, compared, prove
from masked import Layers, start, vit
from reference import normalised

DEFAULTS = {"method.name": "distillation", "encoder.name": "vit_tiny", "encoder.patch": 16, "encoder.pool": "mean", "encoder.registers": 0, "data.view": 96,
            "data.channels": 3, "trainer.batch": 4, "trainer.threads": 1, "trainer.precision": "f32", "trainer.chunk": 0, "method.temperature": 0.07,
            "method.queue": 9, "method.local": 1, "method.grid": 32, "optimiser.name": "adamw"}
BOUND = 2e-5  # of a tensor's norm; f32 is about 1e-6 off
VIT = {"encoder.patch": 16, "encoder.pool": "class", "encoder.registers": 2}
FINER = "vit_tiny pool=class registers=2"
CASES = [
    # name, rows of the queue that were pushed, keys; the teacher is ResNet-18, whose map is 3 x 3, beside the student's 6 x 6
    ("an empty queue", 0, {}),
    ("half a queue, in chunks of 3 and 1", 4, {"trainer.chunk": 3}),
    ("a full queue, both maps averaged to 2 x 2", 8, {"method.grid": 2, "method.local": 0.5, "method.temperature": 0.2}),
    ("no relations of places", 8, {"method.local": 0, "trainer.chunk": 2}),
    ("a batch of one, grey", 5, {"trainer.batch": 1, "data.channels": 1}),
    ("eight chunks, in whose memory a loss over a long queue works", 1000, {"trainer.batch": 8, "trainer.chunk": 1, "method.queue": 4096}),
    ("a ViT of 6 x 6, a student of 3 x 3 in chunks of 1", 8, {"teacher.encoder": FINER, "encoder.patch": 32, "trainer.chunk": 1}),
]


def save(path, state):
    """As safetensors."""
    head, at = {}, 0
    for name, t in state.items():
        head[name] = {"dtype": "F64", "shape": list(t.shape), "data_offsets": [at, at + 8 * t.numel()]}
        at += 8 * t.numel()
    text = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(t.contiguous().numpy().tobytes() for t in state.values()))


class ResNet:
    def __init__(self, channels):
        self.net = torchvision.models.resnet18()
        self.net.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        for module in self.net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                with torch.no_grad():
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(0, 0.1)
                    module.running_mean.normal_(0, 0.3)
                    module.running_var.uniform_(0.5, 2)
        self.net = self.net.float().double().eval()  # what f32 can hold
        self.state = {name: t for name, t in self.net.state_dict().items() if t.is_floating_point()}

    def __call__(self, x):
        """[n, channels, side, side] -> features, and the map [n, c, h, w]."""
        for name, module in self.net.named_children():
            if name == "avgpool":
                break
            x = module(x)
        return x.mean((2, 3)), x


class ViT:
    def __init__(self, keys, weights, side):
        self.p, self.keys, self.state, self.grid = weights, keys, weights, side // keys["encoder.patch"]

    def __call__(self, x):
        prefix, grid, pool = (self.keys["encoder.pool"] == "class") + self.keys["encoder.registers"], self.grid, self.keys["encoder.pool"]
        t = vit(self.p, self.keys, x, [list(range(grid * grid))] * len(x))
        features = Layers(self.p).norm(t[:, 0], "norm") if pool == "class" else Layers(self.p).norm(t[:, prefix:].mean(1), "fc_norm")
        return features, t[:, prefix:].transpose(1, 2).unflatten(2, (grid, grid))


def vit_shapes(keys):
    grid, width = keys["data.view"] // VIT["encoder.patch"], 192
    shapes = {"cls_token": (1, 1, width), "reg_token": (1, 2, width), "pos_embed": (1, 3 + grid * grid, width),
              "patch_embed.proj.weight": (width, keys["data.channels"], 16, 16), "patch_embed.proj.bias": (width,), "norm.weight": (width,), "norm.bias": (width,)}
    for i in range(12):
        for name, rows, columns in (("attn.qkv", 3 * width, width), ("attn.proj", width, width), ("mlp.fc1", 4 * width, width), ("mlp.fc2", width, 4 * width)):
            shapes[f"blocks.{i}.{name}.weight"], shapes[f"blocks.{i}.{name}.bias"] = (rows, columns), (rows,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{i}.{name}.weight"] = shapes[f"blocks.{i}.{name}.bias"] = (width,)
    return shapes


def divergence(t, s, T):
    """KL(softmax(t / T) || softmax(s / T)), a mean over all rows."""
    p, q = torch.log_softmax(t / T, -1), torch.log_softmax(s / T, -1)
    return (p.exp() * (p - q)).sum(-1).mean()


def loss_of(p, keys, teacher, x, queue):
    """And the teacher's features, of unit length."""
    T = keys["method.temperature"]
    features, places = ViT(keys, p, keys["data.view"])(x)
    with torch.no_grad():
        t, t_places = teacher(x)
        t = functional.normalize(t)
        all = torch.cat([t, queue])
    s = functional.normalize(functional.linear(features, p["global.weight"], p["global.bias"]))
    loss = divergence(t @ all.T, s @ all.T, T)
    if keys["method.local"] == 0:
        return loss, t
    grid = min(keys["method.grid"], places.shape[-1], t_places.shape[-1])
    cells = lambda m: functional.adaptive_avg_pool2d(m, grid).flatten(2).transpose(1, 2)
    s = functional.normalize(functional.linear(cells(places), p["local.weight"], p["local.bias"]), dim=-1)
    r = functional.normalize(cells(t_places), dim=-1)
    return loss + keys["method.local"] * divergence(r @ r.transpose(1, 2), s @ s.transpose(1, 2), T), t


def run(keys, filled, generator):
    """The program's loss, gradients and queue, and PyTorch's."""
    teacher = ViT({**keys, **VIT}, {n: start(n, shape).double() for n, shape in vit_shapes(keys).items()}, keys["data.view"]) if "teacher.encoder" in keys \
        else ResNet(keys["data.channels"])
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        save(file.name, teacher.state)
        settings = {"teacher.encoder": "resnet18", **keys, "teacher.file": file.name}
        process = subprocess.Popen([TOOL] + [f"{k}={v}" for k, v in settings.items() if k != "trainer.chunk" or v], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lines = {"parameter": {}, "kept": {}}
        for line in iter(process.stdout.readline, b"\n"):
            assert line, "step_tool does not start"
            word, *rest = line.decode().split()
            if word in lines:
                lines[word][rest[0]] = tuple(map(int, rest[1:]))
    shapes, batch, rows = lines["parameter"], keys["trainer.batch"], lines["kept"]["queue"]
    assert rows[0] == keys["method.queue"] // batch * batch
    weights, queue = {name: start(name, shape) for name, shape in shapes.items()}, torch.zeros(rows)
    queue[:filled] = functional.normalize(torch.randn(filled, rows[1]))
    pixels = generator.integers(0, 256, (batch, keys["data.view"], keys["data.view"], keys["data.channels"]), dtype=numpy.uint8)
    number, floats = filled // batch, sum(w.numel() for w in weights.values())
    read = lambda shape: torch.from_numpy(numpy.frombuffer(process.stdout.read(4 * int(numpy.prod(shape))), numpy.float32).reshape(shape).copy())
    process.stdin.write(numpy.int64(number).tobytes() + numpy.float64(0).tobytes() + b"".join(w.numpy().tobytes() for w in weights.values()))
    process.stdin.write(bytes(8 * floats) + queue.numpy().tobytes() + pixels.tobytes())  # AdamW's state is 0
    process.stdin.flush()
    loss = numpy.frombuffer(process.stdout.read(8), numpy.float64)[0]
    ours = {name: read(shape) for name, shape in shapes.items()}
    read((batch, 192))  # the embeddings
    read(numpy.frombuffer(process.stdout.read(4), numpy.int32)[0])  # the order
    process.stdin.write(b"".join(g.numpy().tobytes() for g in ours.values()))
    process.stdin.flush()
    read(3 * floats)
    after = read(rows)
    process.kill()
    process.wait()
    exact = {name: w.double().requires_grad_() for name, w in weights.items()}
    wanted, t = loss_of(exact, keys, teacher, torch.stack(list(normalised(pixels))).double(), queue.double())
    wanted.backward()
    left = queue.double()
    at = number % (rows[0] // batch) * batch
    left[at:at + batch] = t
    return loss, wanted.item(), ours, {name: w.grad for name, w in exact.items()}, ((after.double() - left).norm() / left.norm()).item()


def check(generator, filled, own):
    loss, wanted, ours, exact, queue = run({**DEFAULTS, **own}, filled, generator)
    return compared(loss, wanted, ours, exact, BOUND) + [("the queue", queue <= 2e-6, f"{queue:.1e} off")]


if __name__ == "__main__":
    sys.exit(prove(CASES, check, *sys.argv[1:]))

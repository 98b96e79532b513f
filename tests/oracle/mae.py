#!/usr/bin/python3
"""Masked autoencoding (trainer/methods/mae.c) against PyTorch in f64: the loss, and the gradient of every tensor, of steps of the program's own
(step_tool), through an encoder and a decoder written down a second time, with masks drawn a second time. The whole batch and in chunks; a batch of one; hidden
blocks; a class token and registers; grey. A gradient that is 0.001 too large would be found. Prints TAP."""
import math
import subprocess
import sys
from pathlib import Path

import numpy
import torch
from torch.nn import functional

from philox import philox
from reference import normalised

TOOL = Path(__file__).parents[2] / "build/tests/oracle/step_tool"
BOUND = 2e-5  # of a tensor's norm; f32 is about 1e-6 off
SEED = 1

DEFAULTS = {"method.name": "mae", "encoder.name": "vit_tiny", "data.view": 64, "data.channels": 3, "trainer.batch": 4, "trainer.threads": 1,
            "trainer.precision": "f32", "method.hidden": 0.75, "method.block": 1, "method.predicted": 0.33, "method.decoder_width": 64,
            "method.decoder_blocks": 2, "encoder.pool": "mean", "encoder.registers": 0, "encoder.patch": 16, "trainer.chunk": 0}
CASES = [
    ("four views of 4 x 4 patches", {}),
    ("in chunks of 3 and 1", {"trainer.chunk": 3}),
    ("a batch of one, hidden blocks", {"trainer.batch": 1, "method.block": 2, "data.view": 96}),
    ("a class token and registers, grey", {"encoder.pool": "class", "encoder.registers": 2, "data.channels": 1, "method.hidden": 0.5, "method.predicted": 1}),
]


class Stream:
    """The program's (proto/random.h)."""

    def __init__(self, purpose, a, b, c):
        self.hash = [int(h) for h in philox((SEED, 0), (a, b, c, purpose))]
        self.purpose, self.block, self.words = purpose, 0, []

    def word(self):
        if not self.words:
            self.words = [int(w) for w in philox((self.hash[0], self.hash[1]), (self.block, self.hash[2], self.hash[3], self.purpose))]
            self.block += 1
        return self.words.pop(0)

    def below(self, n):
        return self.word() * n >> 32

    def draw(self, numbers, few):
        """Brings `few` to the front."""
        for i in range(few):
            k = i + self.below(len(numbers) - i)
            numbers[i], numbers[k] = numbers[k], numbers[i]


def mask(keys, batch, sample):
    """Numbers of the visible and of the predicted cells."""
    grid, block = keys["data.view"] // keys["encoder.patch"], keys["method.block"]
    stream = Stream(10, batch, 0, sample)
    count = block * block * round(keys["method.hidden"] * grid * grid / (block * block))
    across = math.ceil(grid / block)
    blocks = list(range(across * across))
    stream.draw(blocks, len(blocks))
    hidden = []
    for b in blocks:
        top, left = b // across * block, b % across * block
        cells = [r * grid + c for r in range(top, min(top + block, grid)) for c in range(left, min(left + block, grid))]
        left_over = count - len(hidden)
        if left_over == 0:
            break
        if len(cells) > left_over:
            stream.draw(cells, left_over)
        hidden += cells[:left_over]
    predicted = max(1, math.floor(keys["method.predicted"] * count + 0.5))
    stream.draw(hidden, predicted)
    return sorted(set(range(grid * grid)) - set(hidden)), sorted(hidden[:predicted])


def sincos(width, grid):
    """[grid^2, width]: the column of a place in the first half, its row in the second."""
    w = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    axis = torch.cat([torch.sin(torch.arange(grid).double()[:, None] * w), torch.cos(torch.arange(grid).double()[:, None] * w)], 1)
    return torch.cat([axis[None].expand(grid, grid, -1), axis[:, None].expand(grid, grid, -1)], 2).reshape(grid * grid, width)


def attend(q, k, v, heads):
    split = lambda t: t.reshape(t.shape[0], heads, -1).transpose(0, 1)
    q, k, v = split(q), split(k), split(v)
    return (torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[2]), 2) @ v).transpose(0, 1).reshape(q.shape[1], -1)


def loss_of(p, keys, x, seen, predicted):
    """Of one view x [channels, side, side]."""
    side, grid, prefix = keys["encoder.patch"], keys["data.view"] // keys["encoder.patch"], (keys["encoder.pool"] == "class") + keys["encoder.registers"]

    def linear(t, name):
        return functional.linear(t, p[name + ".weight"], p[name + ".bias"])

    def norm(t, name):
        return functional.layer_norm(t, t.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-6)

    t = functional.conv2d(x[None], p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=side)[0].flatten(1).t()
    first = [p[name][0] for name in ("cls_token", "reg_token") if name in p]
    t = torch.cat(first + [t]) + p["pos_embed"][0]
    t = t[list(range(prefix)) + [prefix + cell for cell in seen]]
    for i in range(12):
        name, width = f"blocks.{i}.", t.shape[1]
        q, k, v = linear(norm(t, name + "norm1"), name + "attn.qkv").split(width, 1)
        t = t + linear(attend(q, k, v, width // 64), name + "attn.proj")
        t = t + linear(functional.gelu(linear(norm(t, name + "norm2"), name + "mlp.fc1")), name + "mlp.fc2")
    memory = linear(norm(t, "decoder.embed_norm"), "decoder.embed")
    width = memory.shape[1]
    y = p["decoder.mask_token"][0] + sincos(width, grid)[predicted]
    for i in range(keys["method.decoder_blocks"]):
        name = f"decoder.blocks.{i}."
        k, v = linear(memory, name + "attn.kv").split(width, 1)
        y = y + linear(attend(linear(norm(y, name + "norm1"), name + "attn.q"), k, v, width // 32), name + "attn.proj")
        y = y + linear(functional.gelu(linear(norm(y, name + "norm2"), name + "mlp.fc1")), name + "mlp.fc2")
    y = linear(norm(y, "decoder.norm"), "decoder.pred")
    patches = x.reshape(-1, grid, side, grid, side).permute(1, 3, 2, 4, 0).reshape(grid * grid, -1)[predicted]
    wanted = (patches - patches.mean(1, keepdim=True)) / torch.sqrt(patches.var(1, keepdim=True) + 1e-6)
    return ((y - wanted) ** 2).mean()


def introduced(process):
    shapes = {}
    for line in iter(process.stdout.readline, b"\n"):
        word, *rest = line.decode().split()
        if word == "parameter":
            shapes[rest[0]] = tuple(map(int, rest[1:]))
    assert shapes, "step_tool does not start"
    return shapes


def run(keys, generator):
    """The program's loss and gradients, and PyTorch's."""
    process = subprocess.Popen([TOOL] + [f"{k}={v}" for k, v in keys.items() if k != "trainer.chunk" or v], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    shapes = introduced(process)
    weights = {name: torch.randn(shape) * (0.5 if len(shape) == 3 else 0.1 if len(shape) == 1 else 1 / math.sqrt(numpy.prod(shape[1:])))
               + (1 if "norm" in name and name.endswith("weight") else 0) for name, shape in shapes.items()}
    pixels = generator.integers(0, 256, (keys["trainer.batch"], keys["data.view"], keys["data.view"], keys["data.channels"]), dtype=numpy.uint8)
    number = 5
    process.stdin.write(numpy.int64(number).tobytes() + numpy.float64(0).tobytes() + b"".join(w.numpy().tobytes() for w in weights.values()))
    process.stdin.write(bytes(8 * sum(w.numel() for w in weights.values())) + pixels.tobytes())  # AdamW's state
    process.stdin.flush()
    loss = numpy.frombuffer(process.stdout.read(8), numpy.float64)[0]
    ours = {name: torch.from_numpy(numpy.frombuffer(process.stdout.read(4 * int(numpy.prod(shape))), numpy.float32).reshape(shape).copy())
            for name, shape in shapes.items()}
    process.kill()
    process.wait()
    exact = {name: w.double().requires_grad_() for name, w in weights.items()}
    wanted = sum(loss_of(exact, keys, x, *mask(keys, number, i)) for i, x in enumerate(normalised(pixels))) / len(pixels)
    wanted.backward()
    return loss, wanted.item(), ours, {name: w.grad for name, w in exact.items()}


def main(part=""):
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    generator = numpy.random.default_rng(SEED)
    count = failed = 0
    for name, own in CASES:
        if part not in name:
            continue
        loss, wanted, ours, exact = run({**DEFAULTS, **own}, generator)
        errors = {n: ((ours[n].double() - g).norm() / g.norm()).item() if g is not None and g.norm() > 0 else ours[n].norm().item() for n, g in exact.items()}
        worst = max(errors, key=errors.get)
        for what, good, seen in (("the loss", abs(loss - wanted) <= 1e-5 * wanted, f"{loss:.6f}, {abs(loss - wanted):.1e} off"),
                                 ("every gradient", errors[worst] <= BOUND, f"{len(errors)} tensors, {errors[worst]:.1e} off at most, {worst}")):
            count += 1
            failed += not good
            print(f"{'' if good else 'not '}ok {count} - {name}: {what}: {seen}", flush=True)
    print(f"1..{count}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

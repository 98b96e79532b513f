#!/usr/bin/python3
"""Masked modelling (trainer/methods/mae.c, fcmae.c, cnn_jepa.c) against PyTorch in f64: the loss, and the gradient of every tensor, of steps of the program's own
(step_tool), through an encoder and a decoder written down a second time, with masks drawn a second time. The convolutional encoders are written as the papers
define them: whole maps, multiplied by what is visible. The whole batch and in chunks; a batch of one; hidden blocks; a class token and registers; grey. A
gradient that is 0.001 too large would be found. Prints TAP."""
import math
import subprocess
import sys

import numpy
import torch
from torch.nn import functional

from gradients import SEED, TOOL, compared, prove
from philox import philox
from reference import normalised

BOUND = {True: 2e-5, False: 1e-4}  # of a tensor's norm, of transformers and of convolutions; f32 is about 1e-6 off, and 5e-5 behind batch norms

DEFAULTS = {"method.name": "mae", "encoder.name": "vit_tiny", "data.view": 64, "data.channels": 3, "trainer.batch": 4, "trainer.threads": 1,
            "trainer.precision": "f32", "method.hidden": 0.75, "method.block": 1, "method.predicted": 0.33, "method.decoder_width": 64,
            "method.decoder_blocks": 2, "encoder.pool": "mean", "encoder.registers": 0, "encoder.patch": 16, "trainer.chunk": 0}
CONVOLUTIONS = {"method.name": "fcmae", "data.view": 96, "data.channels": 3, "trainer.batch": 4, "trainer.threads": 1, "trainer.precision": "f32",
                "method.hidden": 0.6, "method.block": 1, "method.predicted": 1, "method.decoder_width": 40, "method.decoder_blocks": 1, "trainer.chunk": 0}
JEPA = {**{k: v for k, v in CONVOLUTIONS.items() if "decoder" not in k}, "method.name": "cnn_jepa", "data.view": 128, "method.block": 2}
CASES = [
    ("four views of 4 x 4 patches", {}),
    ("in chunks of 3 and 1", {"trainer.chunk": 3}),
    ("a batch of one, hidden blocks", {"trainer.batch": 1, "method.block": 2, "data.view": 96}),
    ("eight channels", {"data.channels": 8}),
    ("a class token and registers, grey", {"encoder.pool": "class", "encoder.registers": 2, "data.channels": 1, "method.hidden": 0.5, "method.predicted": 1}),
    ("ConvNeXt V2", {**CONVOLUTIONS, "encoder.name": "convnextv2_atto"}),
    ("ConvNeXt V2 in chunks, two blocks", {**CONVOLUTIONS, "encoder.name": "convnextv2_atto", "trainer.chunk": 3, "method.decoder_blocks": 2}),
    ("ConvNeXt, grey, half of the hidden cells, norms and copies made again", {**CONVOLUTIONS, "encoder.name": "convnext_atto", "data.channels": 1,
                                                                               "method.predicted": 0.5, "trainer.recompute": "norms"}),
    ("ResNet-18, batch norms, hidden blocks", {**CONVOLUTIONS, "encoder.name": "resnet18", "data.view": 160, "method.block": 2}),
    ("ResNet-50, group norms, small stem, in chunks of two", {**CONVOLUTIONS, "encoder.name": "resnet50", "encoder.stem": "small", "encoder.norm": "group",
                                                              "encoder.standardise": "false", "data.view": 32, "trainer.chunk": 2}),
    ("ResNet-18, group norms, stride 4", {**CONVOLUTIONS, "encoder.name": "resnet18", "encoder.stem": "stride4", "encoder.norm": "group",
                                          "encoder.standardise": "false", "data.view": 192, "trainer.batch": 2}),
    ("what cells are like, ConvNeXt V2", {**JEPA, "encoder.name": "convnextv2_atto"}),
    ("what cells are like, ResNet-18, in chunks, half of the hidden cells, blocks made again",
     {**JEPA, "encoder.name": "resnet18", "encoder.norm": "group", "encoder.standardise": "false", "trainer.chunk": 3, "method.predicted": 0.5,
      "trainer.recompute": "blocks"}),
    ("ConvNeXt under a decoder that attends", {**CONVOLUTIONS, "method.name": "mae", "encoder.name": "convnext_atto", "method.decoder_width": 64}),
]
STEMS = {"imagenet": (2, 3, True), "small": (1, 1, False), "stride4": (4, 3, True)}  # stride, padding, whether pooled


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
    grid, block = keys["data.view"] // cell_of(keys), keys["method.block"]
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


def cell_of(keys):
    """Pixels of a side."""
    if keys["encoder.name"].startswith("resnet"):
        stride, _, pooled = STEMS[keys.get("encoder.stem", "imagenet")]
        return stride * (2 if pooled else 1) * 8
    return keys["encoder.patch"] if keys["encoder.name"].startswith("vit") else 32


class Layers:
    """The layers of networks with weights p."""

    def __init__(self, p):
        self.p = p

    def linear(self, t, name):
        """Over the last axis."""
        return functional.linear(t, self.p[name + ".weight"].flatten(1), self.p[name + ".bias"])

    def norm(self, t, name):
        return functional.layer_norm(t, t.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], 1e-6)

    def conv(self, t, name, **how):
        return functional.conv2d(t, self.p[name + ".weight"], self.p.get(name + ".bias"), **how)


def vit(p, keys, x, seen):
    """[n, prefix + visible, width], of views x."""
    layers, side, prefix = Layers(p), keys["encoder.patch"], (keys["encoder.pool"] == "class") + keys["encoder.registers"]
    t = layers.conv(x, "patch_embed.proj", stride=side).flatten(2).transpose(1, 2)
    first = [p[name].expand(len(x), -1, -1) for name in ("cls_token", "reg_token") if name in p]
    t = torch.cat(first + [t], 1) + p["pos_embed"]
    t = torch.stack([one[list(range(prefix)) + [prefix + cell for cell in cells]] for one, cells in zip(t, seen)])
    for i in range(12):
        name, width = f"blocks.{i}.", t.shape[2]
        q, k, v = layers.linear(layers.norm(t, name + "norm1"), name + "attn.qkv").split(width, 2)
        t = t + layers.linear(torch.stack([attend(*one, width // 64) for one in zip(q, k, v)]), name + "attn.proj")
        t = t + layers.linear(functional.gelu(layers.linear(layers.norm(t, name + "norm2"), name + "mlp.fc1")), name + "mlp.fc2")
    return t


def shown(t, mask):
    """A map times what is visible: mask [n, 1, grid, grid]."""
    return t * functional.interpolate(mask, t.shape[2:], mode="nearest")


def convnext_block(layers, t, name, mask):
    """FCMAE's: GRN is over visible places, which are all that is not 0."""
    u = shown(layers.conv(t, name + "conv_dw", padding=3, groups=t.shape[1]), mask).permute(0, 2, 3, 1)
    u = functional.gelu(layers.linear(layers.norm(u, name + "norm"), name + "mlp.fc1"))
    u = shown(u.permute(0, 3, 1, 2), mask).permute(0, 2, 3, 1)
    if name + "mlp.grn.weight" in layers.p:
        length = torch.sqrt((u ** 2).sum((1, 2), keepdim=True))
        u = layers.p[name + "mlp.grn.weight"] * (u * (length / (length.mean(3, keepdim=True) + 1e-6))) + layers.p[name + "mlp.grn.bias"] + u
    u = layers.linear(u, name + "mlp.fc2").permute(0, 3, 1, 2)
    if name + "gamma" in layers.p:
        u = u * layers.p[name + "gamma"][:, None, None]
    return shown(t + u, mask)


def convnext(p, keys, x, mask):
    layers, norm = Layers(p), lambda t, name: layers.norm(t.permute(0, 2, 3, 1), name).permute(0, 3, 1, 2)
    t = shown(norm(layers.conv(shown(x, mask), "stem.0", stride=4), "stem.1"), mask)
    for stage, count in enumerate((2, 2, 6, 2)):
        if stage > 0:
            t = shown(layers.conv(shown(norm(t, f"stages.{stage}.downsample.0"), mask), f"stages.{stage}.downsample.1", stride=2), mask)
        for i in range(count):
            t = convnext_block(layers, t, f"stages.{stage}.blocks.{i}.", mask)
    return t


def resnet(p, keys, x, mask):
    layers, (stride, pad, pooled), deep = Layers(p), STEMS[keys.get("encoder.stem", "imagenet")], keys["encoder.name"] == "resnet50"

    def norm(t, name):
        """Over visible places alone: of the whole batch, or of each view and group of channels."""
        at = functional.interpolate(mask, t.shape[2:], mode="nearest")[:, 0] > 0
        out = torch.zeros_like(t)
        if keys.get("encoder.norm") == "group":
            for i, one in enumerate(t):
                seen = one[:, at[i]].reshape(1, t.shape[1], -1)
                out[i][:, at[i]] = functional.group_norm(seen, 32, p[name + ".weight"], p[name + ".bias"])[0]
            return out
        seen = t.permute(0, 2, 3, 1)[at]
        out.permute(0, 2, 3, 1)[at] = functional.batch_norm(seen, None, None, p[name + ".weight"], p[name + ".bias"], True)
        return out

    t = functional.relu(norm(layers.conv(shown(x, mask), "conv1", stride=stride, padding=pad), "bn1"))
    if pooled:
        t = shown(functional.max_pool2d(t, 3, 2, 1), mask)
    for stage, count in enumerate((3, 4, 6, 3) if deep else (2, 2, 2, 2)):
        for i in range(count):
            name, stride = f"layer{stage + 1}.{i}.", 2 if stage > 0 and i == 0 else 1
            shortcut = norm(layers.conv(t, name + "downsample.0", stride=stride), name + "downsample.1") if name + "downsample.0.weight" in p else t
            if deep:
                u = functional.relu(norm(layers.conv(t, name + "conv1"), name + "bn1"))
                u = functional.relu(norm(layers.conv(u, name + "conv2", stride=stride, padding=1), name + "bn2"))
                u = norm(layers.conv(u, name + "conv3"), name + "bn3")
            else:
                u = functional.relu(norm(layers.conv(t, name + "conv1", stride=stride, padding=1), name + "bn1"))
                u = norm(layers.conv(u, name + "conv2", padding=1), name + "bn2")
            t = functional.relu(u + shortcut)
    return t


def attending(p, keys, memory, predicted):
    """CrossMAE's decoder, of what was encoded [n, tokens, width]: [n, predicted, values of a patch]."""
    layers, grid = Layers(p), keys["data.view"] // cell_of(keys)
    memory = layers.linear(layers.norm(memory, "decoder.embed_norm"), "decoder.embed")
    width = memory.shape[2]
    y = torch.stack([p["decoder.mask_token"][0] + sincos(width, grid)[cells] for cells in predicted])
    for i in range(keys["method.decoder_blocks"]):
        name = f"decoder.blocks.{i}."
        k, v = layers.linear(memory, name + "attn.kv").split(width, 2)
        q = layers.linear(layers.norm(y, name + "norm1"), name + "attn.q")
        y = y + layers.linear(torch.stack([attend(*one, width // 32) for one in zip(q, k, v)]), name + "attn.proj")
        y = y + layers.linear(functional.gelu(layers.linear(layers.norm(y, name + "norm2"), name + "mlp.fc1")), name + "mlp.fc2")
    return layers.linear(layers.norm(y, "decoder.norm"), "decoder.pred")


def convolving(p, keys, t, mask, predicted):
    """FCMAE's decoder, of a map t: the same."""
    layers = Layers(p)
    t = layers.conv(t, "decoder.proj")
    t = torch.where(mask > 0, t, p["decoder.mask_token"][:, None, None])
    for i in range(keys["method.decoder_blocks"]):
        t = convnext_block(layers, t, f"decoder.blocks.{i}.", torch.ones_like(mask))
    t = layers.conv(t, "decoder.pred").flatten(2).transpose(1, 2)
    return torch.stack([one[cells] for one, cells in zip(t, predicted)])


def predicting(p, t, mask, predicted):
    """CNN-JEPA's predictor: the same, of what the target has."""
    layers = Layers(p)
    t = torch.where(mask > 0, t, p["predictor.mask_token"][:, None, None])
    for i in range(3):
        name = f"predictor.{i}."
        t = layers.conv(layers.conv(t, name + "depthwise", padding=1, groups=t.shape[1]), name + "pointwise")
        if i < 2:
            t = functional.relu(functional.group_norm(t, 32, p[name + "norm.weight"], p[name + "norm.bias"]))
    return torch.stack([one[cells] for one, cells in zip(t.flatten(2).transpose(1, 2), predicted)])


def features_off(p, target, keys, encoder, x, t, visible, predicted):
    with torch.no_grad():
        wanted = encoder(target, keys, x, torch.ones_like(visible)).flatten(2).transpose(1, 2)
    wanted = functional.normalize(torch.stack([one[cells] for one, cells in zip(wanted, predicted)]), dim=2)
    y = functional.normalize(predicting(p, t, visible, predicted), dim=2)
    return functional.smooth_l1_loss(y, wanted, reduction="none").sum(2).mean(1)


def loss_of(p, target, keys, x, masks):
    """Of each view of x [n, channels, side, side], in the backbone at once. target: the weights of that network, where there is one."""
    side = cell_of(keys)
    grid, seen, predicted = keys["data.view"] // side, [m[0] for m in masks], [m[1] for m in masks]
    if keys["encoder.name"].startswith("vit"):
        y = attending(p, keys, vit(p, keys, x, seen), predicted)
    else:
        visible = torch.zeros(len(x), 1, grid * grid, dtype=torch.float64)
        for one, cells in zip(visible, seen):
            one[0, cells] = 1
        visible = visible.reshape(-1, 1, grid, grid)
        encoder = resnet if keys["encoder.name"].startswith("resnet") else convnext
        t = encoder(p, keys, x, visible)
        if keys["method.name"] == "cnn_jepa":
            return features_off(p, target, keys, encoder, x, t, visible, predicted)
        if keys["method.name"] == "fcmae":
            y = convolving(p, keys, t, visible, predicted)
        else:
            rows = t.flatten(2).transpose(1, 2)
            y = attending(p, keys, torch.stack([one[cells] for one, cells in zip(rows, seen)]), predicted)
    patches = x.reshape(len(x), -1, grid, side, grid, side).permute(0, 2, 4, 3, 5, 1).reshape(len(x), grid * grid, -1)
    patches = torch.stack([one[cells] for one, cells in zip(patches, predicted)])
    wanted = (patches - patches.mean(2, keepdim=True)) / torch.sqrt(patches.var(2, keepdim=True) + 1e-6)
    return ((y - wanted) ** 2).mean((1, 2))


def introduced(process):
    """The parameters' shapes; how many running statistics there are; and how many parameters, the first ones, a target network has."""
    shapes, statistics, target = {}, 0, 0
    for line in iter(process.stdout.readline, b"\n"):
        word, *rest = line.decode().split()
        if word == "parameter":
            shapes[rest[0]] = tuple(map(int, rest[1:]))
        elif word == "statistic":
            statistics += 2 * int(rest[1])
        elif word == "target":
            target = int(rest[0])
    assert shapes, "step_tool does not start"
    return shapes, statistics, target


def start(name, shape):
    """A weight. Behind a ResNet's norms, and a predictor's, nothing is near the kink of a ReLU, where f32 may fall on the other side and a whole gradient be gone."""
    t = torch.randn(shape)
    if "bn" in name or "downsample.1" in name or "predictor" in name and "norm" in name:
        return 0.3 + 0.03 * t if name.endswith("weight") else 2 + 0.1 * t
    if len(shape) == 1:
        return 0.1 * t + (1 if "norm" in name and name.endswith("weight") else 0)
    return t * (0.5 if len(shape) == 3 else 1 / math.sqrt(numpy.prod(shape[1:])))


def run(keys, generator):
    """The program's loss and gradients, and PyTorch's."""
    process = subprocess.Popen([TOOL] + [f"{k}={v}" for k, v in keys.items() if k != "trainer.chunk" or v], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    shapes, statistics, of_target = introduced(process)
    weights = {name: start(name, shape) for name, shape in shapes.items()}
    target, rest = {}, of_target
    for name, shape in shapes.items():
        if rest > 0:
            target[name] = start(name, shape)
            rest -= target[name].numel()
    assert rest == 0 and not any(name.startswith("predictor") for name in target), (rest, list(target))
    pixels = generator.integers(0, 256, (keys["trainer.batch"], keys["data.view"], keys["data.view"], keys["data.channels"]), dtype=numpy.uint8)
    number = 5
    process.stdin.write(numpy.int64(number).tobytes() + numpy.float64(0).tobytes() + b"".join(w.numpy().tobytes() for w in weights.values()))
    process.stdin.write(bytes(4 * statistics + 8 * sum(w.numel() for w in weights.values())))  # and AdamW's state
    process.stdin.write(b"".join(w.numpy().tobytes() for w in target.values()) + pixels.tobytes())
    process.stdin.flush()
    loss = numpy.frombuffer(process.stdout.read(8), numpy.float64)[0]
    ours = {name: torch.from_numpy(numpy.frombuffer(process.stdout.read(4 * int(numpy.prod(shape))), numpy.float32).reshape(shape).copy())
            for name, shape in shapes.items()}
    process.kill()
    process.wait()
    exact = {name: w.double().requires_grad_() for name, w in weights.items()}
    x, masks, most = normalised(pixels).double(), [mask(keys, number, i) for i in range(len(pixels))], keys["trainer.chunk"] or len(pixels)
    wanted = torch.cat([loss_of(exact, {n: w.double() for n, w in target.items()}, keys, x[i:i + most], masks[i:i + most]) for i in range(0, len(x), most)]).mean()
    wanted.backward()
    return loss, wanted.item(), ours, {name: w.grad for name, w in exact.items()}


def check(generator, own):
    keys = own if "encoder.name" in own else {**DEFAULTS, **own}
    return compared(*run(keys, generator), BOUND[keys["encoder.name"].startswith("vit")])


if __name__ == "__main__":
    sys.exit(prove(CASES, check, *sys.argv[1:]))

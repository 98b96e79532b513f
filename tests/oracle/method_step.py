#!/usr/bin/python3
"""Training steps of methods that keep something beside the weights (a target network, queues, prototypes), or take several sizes of views,
against PyTorch in float64: loss, gradients, and all that a step leaves behind. The losses are those of methods/. Each step begins from weights,
statistics and states that are drawn here, or from where PyTorch's step before it ended: ten of them for each family of methods. The encoder is a small one (method_step_tool.c), so that rounding errors stay small.

An error is |x - x64| / |x64| of a tensor. It may be 8 times the largest that PyTorch makes in f32 in four evaluations whose weights are
wrong by a unit in the last place, at random (step.py says why one evaluation is no measure); FLOOR is eight units of rounding. That this is
tight is shown, too: each tensor, made larger by PLANTED, has to break it. Views in which an activation is near its ReLU's kink are drawn
again. What a step leaves behind is computed here in f64 from the gradient that is given to the tool.
"""
import importlib
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from torch.nn import functional

from method import Program
import dense
from methods import unit
from philox import normals

TOOL = Path(__file__).parents[2] / "build/tests/oracle/method_step_tool"
ROUNDING = 2.0**-24
FLOOR = 8 * ROUNDING
PLANTED = 1e-3
MARGIN = 1e-5  # of activations from their kink; errors are some 1e-7
STEPS, LR, DECAY, MOMENTUM, SAMPLES, SEED = 40, 0.1, 0.01, 0.9, 5, 5

PROJECTOR = {"projector.layers": 2, "projector.hidden": 20, "projector.out": 10}
MULTICROP = [24, 24, 16, 16, 16]
GOLDEN = list(range(10))  # each from where PyTorch's step before it ended
CASES = [
    # name, numbers of the steps, sizes of the views, keys
    ("byol", [0, 1, 30], [16, 16], {"method.name": "byol", "method.momentum": 0.7, "method.momentum_batch": SAMPLES,
                                    "method.hidden": 17, "projector.last": "plain", "projector.views": "apart"}),
    ("byol, a chunk a view", [3], [16, 16], {"method.name": "byol", "method.momentum": 0.9, "method.momentum_batch": 2 * SAMPLES, "method.hidden": 17,
                                             "trainer.chunk": SAMPLES, "projector.last": "norm", "projector.views": "together"}),
    ("barlow", [0, 7], [16, 24], {"method.name": "barlow", "method.lambda": 0.2, "method.vector_rate": 0.3, "projector.last": "plain",
                                  "projector.views": "apart"}),
    ("swav, frozen, without a queue", [0, 2], [16, 16], {"method.name": "swav", "method.prototypes": 7, "method.queue": 0,
                                                         "method.frozen": 2.5 / STEPS, "projector.last": "bias"}),
    ("swav, multi-crop and queue", [0, 3, 4, 30], MULTICROP,
     {"method.name": "swav", "method.prototypes": 13, "method.queue": 3 * SAMPLES + 1, "method.queue_from": 4 / STEPS,
      "method.frozen": 0.5 / STEPS, "method.temperature": 0.3, "method.epsilon": 0.2, "projector.last": "bias"}),
    ("ten steps of simclr", GOLDEN, [16, 16], {"method.name": "simclr", "projector.last": "norm"}),
    ("ten steps of moco2", GOLDEN, [16, 16], {"method.name": "moco2", "method.queue": 4 * SAMPLES, "method.momentum": 0.8, "method.momentum_batch": SAMPLES,
                                              "projector.last": "bias", "projector.views": "apart"}),
    ("ten steps of byol", GOLDEN, [16, 16], {"method.name": "byol", "method.momentum": 0.7, "method.momentum_batch": SAMPLES, "method.hidden": 17,
                                             "projector.last": "plain", "projector.views": "apart"}),
    ("ten steps of swav", GOLDEN, MULTICROP, {"method.name": "swav", "method.prototypes": 13, "method.queue": 3 * SAMPLES, "method.queue_from": 5 / STEPS,
                                              "method.frozen": 2 / STEPS, "method.epsilon": 0.2, "projector.last": "bias"}),
    ("ten steps of barlow", GOLDEN, [16, 24], {"method.name": "barlow", "method.lambda": 0.2, "method.vector_rate": 0.3, "projector.last": "plain",
                                               "projector.views": "apart"}),
    ("ten steps of vicreg", GOLDEN, [16, 16], {"method.name": "vicreg", "method.invariance_weight": 2.5, "method.variance_weight": 2.5,
                                                "method.covariance_weight": 0.1, "projector.last": "plain", "projector.views": "apart"}),
    ("sigmoid, whose scale and bias are learnt", [0, 9], [16, 16], {"method.name": "sigmoid", "method.scale": 2, "method.bias": -1, "projector.last": "bias"}),
    ("simclr and the dense term, maps of 4 x 4 averaged to 3 x 3", [0, 1, 30], [16, 16],
     {"method.name": "simclr", "projector.last": "norm", "dense.weight": 0.3, "dense.grid": 3, "dense.hidden": 11, "dense.out": 6, "dense.queue": 4 * SAMPLES,
      "dense.temperature": 0.3}),
    ("ten steps of moco2 and the dense term", GOLDEN, [16, 16],
     {"method.name": "moco2", "method.queue": 4 * SAMPLES, "method.momentum": 0.8, "method.momentum_batch": SAMPLES, "projector.last": "bias",
      "projector.views": "apart", "dense.weight": 0.5, "dense.grid": 16, "dense.hidden": 11, "dense.out": 6, "dense.queue": 3 * SAMPLES,
      "dense.temperature": 0.2}),
    ("lejepa, multi-crop", [0, 11], MULTICROP, {"method.name": "lejepa", "method.directions": 33, "method.lambda": 0.3, "projector.last": "bias"}),
]


class Net:
    """One network: weights and running statistics by name. `nearest`: of an activation to its ReLU's kink."""

    def __init__(self, weights, statistics):
        self.w, self.s, self.nearest = weights, statistics, math.inf

    def norm(self, x, name):
        return functional.batch_norm(x, self.s[name + ".running_mean"], self.s[name + ".running_var"], self.w.get(name + ".weight"),
                                     self.w.get(name + ".bias"), True)

    def relu(self, x):
        self.nearest = min(self.nearest, x.detach().abs().min().item())
        return functional.relu(x)

    def mlp(self, x, name, layers, last):
        for i in range(layers):
            x = functional.linear(x, self.w[f"{name}.{3 * i}.weight"], self.w.get(f"{name}.{3 * i}.bias"))
            if i < layers - 1:
                x = self.relu(self.norm(x, f"{name}.{3 * i + 1}"))
            elif last == "norm":
                x = self.norm(x, f"{name}.{3 * i + 1}")
        return x

    def encode(self, pixels, chunks):
        """Views of several sizes, each [samples, side, side, 3] -> features of each; chunks: lists of view * samples + sample."""
        rows, maps = [None] * (SAMPLES * len(pixels)), [None] * (SAMPLES * len(pixels))
        for chunk in chunks:
            x = torch.stack([pixels[i // SAMPLES][i % SAMPLES] for i in chunk])
            x = ((x / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)
            x = self.norm(functional.conv2d(x, self.w["conv.weight"], stride=4), "norm")
            for i, one in zip(chunk, x):
                rows[i], maps[i] = one.mean((1, 2)), one
        if len({one.shape for one in maps}) == 1:
            self.maps = torch.stack(maps).unflatten(0, (len(pixels), SAMPLES))
        return torch.stack(rows).unflatten(0, (len(pixels), SAMPLES))

    def project(self, features, keys):
        """[views, samples, width] -> embeddings of each view."""
        if keys["projector.views"] == "together":
            return self.mlp(features.flatten(0, 1), "projector", 2, keys["projector.last"]).unflatten(0, features.shape[:2])
        return torch.stack([self.mlp(view, "projector", 2, keys["projector.last"]) for view in features])


class Seen:
    """What a formula of methods/ sees of a step (method.py), with a network's own layers and norms."""

    def __init__(self, case, net, z, target, state, number):
        self.case, self.net, self.z, self.target, self.own, self.state = case, net, list(z), target, net.w, state
        self.step, self.steps, self.skip = number, STEPS, None

    def key(self, name):
        return self.case.key(name)

    def mlp(self, x, name, last="plain"):
        return self.net.mlp(x, name, 2, last)

    def normals(self, which, rows, width):
        return normals(SEED, self.step, which, rows * width).reshape(rows, width).to(self.z[0].dtype)


class Case:
    def __init__(self, sizes, keys, generator):
        self.sizes, self.keys, self.generator = sizes, {**PROJECTOR, "projector.views": "together", **keys}, generator
        self.reference, self.defaults = importlib.import_module("methods." + keys["method.name"]), Program(keys["method.name"]).defaults
        settings = {**self.keys, "data.path": ".", "data.tile": 32, "trainer.batch": SAMPLES, "trainer.steps": STEPS, "trainer.threads": 1,
                    "optimiser.name": "sgd", "optimiser.weight_decay": DECAY, "optimiser.momentum": MOMENTUM, "seed": SEED}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as recipe:
            recipe.write("views:\n" + "".join(f"  - {{size: {size}}}\n" for size in sizes))
            recipe.flush()
            self.process = subprocess.Popen([TOOL, recipe.name] + [f"{k}={v}" for k, v in settings.items()], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE)
            self.weights, self.statistics, self.kept = {}, {}, {}
            floats = self.introduction()
        self.target_weights, self.target_statistics = (self.first(layout, count)
                                                       for layout, count in zip((self.weights, self.statistics), floats))

    def introduction(self):
        """What the tool says of its arrays; the floats of the target network."""
        for line in iter(self.process.stdout.readline, b"\n"):
            if not line:
                raise RuntimeError("method_step_tool does not start")
            word, *rest = line.decode().split()
            if word == "parameter":
                self.weights[rest[0]] = tuple(map(int, rest[1:]))
            elif word == "statistic":
                self.statistics[rest[0] + ".running_mean"] = self.statistics[rest[0] + ".running_var"] = (int(rest[1]),)
            elif word == "kept":
                self.kept[rest[0]] = tuple(map(int, rest[1:]))
            elif word == "target":
                floats = tuple(map(int, rest))
        return floats

    @staticmethod
    def first(layout, floats):
        """The first entries of a layout that make so many floats."""
        chosen = {}
        for name, shape in layout.items():
            if floats == 0:
                break
            chosen[name] = shape
            floats -= int(numpy.prod(shape))
        assert floats == 0
        return chosen

    def draw(self, layout):
        draws = {}
        for name, shape in layout.items():
            x = torch.from_numpy(self.generator.standard_normal(shape).astype(numpy.float32))
            if name.endswith("running_var") or (name.endswith(".weight") and len(shape) == 1):
                x = 1 + 0.2 * x.abs()
            elif name.startswith("queue") or name == "prototypes.weight":
                x = unit(x)
            elif len(shape) > 1:
                x = x / math.sqrt(numpy.prod(shape[1:]))
            draws[name] = x if len(shape) > 1 or name.endswith("running_var") or name.endswith(".weight") else 0.3 * x
        return draws

    def send(self, arrays):
        for x in arrays.values():
            self.process.stdin.write(x.numpy().astype(numpy.float32).tobytes())

    def read(self, kind, count):
        data = self.process.stdout.read(count * numpy.dtype(kind).itemsize)
        if len(data) != count * numpy.dtype(kind).itemsize:
            raise RuntimeError("method_step_tool ended")
        return numpy.frombuffer(data, kind)

    def get(self, layout):
        return {name: torch.from_numpy(self.read(numpy.float32, int(numpy.prod(shape))).reshape(shape).copy())
                for name, shape in layout.items()}

    def evaluate(self, start, pixels, chunks, number, kind, noise):
        """Loss, gradients, statistics of both networks, embeddings, in this precision; noise: weights are wrong by a unit in the last place."""
        def copy(arrays):
            wrong = {n: 1 + noise * 2 * ROUNDING * torch.from_numpy(self.generator.choice([-1.0, 0.0, 1.0], x.shape)) for n, x in arrays.items()}
            return {n: (x.double() * wrong[n]).to(kind) for n, x in arrays.items()}

        net = Net({n: x.requires_grad_() for n, x in copy(start["weights"]).items()}, copy(start["statistics"]))
        target = Net(copy(start["target weights"]), copy(start["target statistics"]))
        pixels = [torch.from_numpy(p).to(kind) for p in pixels]
        z = net.project(net.encode(pixels, chunks), self.keys)
        with torch.no_grad():
            answer = target.project(target.encode(pixels, chunks), self.keys) if target.w else None
        seen = Seen(self, net, z, answer, copy(start["kept"]), number)
        loss, places = self.reference.loss(seen), self.keys.get("dense.weight", 0)
        if places:
            loss = (1 - places) * loss + places * dense.loss(seen, target)
        loss.backward()
        gradient = {"gradient of " + n: torch.zeros_like(x) if x.grad is None else x.grad for n, x in net.w.items()}
        near = min(net.nearest, target.nearest)
        with torch.no_grad():
            left = self.reference.after(seen) if hasattr(self.reference, "after") else {}
            if places:
                left.update(dense.after(seen, target))
        kept = {n: left[n] for n in self.kept}
        return {"loss": loss.detach(), "embeddings": z.detach(), **gradient, **net.s, **{"target " + n: x for n, x in target.s.items()}}, kept, near

    def key(self, name):
        return self.keys.get("method." + name, self.defaults.get(name))

    def behind(self, start, gradient, number, kept):
        """What the step leaves behind, from this gradient."""
        def constant(name):
            return name == "prototypes.weight" and number < math.ceil(self.key("frozen") * STEPS - 1e-9)

        weights, state = {}, {}
        for name, w in start["weights"].items():
            w, m = w.double(), start["state"][name].double()
            vector = w.ndim == 1 or w.numel() == 1  # a number of a method's own has no weight decay either
            rate = (self.key("vector_rate") or 1) if vector else 1
            if not constant(name):
                m = MOMENTUM * m + gradient[name].double() + (0 if vector else DECAY) * w
                w = w - LR * rate * m
            weights[name], state["state of " + name] = unit(w) if name == "prototypes.weight" else w, m
        if self.target_weights:
            momentum = self.key("momentum") ** (SAMPLES / self.key("momentum_batch"))
            if self.key("momentum_schedule") == "cosine":
                momentum = 1 - (1 - momentum) * (1 + math.cos(math.pi * number / STEPS)) / 2
        target = {"target " + n: momentum * w.double() + (1 - momentum) * weights[n] for n, w in start["target weights"].items()}
        return {**weights, **state, **kept, **target}

    def chunks(self, order, rows):
        """The encoder's groups, from the order in which the tool fetched its views in pass 1: chunks of each size, small ones first."""
        groups, order = [], list(order[:rows])
        for size in sorted(set(self.sizes)):
            inputs = SAMPLES * self.sizes.count(size)
            most = self.keys.get("trainer.chunk", 0) or inputs
            mine, order = order[:inputs], order[inputs:]
            groups += [mine[i:i + most] for i in range(0, inputs, most)]
        return groups

    def start(self):
        return {"weights": self.draw(self.weights), "statistics": self.draw(self.statistics), "state": self.draw(self.weights),
                "kept": self.draw(self.kept), "target weights": self.draw(self.target_weights),
                "target statistics": self.draw(self.target_statistics)}

    def following(self, exact, behind):
        """What PyTorch's own step ends with, in f32, as the start of the next one."""
        def pick(layout, arrays, prefix=""):
            return {n: arrays[prefix + n].float() for n in layout}

        return {"weights": pick(self.weights, behind), "statistics": pick(self.statistics, exact), "state": pick(self.weights, behind, "state of "),
                "kept": pick(self.kept, behind), "target weights": pick(self.target_weights, behind, "target "),
                "target statistics": pick(self.target_statistics, exact, "target ")}

    def pixels(self):
        return [self.generator.integers(0, 256, (SAMPLES, size, size, 3)).astype(numpy.uint8) for size in self.sizes]

    def take(self, number, start, pixels):
        """The program's step: loss, gradients and embeddings; the gradient; the views as fetched; what the step leaves behind; the statistics
        it leaves behind; how often it took memory."""
        self.process.stdin.write(numpy.int64(number).tobytes() + numpy.float64(LR).tobytes())
        for arrays in start.values():
            self.send(arrays)
        for p in pixels:
            self.process.stdin.write(p.tobytes())
        self.process.stdin.flush()
        got = {"loss": torch.from_numpy(self.read(numpy.float64, 1).copy())[0]}
        gradient = self.get(self.weights)
        got.update({"gradient of " + n: x for n, x in gradient.items()})
        got.update(self.get({"embeddings": (len(self.sizes), SAMPLES, self.keys["projector.out"])}))
        order = self.read(numpy.int32, self.read(numpy.int32, 1)[0])
        self.send(gradient)
        self.process.stdin.flush()
        after = self.get(self.weights)
        running = self.get(self.statistics)
        after.update({"state of " + n: x for n, x in self.get(self.weights).items()})
        after.update(self.get(self.kept))
        after.update({"target " + n: x for n, x in self.get(self.target_weights).items()})
        running.update({"target " + n: x for n, x in self.get(self.target_statistics).items()})
        return got, gradient, order, after, running, self.read(numpy.int64, 1)[0]

    def step(self, number, start):
        """What is wrong in this step, the largest share of what an error may be, and where PyTorch ends."""
        near, rows = 0, SAMPLES * len(self.sizes)
        while near < MARGIN:
            pixels = self.pixels()
            got, gradient, order, after, running, taken = self.take(number, start, pixels)
            chunks = self.chunks(order, rows)
            exact, kept, near = self.evaluate(start, pixels, chunks, number, torch.float64, 0)
        noisy = [self.evaluate(start, pixels, chunks, number, torch.float32, 1)[0] for _ in range(4)]
        wrong, most = [f"memory was taken {taken} times"] if taken else [], 0
        got.update(running)
        for name, x64 in exact.items():
            size = x64.norm().item()
            if size < 1e-12:  # what is behind a norm with the batch's own mean: no gradient
                size = 1
            bound = 8 * max((x[name].double() - x64).norm().item() for x in noisy) / size + FLOOR
            error = (got[name].double() - x64).norm().item() / size
            planted = ((1 + PLANTED) * got[name].double() - x64).norm().item() / size
            most = max(most, error / bound)
            if not error <= bound:
                wrong.append(f"step {number}: {name}: {error:.1e}, and may be {bound:.1e}")
            if size != 1 and not planted > bound:
                wrong.append(f"step {number}: {name} would not be found when {PLANTED} too large (bound {bound:.1e})")
        for name, x64 in self.behind(start, gradient, number, kept).items():
            error = (after[name].double() - x64).norm().item() / x64.norm().item()
            if not error <= 1e-6:
                wrong.append(f"step {number}: {name} after the step: {error:.1e}")
        own = {n: exact["gradient of " + n] for n in self.weights}
        return wrong, most, self.following(exact, self.behind(start, own, number, kept))


def main(part=""):
    torch.set_num_threads(1)
    failed = 0
    cases = [case for case in CASES if part in case[0]]
    print(f"1..{len(cases)}", flush=True)
    for count, (name, numbers, sizes, keys) in enumerate(cases, 1):
        case, wrong, most = Case(sizes, keys, numpy.random.default_rng(7)), [], 0
        start = case.start()
        for number in numbers:
            found, share, following = case.step(number, start)
            start = following if numbers == GOLDEN else case.start()
            wrong, most = wrong + found, max(most, share)
        case.process.stdin.close()
        failed += bool(wrong or case.process.wait())
        print(f"{'not ' if wrong else ''}ok {count} - {name}: off by at most {most:.2f} of what it may be", flush=True)
        for line in wrong[:10]:
            print("#", line, flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

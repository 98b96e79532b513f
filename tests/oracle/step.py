#!/usr/bin/python3
"""The training step against PyTorch's, step by step: each begins from PyTorch's own weights, statistics and optimiser's state, with the same
8-bit views. (Two runs left to themselves say nothing: PyTorch parts from itself by 20 % in 20 steps under another layout.)

What an error may be. The yardstick is PyTorch's own error in the same step, precision, layout (channels last) and groups of batch norm,
both measured against PyTorch in f64, tensor by tensor as |x - x64| / |x64|. Ours may be twice that, and FLOOR: eight units of rounding,
for the shortest way to a gradient, through the head, has more operations than that, and where PyTorch comes out lower still it was lucky.

Rounding now and then puts an activation on the other side of its ReLU, ours in one step and PyTorch's in another, which moves gradients by up to
some per cent: a step in which that happens to us alone says nothing. With small views there are so few activations that it is rare, so in the
cases of 20 steps each tensor has to keep to the rule in three steps of four (and does in nine of ten). With larger views and networks it happens
in most steps, and the rule is for the best quarter. Every step has to stay below MOST. In bf16, whose own errors are of that size everywhere,
there is no such bound, and the loss is held against our own embeddings' alone.
"""
import subprocess
import sys
from pathlib import Path

import numpy
import torch

import reference

TOOL = Path(__file__).parents[2] / "build/tests/oracle/step_tool"
ROUNDING = 2.0**-24  # of f32
FLOOR = 8 * ROUNDING
MOST = 0.1
OUT = 128
DECAY = 0.01

CASES = [
    # name, steps, learning rate, keys
    ("SGD, SimCLR", 20, 0.1, {"optimiser.name": "sgd", "method.name": "simclr", "data.view": 16}),
    ("LARS, grey, chunks of 5, 5 and 4", 20, 0.5, {"optimiser.name": "lars", "optimiser.trust": 0.02, "data.channels": 1, "data.view": 16,
                                                   "trainer.batch": 7, "trainer.chunk": 5}),
    ("AdamW, three layers without a last norm", 20, 0.01, {"optimiser.name": "adamw", "projector.layers": 3,
                                                           "projector.last_norm": "false", "data.view": 16}),
    ("ResNet-18", 5, 0.1, {}),
    ("small stem, grey", 3, 0.1, {"encoder.stem": "small", "data.channels": 1, "data.view": 16}),
    ("ResNet-34", 5, 0.1, {"encoder.name": "resnet34"}),
    ("ResNet-50", 5, 0.1, {"encoder.name": "resnet50"}),
    ("bf16", 5, 0.1, {"trainer.precision": "bf16", "trainer.batch": 6}),
    ("bf16, small stem, two chunks", 3, 0.1, {"trainer.precision": "bf16", "encoder.stem": "small", "trainer.chunk": 4, "data.view": 16}),
]
DEFAULTS = {"encoder.name": "resnet18", "encoder.stem": "imagenet", "data.channels": 3, "data.view": 32, "projector.layers": 2,
            "projector.last_norm": "true", "projector.out": OUT, "trainer.batch": 4, "trainer.chunk": 0, "trainer.precision": "f32",
            "trainer.threads": 1, "method.name": "dcl", "method.temperature": 0.1, "optimiser.name": "sgd", "optimiser.weight_decay": DECAY}


class Tool:
    """step_tool as a process: dictionaries of arrays in and out."""

    def __init__(self, **keys):
        self.process = subprocess.Popen([TOOL] + [f"{k}={v}" for k, v in keys.items()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.parameters, self.statistics = {}, {}  # name: shape
        for line in iter(self.process.stdout.readline, b"\n"):
            if not line:
                raise RuntimeError("step_tool does not start")
            word, *rest = line.decode().split()
            if word == "parameter":
                self.parameters[rest[0]] = tuple(map(int, rest[1:]))
            elif word == "statistic":
                self.statistics[rest[0] + ".running_mean"] = self.statistics[rest[0] + ".running_var"] = (int(rest[1]),)
            else:
                setattr(self, word, int(rest[0]))  # state, bf16

    def put(self, arrays, layout):
        assert arrays.keys() == layout.keys(), arrays.keys() ^ layout.keys()
        for name, shape in layout.items():
            assert arrays[name].shape == shape, name
            self.process.stdin.write(arrays[name].detach().numpy().tobytes())

    def read(self, kind, count):
        data = self.process.stdout.read(count * numpy.dtype(kind).itemsize)
        if len(data) != count * numpy.dtype(kind).itemsize:
            raise RuntimeError("step_tool ended")
        return numpy.frombuffer(data, kind)

    def get(self, layout):
        return {name: torch.from_numpy(self.read(numpy.float32, int(numpy.prod(shape))).reshape(shape).copy())
                for name, shape in layout.items()}

    def gradient(self, number, lr, weights, running, state, pixels, out):
        """Loss, gradient, embeddings, and the views in the order they went through the encoder."""
        self.process.stdin.write(numpy.int64(number).tobytes() + numpy.float64(lr).tobytes())
        self.put(weights, self.parameters)
        self.put(running, self.statistics)
        for array in state:
            self.put(array, self.parameters)
        self.process.stdin.write(pixels.tobytes())
        self.process.stdin.flush()
        loss, gradient = self.read(numpy.float64, 1)[0], self.get(self.parameters)
        embeddings = self.get({"embeddings": (len(pixels), out)})["embeddings"]
        return loss, gradient, embeddings, self.read(numpy.int32, self.read(numpy.int32, 1)[0]).astype(numpy.int64)

    def commit(self, gradient):
        """Parameters, statistics and state after the step with this gradient, and how often memory was taken."""
        self.put(gradient, self.parameters)
        self.process.stdin.flush()
        weights, running = self.get(self.parameters), self.get(self.statistics)
        return weights, running, [self.get(self.parameters) for _ in range(self.state)], self.read(numpy.int64, 1)[0]

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def views(generator, batch, side, channels):
    """8-bit [2 batch, side, side, channels]: blurred noise, view 2 a variation of view 1."""
    shape = (batch, channels, 4, 4)
    coarse = generator.standard_normal(shape)
    both = torch.from_numpy(numpy.concatenate([coarse, coarse + 0.5 * generator.standard_normal(shape)]))
    smooth = torch.nn.functional.interpolate(both, (side, side), mode="bicubic").numpy()
    pixels = 128 + 50 * smooth + 5 * generator.standard_normal(smooth.shape)
    return numpy.ascontiguousarray(pixels.clip(0, 255).astype(numpy.uint8).transpose(0, 2, 3, 1))


def distance(x, wanted):
    """|x - wanted| / |wanted|"""
    return ((x.detach().double() - wanted.detach().double()).norm() / wanted.detach().double().norm()).item()


class Case:
    """One configuration: PyTorch in f32 (or bf16), which leads, PyTorch in f64, and the tool."""

    def __init__(self, steps, lr, keys):
        self.keys = keys = {**DEFAULTS, **keys}
        self.steps, self.lr, self.share = steps, lr, 0.75 if steps == 20 else 0.25  # of the steps keep to the rule
        self.tool = Tool(**keys)
        shape = {"encoder": keys["encoder.name"], "stem": keys["encoder.stem"], "channels": keys["data.channels"],
                 "layers": keys["projector.layers"], "out": OUT, "last_norm": keys["projector.last_norm"] == "true"}
        self.precision = torch.bfloat16 if keys["trainer.precision"] == "bf16" else torch.float32
        self.net = reference.network(**shape).to(memory_format=torch.channels_last)
        self.exact = reference.network(**shape).double()
        self.optimiser = reference.optimiser(keys["optimiser.name"], self.net, DECAY, trust=keys.get("optimiser.trust", 0))
        self.arrays = reference.STATE[keys["optimiser.name"]]
        self.errors = {}  # name: [(ours, PyTorch's)], by step
        self.loss, self.head, self.update, self.allocations, self.order = 0, 0, {}, 0, []
        self.orders = set()

    def note(self, name, ours, torchs, exact):
        self.errors.setdefault(name, []).append((distance(ours, exact), distance(torchs, exact)))

    def state(self):
        """The optimiser's, as the tool has it; zeros before its first step."""
        of = self.optimiser.state
        return [{name: of[p][array] if array in of[p] else torch.zeros_like(p) for name, p in self.net.named_parameters()}
                for array in self.arrays]

    def weights(self):
        return {name: p.detach().clone() for name, p in self.net.named_parameters()}

    def statistics(self, net):
        return {name: b for name, b in net.named_buffers() if name in self.tool.statistics}

    def groups(self, order):
        """The encoder's groups, from the order in which the tool fetched its views: pass 1, then pass 2 without the last chunk."""
        batch, rows = self.keys["trainer.batch"], 2 * self.keys["trainer.batch"]
        size = self.keys["trainer.chunk"] or rows
        groups = [order[start:min(start + size, rows)] for start in range(0, rows, size)]
        if list(order[rows:]) != list(order[:rows - len(groups[-1])]):
            self.order.append("pass 2 differs from pass 1")
        if list(order[:batch]) != list(range(batch)) or sorted(order[batch:rows]) != list(range(batch, rows)):
            self.order.append("not each view once, view 0 in order")
        self.orders.add(tuple(order[batch:rows]))
        return groups

    def step(self, number, pixels):
        method, temperature = self.keys["method.name"], self.keys["method.temperature"]
        before = self.weights()
        loss, gradient, embeddings, order = self.tool.gradient(number, self.lr, before, self.statistics(self.net), self.state(), pixels, OUT)
        groups = self.groups(order)
        self.exact.load_state_dict(self.net.state_dict())
        self.net.zero_grad()
        self.exact.zero_grad()
        x = reference.normalised(pixels)
        z = reference.embed(self.net, x.float().contiguous(memory_format=torch.channels_last), groups, self.precision)
        wanted = reference.contrastive(method, z, temperature)
        wanted.backward()
        self.loss = max(self.loss, abs(loss - wanted.item()))
        self.head = max(self.head, abs(loss - reference.contrastive(method, embeddings.double(), temperature).item()))
        z64 = reference.embed(self.exact, x, groups)
        reference.contrastive(method, z64, temperature).backward()
        self.note("embeddings", embeddings, z, z64)
        for name, p in self.exact.named_parameters():
            self.note(name, gradient[name], self.net.get_parameter(name).grad, p.grad)

        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        self.optimiser.step()
        weights, running, state, allocations = self.tool.commit({name: p.grad for name, p in self.net.named_parameters()})
        self.allocations += allocations
        for name, p in self.net.named_parameters():
            # Weights are known to half a digit of their own: what is below that says nothing of the update.
            size = (p - before[name]).norm() + 2 * ROUNDING / 1e-6 * p.norm()
            errors = [((weights[name] - p).norm() / size).item()] + [distance(a[name], b[name]) for a, b in zip(state, self.state())]
            self.update[name] = max(self.update.get(name, 0), *errors)
        for name, exact in self.statistics(self.exact).items():
            self.note(name, running[name], self.net.get_buffer(name), exact)

    def run(self, generator):
        self.net.train()
        self.exact.train()
        for number in range(self.steps):
            self.step(number, views(generator, self.keys["trainer.batch"], self.keys["data.view"], self.keys["data.channels"]))
        self.tool.close()

    def compared(self, statistics):
        """Worst of the tensors (or the statistics) against PyTorch: what is wrong, and what was seen."""
        wrong, most = [], 0
        for name, errors in self.errors.items():
            if (name in self.tool.statistics) == statistics:
                share = numpy.quantile([ours / (2 * torchs + FLOOR) for ours, torchs in errors], self.share)
                most = max(most, share)
                if not share <= 1 or not (max(errors)[0] < MOST or self.precision == torch.bfloat16):
                    ours, torchs = numpy.median(errors, axis=0)
                    wrong.append(f"{name}: {share:.2f}; in the middle {ours:.1e}, PyTorch {torchs:.1e}; at most {max(errors)[0]:.1e}")
        return wrong, f"off by {most:.2f} of what they may be"

    def results(self):
        yield "gradients and embeddings", *self.compared(False)
        yield "running statistics", *self.compared(True)
        if self.precision == torch.float32:
            yield "loss", [self.loss] if not self.loss < 1e-4 else [], f"{self.loss:.1e}"
        yield "loss of its own embeddings", [self.head] if not self.head < 1e-5 else [], f"{self.head:.1e}"
        worst = max(self.update.values())
        yield "optimiser", [f"{n}: {e:.1e}" for n, e in self.update.items() if not e < 1e-6], f"{worst:.1e}"
        if self.keys["trainer.chunk"] and len(self.orders) == 1:
            self.order.append("every step has the same permutation")
        yield "each view once in each pass", self.order, ""
        yield "no memory taken", [f"{self.allocations} times"] if self.allocations else [], ""


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    generator = numpy.random.default_rng(1)
    count = failed = 0
    for name, steps, lr, keys in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in name:  # only some, while working on them
            continue
        case = Case(steps, lr, keys)
        if keys.get("trainer.precision") == "bf16" and not case.tool.bf16:
            count += 1
            print(f"ok {count} - {name} # SKIP this processor has no bf16")
            continue
        case.run(generator)
        for what, wrong, seen in case.results():
            count += 1
            failed += bool(wrong)
            print(f"{'not ' if wrong else ''}ok {count} - {name}, {steps} steps: {what} {seen}", flush=True)
            for line in wrong[:10]:
                print(f"# {line}", flush=True)
    print(f"1..{count}")
    return failed > 0


sys.exit(main())

#!/usr/bin/python3
"""The training step against PyTorch's, step by step: each begins from PyTorch's own weights, statistics and optimiser's state, with the
same 8-bit views. (Two runs left to themselves say nothing: PyTorch parts from itself by 20 % in 20 steps under another layout.)
Arguments: a part of a case's name, to run only some, and a seed.

An error is |x - x64| / |x64| of a tensor; x64 is PyTorch's in f64. What it may be in f32 follows from three facts.

1. A step multiplies rounding errors, by a factor that depends on the weights and the views: batch norm over few values divides by small
   deviations, and the softmax multiplies by 1 / temperature. Late errors reach all gradients alike, so that in one step all tensors are
   off by nearly the same share. A single evaluation is then a single draw, which is tiny now and then by luck: PyTorch's own error in the
   same step is no measure, on whatever processor. The measure is the largest error of NOISY + 1 evaluations by PyTorch in f32. One is
   plain. In the others each layer's outputs, and the gradients that come back through them, are wrong by one more unit in the last place,
   up or down at random: this is the arithmetic's own unit through this step's own factor, whichever kernels the processor chooses.
2. Ours may be FACTOR times that. The draws behave like normal ones of about the same size, and one exceeds 8 times the largest of
   4 others once in some thousand steps. What is nearly exact may have FLOOR: eight units of rounding.
3. Rounding can put an activation on the other side of its ReLU, which moves gradients by up to some per cent. So no activation may lie
   near a kink: before each step the shifts of batch norms are moved a little until, in PyTorch, none is within MARGIN of it (`settle`).
   MARGIN is above the errors of activations, which are of the order of 1e-6. Views in which the two largest values under a max pooling
   are within MARGIN / 4 (after the first layer errors are still small) are drawn anew. Nothing then is left to luck: every tensor keeps
   to the bound in every step, and a few steps prove what many would.

That the bound is tight is shown, too: each tensor, made larger by PLANTED after the last step of a case, has to break it.

Where the processor has more than AVX2, our step is computed a second time, held to AVX2, from the same weights and views: nine tenths of
the time are PyTorch's, which is asked once for both.

In bf16 rounding is too coarse to keep away from kinks: an error of ours may be twice PyTorch's in the same step, for the best quarter of
the steps, and the loss is held against our own embeddings' alone.
"""
import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy
import torch

import reference

TOOL = Path(__file__).parents[2] / "build/tests/oracle/step_tool"
LESS = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # what is right with this processor's arithmetic must be so with that of most others
ROUNDING = 2.0**-24  # of f32
FLOOR = 8 * ROUNDING
NOISY = 3
FACTOR = 8
MARGIN = 2.0**-15
PLANTED = 1e-3
NOTHING = 1e-12  # of the largest gradient: one that is 0 but for the rounding of f64, as a shift's in front of another norm
OUT = 128
DECAY = 0.01

CASES = [
    # name, steps, learning rate, keys
    ("SGD, SimCLR", 2, 0.1, {"optimiser.name": "sgd", "method.name": "simclr"}),
    ("LARS, grey, chunks of 7, 7 and 6", 2, 0.5, {"optimiser.name": "lars", "optimiser.trust": 0.02, "data.channels": 1, "data.view": 16,
                                                  "trainer.batch": 10, "trainer.chunk": 7}),
    ("AdamW, three layers without a last norm", 3, 0.01, {"optimiser.name": "adamw", "projector.layers": 3,
                                                          "projector.last": "bias", "data.view": 16}),
    ("three batches a step", 2, 0.1, {"trainer.accumulate": 3, "data.view": 16}),
    ("two batches a step, LARS, grey, chunks of 7, 7 and 6", 2, 0.5, {"trainer.accumulate": 2, "optimiser.name": "lars", "optimiser.trust": 0.02,
                                                                      "data.channels": 1, "data.view": 16, "trainer.batch": 10, "trainer.chunk": 7}),
    ("small stem, grey", 1, 0.1, {"encoder.stem": "small", "data.channels": 1, "data.view": 16}),
    ("small stem, five channels", 1, 0.1, {"encoder.stem": "small", "data.channels": 5, "data.view": 16}),
    ("stem of stride 4", 1, 0.1, {"encoder.stem": "stride4", "data.view": 64}),
    ("group norm, standardised filters", 2, 0.1, {"encoder.norm": "group"}),
    ("group norm, ResNet-50, chunks of 3, 3 and 2", 2, 0.1, {"encoder.norm": "group", "encoder.name": "resnet50", "trainer.chunk": 3}),
    ("group norm alone", 1, 0.1, {"encoder.norm": "group", "encoder.standardise": "false"}),
    ("frozen norms, SGD with decay, chunks of 1", 2, 0.1, {"encoder.norm": "frozen", "trainer.chunk": 1}),
    ("ResNet-34", 1, 0.1, {"encoder.name": "resnet34"}),
    ("ResNet-50", 1, 0.1, {"encoder.name": "resnet50"}),
    ("MobileNetV4, frozen norms, chunks of 3, 3 and 2", 2, 0.1, {"encoder.name": "mobilenetv4_conv_small", "encoder.norm": "frozen", "data.view": 64,
                                                               "trainer.chunk": 3}),
    ("ConvNeXt atto, chunks of 3, 3 and 2", 2, 0.1, {"encoder.name": "convnext_atto", "data.view": 64, "trainer.chunk": 3}),
    ("ConvNeXt V2 atto, chunks of 3, 3 and 2", 2, 0.1, {"encoder.name": "convnextv2_atto", "data.view": 64, "trainer.chunk": 3}),
    ("ConvNeXt tiny, grey", 1, 0.1, {"encoder.name": "convnext_tiny", "data.channels": 1}),
    ("ViT tiny, a class token and registers, chunks of 3, 3 and 2", 2, 0.1, {"encoder.name": "vit_tiny", "encoder.pool": "class", "encoder.registers": 4,
                                                                             "data.view": 48, "trainer.chunk": 3}),
    ("ViT tiny, mean of large patches, grey, positions of another size", 1, 0.1, {"encoder.name": "vit_tiny", "encoder.patch": 32, "encoder.registers": 1,
                                                                                  "encoder.image": 160, "data.view": 96, "data.channels": 1}),
    ("bf16", 5, 0.1, {"trainer.precision": "bf16", "trainer.batch": 6}),
    ("bf16, small stem, two chunks", 3, 0.1, {"trainer.precision": "bf16", "encoder.stem": "small", "trainer.chunk": 4, "data.view": 16}),
]
DEFAULTS = {"encoder.name": "resnet18", "data.channels": 3, "data.view": 32, "projector.layers": 2,
            "projector.last": "norm", "projector.out": OUT, "trainer.batch": 4, "trainer.chunk": 0, "trainer.accumulate": 1, "trainer.precision": "f32",
            "trainer.threads": 1, "method.name": "dcl", "method.temperature": 0.1, "optimiser.name": "sgd", "optimiser.weight_decay": DECAY}


def device(less):
    """What ours says of the processor, with less of its instructions if that is asked for."""
    return subprocess.run([TOOL.parents[1] / "kernels/test_cpu", "device"], env={**os.environ, **less}, stdout=subprocess.PIPE, check=True).stdout


class Tool:
    """step_tool as a process: dictionaries of arrays in and out."""

    def __init__(self, less, keys):
        self.process = subprocess.Popen([TOOL] + [f"{k}={v}" for k, v in keys.items() if k != "trainer.chunk" or v], env={**os.environ, **less},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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
                setattr(self, word, int(rest[0]))  # state

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

    def begin(self, number, lr, weights, running, state):
        self.process.stdin.write(numpy.int64(number).tobytes() + numpy.float64(lr).tobytes())
        self.put(weights, self.parameters)
        self.put(running, self.statistics)
        for array in state:
            self.put(array, self.parameters)

    def gradient(self, pixels, out):
        """Of a batch: loss, the step's gradient so far, embeddings, and the views in the order they went through the encoder."""
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
    """|x - wanted| / |wanted|; where only 0 is right, 0 or infinity"""
    if not wanted.any():
        return numpy.inf if x.any() else 0
    error, wanted = (wanted - x).flatten().double(), wanted.flatten().double()
    return (error @ error / (wanted @ wanted)).sqrt().item()


def with_noise(net):
    """A copy of a network in which the outputs of each layer, and gradients on their way back, are wrong by one more unit in the last place."""
    def noise(module, inputs, output):
        return output * torch.empty_like(output).bernoulli_().mul_(4 * ROUNDING).add_(1 - 2 * ROUNDING)

    noisy = copy.deepcopy(net)
    for module in noisy.modules():
        if not list(module.children()):
            module.register_forward_hook(noise)
    return noisy


@torch.no_grad()
def settle(net, batches):
    """Moves shifts of norms by little, channel by channel, until no activation of a step's batches (x, groups) lies within MARGIN of its
    ReLU's kink. A shift that moves changes the other groups, and what follows; so this goes through the network until nothing moves. False: two candidates of a
    max pooling are within MARGIN / 4 of each other."""
    last = moved = tied = None

    def norm(module, inputs):
        nonlocal last
        last = module

    def relu(module, inputs):
        nonlocal moved
        channels, shift = inputs[0].transpose(0, 1).flatten(1), last.bias.clone()
        while (near := ((channels + (shift - last.bias)[:, None]).abs() < MARGIN).any(1)).any():
            shift[near] = (last.bias + 64 * MARGIN * (2 * torch.rand(len(shift)) - 1))[near]
            moved = True
        by = (shift - last.bias).reshape(-1, *[1] * (inputs[0].ndim - 2))
        last.bias.copy_(shift)
        return inputs[0] + by

    def pool(module, inputs):
        nonlocal tied
        windows = torch.nn.functional.unfold(inputs[0], module.kernel_size, padding=module.padding, stride=module.stride)
        first, second = windows.reshape(*inputs[0].shape[:2], -1, windows.shape[2]).topk(2, dim=2).values.unbind(2)
        tied = tied or ((first > 0) & (first - second < MARGIN / 4)).any()

    hooks = []
    for module in net.modules():
        if isinstance(module, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.GroupNorm)):
            hooks.append(module.register_forward_pre_hook(norm))
        elif isinstance(module, torch.nn.ReLU):
            hooks.append(module.register_forward_pre_hook(relu))
        elif isinstance(module, torch.nn.MaxPool2d):
            hooks.append(module.register_forward_pre_hook(pool))
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    while moved is not False and not tied:
        moved = False
        for x, groups in batches:
            reference.embed(net, x, groups)
    for name, b in net.named_buffers():
        b.copy_(buffers[name])
    for hook in hooks:
        hook.remove()
    return not tied


class Ours:
    """The tool, and what it was off by so far."""

    def __init__(self, less, keys):
        self.less, self.keys, self.tool = less, keys, Tool(less, keys)
        self.errors = {}  # name: [(ours, the largest of PyTorch's)], by step
        self.planted = {}  # name: error over bound
        self.loss, self.head, self.update, self.allocations, self.order = 0, 0, {}, 0, []
        self.orders = set()

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

    def gradient(self, batches):
        """Of a step that has begun: the mean loss and gradient of the batches, all embeddings, and the encoder's groups in each batch."""
        losses, gradients, embeddings, orders = zip(*[self.tool.gradient(pixels, OUT) for pixels in batches])
        return sum(losses) / len(losses), gradients[-1], torch.cat(embeddings), [self.groups(order) for order in orders]

    def results(self, case):
        yield "gradients and embeddings", *case.compared(self, False)
        yield "running statistics", *case.compared(self, True)
        if case.precision == torch.float32:
            least = min(self.planted.values())
            yield (f"each tensor is found when {PLANTED} too large", [n for n, share in self.planted.items() if not share > 1],
                   f"off by at least {least:.1f} of what they may be")
            yield "loss", [self.loss] if not self.loss <= 1 else [], f"off by {self.loss:.2f} of what it may be"
        yield "loss of its own embeddings", [self.head] if not self.head < 1e-5 else [], f"{self.head:.1e}"
        worst = max(self.update.values())
        yield "optimiser", [f"{n}: {e:.1e}" for n, e in self.update.items() if not e < 1e-6], f"{worst:.1e}"
        if self.keys["trainer.chunk"] and len(self.orders) == 1:
            self.order.append("every step has the same permutation")
        yield "each view once in each pass", self.order, ""
        yield "no memory taken", [f"{self.allocations} times"] if self.allocations else [], ""


class Case:
    """One configuration: PyTorch in f32 (or bf16), which leads, PyTorch in f64, and the tool, with each of `instructions`."""

    def __init__(self, steps, lr, keys, instructions):
        self.keys = keys = {**DEFAULTS, **keys}
        self.steps, self.lr = steps, lr
        self.ours = [Ours(less, keys) for less in instructions]
        self.precision = torch.bfloat16 if keys["trainer.precision"] == "bf16" else torch.float32
        self.factor, self.share = (2, 0.25) if self.precision == torch.bfloat16 else (FACTOR, 1)  # of the steps keep to the rule
        self.net = reference.network(keys).to(memory_format=torch.channels_last)
        self.exact = reference.network(keys).double()
        self.noisy = with_noise(self.net)
        self.optimiser = reference.optimiser(keys["optimiser.name"], self.net, DECAY, trust=keys.get("optimiser.trust", 0))
        self.arrays = reference.STATE[keys["optimiser.name"]]
        self.statistic_names = self.ours[0].tool.statistics

    def state(self):
        """The optimiser's, as the tool has it; zeros before its first step."""
        of = self.optimiser.state
        return [{name: of[p][array] if array in of[p] else torch.zeros_like(p) for name, p in self.net.named_parameters()}
                for array in self.arrays]

    def gradients(self, net, where_none):
        """By name; what does not learn has none."""
        return {name: where_none(p) if p.grad is None else p.grad for name, p in net.named_parameters()}

    def weights(self):
        return {name: p.detach().clone() for name, p in self.net.named_parameters()}

    def statistics(self, net):
        return {name: b.clone() for name, b in net.named_buffers() if name in self.statistic_names}

    def bound(self, torchs):
        return self.factor * torchs + FLOOR

    def contrastive(self, embeddings):
        return reference.contrastive(self.keys["method.name"], embeddings, self.keys["method.temperature"])

    def evaluate(self, net, batches, precision=None):
        """Loss; embeddings, gradient and statistics by name, from the weights and statistics of self.net. Each batch (x, groups) has its own."""
        net.load_state_dict(self.net.state_dict())
        net.zero_grad(set_to_none=True)
        total, seen = 0, []
        for x, groups in batches:
            z = reference.embed(net, x, groups, precision)
            loss = self.contrastive(z) / len(batches)
            loss.backward()
            total += loss.item()
            seen.append(z.detach())
        return total, {"embeddings": torch.cat(seen), **self.gradients(net, torch.zeros_like), **self.statistics(net)}

    def gradient(self, ours, number, batches):
        """Ours.gradient from PyTorch's weights, statistics and state."""
        ours.tool.begin(number, self.lr, self.weights(), self.statistics(self.net), self.state())
        return ours.gradient(batches)

    def views(self, number, generator):
        """Of a step, by batch, away from kinks in f32."""
        while True:
            batches = [views(generator, self.keys["trainer.batch"], self.keys["data.view"], self.keys["data.channels"])
                       for _ in range(self.keys["trainer.accumulate"])]
            groups = [[numpy.arange(len(pixels))] for pixels in batches]
            if self.keys["trainer.chunk"]:  # the tool shows its groups in a step that does not count
                groups = self.gradient(self.ours[0], number, batches)[-1]
                self.ours[0].tool.commit(self.weights())
            inputs = [reference.normalised(pixels).float() for pixels in batches]
            if self.precision == torch.bfloat16 or settle(self.net, list(zip(inputs, groups))):
                return batches

    def step(self, number, generator):
        batches = self.views(number, generator)
        before = self.weights()
        results = [self.gradient(ours, number, batches) for ours in self.ours]
        groups = results[0][-1]
        x = [reference.normalised(pixels) for pixels in batches]
        single = [(inputs.float(), group) for inputs, group in zip(x, groups)]
        last = [(inputs.contiguous(memory_format=torch.channels_last), group) for inputs, group in single]
        loss64, exact = self.evaluate(self.exact, list(zip(x, groups)))
        noisy = [] if self.precision == torch.bfloat16 else [self.evaluate(self.noisy, single) for _ in range(NOISY)]
        plain = self.evaluate(self.net, last, self.precision)
        most_loss = max(abs(torchs - loss64) for torchs, _ in [plain, *noisy]) / abs(loss64)
        most = {name: max(distance(torchs[name], x64) for _, torchs in [plain, *noisy]) for name, x64 in exact.items()}
        gradient = self.gradients(self.net, torch.ones_like)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        self.optimiser.step()
        largest = max(x64.norm() for x64 in exact.values())
        for ours, (loss, own_gradient, embeddings, own_groups) in zip(self.ours, results):
            if [list(g) for group in own_groups for g in group] != [list(g) for group in groups for g in group]:
                ours.order.append("other groups than with all instructions")
            own = [self.contrastive(part).item() for part in embeddings.double().chunk(len(batches))]
            ours.loss = max(ours.loss, abs(loss - loss64) / abs(loss64) / self.bound(most_loss))
            ours.head = max(ours.head, abs(loss - sum(own) / len(own)))
            running = self.committed(ours, before, gradient)
            tensors = {"embeddings": embeddings, **own_gradient, **running}
            for name, x64 in exact.items():
                ours.errors.setdefault(name, []).append((distance(tensors[name], x64), most[name]))
                if number == self.steps - 1 and noisy and x64.norm() > NOTHING * largest:
                    ours.planted[name] = distance((1 + PLANTED) * tensors[name], x64) / self.bound(most[name])

    def committed(self, ours, before, gradient):
        """Ours makes the optimiser's step that PyTorch made from `before`. Returns the running statistics."""
        weights, running, state, allocations = ours.tool.commit(gradient)
        ours.allocations += allocations
        for name, p in self.net.named_parameters():
            # Weights are known to half a digit of their own: what is below that says nothing of the update.
            size = (p - before[name]).norm() + 2 * ROUNDING / 1e-6 * p.norm()
            errors = [((weights[name] - p).norm() / size).item()] + [distance(a[name], b[name]) for a, b in zip(state, self.state())]
            ours.update[name] = max(ours.update.get(name, 0), *errors)
        return running

    def run(self, generator):
        self.net.train()
        self.exact.train()
        for number in range(self.steps):
            self.step(number, generator)
        for ours in self.ours:
            ours.tool.close()

    def compared(self, ours, statistics):
        """Worst of the tensors (or the statistics) against PyTorch: what is wrong, and what was seen."""
        wrong, most = [], 0
        for name, errors in ours.errors.items():
            if (name in self.statistic_names) == statistics:
                share = numpy.quantile([own / self.bound(torchs) for own, torchs in errors], self.share)
                most = max(most, share)
                if not share <= 1:
                    wrong.append(f"{name}: {share:.2f}; by step " + ", ".join(f"{own:.1e} (PyTorch {torchs:.1e})" for own, torchs in errors))
        return wrong, f"off by {most:.2f} of what they may be"


def main(part="", seed=1):
    torch.set_num_threads(1)
    count = failed = 0
    native = b" bf16 native" in device({})
    instructions = [{}, LESS] if device(LESS) != device({}) else [{}]
    for name, steps, lr, keys in CASES:
        if part not in name:
            continue
        torch.manual_seed(int(seed))
        generator = numpy.random.default_rng(int(seed))
        if keys.get("trainer.precision") == "bf16" and not native:
            count += 1
            print(f"ok {count} - {name} # SKIP this processor has no bf16")
            continue
        if not reference.has_reference({**DEFAULTS, **keys}):
            count += 1
            print(f"ok {count} - {name} # SKIP timm from PyPI is missing")
            continue
        case = Case(steps, lr, keys, [{}] if keys.get("trainer.precision") == "bf16" else instructions)
        case.run(generator)
        for ours in case.ours:
            held = ", held to AVX2" if ours.less else ""
            for what, wrong, seen in ours.results(case):
                count += 1
                failed += bool(wrong)
                print(f"{'not ' if wrong else ''}ok {count} - {name}, {steps} steps{held}: {what} {seen}", flush=True)
                for line in wrong[:10]:
                    print(f"# {line}", flush=True)
    print(f"1..{count}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

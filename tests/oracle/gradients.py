"""What the tests share that hold the loss and every gradient of a step of the program's own (step_tool) against PyTorch's in f64. For the tests in this folder."""
from pathlib import Path

import numpy
import torch

TOOL = Path(__file__).parents[2] / "build/tests/oracle/step_tool"
SEED = 1


def distances(ours, exact):
    """Of each gradient, in units of its norm. What is 0 but for rounding (a bias before a norm) has to be small beside the others."""
    largest = max(g.norm() for g in exact.values() if g is not None)
    return {name: (ours[name].norm() / largest if g is None or g.norm() < 1e-12 * largest else (ours[name].double() - g).norm() / g.norm()).item()
            for name, g in exact.items()}


def compared(loss, wanted, ours, exact, bound):
    """What is checked of a case, as `prove` wants it; bound: of a tensor's norm."""
    errors = distances(ours, exact)
    worst = max(errors, key=errors.get)
    return [("the loss", abs(loss - wanted) <= 1e-5 * wanted, f"{loss:.6f}, {abs(loss - wanted):.1e} off"),
            ("every gradient", errors[worst] <= bound, f"{len(errors)} tensors, {errors[worst]:.1e} off at most, {worst}")]


def prove(cases, check, part=""):
    """Runs the cases (name, what `check` takes...) whose name has `part`. check(generator, ...) gives (what, whether it is good, what was seen). Prints TAP;
    returns the exit status."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    generator = numpy.random.default_rng(SEED)
    count = failed = 0
    for name, *case in cases:
        if part not in name:
            continue
        for what, good, seen in check(generator, *case):
            count += 1
            failed += not good
            print(f"{'' if good else 'not '}ok {count} - {name}: {what}: {seen}", flush=True)
    print(f"1..{count}")
    return failed > 0

#!/usr/bin/python3
"""Loss and gradient of every method against PyTorch's automatic differentiation in float64."""
import subprocess
import sys
from pathlib import Path

import numpy
import torch

from reference import contrastive

TOOL = Path(__file__).parents[2] / "build/tests/oracle/method_tool"


def main():
    generator = numpy.random.default_rng(1)
    cases = [(m, n, d, t, s) for m in ("simclr", "dcl") for n in (1, 2, 3, 33, 256) for d, t in ((128, 0.1), (31, 0.5), (64, 0.02))
             for s in (False, True) if not (m == "dcl" and n == 1) and not (s and n < 3)]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (method, n, d, temperature, skipping) in enumerate(cases, 1):
        x = generator.standard_normal((2 * n, d)).astype(numpy.float32)
        x[n:] = x[:n] + (0.5 if temperature > 0.05 else 2) * x[n:]  # positives are alike, yet do not drown every negative
        skip = (generator.random((n, n)) < 0.3).astype(numpy.uint8) if skipping else None
        if skipping:
            skip |= skip.T
        data = x.tobytes() + (skip.tobytes() if skipping else b"")
        command = [TOOL, method, str(n), str(d), str(temperature), str(int(skipping))]
        got = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout
        loss, gradient = numpy.frombuffer(got, numpy.float32, 1)[0], numpy.frombuffer(got, numpy.float32, offset=4)
        exact = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        value = contrastive(method, exact, temperature, skip)
        value.backward()
        wanted = exact.grad.numpy().ravel()
        loss_error = abs(loss - value.item()) / max(1, abs(value.item()))
        error = numpy.linalg.norm(gradient - wanted) / max(numpy.linalg.norm(wanted), 1e-12)
        good = loss_error < 2e-6 and error < 1e-5
        failed += not good
        print(f"{'' if good else 'not '}ok {number} - {method} n {n} width {d} T {temperature}"
              f"{' skip' if skipping else ''}: loss {loss_error:.1e} gradient {error:.1e}", flush=True)
    return failed > 0


sys.exit(main())

#!/usr/bin/python3
"""oneDNN runs none of its plain reference loops (`ref`) and reorders weights alone, in every convolution of
ResNet-18, 34 and 50 that is oneDNN's, in every direction: in f32 with whatever instructions it uses, and in bf16 where the
device has it. What ONEDNN_VERBOSE says of the timed cases."""
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "build/tests/kernels/test_cpu"
DIRECTIONS = {"conv_forward": ["forward_training"], "conv_backward": ["backward_data", "backward_weights"]}


def lines(*arguments, **environment):
    return subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, check=True, universal_newlines=True,
                          env=dict(os.environ, **environment)).stdout.splitlines()


DEVICE = lines("device")[0]
OWN_BF16 = "AVX512_BF16" in DEVICE  # where it has no AMX, oneDNN's bf16 is slower than ours


def by_winograd(dtype, shape):
    """Ours alone computes it (kernels/cpu/winograd.h): 3 x 3, stride 1, of enough channels, tiles, and places in them."""
    found = re.match(r"\[(\d+), (\d+), (\d+), (\d+)\] to (\d+), 3 x 3 / 1 pad 1", shape)
    if not found or (dtype == "bf16" and not OWN_BF16) or dtype == "f16":
        return False
    n, h, w, channels, out = map(int, found.groups())
    tiles = -(-h // 4) * -(-w // 4)
    return min(channels, out) >= 32 and n * tiles >= (32 if dtype == "f32" else 64) and h * w >= 8 * tiles


def own_gradient(dtype, shape):
    """Ours alone computes the gradient at its weights (kernels/cpu/gradient_bf16.h): bf16, a kernel's row of enough columns."""
    channels, kernel = map(int, re.match(r"\[\d+, \d+, \d+, (\d+)\] to \d+, (\d+) x", shape).groups())
    return dtype == "bf16" and OWN_BF16 and channels * kernel >= 96


def kinds_of(case):
    """Directions and type of a case, as oneDNN has them: its name begins like `conv_forward: f32 [`. Of pixels, which have three channels at
    most, no gradient is wanted."""
    operation, dtype, shape = case.split(" ", 2)
    if by_winograd(dtype, shape):
        return []
    pixels = int(re.search(r"(\d+)\]", shape).group(1)) <= 3
    ours = {"backward_data": pixels, "backward_weights": own_gradient(dtype, shape)}
    return [(direction, dtype) for direction in DIRECTIONS[operation.rstrip(":")] if not ours.get(direction)]


def main():
    listed = [line[:-len(" (timed)")] for line in lines("list", "conv_") if line.endswith(" (timed)")]
    output = lines("time", "conv_", "0", ONEDNN_VERBOSE="1", DNNL_VERBOSE="1")
    skipped = [case for case in listed if any(line.startswith(case + " # SKIP ") for line in output)]
    cases = [case for case in listed if case not in skipped and any(line.startswith(case + " ") for line in output)]
    executed = [line.split(",") for line in output if line.startswith(("onednn_verbose,exec", "dnnl_verbose,exec"))]
    names = Counter()  # (direction, type, implementation)
    strange = []
    for fields in executed:
        what, implementation, direction, tensors = fields[3:7]
        dtype = "bf16" if "src_bf16" in tensors else "f32"
        if what == "convolution":
            names[direction, dtype, implementation] += 1
        weights = "src_f32" in tensors and ":blocked:abcd:" in tensors  # our OIHW is on one side
        if what not in ("convolution", "reorder") or (what == "reorder" and not weights) or "ref" in implementation:
            strange.append(",".join(fields))
    rows = [(f"{direction} {dtype} {implementation}, {count} runs", "ref" not in implementation)
            for (direction, dtype, implementation), count in sorted(names.items())]
    kinds = Counter()
    for (direction, dtype, _), count in names.items():
        kinds[direction, dtype] += count
    bf16 = " bf16 native" in DEVICE
    rows.append((f"all of the {len(listed)} cases ran, but those in a type that the device lacks, f16 always: {len(cases)}",
                 listed and cases == [case for case in listed if " f32 " in case or (bf16 and " bf16 " in case)] and len(cases) + len(skipped) == len(listed)))
    rows.append(("each that is oneDNN's ran twice, in its direction and type", kinds == Counter(2 * [kind for case in cases for kind in kinds_of(case)])))
    rows.append(("all three directions were among them", {direction for direction, _ in kinds} == set(sum(DIRECTIONS.values(), []))))
    rows.append(("no reference implementation and no unexpected reorder", not strange))
    rows += [(f"{direction} {dtype}, {count} cases # SKIP the device has no {dtype} convolutions", True)
             for (direction, dtype), count in sorted(Counter(kind for case in skipped for kind in kinds_of(case)).items())]
    print(f"1..{len(rows)}")
    for number, (name, good) in enumerate(rows, 1):
        print(f"{'' if good else 'not '}ok {number} - {name}")
    for line in strange[:10]:
        print(f"# {line}")
    return not all(good for _, good in rows)


sys.exit(main())

#!/usr/bin/python3
"""oneDNN runs none of its plain reference loops (`ref`) and reorders weights alone, in every convolution of ResNet-18, 34 and 50, in every
direction, in f32 and bf16: what ONEDNN_VERBOSE says of the timed cases."""
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "build/tests/kernels/test_cpu"


def main():
    run = subprocess.run([PROGRAM, "time", "conv_", "0"], stdout=subprocess.PIPE, check=True, universal_newlines=True,
                         env=dict(os.environ, ONEDNN_VERBOSE="1", DNNL_VERBOSE="1"))
    cases = [line for line in run.stdout.splitlines() if line.startswith("conv_")]
    executed = [line.split(",") for line in run.stdout.splitlines() if line.startswith(("onednn_verbose,exec", "dnnl_verbose,exec"))]
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
    kinds = {key[:2] for key in names}
    rows.append(("all three directions in both types were seen", len(kinds) == 6))
    rows.append((f"each of {len(cases)} cases ran", len(cases) > 200 and sum(names.values()) == 2 * len(cases)))
    rows.append(("no reference implementation and no unexpected reorder", not strange))
    print(f"1..{len(rows)}")
    for number, (name, good) in enumerate(rows, 1):
        print(f"{'' if good else 'not '}ok {number} - {name}")
    for line in strange[:10]:
        print(f"# {line}")
    return not all(good for _, good in rows)


sys.exit(main())

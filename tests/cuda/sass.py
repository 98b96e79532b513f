#!/usr/bin/python3
"""sass.py TOOLS OBJECT.cu.o...: what ptxas made of the kernels, read from the machine code: rules of speed that can be held without a GPU.

  loads, stores   a thread moves 16 bytes with one instruction (LDG.E.128, STG.E.128; LD and ST where the address was read from memory). In a
                  template over how many values a thread has at a time (an int), where that is more than 1, no byte nor 16-bit word goes alone
  order           between two jumps back no global load follows a global store: loads wait for nothing
  f32             no arithmetic in f64, and no division of 64-bit whole numbers (a routine of about 70 instructions)

KERNELS names them, of a template over a bool also one value; a file that is given has to have all of its kernels. TOOLS: the folder of cuobjdump and nvdisasm. Prints what breaks a rule;
exit status 1 if anything does. For tests/cuda/build.sh, which has each rule broken once by broken.cu."""
import os
import re
import subprocess
import sys
import tempfile

ALL = "loads stores order f32"
KERNELS = {
    "broken": {"narrow_load": "loads", "narrow_store": "stores", "load_behind_store": "order", "double_sum": "f32", "long_division": "f32",
               "sound": ALL},
    "norm": {"forward_sums": "loads order f32", "forward_apply": ALL, "backward_sums<false>": ALL,
             "backward_sums<true>": "loads order f32", "backward_apply": ALL, "backward_given": ALL},
    "maxpool": {"maxpool_forward": ALL, "maxpool_backward": ALL},
    "avgpool": {"avgpool_forward": "loads order f32", "avgpool_backward": ALL},
    "input": {"normalise": "stores order f32"},
    "layout": {"filter_pack": "stores order f32", "filter_unpack": "order f32", "channels": "stores order f32"},
    "gridpool": {"gridpool_forward": ALL, "gridpool_backward": ALL},
    "update": {"momentum_step": ALL, "adamw_step": ALL, "sum_squares": "loads order f32", "coded_step": "order f32"},
    "layernorm": {"layernorm_forward": ALL, "layernorm_weights": "loads order f32", "layernorm_backward": ALL},
    "gelu": {"gelu_forward": ALL, "gelu_backward": ALL},
    "residual": {"residual_forward": ALL, "residual_backward": ALL},
    "bias": {"bias_add": ALL, "bias_sums": "loads order f32"},
    "combine": {"combine_forward": ALL, "combine_backward": ALL},
    "grn": {"grn_sums": "loads order f32", "grn_forward": ALL, "grn_backward": ALL},
    "unpick": {"unpick_forward": ALL, "unpick_backward": ALL},
    "depthwise": {"depthwise_forward": ALL, "depthwise_data": ALL, "depthwise_weights": "loads order f32"},
    "view": {"rows": "order f32", "columns": "order f32", "colours": "order f32", "blur_y": "order f32", "blur_x": "order f32"},
}


def functions(tools, path):
    """Name (with template arguments) -> its lines, of every kernel; routines that a kernel calls are among its lines."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([f"{tools}/cuobjdump", "-xelf", "all", os.path.abspath(path)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        cubins = os.listdir(folder)
        if len(cubins) != 1:
            sys.exit(f"{path}: {len(cubins)} cubins, one architecture is expected")
        text = subprocess.run([f"{tools}/nvdisasm", "-c", f"{folder}/{cubins[0]}"], check=True, capture_output=True, text=True).stdout
    found = {}
    for part in re.split(r"^\s*\.section\s+\.text\.", text, flags=re.M)[1:]:
        found[part[:part.index(",")]] = part.splitlines()
    return found


def name_of(symbol):
    """The name in _Z<length><name>..., or with _ZN (a namespace) the last one."""
    match = re.match(r"_ZN?(?:12_GLOBAL__N_1|_INTERNAL\w*?E)?(\d+)", symbol)
    return symbol[match.end():match.end() + int(match.group(1))] if match else symbol


def names_of(symbol):
    """The name, and of a template over a bool that with its value."""
    value = re.search(r"Lb([01])E", symbol)
    return {name_of(symbol)} | ({f"{name_of(symbol)}<{'true' if value.group(1) == '1' else 'false'}>"} if value else set())


def at_once(symbol):
    """How many values a template is for; None: it is none."""
    values = re.search(r"Li(\d+)E", symbol)
    return int(values.group(1)) if values else None


def accesses(lines, what):
    """The widths of all global loads or stores: "128", "64", "" (32 bits), "U16", ..."""
    pattern = re.compile(r"\b" + what + r"G?\.E(?:\.(?!128|64|U16|S16|U8|S8)\w+)*(?:\.(128|64|U16|S16|U8|S8))?")
    return [match.group(1) or "" for match in map(pattern.search, lines) if match]


def wide(lines, what, alone):
    widths = accesses(lines, what)
    if "128" not in widths:
        yield f"no {what}.E.128 ({len(widths)} others)"
    for width in ("U8", "S8", "U16", "S16"):
        if width in widths and not alone:
            yield f"{widths.count(width)} times {what}.E.{width}"


def order(lines):
    """Loops begin where a later jump goes back to."""
    labels = {match.group(1): at for at, match in enumerate(map(re.compile(r"^\.(L_x_\d+):").match, lines)) if match}
    heads = {labels[m.group(1)] for at, line in enumerate(lines) if (m := re.search(r"\bBRA.*`\(\.(L_x_\d+)\)", line))
             and labels.get(m.group(1), at) < at}
    stored = 0
    for at, line in enumerate(lines):
        jump = re.search(r"\bBRA.*`\(\.(L_x_\d+)\)", line)
        if at in heads or (jump and labels.get(jump.group(1), at) < at) or re.search(r"/\s+(EXIT|BRA|RET\S*)\b", line):
            stored = 0
        if re.search(r"\bSTG?\.E", line):
            stored = at
        elif stored and re.search(r"\bLDG?\.E", line):
            yield f"a load behind a store: {' '.join(lines[stored].split()[1:])} ... {' '.join(line.split()[1:])}"
            return


def f32(lines):
    for line in lines:
        if match := re.search(r"\b(D(?:ADD|MUL|FMA|SETP|MNMX)|MUFU\.\w+64H|[FI]2[FI]\.\S*F64\S*|CALL\S* `\(\S*(?:f64|[us]64)\S*\))", line):
            yield match.group(1)
            return


def findings(symbol, rules, lines):
    for rule in rules.split():
        if rule in ("loads", "stores"):
            if at_once(symbol) != 1:
                yield from ((rule, found) for found in wide(lines, "LD" if rule == "loads" else "ST", at_once(symbol) is None))
        else:
            yield from ((rule, found) for found in {"order": order, "f32": f32}[rule](lines))


def main():
    tools, bad = os.path.abspath(sys.argv[1]), False
    for path in sys.argv[2:]:
        kernels, seen = KERNELS[os.path.basename(path).split(".")[0]], set()
        for symbol, lines in functions(tools, path).items():
            seen |= names_of(symbol)
            for name in names_of(symbol) & set(kernels):
                for rule, found in findings(symbol, kernels[name], lines):
                    print(f"{os.path.basename(path)}: {symbol}: {rule}: {found}")
                    bad = True
        for name in sorted(set(kernels) - seen):
            print(f"{os.path.basename(path)}: there is no kernel {name}")
            bad = True
    return bad


sys.exit(main())

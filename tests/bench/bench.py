#!/usr/bin/python3
"""Benchmarks: ratios against a named peer in one run on this machine, each with its bound; and a table of the encoders, which has none.
`./run bench [NAME...] [--json FILE] [--peer=pypi]`.

A figure is the median over interleaved pairs (ours, peer, ours, peer, ...) of peer's time / our time, so that what else the machine does
falls on both. Workers (worker.h, peer.py) live through all pairs: nothing is measured cold."""
import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build/tests/bench"
PEER = ROOT / "tests/bench/peer.py"
PHOTOGRAPHS = sorted((ROOT / "data/demo").glob("*.jpg"))
CORES = os.cpu_count()
ONE_THREAD = {"OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
PATCHES = {"vit_tiny": ("encoder.patch=32",)}
MIB = 2**20
PYPI = ROOT / "build/pytorch"
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}  # how threads of ours wait, as in ./run; a peer's wait as it has them
peer_environment = {}  # by choose_peer
figures = []
table = []  # of encoders()


def figure(name, value, unit, bound, good, note=""):
    """bound: text; good: whether the value keeps it, None where there is none."""
    figures.append({"name": name, "value": value, "unit": unit, "bound": bound, "pass": good, "note": note})
    verdict = "" if good is None else "pass" if good else "FAIL"
    print(f"{name:<44} {value:>9.3g} {unit:<12} {bound:<10} {verdict:<5} {note}", flush=True)


class Worker:
    def __init__(self, *command, environment=None):
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                                        env={name: value for name, value in {**os.environ, **WAITING, **(environment or {})}.items() if value is not None})

    def ask(self, repeats):
        """(seconds, busy seconds, bytes)"""
        self.process.stdin.write(f"{repeats}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        if len(line) != 3:
            sys.exit(f"bench: {self.process.args[0]} ended with status {self.process.wait()}")
        return float(line[0]), float(line[1]), int(line[2])

    def end(self):
        """What it prints last."""
        rest = self.process.communicate()[0]
        if self.process.returncode != 0:
            sys.exit(f"bench: {self.process.args[0]} ended with status {self.process.returncode}")
        return rest


def choose_peer(name):
    """PyTorch from PyPI, or Debian's with OpenBLAS, as PyPI's has a fast BLAS, too. Returns its version in words."""
    if name == "pypi":
        peer_environment["PYTHONPATH"] = str(PYPI)
    else:
        peer_environment["LD_LIBRARY_PATH"] = str(next((ROOT / "build/openblas/usr/lib").glob("*/openblas-pthread")))
    said = subprocess.run([PEER, "version"], stdout=subprocess.PIPE, check=True, text=True, env={**os.environ, **peer_environment}).stdout.strip()
    return f"PyTorch {said} ({'PyPI' if name == 'pypi' else 'Debian'})"


def peer_worker(*arguments, environment=None):
    return Worker(PEER, *arguments, environment={**dict.fromkeys(WAITING), **peer_environment, **(environment or {})})


def fastest(*command):
    """The peer that is fastest in three steps behind its first, of channels last and first, eager and, where there is torch.compile, compiled; and its way
    in words. One after the other, since some take half of the memory. A way that ends of itself is none: torch.compile's may, after a first step."""
    seconds = {}
    for way in [(form, how) for form in ("last", "first") for how in (("eager", "compiled") if "PYTHONPATH" in peer_environment else ("eager",))]:
        peer = peer_worker(*command, *way)
        try:
            peer.ask(1)
            seconds[way] = min(peer.ask(1)[0] for _ in range(3))
            peer.end()
        except SystemExit as ended:
            print(f"{ended}: channels {way[0]}, {way[1]} is left out", file=sys.stderr)
    if not seconds:
        sys.exit(f"bench: no way of PyTorch's does {' '.join(map(str, command))}")
    best = min(seconds, key=seconds.get)
    return peer_worker(*command, *best), f"channels {best[0]}, {best[1]}"


def rounds(workers, repeats, count):
    """[worker][round] seconds of one repeat, all workers in turn, and [worker] bytes."""
    for worker in workers:
        worker.ask(1)
    seen = [[worker.ask(repeats) for worker in workers] for _ in range(count)]
    return [[line[i][0] / repeats for line in seen] for i in range(len(workers))], [last[2] for last in seen[-1]]


def ratio_of(over, under):
    """The median over rounds."""
    return statistics.median(a / b for a, b in zip(over, under))


def pairs(ours, peer, repeats, count=5):
    """Median of peer / ours, median seconds of one repeat of each, and their memory."""
    (mine, theirs), (memory, peer_memory) = rounds((ours, peer), repeats, count)
    return ratio_of(theirs, mine), statistics.median(mine), statistics.median(theirs), memory, peer_memory


def progressive(path):
    """Whether a JPEG's frame is progressive (SOF2)."""
    data, at = path.read_bytes(), 2
    while data[at] == 0xFF and not 0xC0 <= data[at + 1] <= 0xC2:
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return data[at + 1] == 0xC2


def decode():
    """Tiles of the demo's photographs against libjpeg-turbo decoding the same files whole, one core."""
    kinds = {"baseline": [p for p in PHOTOGRAPHS if not progressive(p)], "progressive": [p for p in PHOTOGRAPHS if progressive(p)],
             "all": PHOTOGRAPHS}
    for kind, files in kinds.items():
        if not files:
            continue
        ours = Worker(TOOLS / "decode_tool", "tiles", 1024, *files, environment=ONE_THREAD)
        peer = Worker(TOOLS / "decode_tool", "whole", *files)
        ratio, mine, theirs, _, _ = pairs(ours, peer, 1)
        ours.end(), peer.end()
        bounded = kind == "all"
        figure(f"decode {kind}: libjpeg-turbo / ours", ratio, "x", ">= 0.85" if bounded else "", ratio >= 0.85 if bounded else None,
               f"{len(files)} files, {mine:.2f} s against {theirs:.2f} s")


def view():
    """Two views from a 1024 tile against torchvision's chain on PIL images, one core."""
    for side, bound, repeats in ((224, 10, 5), (1024, 20, 1)):
        ours = Worker(TOOLS / "view_tool", 1024, side, environment=ONE_THREAD)
        peer = peer_worker("view", 1024, side, environment=ONE_THREAD)
        ratio, mine, theirs, _, _ = pairs(ours, peer, repeats)
        ours.end(), peer.end()
        figure(f"two views of {side}: torchvision / ours", ratio, "x", f">= {bound}", ratio >= bound,
               f"{1e3 * mine:.1f} ms against {1e3 * theirs:.0f} ms")


def products(encoder, side, batch, precision):
    """Seconds of an encoder's convolutions, linear layers and attention alone, forward and backward: a step cannot be faster."""
    floor = Worker(TOOLS / "conv_tool", 2 * batch, f"encoder.name={encoder}", f"data.view={side}", f"trainer.precision={precision}",
                   f"trainer.threads={CORES}", *PATCHES.get(encoder, ()))
    floor.ask(1)
    seconds = min(floor.ask(1)[0] for _ in range(3))
    floor.end()
    return seconds


# Encoder, pixels, samples of two views, and how many times as fast as PyTorch a step has to be.
# With what is made again on the way back (trainer.recompute), so that both bounds are asked of one setting: PyTorch's compiled step makes some again, too.
STEPS = (("resnet18", 64, 64, 1.25, {}), ("resnet18", 128, 32, 1.25, {}), ("resnet18", 224, 16, 1.25, {"f32": "norms"}),
         ("resnet18", 1024, 2, 1.4, {"f32": "blocks"}), ("resnet50", 224, 8, 1.2, {"f32": "wide", "bf16": "norms"}),
         ("resnet50", 1024, 2, 1.2, {"f32": "wide", "bf16": "wide"}))


def step():
    """A training step of ResNet-18 and ResNet-50 against the fastest of PyTorch's, all cores, and of three other encoders against timm's; memory
    above what the process held before."""
    device = subprocess.run([ROOT / "build/tests/kernels/test_cpu", "device"], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    for encoder, side, batch, bound, again in STEPS:
        for precision in ("f32", "bf16") if "bf16 native" in device else ("f32",):
            peer, way = fastest("step", side, batch, precision, CORES, encoder)
            recompute = again.get(precision, "none")
            ours = step_worker(side, batch, f"encoder.name={encoder}", f"trainer.recompute={recompute}", precision=precision)
            ratio, mine, theirs, memory, peer_memory = pairs(ours, peer, 2 if side == 64 else 1)
            ours.end(), peer.end()
            convolutions = products(encoder, side, batch, precision)
            views = 2 * batch
            figure(f"step {encoder} {side} {precision}: PyTorch / ours", ratio, "x", f">= {bound}", ratio >= bound,
                   f"{views / mine:.2f} views/s (recompute={recompute}) against {views / theirs:.2f} ({way}); convolutions alone {views / convolutions:.2f}")
            bounded = side != 64
            figure(f"memory {encoder} {side} {precision}: ours / PyTorch", memory / peer_memory, "x", "<= 0.75" if bounded else "",
                   memory / peer_memory <= 0.75 if bounded else None, f"{memory >> 20} MiB against {peer_memory >> 20} MiB")
    against_timm()


def against_timm():
    """The same step of other encoders in f32, against timm's in the faster of PyTorch's layouts."""
    if not (ROOT / "build/timm").is_dir():
        return print("step of other encoders: timm from PyPI is missing")
    side, batch = 224, 8
    for encoder in ("mobilenetv4_conv_small", "convnext_atto", "vit_tiny"):
        ours = step_worker(side, batch, f"encoder.name={encoder}", *PATCHES.get(encoder, ()))
        last, first = (peer_worker("step", side, batch, "f32", CORES, encoder, layout, "eager") for layout in ("last", "first"))
        (mine, *theirs), memory = rounds((ours, last, first), 1, 5)
        for worker in ours, last, first:
            worker.end()
        peer = min(theirs, key=statistics.median)
        ratio, views = ratio_of(peer, mine), 2 * batch
        figure(f"step {encoder} {side} f32: PyTorch / ours", ratio, "x", ">= 1.0", ratio >= 1,
               f"{views / statistics.median(mine):.1f} views/s against {views / statistics.median(peer):.1f} (channels "
               f"{'last' if peer is theirs[0] else 'first'}); products alone {views / products(encoder, side, batch, 'f32'):.1f}")
        share = memory[0] / min(memory[1:])
        figure(f"memory {encoder} {side} f32: ours / PyTorch", share, "x", "", None, f"{memory[0] >> 20} MiB against {min(memory[1:]) >> 20} MiB")


def step_worker(side, batch, *keys, precision="f32"):
    return Worker(TOOLS / "step_tool", f"data.view={side}", f"trainer.batch={batch}", f"trainer.precision={precision}",
                  f"trainer.threads={CORES}", "method.name=dcl", *keys)


def views_a_second(worker, views):
    """Of one that is warm: the median of three repeats, or one that takes long. Ends it."""
    long = worker.ask(1)[0] > 1.5
    seconds = statistics.median(worker.ask(1)[0] for _ in range(1 if long else 3))
    worker.end()
    return views / seconds


def short(value):
    """Three digits, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


# In the order of the table: name, keys.
ENCODERS = (("resnet18", ()), ("resnet18", ("encoder.stem=stride4",)), ("resnet50", ()), ("mobilenetv4_conv_small", ()), ("convnext_atto", ()),
            ("convnextv2_atto", ()), ("convnext_nano", ()), ("convnext_tiny", ()), ("vit_tiny", ("encoder.patch=16",)), ("vit_tiny", ("encoder.patch=32",)),
            ("vit_small", ("encoder.patch=32",)))


def encoders():
    """A table of the encoders, without bounds, by name only since it takes ten minutes and 5 GB: what a view is in products and in memory, how
    many a card of 8 GiB holds at once (arithmetic, as ./run plan's), and views/s here in f32, all cores, forward alone as embed has it, and in
    training (MMCR, which takes one sample of two views; AdamW)."""
    print("| encoder | pixels | GMAC a view | weights, M | MiB a view in training, f32 | bf16 | views on a card of 8 GiB, bf16 | views/s, embed "
          "| train |\n|---|---|---|---|---|---|---|---|---|")
    for encoder, own in ENCODERS:
        for side, samples in ((224, 8), (1024, 1)):
            keys = (f"encoder.name={encoder}", *own, f"data.view={side}", f"trainer.threads={CORES}", "method.name=mmcr")
            sizes = subprocess.run([TOOLS / "encoder_tool", *keys], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
            products, weights, f32, bf16, held = map(int, sizes.split())
            chunk = 32 if side == 224 else 2  # that embed has
            embed = views_a_second(Worker(TOOLS / "embed_tool", chunk, *keys), chunk)
            train = views_a_second(Worker(TOOLS / "step_tool", *keys, "trainer.precision=f32", f"trainer.batch={samples}"), 2 * samples)
            table.append({"encoder": encoder, "keys": own, "pixels": side, "multiply_adds": products, "weights": weights, "bytes_f32": f32,
                          "bytes_bf16": bf16, "views_8gib_bf16": held, "embed_views_per_second": embed, "train_views_per_second": train})
            cells = map(short, (products / 1e9, weights / 1e6, f32 / MIB, bf16 / MIB, held, embed, train))
            print(f"| {' '.join((encoder, *own))} | {side} | {' | '.join(cells)} |", flush=True)


def faster_layout(*command):
    """The peer whose first answer came earlier: channels last or first."""
    peers = {form: peer_worker(*command, form, CORES) for form in ("last", "first")}
    seconds = {form: peer.ask(1)[0] for form, peer in peers.items()}
    form = min(seconds, key=seconds.get)
    peers.pop("first" if form == "last" else "last").end()
    return peers[form], form


def against_checkpoints(side, batch, chunk):
    """Blocks are made again on both sides."""
    peer, form = faster_layout("cache", side, batch, chunk)
    ours = step_worker(side, batch, f"trainer.chunk={chunk}", "trainer.recompute=blocks")
    ratio, mine, theirs, memory, peer_memory = pairs(ours, peer, 1, 3)
    ours.end(), peer.end()
    views, at = 2 * batch, f"{side}, chunks of {chunk}"
    figure(f"step {at}: PyTorch / ours", ratio, "x", ">= 1.1", ratio >= 1.1,
           f"{views / mine:.2f} views/s against {views / theirs:.2f}, channels {form}")
    figure(f"memory {at}: ours / PyTorch", memory / peer_memory, "x", "<= 0.6", memory / peer_memory <= 0.6,
           f"{memory >> 20} MiB against {peer_memory >> 20} MiB")


def cost_of_memory(side, batch, chunk):
    """What the ways to less memory cost, against a batch that is whole and keeps all."""
    ways = {"plain": ["trainer.recompute=none"], "chunks": ["trainer.recompute=none", f"trainer.chunk={chunk}"],
            "norms": ["trainer.recompute=norms"], "blocks": ["trainer.recompute=blocks"]}
    workers = [step_worker(side, batch, *keys) for keys in ways.values()]
    seconds, memory = (dict(zip(ways, of)) for of in rounds(workers, 1, 3))
    for worker in workers:
        worker.end()
    for way, bound in (("chunks", 1.4), ("norms", None), ("blocks", None)):
        ratio = ratio_of(seconds[way], seconds["plain"])
        name = f"{2 * batch // chunk} chunks of {chunk}" if way == "chunks" else f"{way} made again"
        figure(f"time {side}, {name} / plain", ratio, "x", f"<= {bound}" if bound else "", ratio <= bound if bound else None,
               f"memory {memory[way] / memory['plain']:.2f} x: {memory[way] >> 20} MiB against {memory['plain'] >> 20} MiB")


def cache():
    """A batch in chunks (ResNet-18, DCL, f32): against PyTorch with activation checkpoints and a gradient cache; against the whole batch at
    once; and what making values again costs. All cores."""
    for side, batch, chunk in ((256, 32, 32), (1024, 2, 2)):
        against_checkpoints(side, batch, chunk)
    for side, batch, chunk in ((256, 16, 8), (1024, 2, 1)):
        cost_of_memory(side, batch, chunk)


def loss():
    """The denominators of a contrastive loss of two views, and their gradient, never all pairs in memory, against PyTorch's by the matrix of
    all pairs, where that fits; and a batch of 65,536, where it does not."""
    width = 128
    for samples in (1024, 4096):
        ours = Worker(TOOLS / "loss_tool", samples, width, CORES)
        peer = peer_worker("loss", samples, width, CORES)
        ratio, mine, theirs, memory, peer_memory = pairs(ours, peer, 1)
        ours.end(), peer.end()
        figure(f"loss of {samples} samples: all pairs / ours", ratio, "x", ">= 1", ratio >= 1, f"{mine:.2f} s against {theirs:.2f} s")
        figure(f"memory for {samples} samples: ours / all pairs", memory / peer_memory, "x", "<= 0.1", memory / peer_memory <= 0.1,
               f"{memory / 2**20:.1f} MiB against {peer_memory / 2**20:.0f} MiB")
    samples = 65536
    tool = Worker(TOOLS / "loss_tool", samples, width, CORES)
    seconds, _, memory = tool.ask(1)
    tool.end()
    one = 4 * samples * width * 2
    figure(f"memory for {samples} samples / gradient", memory / one, "x", "<= 2", memory <= 2 * one,
           f"{memory / 2**20:.0f} MiB, {seconds:.0f} s; the matrix alone would take {4 * (2 * samples)**2 / 2**30:.0f} GiB")


def prepare(folder, name, *keys):
    """A run directory of the demo's photographs."""
    run = f"{folder}/{name}"
    for command in (["build/sb_trainer", "prepare", "--recipe", "recipes/demo.yaml", "data.path=data/demo", f"run.dir={run}", *keys],
                    ["build/sb_loader", "index", run, "--freeze"]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: {done.stderr}")
    return run


def loaders():
    """Tiles from two loaders (each with its cache) against one; how often a photograph is decoded in an epoch. One image at a time, so that
    decoding is what there is to do, and as far ahead as the demo's recipe looks."""
    rates = {1: [], 2: []}
    decoded = needed = 0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(5):
            for count in (1, 2):
                run = prepare(folder, f"{turn}-{count}", "data.window=1", "loader.cache_mb=64", "trainer.batch=2", "loader.slots=32")
                tool = Worker(TOOLS / "loader_tool", run, count)
                serving = [subprocess.Popen(["build/sb_loader", "serve", run], cwd=ROOT, env={**os.environ, **ONE_THREAD})
                           for _ in range(count)]
                tool.ask(1)
                rates[count].append(tool.ask(3)[0])
                numbers = tool.end().split()
                decoded, needed = decoded + int(numbers[0]), needed + int(numbers[1])
                for process in serving:
                    process.kill()
                    process.wait()
    ratio = statistics.median(a / b for a, b in zip(rates[1], rates[2]))
    figure("tiles: 2 loaders / 1 loader", ratio, "x", ">= 1.7", ratio >= 1.7,
           f"an epoch of the photographs in {statistics.median(rates[2]) / 3:.2f} s against {statistics.median(rates[1]) / 3:.2f} s")
    figure("decodes of a photograph in an epoch", decoded / needed, "", "<= 1.1", decoded / needed <= 1.1,
           f"{decoded} for {needed}, with those read ahead")


def lines(path):
    return [json.loads(line) for line in open(path)] if os.path.exists(path) else []


def wait():
    """A whole run with one core left to loaders and augment: share waited, and what an evaluator costs that comes and goes."""
    threads, blocks, length = max(1, CORES - 1), 8, 8
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        training = subprocess.Popen(["./run", "train", "demo", "data.path=data/demo", f"run.dir={run}", f"trainer.threads={threads}",
                                     f"trainer.steps={4 + blocks * length}", "evaluate.snapshot_every=4", "run.loaders=2"], cwd=ROOT,
                                    stdout=subprocess.DEVNULL)
        evaluator = None
        seconds = {True: [], False: []}
        for block in range(blocks):
            begin = 4 + block * length
            while len(lines(f"{run}/metrics.jsonl")) < begin:
                if training.poll() is not None:
                    sys.exit("bench: the run ended early")
                time.sleep(0.05)
            if block == 0:
                evaluator = subprocess.Popen(["build/sb_evaluator", "evaluate", "--follow", "--no-pictures", run], cwd=ROOT,
                                             stdout=subprocess.DEVNULL)
            os.kill(evaluator.pid, signal.SIGSTOP if block % 2 else signal.SIGCONT)
        training.wait()
        os.kill(evaluator.pid, signal.SIGKILL)
        evaluator.wait()
        steps = lines(f"{run}/metrics.jsonl")
        for i, line in enumerate(steps[4:]):
            if i % length > 0:  # the first of a block saw the change
                seconds[i // length % 2 == 0].append(16 / line["images_per_second"])
    with_it, without = (statistics.median(seconds[k]) for k in (True, False))
    figure(f"waited, trainer.threads={threads}", 100 * steps[-1]["waited"], "%", "< 2", steps[-1]["waited"] < 0.02)
    figure("step beside an evaluator / alone", with_it / without, "x", "< 1.02", with_it / without < 1.02,
           f"{with_it:.3f} s against {without:.3f} s")


ALL = {f.__name__: f for f in (decode, view, step, encoders, cache, loss, loaders, wait)}


def writable(path):
    """Whether there can be such a file. Asked before hours are spent on what it is for."""
    return not path.is_dir() and os.access(path if path.exists() else path.absolute().parent, os.W_OK)


def main():
    parser = argparse.ArgumentParser(prog="./run bench", description="Benchmarks with peers and bounds; all but the table of encoders by default.")
    parser.add_argument("name", nargs="*", choices=[[], *ALL], metavar="NAME", help=", ".join(f"{n}: {f.__doc__}" for n, f in ALL.items()))
    parser.add_argument("--json", metavar="FILE", help="writes the figures there too")
    parser.add_argument("--peer", choices=("debian", "pypi"), default="debian", help="whose PyTorch is compared with")
    parser.add_argument("--only-look", action="store_true", help=argparse.SUPPRESS)  # at the command line, before anything is fetched
    options = parser.parse_args()
    if options.json and not writable(Path(options.json)):
        parser.error(f"--json {options.json}: it cannot be written")
    if options.only_look:
        return
    peer = choose_peer(options.peer)
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(f"{processor}, {CORES} cores; {peer}; medians of interleaved pairs", flush=True)
    for name in options.name or [n for n in ALL if n != "encoders"]:
        ALL[name]()
    if options.json:
        Path(options.json).write_text(json.dumps({"processor": processor, "cores": CORES, "peer": peer, "figures": figures, "encoders": table}, indent=1) + "\n")
    failed = sum(f["pass"] is False for f in figures)
    print(f"{sum(f['pass'] is True for f in figures)} bounds kept, {failed} not")
    sys.exit(failed > 0)


main()

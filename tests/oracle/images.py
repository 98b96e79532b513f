"""What the tests of the input share: the loader's decoder as a process, a TIFF writer for layouts that no library writes, TAP."""
import os
import select
import struct
import subprocess
import time
import zlib
from pathlib import Path

import numpy
from PIL import Image

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "build/tests/oracle/decode_tool"
PATIENCE = 600  # seconds until a program that does not answer is said to hang


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def __call__(self, good, name, *why):
        self.number += 1
        self.failed += not good
        print("ok" if good else "not ok", self.number, "-", name)
        if not good:
            print("#", *why)

    def finish(self):
        print(f"1..{self.number}")
        raise SystemExit(self.failed > 0)


class Decoder:
    """build/tests/oracle/decode_tool with a limit on time. `get` gives (head, pixels); pixels is None where the head begins with "bad"."""

    def __init__(self, channels=3, cache_mib=64, untrusted=0, limit_bytes=0, keys=(), **environment):
        self.channels = channels
        limit = f"ulimit -v {limit_bytes >> 10}; " if limit_bytes else ""
        self.process = subprocess.Popen(["bash", "-c", f"{limit}exec {TOOL} {channels} {cache_mib} {untrusted} {' '.join(keys)}"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0, env={**os.environ, **environment})

    def _read(self, count, until, deadline):
        data = b""
        while len(data) < count and not data.endswith(until):
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                self.process.kill()
                return b"bad hang no answer in time"
            piece = self.process.stdout.read(1 if until else count - len(data))
            if not piece:
                return b"bad died with status %d" % self.process.wait()
            data += piece
        return data

    def get(self, path, page=0, left=0, top=0, side=64, size=0, repeat=1):
        deadline = time.monotonic() + PATIENCE
        self.process.stdin.write(b"%s\t%d\t%d\t%d\t%d\t%d\t%d\n" % (os.fsencode(path), page, left, top, side, size, repeat))
        head = self._read(4096, b"\n", deadline).decode(errors="replace").strip()
        if not head.startswith("ok"):
            return head, None
        pixels = self._read(side * side * self.channels, (), deadline)
        return head, numpy.frombuffer(pixels, numpy.uint8).reshape(side, side, self.channels)


    def pages(self, path):
        """[(kind, width, height, random access, reason)] of each page, or what the decoder says in their place."""
        deadline = time.monotonic() + PATIENCE
        self.process.stdin.write(b"pages\t%s\n" % os.fsencode(path))
        head = self._read(4096, b"\n", deadline).decode(errors="replace").strip()
        if not head.startswith("ok"):
            return head
        lines = [self._read(4096, b"\n", deadline).decode(errors="replace").rstrip("\n").split("\t") for _ in range(int(head.split()[1]))]
        return [(kind, int(width), int(height), int(access), reason) for kind, width, height, access, reason in lines]

    def has_read(self):
        """(bytes, calls) that the process has read so far, its own pages and requests among them."""
        lines = dict(line.split(": ") for line in Path(f"/proc/{self.process.pid}/io").read_text().splitlines())
        return int(lines["rchar"]), int(lines["syscr"])


def pattern(width, height, seed=1):
    """A smooth colourful image [height, width, 3]."""
    small = numpy.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=numpy.uint8)
    return numpy.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def tile_of(image, left, top, side):
    """decode.h's tile: what is beyond the right and lower edge mirrors what is inside."""
    part = image[top:top + side, left:left + side]
    index = []
    for inside in part.shape[:2]:
        there_and_back = list(range(inside)) + list(range(inside))[::-1]
        index.append([there_and_back[i % len(there_and_back)] for i in range(side)])
    return part[index[0]][:, index[1]]


def write_tiff(path, pages, photometric, planar=1, tile=0, extra=(), sample_format=1, colour_map=None, subfile=None, bits=None, more=(), said=None, order="<",
               big=False, deflate=False):
    """TIFF. deflate: its blocks are compressed; pages: arrays [height, width, samples]; tile: side of its tiles, 0 strips of 16 rows, or a list of one for each page; bits: of
    a sample, where the arrays hold packed bytes; subfile: NewSubfileType of each page; more: further tags; said: further tags of each page, as {tag: text or float};
    order: of bytes, "<" or ">"; big: BigTIFF. Arrays are in the machine's order, so that those of more than 8 bits go with "<" alone."""
    link, word, step_of = (8, "Q", 20) if big else (4, "I", 12)
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42) +
                    (struct.pack(order + "HHQ", 8, 0, 0) if big else struct.pack(order + "I", 0)))
    for number, a in enumerate(pages):
        height, width, samples = a.shape
        side = tile[number] if isinstance(tile, (list, tuple)) else tile
        blocks = []
        for plane in [a] if planar == 1 else [a[:, :, i:i + 1] for i in range(samples)]:
            step = side or 16
            for y in range(0, height, step):
                for x in range(0, width, step) if side else [0]:
                    block = plane[y:y + step, x:x + step] if side else plane[y:y + step]
                    if side:
                        whole = numpy.zeros((side, side, plane.shape[2]), a.dtype)
                        whole[:block.shape[0], :block.shape[1]] = block
                        block = whole
                    blocks.append(numpy.ascontiguousarray(block).tobytes())
        blocks = [zlib.compress(block) for block in blocks] if deflate else blocks
        offsets = []
        for block in blocks:
            offsets.append(len(out))
            out += block + b"\0" * (len(block) % 2)
        depth = bits or a.dtype.itemsize * 8
        tags = [(256, 4, [width * 8 // depth if bits else width]), (257, 4, [height]), (258, 3, [depth] * samples), (259, 3, [8 if deflate else 1]),
                (262, 3, [photometric]), (277, 3, [samples]), (284, 3, [planar]), (339, 3, [sample_format] * samples)]
        counts = [len(block) for block in blocks]
        tags += ([(322, 4, [side]), (323, 4, [side]), (324, 4, offsets), (325, 4, counts)] if side else
                 [(273, 4, offsets), (278, 4, [16]), (279, 4, counts)])
        tags += [(338, 3, list(extra))] if extra else []
        tags += [(320, 3, list(colour_map))] if colour_map is not None else []
        tags += [(254, 4, [subfile[number]])] if subfile and subfile[number] is not None else []
        tags += [(tag, 2, value.encode() + b"\0") if isinstance(value, str) else (tag, 11, [value]) for tag, value in (said[number] if said else {}).items()]
        tags += more
        tags.sort(key=lambda entry: entry[0])
        start, entries, tail = len(out), b"", b""
        beyond = start + (8 if big else 2) + step_of * len(tags) + struct.calcsize(order + word)
        for tag, kind, values in tags:
            data = values if kind == 2 else struct.pack(f"{order}{len(values)}{ {3: 'H', 4: 'I', 11: 'f'}[kind]}", *values)
            if len(data) > struct.calcsize(order + word):
                data, tail = struct.pack(order + word, beyond + len(tail)), tail + data + b"\0" * (len(data) % 2)
            entries += struct.pack(order + "HH" + word, tag, kind, len(values)) + data.ljust(struct.calcsize(order + word), b"\0")
        out[link:link + struct.calcsize(order + word)] = struct.pack(order + word, start)
        link = beyond - struct.calcsize(order + word)
        out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + struct.pack(order + word, 0) + tail
    Path(path).write_bytes(out)


def sparse_tiff(path, side, tile):
    """A tiled grey TIFF of side x side whose tiles are all the same one: huge in pixels, small on disk."""
    count = (side // tile) ** 2
    block = numpy.add.outer(numpy.arange(tile), numpy.arange(tile)).astype(numpy.uint8).tobytes()
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, tile),
            (323, 4, 1, tile), (324, 4, count, 0), (325, 4, count, 0)]
    start = 8 + len(block)
    beyond = start + 2 + 12 * len(tags) + 4
    place = {324: beyond, 325: beyond + 4 * count}
    entries = b"".join(struct.pack("<HHII", tag, kind, n, place.get(tag, value)) for tag, kind, n, value in tags)
    Path(path).write_bytes(b"II*\0" + struct.pack("<I", start) + block + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" +
                           struct.pack("<I", 8) * count + struct.pack("<I", len(block)) * count)

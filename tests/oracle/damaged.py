#!/usr/bin/python3
"""Damaged and odd files through the loader's decoder: each is refused with a reason or, where only what no pixel needs is missing, gives
the undamaged pixels. None crashes it, hangs it or takes much memory. Then the same files through the index."""
import os
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy
from PIL import Image

from images import PATIENCE, ROOT, Decoder, Tap, pattern, write_tiff

SIDE = 200
ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
base = pattern(SIDE, SIDE)
noise = (base.astype(int) + numpy.random.default_rng(2).integers(-20, 20, base.shape)).clip(0, 255).astype(numpy.uint8)  # every byte counts
image = Image.fromarray(noise)
decoder = Decoder(3, limit_bytes=2 << 30)
generator = numpy.random.default_rng(3)
sound, files = {}, []


def add(name, data):
    (folder / name).write_bytes(data)
    files.append(name)


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width, height, rows=b""):
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b""))


image.save(folder / "baseline.jpg", quality=85)
image.save(folder / "progressive.jpg", quality=85, progressive=True)
image.save(folder / "sound.png")
image.save(folder / "sound.webp", quality=85)
image.quantize(128).save(folder / "sound.gif")
image.save(folder / "strips.tif")
write_tiff(folder / "tiles.tif", [noise], 2, tile=64)
originals = ["baseline.jpg", "progressive.jpg", "sound.png", "sound.webp", "sound.gif", "strips.tif", "tiles.tif"]
for name in originals:
    head, sound[name] = decoder.get(folder / name, side=SIDE)
    data, stem, ending = (folder / name).read_bytes(), *name.split(".")
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999):
        add(f"{stem}-cut{share}.{ending}", data[:int(len(data) * share)])
    add(f"{stem}-byteless.{ending}", data[:-1])
    for count in (1, 30):
        for seed in range(4):
            hurt = bytearray(data)
            for at in generator.integers(0, len(hurt), count):
                hurt[at] ^= int(generator.integers(1, 256))
            add(f"{stem}-hurt{count}-{seed}.{ending}", bytes(hurt))
    add(f"{stem}-zeroed.{ending}", data[:len(data) // 2] + bytes(len(data) - len(data) // 2))
ok(all(pixels is not None for pixels in sound.values()), "the undamaged files decode", head)

jpeg, png = (folder / "baseline.jpg").read_bytes(), (folder / "sound.png").read_bytes()
frame = jpeg.index(b"\xff\xc0") + 5
odd = {
    "empty.jpg": b"", "one-byte.png": b"\x89", "random.jpg": generator.bytes(5000), "zeros.tif": bytes(5000), "text.jpg": b"not an image\n" * 99,
    "magic-only.jpg": jpeg[:3], "magic-only.tif": b"II*\0", "magic-only.gif": b"GIF89a",
    "wide.jpg": jpeg[:frame] + struct.pack(">HH", 65500, 65500) + jpeg[frame + 4:],
    "higher.jpg": jpeg[:frame] + struct.pack(">HH", 400, 200) + jpeg[frame + 4:],
    "flat.jpg": jpeg[:frame] + struct.pack(">HH", 0, 0) + jpeg[frame + 4:],
    "endless.png": png_of(2**31 - 1, 2**31 - 1), "huge.png": png_of(60000, 60000), "no-rows.png": png_of(300, 300),
    "bomb.png": png_of(20000, 20000, bytes(60001) * 20000), "few-rows.png": png_of(300, 300, bytes(901) * 100),
    "bad-crc.png": png[:60] + bytes([png[60] ^ 1]) + png[61:], "zero.png": png_of(0, 10), "garbage-in-scan.jpg": jpeg[:3000] + b"\xff\xd9" + jpeg[3000:],
    "loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "far.tif": b"II*\0\xf0\xff\xff\xff",
}
for name, data in odd.items():
    add(name, data)
write_tiff(folder / "one-tile.tif", [noise], 2, tile=16)
data = (folder / "one-tile.tif").read_bytes()
at = data.index(struct.pack("<HHII", 322, 4, 1, 16))
add("one-tile.tif", data[:at] + struct.pack("<HHII", 322, 4, 1, 1 << 20) + struct.pack("<HHII", 323, 4, 1, 1 << 20) + data[at + 24:])
for name, source in [("jpeg.png", "baseline.jpg"), ("png.jpg", "sound.png"), ("tiff.webp", "strips.tif")]:
    add(name, (folder / source).read_bytes())

refused, whole, silent, died = 0, 0, [], []
for name in files:
    head, pixels = decoder.get(folder / name, side=SIDE)
    if head.split()[1] in ("hang", "died"):
        died.append((name, head))
        decoder = Decoder(3, limit_bytes=2 << 30)
    elif pixels is None:
        refused += 1
        if len(head.split(" ", 2)[2]) < len(str(folder / name)) + 8:
            silent.append((name, head))
    else:
        whole += 1
ok(len(files) > 140 and not died, f"{len(files)} damaged and odd files: no crash, no hang", died)
ok(not silent, f"{refused} are refused with path and reason, {whole} are read", silent)

wrong = []
for name in originals:
    stem, ending = name.split(".")
    for path in sorted(folder.glob(f"{stem}-cut*.{ending}")) + [folder / f"{stem}-byteless.{ending}"]:
        head, pixels = decoder.get(path, side=SIDE)
        if pixels is not None and not (pixels == sound[name]).all():
            wrong.append((path.name, int((pixels != sound[name]).sum())))
ok(not wrong, "a file that was cut gives its own pixels or none", wrong)
must = ["empty.jpg", "random.jpg", "zeros.tif", "text.jpg", "wide.jpg", "higher.jpg", "flat.jpg", "endless.png", "huge.png", "no-rows.png", "bomb.png",
        "few-rows.png", "bad-crc.png", "zero.png", "garbage-in-scan.jpg", "loop.tif", "far.tif", "one-tile.tif"]
taken = [name for name in must if decoder.get(folder / name, side=SIDE)[1] is not None]
ok(not taken, "what must be refused is", taken)
ok(all((decoder.get(folder / name, side=SIDE)[1] == sound[source]).all() for name, source in
       [("jpeg.png", "baseline.jpg"), ("png.jpg", "sound.png"), ("tiff.webp", "strips.tif")]), "a wrong extension does not matter")
head, pixels = decoder.get(folder / "tiles-cut0.5.tif", side=32)
ok(head.startswith("bad"), "a tiled TIFF without its directory cannot be used", head)

# The file changes between index and decoding
decoder = Decoder(3)  # has nothing in its cache
head, pixels = decoder.get(folder / "sound.png", side=SIDE, size=7)
ok(head.startswith("bad 1") and "has changed" in head, "another size in bytes than indexed: refused", head)
head, pixels = decoder.get(folder / "tiles.tif", side=SIDE, size=7)
ok(head.startswith("bad 1") and "has changed" in head, "  tile by tile as well", head)

# Things that are no files, and names
os.mkfifo(folder / "pipe.jpg")
(folder / "folder.jpg").mkdir()
(folder / "nowhere.jpg").symlink_to("does-not-exist.jpg")
(folder / "device.png").symlink_to("/dev/zero")
for name, reason in [("pipe.jpg", "not a regular file"), ("folder.jpg", "not a regular file"), ("nowhere.jpg", "No such file"),
                     ("device.png", "not a regular file"), ("vanished.jpg", "No such file")]:
    head, _ = decoder.get(folder / name)
    ok(head.startswith("bad probe") and reason in head and ("probe3" in head) == (reason == "No such file"), f"{name}: {reason}", head)

# A disk that fails is told from a file that is damaged, wherever in the file and by whichever library it was read; and nothing stays of it.
aside = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
fault = aside / "fault.so"
subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", fault, ROOT / "tests/pipeline/preload/fault.c", "-ldl"], check=True)
for name in originals:
    told, again = [], []
    for number, errno in enumerate([5, 116, 110, 107, 13, 6, 112, 2]):  # EIO, ESTALE, ETIMEDOUT, ENOTCONN, EACCES, ENXIO, EHOSTDOWN, ENOENT
        for place, skip in [("open", 0), ("read", 0), ("read", 1), ("read", 2 + number)]:
            failing = Decoder(3, LD_PRELOAD=str(fault), FAULT=f"{place}:error={errno}", FAULT_FILE=name, FAULT_PROGRAM="decode_tool 3",
                              FAULT_COUNTER=str(aside / f"counter-{number}-{place}{skip}-{name}"), FAULT_TIMES="1", FAULT_SKIP=str(skip))
            heads = [failing.get(folder / name, side=SIDE) for _ in range(3)]
            if all(head.startswith("ok") for head, _ in heads[:2]):  # so many reads there are not
                continue
            bad = next(head for head, _ in heads if head.startswith("bad"))
            told += [] if bad.split()[1] in ("3", "probe3") and os.strerror(errno) in bad else [(place, skip, bad)]
            again += [] if heads[2][1] is not None and (heads[2][1] == sound[name]).all() else [(place, skip, heads[2][0])]
            failing.process.kill()
    ok(not told, f"{name}: what its disk says is told", told)
    ok(not again, "  and the next time it is read", again)

(folder / "sub").mkdir()
image.save(folder / "sub/good.png")
image.save(os.fsencode(folder) + b"/sub/line\nbreak.png", "png")
image.save(os.fsencode(folder) + b"/sub/latin-\xe9.png", "png")
image.save(folder / "sub/snow-\u2603.png")
report = subprocess.run([ROOT / "build/sb_loader", "index", folder, "data.tile=64", "loader.cache_mb=512"], capture_output=True, timeout=PATIENCE)
text = report.stdout.decode()  # the report is UTF-8 whatever the names are
ok(report.returncode == 0 and "sub/snow-\u2603.png" in text and "latin-?.png: the name is not UTF-8" in text and
   "line break.png: the name is not UTF-8, or holds a line break" in text, "the index reports names that are no text", text, report.stderr)
ok(all(f"/{name}: " in text.split("not used:")[1] for name in ("empty.jpg", "pipe.jpg", "nowhere.jpg", "bomb.png", "far.tif")),
   "the index names what cannot be used and why", text)
if os.geteuid() == 0 and subprocess.run(["setpriv", "--reuid=65534", "true"], capture_output=True).returncode != 0:
    ok(True, "no read permission # SKIP root reads everything, and may not become another user")
else:
    (folder / "sub/secret.png").write_bytes(png)
    (folder / "sub/secret.png").chmod(0)
    folder.chmod(0o755)
    (folder / "locked").mkdir(mode=0)
    command = [ROOT / "build/sb_loader", "index", folder, "data.tile=64"]
    report = subprocess.run((["setpriv", "--reuid=65534"] if os.geteuid() == 0 else []) + command, capture_output=True, timeout=PATIENCE)
    ok(report.stdout.count(b"Permission denied") == 2, "no read permission: file and folder", report.stdout[-500:], report.stderr)
    (folder / "locked").rmdir()

subprocess.run(["rm", "-rf", folder, aside])
ok.finish()

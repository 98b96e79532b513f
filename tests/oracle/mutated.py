#!/usr/bin/python3
"""Two hundred damaged files of twelve formats, by a fixed seed: each is refused while indexing, or refused with a reason when it is decoded, or gives the pixels that
Pillow reads from the same bytes, or those of the file before it was damaged. Never anything else: no crash, no hang, no picture that nobody else sees."""
import csv
import io
import json
import random
import subprocess
import tempfile
from pathlib import Path

import numpy
from PIL import Image, ImageFile, ImageSequence

from images import Decoder, PATIENCE, ROOT, Tap, pattern

ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
generator = random.Random(2026)
EACH, SIDE = 17, 96
ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None

colour = Image.fromarray(numpy.repeat(pattern(SIDE, SIDE, 5)[:, :, :1], 3, 2) if pattern(SIDE, SIDE, 5).shape[2] == 1 else pattern(SIDE, SIDE, 5))
formats = {
    "baseline.jpg": dict(format="JPEG", quality=90), "progressive.jpg": dict(format="JPEG", quality=90, progressive=True),
    "plain.png": dict(format="PNG"), "palette.png": dict(format="PNG", convert="P"), "raw.tif": dict(format="TIFF"),
    "deflate.tif": dict(format="TIFF", compression="tiff_adobe_deflate"), "lzw.tif": dict(format="TIFF", compression="tiff_lzw"),
    "pages.tif": dict(format="TIFF", save_all=True, append_images=[colour.transpose(Image.Transpose.ROTATE_180)]),
    "lossy.webp": dict(format="WEBP", quality=90), "lossless.webp": dict(format="WEBP", lossless=True), "first.gif": dict(format="GIF"), "plane.bmp": dict(format="BMP"),
}


def mutate(data):
    data = bytearray(data)
    where = generator.randrange(len(data)) if generator.random() < .6 else generator.randrange(min(200, len(data)))
    kind = generator.randrange(6)
    if kind == 0:
        del data[where:]
    elif kind == 1:
        data[where] ^= 1 << generator.randrange(8)
    elif kind == 2:
        data[where:where + generator.randint(1, 64)] = bytes(generator.randint(1, 64))
    elif kind == 3:
        data[where:where] = generator.randbytes(generator.randint(1, 32))
    elif kind == 4:
        del data[where:where + generator.randint(1, 40)]
    else:
        data[where:where + 4] = generator.randbytes(4)
    return bytes(data)


def by_pillow(data, page):
    """Pixels as Pillow reads them; None: it refuses."""
    try:
        image = Image.open(io.BytesIO(data))
        image = next(frame.convert("RGBA") for number, frame in enumerate(ImageSequence.Iterator(image)) if number == page)
        white = Image.new("RGBA", image.size, "white")
        return numpy.asarray(Image.alpha_composite(white, image).convert("RGB")).astype(int)
    except Exception:  # pylint: disable=broad-except: whatever it throws, it refuses
        return None


def close(a, b, name):
    """But for the last pixel of a deflated strip: libtiff fills what a damaged stream lacks with whatever it likes, and reports nothing."""
    far = abs(a - b).max(axis=2) > 3
    far[-1, -1] &= name != "deflate.tif"
    return not far.any()


originals, files = {}, {}
for name, how in formats.items():
    out, how = io.BytesIO(), dict(how)
    picture = colour.convert(how.pop("convert")) if "convert" in how else colour
    picture.save(out, **how)
    originals[name] = out.getvalue()
    for number in range(EACH):
        path = folder / "set" / f"{number:02}-{name}"
        path.parent.mkdir(exist_ok=True)
        files[path] = (name, mutate(originals[name]))
        path.write_bytes(files[path][1])

run = folder / "run"
run.mkdir()
(run / "config.yaml").write_text(f"data: {{path: '{folder / 'set'}', tile: 32, max_bad: 1, untrusted: true}}\n")
done = subprocess.run([ROOT / "build/sb_loader", "index", run, "--freeze"], capture_output=True, text=True, timeout=PATIENCE, errors="replace")
whole = subprocess.run([ROOT / "build/sb_loader", "index", folder / "set", "data.tile=32", "data.max_bad=1", "data.untrusted=true", "--decode"], capture_output=True, text=True,
                       timeout=PATIENCE, errors="replace")
ok(done.returncode == 0 and whole.returncode == 0 and "crashed" not in whole.stdout and "longer than" not in whole.stdout, f"{len(files)} damaged files are indexed and decoded",
   done.stderr + whole.stderr + whole.stdout)

indexed = {(row["path"], int(row["page"])): row for row in csv.DictReader(open(run / "index.csv", newline=""))}
refused = {}
for line in (run / "quarantine.jsonl").read_text().splitlines():
    entry = json.loads(line)
    refused[entry["path"]] = entry["reason"]
decoder = Decoder(3, untrusted=1)
counts, wrong = {"refused while indexing": 0, "refused when decoded": 0, "as Pillow reads it": 0, "as before the damage": 0}, []
for path, (name, data) in files.items():
    pages = [page for file, page in indexed if file == path.name]
    if not pages:
        counts["refused while indexing"] += 1
        if len(refused.get(path.name, "")) < 10:
            wrong.append((path.name, "without a reason"))
    for page in pages:
        row = indexed[path.name, page]
        width, height = int(row["width"]), int(row["height"])
        side = min(width, height, 512)
        head, pixels = decoder.get(path, page=page, side=side)
        if pixels is None:
            counts["refused when decoded"] += 1
            if "bad died" in head or "bad hang" in head or len(head) < 15:
                wrong.append((path.name, head))
            continue
        pixels, theirs, before = pixels.astype(int), by_pillow(data, page), by_pillow(originals[name], page)
        if before is not None and before.shape[0] >= side and before.shape[1] >= side and abs(pixels - before[:side, :side]).max() <= 3:
            counts["as before the damage"] += 1
        elif theirs is not None and theirs.shape[:2] == (height, width) and close(pixels, theirs[:side, :side], name):
            counts["as Pillow reads it"] += 1
        else:
            wrong.append((path.name, page, "Pillow refuses it" if theirs is None else f"another picture than Pillow's {theirs.shape}", head))
ok(not wrong, ", ".join(f"{count} {what}" for what, count in counts.items()), wrong)
subprocess.run(["rm", "-rf", folder])
ok.finish()

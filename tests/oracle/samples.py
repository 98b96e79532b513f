#!/usr/bin/python3
"""What samples mean: alpha, ranges, bands and warnings, pixel by pixel against numpy."""
import subprocess
import tempfile
from pathlib import Path

import numpy
from PIL import Image

from images import ROOT, Decoder, Tap, pattern, tile_of, write_tiff

W, H, SIDE = 75, 53, 80
ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
base, infra = pattern(W, H), pattern(W, H, 3)[:, :, :1]
image = Image.fromarray(base)
colour, grey = Decoder(3), Decoder(1)
LAYOUTS = [("strips", {}), ("tiles", {"tile": 16}), ("planes", {"planar": 2})]


def compare(name, path, expected, tolerance=0, decoder=colour):
    head, pixels = decoder.get(path, side=SIDE)
    expected = numpy.asarray(expected, float)
    expected = expected[:, :, None].repeat(decoder.channels, 2) if expected.ndim == 2 else expected
    if pixels is None:
        return ok(False, name, head)
    worst = numpy.abs(pixels - tile_of(expected, 0, 0, SIDE)).max()
    ok(worst <= tolerance, name, f"{head}; off by {worst} levels, allowed {tolerance}")


def refused(name, path, words, decoder=colour):
    head, _ = decoder.get(path, side=SIDE)
    ok(head.startswith("bad") and all(word in head for word in words), f"refused: {name}", head)


def tiff(pixels, photometric=2, **options):
    path = folder / f"{len(list(folder.iterdir()))}.tif"  # the decoder keeps what it has decoded, by path
    write_tiff(path, [pixels], photometric, **options)
    return path


# Only what is marked as alpha is alpha
def on_white(alpha):
    share = alpha.astype(float) / 255
    return base * share + 255 * (1 - share)


for name, layout in LAYOUTS:
    for bits, factor in [(8, 1), (16, 257)]:
        def wide(*parts):
            return numpy.dstack(parts).astype(f"uint{bits}") * factor

        compare(f"{bits} bits, {name}: an unspecified fourth sample is not alpha", tiff(wide(base, infra), extra=(0,), **layout), base)
        compare("  nor are two", tiff(wide(base, infra, infra), extra=(0, 0), **layout), base)
        compare("  alpha is", tiff(wide(base, infra), extra=(2,), **layout), on_white(infra), 1)
        premultiplied = wide((base * (infra / 255)).round(), infra)
        compare("  and where colours are multiplied by it", tiff(premultiplied, extra=(1,), **layout), on_white(infra), 3)
        compare("  and behind another sample", tiff(wide(base, infra // 2, infra), extra=(0, 2), **layout), on_white(infra), 1)
        if name == "planes":
            refused("  grey and alpha, which libvips misreads", tiff(wide(base[:, :, :1], infra), 1, extra=(2,), **layout), ["in planes"])
            continue
        refused(f"{bits} bits, {name}, grey and an unspecified sample", tiff(wide(infra, infra), 1, extra=(0,), **layout), ["data.bands"])
        refused("  grey and three", tiff(wide(base, infra), 1, extra=(0, 0, 0), **layout), ["data.bands"])
        compare("  grey and alpha", tiff(wide(base[:, :, :1], infra), 1, extra=(2,), **layout),
                (base[:, :, :1] * (infra / 255.0) + 255 - infra)[:, :, 0], 1)
compare("a fourth sample that no tag mentions", tiff(numpy.dstack([base, infra])), base)
compare("one channel of RGB and infrared is that of RGB", tiff(numpy.dstack([base, infra]), extra=(0,)),
        grey.get((image.save(folder / "8.png"), folder / "8.png")[1], side=SIDE)[1][:H, :W, 0], 0, grey)
inks = numpy.dstack([255 - base, infra, infra])
whole = colour.get(tiff(inks[:, :, :4], 5), side=SIDE)[1][:H, :W]
compare("CMYK and an unspecified sample", tiff(inks, 5, extra=(0,)), whole)

refused("planes in tiles, which libvips does not read", tiff(base, planar=2, tile=32), ["tiled separate planes not supported"])

# Warnings
accept = Decoder(3, keys=["data.warnings=accept"])
image.save(folder / "plain.jpg", quality=90)
exif = Image.Exif()
exif[0x0112] = 3
image.save(folder / "turned.jpg", quality=90, exif=exif)
image.save(folder / "progressive.jpg", quality=90, progressive=True)
image.convert("CMYK").save(folder / "inks.jpg", quality=90)
for name in ("plain.jpg", "turned.jpg", "progressive.jpg", "inks.jpg"):
    data, sound = (folder / name).read_bytes(), colour.get(folder / name, side=SIDE)[1][:H, :W]
    (folder / name).with_stem("w" + name[:-4]).write_bytes(data.replace(b"\xff\xda", b"\1\2\3\xff\xda", 1))
    compare(f"bytes before the first scan never matter: {name}", folder / f"w{name}", sound)
    (folder / f"z{name}").write_bytes(data[:-2] + bytes(40) + data[-2:])
    compare("  nor do zeros behind the last", folder / f"z{name}", sound)
    (folder / f"x{name}").write_bytes(data[:-2] + bytes(range(1, 60)) + data[-2:])
    if name in ("turned.jpg", "inks.jpg"):  # libvips ends where the scan does
        compare("  nor is anything behind it, where libvips decodes", folder / f"x{name}", sound)
    else:
        refused("  what may be left of a damaged scan", folder / f"x{name}", ["extraneous bytes before marker"])
    compare("  unless accepted", folder / f"x{name}", sound, 0, accept)
    (folder / f"t{name}").write_bytes(data[:len(data) * 3 // 4])
    refused("  a file that was cut, accepted or not", folder / f"t{name}", [f"t{name}: "], accept)
hurt = bytearray((folder / "plain.jpg").read_bytes())
hurt[len(hurt) * 14 // 31] ^= 0x15
(folder / "hurt.jpg").write_bytes(hurt)
refused("a damaged scan", folder / "hurt.jpg", ["hurt.jpg: "])
ok(accept.get(folder / "hurt.jpg", side=SIDE)[1] is not None, "  accepted where warnings are")
for tile in (0, 16):
    compare(f"a TIFF with an unknown tag{', tiled' if tile else ''}", tiff(base, tile=tile, more=[(50999, 3, [1, 2, 3])]), base)

subprocess.run(["rm", "-rf", folder])
ok.finish()

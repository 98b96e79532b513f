#!/usr/bin/python3
"""What samples mean: alpha, ranges, bands and warnings, pixel by pixel against numpy."""
import subprocess
import tempfile
from pathlib import Path

import numpy
from PIL import Image

from images import ROOT, TOOL, Decoder, Tap, pattern, tile_of, write_tiff

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

# Ranges
def spread(values, low, high):
    """16 bits between low and high, of which the upper 8 stay."""
    share = (numpy.nan_to_num(values.astype(float), nan=low, posinf=numpy.inf, neginf=-numpy.inf) - low) / (high - low)
    return numpy.floor(numpy.floor(share.clip(0, 1) * 65535 + 0.5) / 256)


deep = numpy.random.default_rng(5).integers(0, 1 << 16, (H, W, 3))  # every sample another
number = base.astype(float) * 40 - 1000
holes = (number / 7).astype(numpy.float32)
holes[3:9, 4:20, 0], holes[20:22, :, 1], holes[30:32, :, 2] = numpy.nan, numpy.inf, -numpy.inf
for low, high in [(0, 4095), (100, 3000), (-1000, 9200), (-0.5, 0.25), (0, 255)]:
    keyed = Decoder(3, keys=[f"data.range={low}..{high}"])
    keyed_grey = Decoder(1, keys=[f"data.range={low}..{high}"])
    for name, options in LAYOUTS[:2]:
        for kind, pixels, sample_format in [("16 bits", deep.astype(numpy.uint16), 1), ("12 bits in 16", (deep >> 4).astype(numpy.uint16), 1),
                                            ("signed 16 bits", number.astype(numpy.int16), 2), ("32 bits", (deep * 3).astype(numpy.uint32), 1),
                                            ("signed 32 bits", number.astype(numpy.int32), 2), ("signed 8 bits", (base // 2).astype(numpy.int8), 2),
                                            ("floats", number.astype(numpy.float32), 3), ("floats with holes", holes, 3)]:
            expected = spread(pixels, low, high)
            compare(f"{kind}, {name}, data.range={low}..{high}", tiff(pixels, sample_format=sample_format, **options), expected, 0, keyed)
            compare("  grey", tiff(pixels[:, :, :1], 1, sample_format=sample_format, **options), expected[:, :, 0], 0, keyed_grey)
    compare("8 bits stay", tiff(base), base, 0, keyed)
four = numpy.dstack([deep >> 4, infra.astype(int) * 257]).astype(numpy.uint16)
share = infra.astype(float) / 255
compare("alpha has the format's range", tiff(four, extra=(2,)), spread(four[:, :, :3], 0, 4095) * share + 255 * (1 - share), 1,
        Decoder(3, keys=["data.range=0..4095"]))
full = Decoder(3, keys=["data.range=full"])
compare("the whole range: signed 16 bits", tiff((deep - 32768).astype(numpy.int16), sample_format=2), spread(deep - 32768, -32768, 32767), 0, full)
compare("  32 bits", tiff((deep << 16).astype(numpy.uint32)), spread(deep << 16, 0, 2**32 - 1), 0, full)
for name, pixels, sample_format in [("signed 16 bits", number.astype(numpy.int16), 2), ("signed 8 bits", (base // 2).astype(numpy.int8), 2),
                                    ("32 bits", deep.astype(numpy.uint32), 1), ("a grey float", number[:, :, :1].astype(numpy.float32), 3)]:
    refused(f"{name} without a range", tiff(pixels, 1 if pixels.shape[2] == 1 else 2, sample_format=sample_format), ["no known range", "data.range"])
refused("floats have no whole range", tiff(number[:, :, :1].astype(numpy.float32), 1, sample_format=3), ["no known range"], full)
refused("doubles, which libvips does not read", tiff(number, sample_format=3), ["samples out of range"], Decoder(3, keys=["data.range=0..9"]))
refused("complex numbers", tiff(number[:, :, :1].astype(numpy.complex64), 1, sample_format=6), [".tif: "], full)

# Bands, as they are stored
five = numpy.dstack([base, infra, pattern(W, H, 8)[:, :, :1]])
order = Decoder(3, keys=["data.bands=4,1,2"])
compare("data.bands=4,1,2", tiff(five, extra=(0, 2), tile=16), five[:, :, [3, 0, 1]], 0, order)
compare("  no alpha: data.bands=1,2,3 of RGBA", tiff(five[:, :, :4], extra=(2,)), base, 0, Decoder(3, keys=["data.bands=1,2,3"]))
compare("  one channel: data.bands=4", tiff(five[:, :, :4], extra=(0,)), infra[:, :, 0], 0, Decoder(1, keys=["data.bands=4"]))
compare("  of a PNG", folder / "8.png", base[:, :, ::-1], 0, Decoder(3, keys=["data.bands=3,2,1"]))
compare("  grey in name", tiff(five, 1, extra=(0, 0, 0, 0)), five[:, :, [3, 0, 1]], 0, order)
compare("5 channels", tiff(five, extra=(0, 0)), five, 0, Decoder(5))
compare("  of 16 bits", tiff((five.astype(numpy.uint16) << 4) + 7, 1, extra=(0,) * 4, tile=16), five, 0, Decoder(5, keys=["data.range=0..4095"]))
compare("  twice the same sample", tiff(five, extra=(0, 0)), five[:, :, [0, 0, 4, 4]], 0, Decoder(4, keys=["data.bands=1,1,5,5"]))
refused("a sample that is not there", tiff(base), ["data.bands names sample 4: a pixel has 3"], order)
refused("another number of samples than channels", tiff(base), ["3 samples", "data.channels = 5", "data.bands"], Decoder(5))
refused("a float of linear light, stored", tiff((five / 255).astype(numpy.float32), extra=(0, 0), sample_format=3), ["no known range"], Decoder(5))

# Warnings
accept = Decoder(3, keys=["data.warnings=accept"])
image.save(folder / "plain.jpg", quality=90)
exif = Image.Exif()
exif[0x0112] = 3
image.save(folder / "turned.jpg", quality=90, exif=exif)
image.save(folder / "progressive.jpg", quality=90, progressive=True)
image.convert("CMYK").save(folder / "inks.jpg", quality=90)
subprocess.run([TOOL, "profile", "p3", folder / "p3.icc"], check=True)
image.save(folder / "wide.jpg", quality=90, icc_profile=(folder / "p3.icc").read_bytes())
for name in ("plain.jpg", "turned.jpg", "progressive.jpg", "inks.jpg", "wide.jpg"):
    data, sound = (folder / name).read_bytes(), colour.get(folder / name, side=SIDE)[1][:H, :W]
    (folder / name).with_stem("w" + name[:-4]).write_bytes(data.replace(b"\xff\xda", b"\1\2\3\xff\xda", 1))
    compare(f"bytes before the first scan never matter: {name}", folder / f"w{name}", sound)
    (folder / f"z{name}").write_bytes(data[:-2] + bytes(40) + data[-2:])
    compare("  nor do zeros behind the last", folder / f"z{name}", sound)
    (folder / f"x{name}").write_bytes(data[:-2] + bytes(range(1, 60)) + data[-2:])
    if name == "inks.jpg":  # libvips decodes it, and ends where the scan does
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
image.save(folder / "j.tif", compression="jpeg", quality=90)
data, sound = (folder / "j.tif").read_bytes(), colour.get(folder / "j.tif", side=SIDE)[1][:H, :W]
for at in range(4, 27):  # a marker in a scan: libtiff calls what it makes of that sound
    hurt, place = bytearray(data), len(data) * at // 31
    hurt[place:place + 3] = b"\xff\xd9\x11"
    (folder / f"j{at}.tif").write_bytes(hurt)
taken = [at for at in range(4, 27) if colour.get(folder / f"j{at}.tif", side=SIDE)[1] is not None]
ok(not taken, "refused: damaged JPEG strips in a TIFF, of which libtiff only warns", taken)
ok(accept.get(folder / "j9.tif", side=SIDE)[1] is not None, "  accepted where warnings are")
for tile in (0, 16):
    compare(f"a TIFF with an unknown tag{', tiled' if tile else ''}", tiff(base, tile=tile, more=[(50999, 3, [1, 2, 3])]), base)

# What the index says
def index(*files, keys=()):
    """The notes on a folder of these (name, pixels, photometric, options), but for that on few held-out tiles."""
    data = Path(tempfile.mkdtemp(dir=folder))
    for name, pixels, photometric, options in files:
        write_tiff(data / name, [pixels], photometric, **options)
    out = subprocess.run([ROOT / "build/sb_loader", "index", data, "data.tile=32", *keys], capture_output=True, text=True).stdout
    return data, [line[6:] for line in out.splitlines() if line.startswith("note: ") and " held-out tile" not in line]


def said(name, notes, *wanted):
    ok(len(notes) == len(wanted) and all(all(word in note for word in words) for note, words in zip(notes, wanted)), name, notes)


light, mid = base.astype(float) / 255, (base >> 1) + 64
ordinary = ("a.tif", base.astype(numpy.uint16) * 257, 2, {})
FLOATS = {"sample_format": 3}
for name, options in [("strips", {}), ("tiles", {"tile": 16})]:
    said(f"12 bits in 16 are named, {name}", index(ordinary, ("b.tif", base.astype(numpy.uint16) * 16, 2, options))[1],
         ["b.tif: nearly black", f"samples are {int(base.min()) * 16} to {int(base.max()) * 16}", "data.range=0..4095"])
    said("  and 14", index(("b.tif", base.astype(numpy.uint16) * 64, 2, options))[1], ["b.tif: nearly black", "data.range=0..16383"])
    said("  a narrow band", index(("b.tif", base.astype(numpy.uint16) * 16 + 30000, 2, options))[1], ["b.tif: of few levels", "data.range="])
    said("  floats to 255", index(("b.tif", base.astype(numpy.float32), 2, {**FLOATS, **options}))[1], ["b.tif: nearly white", "data.range=0..255"])
    said("  floats to 10,000", index(("b.tif", (light * 9321).astype(numpy.float32), 2, {**FLOATS, **options}))[1],
         ["b.tif: nearly white", "data.range=0..10000"])
    said("  linear light is not", index(("b.tif", light.astype(numpy.float32), 2, {**FLOATS, **options}))[1])
    said("  a mask", index(("b.tif", base // 64, 2, options))[1], ["b.tif: nearly black: its 8-bit samples are 0 to 3"])
    said("  white", index(("b.tif", base // 32 + 245, 2, options))[1], ["b.tif: nearly white: its 8-bit samples"])
    said("  photographs are not", index(ordinary, ("b.tif", mid, 2, options))[1])
    said("  samples that are left out", index(("b.tif", numpy.dstack([mid, mid]), 2, {"extra": (0, 0, 0), **options}))[1],
         ["in 1 image,", "b.tif (3 beside the colour)", "data.bands"])
    said("  holes", index(("b.tif", holes, 2, {**FLOATS, **options}), keys=["data.range=-200..1400"])[1], ["in 1 image,", "b.tif (", "no number"])
said("the range that was named mends it", index(("b.tif", base.astype(numpy.uint16) * 16, 2, {}), keys=["data.range=0..4095"])[1])
said("  full asks no questions", index(("b.tif", base.astype(numpy.uint16) * 16, 2, {}), keys=["data.range=full"])[1])
most = [(341, 3, [4095] * 3)]
says = [("a.tif", base.astype(numpy.uint16) * 16, 2, {"more": most}), ("b.tif", base.astype(numpy.uint16) * 8, 2, {"more": most, "tile": 16})]
said("files that say 12 bits", index(*says)[1], ["data.range=0..4095: the files say so"])
said("  one that says nothing", index(*says, ordinary[:1] and ("c.tif", *ordinary[1:]))[1], ["a.tif"], ["b.tif"])
flat = numpy.random.default_rng(7).permutation(numpy.arange(H * W * 3)).reshape(H, W, 3)
wanted = numpy.quantile(numpy.concatenate([flat.ravel(), flat.ravel() * 3]), [0.001, 0.999])
data, notes = index(("a.tif", flat.astype(numpy.uint16), 2, {}), ("b.tif", (flat * 3).astype(numpy.uint16), 2, {}), keys=["data.range=percentile"])
found = [float(x) for x in notes[0].split("=")[1].split(":")[0].split("..")]
ok(len(notes) == 1 and abs(found[0] - wanted[0]) < 12 and abs(found[1] - wanted[1]) < 40, "data.range=percentile finds it", notes, wanted)
said("  not of 8 bits", index(("b.tif", mid, 2, {}), keys=["data.range=percentile"])[1])

# A run has the range that was found
run = folder / "run"
subprocess.run([ROOT / "build/sb_trainer", "prepare", "--recipe", ROOT / "recipes/demo.yaml", f"data.path={data}", "data.tile=32", "data.view=32",
                "data.range=percentile", f"run.dir={run}"], check=True, capture_output=True)
before = (run / "config.yaml").read_text()
out = subprocess.run([ROOT / "build/sb_loader", "index", run, "--freeze"], capture_output=True, text=True)
after = (run / "config.yaml").read_text()
ok(out.returncode == 0 and after == before.replace("range: 'percentile'", f"range: '{found[0]:.10g}..{found[1]:.10g}'") != before and
   "data.range=" in out.stderr, "the run's config.yaml has it, and nothing else changed", out, after)

subprocess.run(["rm", "-rf", folder])
ok.finish()

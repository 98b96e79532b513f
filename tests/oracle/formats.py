#!/usr/bin/python3
"""Every format and layout that the README names, pixel by pixel against PIL and numpy; edges, small images, and that a tiled TIFF is
never decoded whole. Formats that store pixels exactly, and JPEG and WebP (both sides use the same library), must agree exactly; where a colour
transform or a division by alpha rounds once on each side, by one level; where two colour engines meet (lcms at other precisions), by three."""
import subprocess
import tempfile
from pathlib import Path

import numpy
from PIL import Image, ImageCms, ImageOps

from images import ROOT, TOOL, Decoder, Tap, pattern, sparse_tiff, tile_of, write_tiff

W, H, SIDE = 75, 53, 80  # an odd image inside one tile
ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
colour, grey, careful = Decoder(3), Decoder(1), Decoder(3, untrusted=1)
base = pattern(W, H)
image = Image.fromarray(base)
luma = numpy.asarray(image.convert("L"))
RELATIVE = 1  # colorimetric


def compare(name, path, expected, tolerance=0, decoder=colour, page=0, head=None):
    got_head, pixels = decoder.get(path, page=page, side=SIDE)
    expected = numpy.asarray(expected, float)
    expected = expected[:, :, None].repeat(decoder.channels, 2) if expected.ndim == 2 else expected
    if pixels is None:
        return ok(False, name, got_head)
    worst = numpy.abs(pixels - tile_of(expected, 0, 0, SIDE)).max()
    size = f"ok {expected.shape[1]} {expected.shape[0]} "
    ok(worst <= tolerance and got_head.startswith(size) and (head is None or got_head.startswith(size + head)), name,
       f"{got_head}; off by {worst} levels, allowed {tolerance}")


def save(name, picture=image, **options):
    picture.save(folder / name, **options)
    return folder / name


def profile(name):
    path = folder / f"{name}.icc"
    subprocess.run([TOOL, "profile", name, path], check=True)
    return path


# JPEG
compare("JPEG, baseline", p := save("b.jpg", quality=92), Image.open(p))
compare("JPEG, progressive, 4:4:4", p := save("p.jpg", progressive=True, subsampling=0), Image.open(p))
compare("JPEG, grey", p := save("g.jpg", image.convert("L")), Image.open(p))
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    p = save(f"o{orientation}.jpg", exif=exif)
    compare(f"JPEG, EXIF orientation {orientation}", p, ImageOps.exif_transpose(Image.open(p)))

TURNS = dict(zip(range(2, 9), [Image.FLIP_LEFT_RIGHT, Image.ROTATE_180, Image.FLIP_TOP_BOTTOM, Image.TRANSPOSE, Image.ROTATE_270, Image.TRANSVERSE,
                               Image.ROTATE_90]))
large = Image.fromarray(pattern(900, 700))  # more rows than libvips keeps of what it reads from the top
for orientation in range(2, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, options in [(f"l{orientation}.jpg", {"quality": 90}), (f"lp{orientation}.jpg", {"quality": 90, "progressive": True}),
                          (f"l{orientation}.png", {}), (f"l{orientation}.webp", {"lossless": True})]:
        large.save(folder / name, exif=exif, **options)
        expected = numpy.asarray(ImageOps.exif_transpose(Image.open(folder / name)))
        head, pixels = colour.get(folder / name, side=640, left=32, top=48)
        ok(pixels is not None and (pixels == expected[48:688, 32:672]).all(), f"orientation {orientation} of a large image: {name}", head)
    large.save(folder / f"l{orientation}.tif", tiffinfo={274: orientation})
    turned = Image.Image.transpose(large, TURNS[orientation])
    head, pixels = colour.get(folder / f"l{orientation}.tif", side=640, left=32, top=48)
    ok(pixels is not None and (pixels == numpy.asarray(turned)[48:688, 32:672]).all(), f"orientation {orientation} of a large image: TIFF", head)

srgb, press = ImageCms.createProfile("sRGB"), profile("cmyk")
inks = numpy.dstack([255 - base, pattern(W, H, 2)[:, :, :1] // 2])
cmyk = Image.frombytes("CMYK", (W, H), inks.tobytes())
p = save("c.jpg", cmyk, quality=95, icc_profile=press.read_bytes())
read = Image.open(p)
converted = ImageCms.profileToProfile(read, str(press), srgb, RELATIVE, "RGB")
compare("JPEG, CMYK with a profile", p, converted, 3)
compare("JPEG, CMYK without: libvips' press profile", save("cn.jpg", cmyk, quality=95), converted, 3)
compare("TIFF, CMYK with a profile", save("c.tif", cmyk, icc_profile=press.read_bytes()),
        ImageCms.profileToProfile(cmyk, str(press), srgb, RELATIVE, "RGB"), 3)

# Colour profiles
p3 = profile("p3")
wide = ImageCms.profileToProfile(image, str(p3), srgb, RELATIVE, "RGB")
compare("PNG, a wide profile is followed", save("p3.png", icc_profile=p3.read_bytes()), wide, 3)
p = save("p3.jpg", quality=95, icc_profile=p3.read_bytes())
compare("JPEG, a wide profile is followed", p, ImageCms.profileToProfile(Image.open(p), str(p3), srgb, RELATIVE, "RGB"), 3)
ok(numpy.abs(numpy.asarray(wide, float) - base).max() > 30, "  and it matters")
compare("PNG, an sRGB profile changes nothing", save("s.png", icc_profile=ImageCms.ImageCmsProfile(srgb).tobytes()), base)
compare("PNG, a damaged profile changes nothing", save("bad.png", icc_profile=b"no profile" * 20), base)

# PNG
rgba = numpy.dstack([base, pattern(W, H, 3)[:, :, 0]])
alpha = rgba[:, :, 3:].astype(float) / 255
on_white = base * alpha + 255 * (1 - alpha)
compare("PNG, 8 bits", save("8.png"), base)
wide_grey = luma.astype(numpy.uint16) * 256 + 99
compare("PNG, 16 bits, grey: the upper 8", save("16.png", Image.fromarray(wide_grey)), luma)
compare("PNG, grey", save("g.png", image.convert("L")), luma)
compare("PNG, grey and alpha", save("ga.png", Image.merge("LA", (image.convert("L"), Image.fromarray(rgba[:, :, 3])))),
        luma * alpha[:, :, 0] + 255 * (1 - alpha[:, :, 0]), 1)
compare("PNG, palette", p := save("pal.png", image.quantize(37)), Image.open(p).convert("RGB"))
compare("PNG, palette with a transparent colour", p := save("palt.png", image.quantize(37), transparency=5),
        Image.alpha_composite(Image.new("RGBA", (W, H), "white"), Image.open(p).convert("RGBA")).convert("RGB"))
compare("PNG, RGBA on white", save("a.png", Image.fromarray(rgba)), on_white, 1)
compare("PNG, 1 bit", p := save("1.png", image.convert("1")), numpy.asarray(Image.open(p).convert("L")))
compare("PNG, one pixel high", save("l.png", image.crop((0, 0, W, 1))), base[:1])

# TIFF
for name, options, kind in [("strips", {}, "1 0"), ("tiles", {"tile": 16}, "1 1"), ("planes in strips", {"planar": 2}, "1 0")]:
    for bits, pixels in [(8, base), (16, base.astype(numpy.uint16) * 256 + 200)]:
        write_tiff(folder / "t.tif", [pixels], 2, **options)
        compare(f"TIFF, {name}, {bits} bits", folder / "t.tif", base, head=kind)
for name, compression in [("LZW", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("PackBits", "packbits")]:
    compare(f"TIFF, {name}", save("z.tif", compression=compression), base)
compare("TIFF, grey", save("g.tif", image.convert("L")), luma)
write_tiff(folder / "g16.tif", [wide_grey[:, :, None]], 1, tile=32)
compare("TIFF, tiles, 16 bits, grey", folder / "g16.tif", luma)
write_tiff(folder / "i.tif", [255 - luma[:, :, None]], 0)
compare("TIFF, white is zero", folder / "i.tif", luma)
packed = numpy.packbits(luma[:, :72] > 127, axis=1)[:, :, None]
write_tiff(folder / "1.tif", [packed], 1, bits=1)
compare("TIFF, 1 bit", folder / "1.tif", (luma[:, :72] > 127) * 255.0)
compare("TIFF, palette", p := save("pal.tif", image.quantize(99)), Image.open(p).convert("RGB"))
for bits, factor in [(8, 1), (16, 257)]:
    for tile in (0, 16):
        write_tiff(folder / "a.tif", [rgba.astype(f"uint{bits}") * factor], 2, extra=(2,), tile=tile)
        compare(f"TIFF, RGBA, {bits} bits, {'tiles' if tile else 'strips'}", folder / "a.tif", on_white, 1)
linear = numpy.where(base / 255 <= 0.04045, base / 255 / 12.92, ((base / 255 + 0.055) / 1.055) ** 2.4).astype(numpy.float32)
write_tiff(folder / "f.tif", [linear], 2, sample_format=3)
compare("TIFF, float RGB: linear light", folder / "f.tif", base, 1)
pages = [pattern(W, H, seed) for seed in (4, 5)] + [pattern(40, 60, 6)]
write_tiff(folder / "m.tif", pages, 2)
for page, pixels in enumerate(pages):
    compare(f"TIFF, page {page} of 3, each of its own size", folder / "m.tif", pixels, page=page, head="3 0")
compare("TIFF, orientation", p := save("o.tif", tiffinfo={274: 6}), numpy.rot90(base, -1))

# The others
compare("WebP", p := save("w.webp", quality=80), Image.open(p))
compare("WebP, lossless, alpha", save("wa.webp", Image.fromarray(rgba), lossless=True, exact=True), on_white, 1)
compare("GIF", p := save("g.gif", image.quantize(200)), Image.open(p).convert("RGB"))
compare("GIF, an animation: its first frame", p := save("n.gif", image.quantize(50), save_all=True, append_images=[image.quantize(20)]),
        Image.open(p).convert("RGB"), head="1 0")
compare("PPM, asked for", save("p.ppm"), base, decoder=careful)
old = int(subprocess.run(["pkg-config", "--modversion", "vips"], stdout=subprocess.PIPE, check=True, text=True).stdout.split(".")[1]) < 15  # 8.14 against 8.16
for name in ("p.ppm", "x.bmp", "x.jp2"):
    head, pixels = colour.get(save(name))
    ok(head.startswith("bad probe") and ("blocked" if old else "not in a known format") in head, f"untrusted unless asked for: {name}", head)
for name, pixels, options in [("float grey", luma[:, :, None].astype(numpy.float32), {"sample_format": 3}),
                              ("32 bits", base.astype(numpy.uint32), {})]:
    write_tiff(folder / "r.tif", [pixels], 2 if pixels.shape[2] == 3 else 1, **options)
    head, _ = colour.get(folder / "r.tif")
    ok(head.startswith("bad probe") and "no known range" in head and "data.range" in head, f"refused with a reason: TIFF, {name}", head)

# One channel: libvips' luminance, whose weights are of 8.14 or newer, and grey stays what it is
y = linear.astype(float) @ ([0.2, 0.7, 0.1] if old else [0.2126, 0.7152, 0.0722])
luminance = 255 * numpy.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)
compare("one channel, of colour", folder / "8.png", luminance, 2, grey)
compare("one channel, of grey", folder / "g.png", luma, 0, grey)

# Edges and small images, whole and tile by tile
write_tiff(folder / "e.tif", [base], 2, tile=16)
for path in (folder / "8.png", folder / "e.tif"):
    bad = []
    for left, top, side in [(0, 0, 16), (59, 37, 16), (60, 38, 16), (74, 52, 16), (70, 10, 64), (3, 50, 100), (0, 0, 200), (17, 5, 33)]:
        head, pixels = colour.get(path, left=left, top=top, side=side)
        if pixels is None or not (pixels == tile_of(base, left, top, side)).all():
            bad.append((left, top, side, head))
    ok(not bad, f"tiles inside, at edges, beyond them: {path.name}", bad)
head, _ = colour.get(folder / "8.png", left=75)
ok(head.startswith("bad 2"), "a tile outside the image is refused", head)

# A tiled TIFF of 1.6 gigapixels: a few tiles of it, in memory that could not hold it
sparse_tiff(folder / "huge.tif", 40960, 256)
small = Decoder(3, cache_mib=16, limit_bytes=1 << 30)
block = numpy.add.outer(numpy.arange(256), numpy.arange(256)) % 256
bad, peak = [], 0
for left, top in [(0, 0), (40960 - 1024, 40960 - 1024), (20000, 30000)]:
    head, pixels = small.get(folder / "huge.tif", left=left, top=top, side=1024)
    expected = numpy.tile(block, (6, 6))[top % 256:][:1024, left % 256:][:, :1024]
    if pixels is None or not (pixels == expected[:, :, None]).all() or not head.startswith("ok 40960 40960 1 1 "):
        bad.append((left, top, head))
    peak = int(head.split()[-1]) if pixels is not None else 0
ok(not bad, "tiles of a TIFF of 40960 x 40960", bad)
ok(0 < peak < 200 << 10, "  with less than 200 MiB", f"{peak} KiB")

# Memory: four times as many decodings need no more. Allowed is what the allocator may keep; 288 leaked images would be 400 MiB.
for i in range(24):
    save(f"many{i}.jpg", Image.fromarray(pattern(700, 700, i)), quality=90)
steady, levels = Decoder(3, cache_mib=4), []
for round_number in range(16):
    for i in range(24):
        head, _ = steady.get(folder / f"many{i}.jpg", side=256, left=i)
    levels.append(int(head.split()[-2]))
ok(levels[15] < levels[3] + 8192, "memory after 384 images is that after 96", f"{levels} KiB")
few, many = (int(steady.get(folder / "e.tif", side=32, repeat=n)[0].split()[-2]) for n in (500, 2000))
ok(many < few + 2048, "memory after 2500 tiles of a tiled TIFF is that after 500", f"{few} {many} KiB")

# A pyramid is one image, pages are several
levels = [pattern(512 >> i, 384 >> i, 9) for i in range(4)]
(folder / "set").mkdir()
write_tiff(folder / "set/pyramid.tif", levels, 2, tile=64, subfile=[0, 1, 1, 1])
write_tiff(folder / "set/pages.tif", pages, 2)
report = subprocess.run([ROOT / "build/sb_loader", "index", folder / "set", "data.tile=32"], capture_output=True, text=True)
report = report.stdout + report.stderr
ok("images        4 (1 decode tile by tile" in report and "512 x 384" in report and "256 x" not in report,
   "a pyramid is one image, the pages of a scan are three", report)

subprocess.run(["rm", "-rf", folder])
ok.finish()

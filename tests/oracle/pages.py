#!/usr/bin/python3
"""The pages of TIFF files: what each is by what it says and never by its size; the chain of directories is read once, and a page costs what it has
itself. Pixels against numpy. What a file of many pages costs is counted in bytes and calls, not timed."""
import csv
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy

from images import PATIENCE, ROOT, Decoder, Tap, pattern, tile_of, write_tiff

ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
decoder = Decoder(3)
whole, half, quarter = (pattern(256 >> i, 192 >> i, 9) for i in range(3))
glass, label = pattern(120, 90, 3), pattern(60, 80, 4)


def kinds(name, pages, **options):
    write_tiff(folder / name, pages, 2, **options)
    found = decoder.pages(folder / name)
    return [kind for kind, *_ in found] if isinstance(found, list) else found


def is_of(expected, name, pages, **options):
    got = kinds(name + ".tif", pages, **options)
    ok(got == expected.split(), f"{name}: {expected}", got)


# ---- what a page is ----
is_of("image image", "a second scan of half the size", [whole, half])
is_of("image image", "  in tiles", [whole, half], tile=64)
is_of("image reduced reduced", "a pyramid whose pages say so", [whole, half, quarter], tile=64, subfile=[0, 1, 1])
is_of("image reduced reduced", "  in strips", [whole, half, quarter], subfile=[None, 1, 1])
is_of("image mask reduced mask", "GDAL's mask and overviews", [whole, whole, half, half], tile=64, subfile=[0, 4, 1, 5])
is_of("image image image", "pages that say they are pages", [whole, half, glass], subfile=[2, 2, 2])
is_of("reduced image", "a preview before the picture", [quarter, whole], subfile=[1, 0])
aperio = "Aperio Image Library v11.2.1 \r\n"
svs = dict(tile=[64, 0, 64, 0, 0], said=[{270: aperio + "256x192 (64x64) raw|AppMag = 20"}, {270: aperio + "256x192 -> 120x90 - |AppMag = 20"},
                                        {270: aperio + "256x192 (64x64) -> 64x48 raw"}, {270: aperio + "label 60x80"}, {270: aperio + "macro 120x90"}])
is_of("image thumbnail reduced label macro", "Aperio", [whole, glass, quarter, label, glass], subfile=[0, 0, 0, 1, 9], **svs)
is_of("image thumbnail reduced macro macro", "  whose last pages say nothing", [whole, glass, quarter, label, glass],
      tile=svs["tile"], said=svs["said"][:3] + [{}, {}])
is_of("image image label", "  with two planes of focus", [whole, whole, label], tile=[64, 64, 0], said=[svs["said"][0], svs["said"][0], svs["said"][3]])
is_of("image label", "tiles, and behind them a label, of an unknown scanner", [whole, label], tile=[64, 0], said=[{}, {270: "label 60x80"}])
ndpi = {271: "Hamamatsu"}
is_of("image reduced reduced macro thumbnail", "Hamamatsu", [whole, half, quarter, glass, label],
      said=[{**ndpi, 65421: lens} for lens in (20.0, 5.0, 1.25, -1.0, -2.0)])
scn = ('<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection sizeX="9" sizeY="27"><image><pixels>'
       '<dimension sizeX="120" sizeY="90" r="0" ifd="0"/></pixels><view sizeX="9" sizeY="27" offsetX="0" offsetY="0"/></image><image><pixels>'
       '<dimension r="0" ifd="1"/><dimension r="1" ifd="2"/></pixels><view sizeX="4" sizeY="3" offsetX="2" offsetY="5"/></image></collection></scn>')
is_of("macro image reduced macro", "Leica", [glass, whole, half, label], tile=[64, 64, 64, 0], said=[{270: scn}, {}, {}, {}])
is_of("label mask image reduced thumbnail", "Ventana", [label, glass, whole, half, glass], tile=[0, 0, 64, 64, 0],
      said=[{305: "ScanOutputManager 1.1", 270: text} for text in ("Label Image", "Probability_Image", "level=0 mag=40 quality=90",
                                                                     "level=1 mag=20 quality=90", "Thumbnail")])
is_of("image reduced label macro", "Philips", [whole, half, label, glass], tile=[64, 64, 0, 0],
      said=[{305: "Philips DP v1.0", 270: text} for text in ("<DataObject ObjectType=\"DPUfsImport\">", "level=1", "Label", "Macro")])

# What libvips writes
tool = folder / "pyramid"
source = ('#include <vips/vips.h>\nint main(int n,char**v){VipsImage*a,*b;return VIPS_INIT("x")||vips_gaussnoise(&a,700,500,NULL)||vips_cast_uchar(a,&b,NULL)||'
          'vips_tiffsave(b,v[1],"tile",TRUE,"pyramid",TRUE,"subifd",n>2,"tile_width",64,"tile_height",64,NULL);}')
flags = subprocess.run(["pkg-config", "--cflags", "--libs", "vips"], capture_output=True, text=True, check=True).stdout.split()
subprocess.run(["cc", "-x", "c", "-", "-o", tool, *flags], input=source, text=True, check=True)
for name, more, expected in [("plain", [], ["image"] + ["reduced"] * 4), ("subifd", ["x"], ["image"])]:
    subprocess.run([tool, folder / f"vips-{name}.tif", *more], check=True)
    got = [kind for kind, *_ in decoder.pages(folder / f"vips-{name}.tif")]
    ok(got == expected, f"libvips' own pyramid, {name}", got)

# ---- the index takes images, and says what else there was ----
slides = folder / "slides"
slides.mkdir()
write_tiff(slides / "slide.svs", [whole, glass, quarter, label, glass], 2, subfile=[0, 0, 0, 1, 9], **svs)
write_tiff(slides / "scan.tif", [whole, half], 2)
write_tiff(slides / "only-a-mask.tif", [whole], 2, subfile=[4])
(folder / "run").mkdir()
(folder / "run/config.yaml").write_text(f"data: {{path: '{slides}', tile: 32, max_bad: 0.5}}\n")
done = subprocess.run([ROOT / "build/sb_loader", "index", folder / "run", "--freeze"], capture_output=True, text=True, timeout=PATIENCE)
rows = [(row["path"], row["page"]) for row in csv.DictReader(open(folder / "run/index.csv", newline=""))] if done.returncode == 0 else []
ok(rows == [("scan.tif", "0"), ("scan.tif", "1"), ("slide.svs", "0")], "the index has the slide once, and both pages of the scan", rows, done.stderr)
ok(all(f"({kind})" in done.stderr for kind in ("thumbnail", "reduced", "label", "macro", "mask")) and "only-a-mask.tif: it has no page that is an image" in done.stderr,
   "  and says what was no image of its own", done.stderr)

# ---- pixels of pages, in every kind of file ----
pages = [pattern(75 + 10 * i, 53, i) for i in range(5)]
for order in "<>":
    for big in (False, True):
        for side in (0, 16):
            write_tiff(folder / "orders.tif", pages, 2, order=order, big=big, tile=side)
            wrong = []
            for page in (4, 0, 2, 3, 1):
                head, pixels = decoder.get(folder / "orders.tif", page=page, side=100)
                if pixels is None or not (pixels == tile_of(pages[page], 0, 0, 100)).all() or head.split()[3] != "5":
                    wrong.append((page, head))
            ok(not wrong and len(decoder.pages(folder / "orders.tif")) == 5,
               f"each of five pages, {'big ' if big else ''}TIFF of {'least' if order == '<' else 'most'} significant bytes first, {'tiles' if side else 'strips'}", wrong)
head, _ = decoder.get(folder / "orders.tif", page=5)
ok(head.startswith("bad probe") and "no page 5" in head, "a page that is not there", head)

# ---- chains that are damaged ----
write_tiff(folder / "sound.tif", pages, 2)
data = (folder / "sound.tif").read_bytes()
links, at = [4], struct.unpack_from("<I", data, 4)[0]
while at:
    links.append(at + 2 + 12 * struct.unpack_from("<H", data, at)[0])
    at = struct.unpack_from("<I", data, links[-1])[0]
for name, link, value, count in [("round", 5, struct.unpack_from("<I", data, 4)[0], 5), ("to itself", 2, struct.unpack_from("<I", data, links[1])[0], 2),
                                 ("beyond the end", 3, 0xfffffff0, 3), ("at the last byte", 3, len(data) - 1, 4), ("into the pixels", 1, 100, None)]:
    (folder / "chain.tif").write_bytes(data[:links[link]] + struct.pack("<I", value) + data[links[link] + 4:])
    found = decoder.pages(folder / "chain.tif")
    good = isinstance(found, list) and [page for page in found if not page[4]]
    ok(good and len(good) == min(link, 5) and (count is None or len(found) == count) and all(str(folder / "chain.tif") in page[4] for page in found[len(good):]),
       f"a chain that goes {name}: the {link} pages before it, and a reason for what is none", found)

# ---- many pages ----
costs = {}
for count in (500, 2000):
    write_tiff(folder / f"{count}.tif", [pages[0][:16, :16]] * count, 2)
    before = decoder.has_read()
    found = decoder.pages(folder / f"{count}.tif")
    costs[count] = [b - a for a, b in zip(before, decoder.has_read())]
    ok(len(found) == count and all(page[:3] == ("image", 16, 16) for page in found), f"a file of {count} pages", found[:3])
ok(all(many < 4.5 * few for few, many in zip(costs[500], costs[2000])), "  four times as many cost four times as much (bytes, calls)", costs)
before = decoder.has_read()
for page in range(1999, 0, -20):
    decoder.get(folder / "2000.tif", page=page, side=16)
get = [b - a for a, b in zip(before, decoder.has_read())]
ok(get[1] < 100 * 3 * 2100, "100 pages of it: no walk that grows with pages times pages", get)

stack = [pattern(512, 512, i) for i in range(64)]  # 50 MB
for side in (0, 64):
    write_tiff(folder / "stack.tif", stack, 2, tile=side)
    bytes_of = (folder / "stack.tif").stat().st_size
    fresh, wrong = Decoder(3), []
    decoder.get(folder / "stack.tif", page=0, side=8)
    before = decoder.has_read()[0]
    for page in range(0, 64, 4):
        head, pixels = decoder.get(folder / "stack.tif", page=page, left=page, top=page, side=128)
        if pixels is None or not (pixels == tile_of(stack[page], page, page, 128)).all():
            wrong.append((page, head))
    share = (decoder.has_read()[0] - before) / bytes_of
    ok(not wrong and share < (0.45 if side == 0 else 0.35), f"16 of 64 pages of a stack of 50 MB, {'tiles' if side else 'strips'}: {share:.0%} of it is read", wrong)

subprocess.run(["rm", "-rf", folder])
ok.finish()

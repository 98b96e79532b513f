#!/usr/bin/python3
"""Which files of a folder become images: by contents and not by names, each once, and the same content in one part of the data."""
import csv
import os
import random
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from images import PATIENCE, ROOT, Tap, write_tiff, pattern

ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
generator = random.Random(7)
runs = 0


def picture(width=64, height=48):
    return Image.frombytes("RGB", (width, height), generator.randbytes(3 * width * height))


def index(data, *keys, freeze=False, **environment):
    """(status, text, names trained on, names held out)"""
    global runs
    runs += 1
    run = folder / f"run{runs}"
    run.mkdir()
    values = [f"path: '{data}'", "tile: 32"] + [key.removeprefix("data.").replace("=", ": ", 1) for key in keys]
    (run / "config.yaml").write_text("data:\n" + "".join(f"  {value}\n" for value in values))
    done = subprocess.run([ROOT / "build/sb_loader", "index", run, "--freeze"], capture_output=True, timeout=PATIENCE, env={**os.environ, **environment})
    rows = list(csv.DictReader(open(run / "index.csv", newline=""))) if done.returncode == 0 else []
    trained, held = ({row["path"] for row in rows if row[part] != "0"} for part in ("train_width", "test_width"))
    return done.returncode, done.stderr.decode(), trained, held


# ---- contents decide ----
mixed = folder / "mixed"
for name, form in [("a.jpg", "JPEG"), ("b.jfif", "JPEG"), ("without", "PNG"), ("c.txt", "WEBP"), ("d.png", "JPEG"), ("sub/e.tif", "TIFF"), (".hidden/h.png", "PNG"),
                   ("@eaDir/thumb.jpg", "JPEG"), ("old/checkpoints/x.png", "PNG"), ("masks/a.png", "PNG"), ("sub/e_mask.png", "PNG")]:
    (mixed / name).parent.mkdir(parents=True, exist_ok=True)
    picture().save(mixed / name, form)
(mixed / "old/config.yaml").write_text("data: {}\n")
picture().save(mixed / "f.tga")
for name, text in [("notes.md", "words\n"), ("table.csv", "1,2\n3,4\n"), ("drawing.svg", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
                   ("empty", ""), ("P1.text", "P1 is a part, not a bitmap\n")]:
    (mixed / name).write_text(text)
status, text, trained, _ = index(mixed, "data.max_bad=0.5")
ok(status == 0 and trained == {"a.jpg", "b.jfif", "without", "c.txt", "d.png", "sub/e.tif", "masks/a.png", "sub/e_mask.png"}, "files are what they contain", text, trained)
ok("1 .md: no image that libvips knows (notes.md)" in text and "a system's own folder (@eaDir)" in text and "a run of smallbatch (old)" in text and
   "hidden (.hidden)" in text and "SVG" in text, "what is passed over is said, by suffix and reason", text)
ok("f.tga" in text and "data.untrusted=true reads it" in text, "a format that libvips does not trust names data.untrusted", text)
status, text, trained, _ = index(mixed, "data.max_bad=0.5", "data.untrusted=true")
ok("f.tga" in trained, "  and is read with it", text)
status, text, trained, _ = index(mixed, "data.max_bad=0.5", 'data.exclude="*_mask.png, masks, sub/e.tif"')
ok(trained == {"a.jpg", "b.jfif", "without", "c.txt", "d.png"}, "data.exclude takes names, folders and whole names", text, trained)

# ---- each file once ----
real, linked = folder / "real", folder / "real/zlinks"
linked.mkdir(parents=True)
for i in range(30):
    picture(40, 40).save(real / f"{i:02}.png")
    (linked / f"{i:02}.png").symlink_to(f"../{i:02}.png")
os.link(real / "00.png", real / "hard.png")
(real / "loop").symlink_to(".")
status, text, trained, held = index(real)
ok(status == 0 and len(trained | held) == 30 and held and not trained & held and not any("zlinks" in name for name in trained | held),
   f"a file that has a link, too, is one image ({len(held)} held out)", text)
ok("31 .png: another name of a file that is there" in text, "  which is said once", text)
first = folder / "first"
first.mkdir()
for i in range(12):
    (first / f"{i}.png").symlink_to(real / f"{i:02}.png")
status, text, trained, held = index(first)
ok(status == 0 and len(trained | held) == 12, "links alone are images", text)

# ---- the same content ----
copies = folder / "copies"
for part in "abc":
    (copies / part).mkdir(parents=True)
for i in range(40):
    picture(40, 40).save(copies / f"a/{i}.bmp.tif", "TIFF")  # all of one size
    for part in "bc":
        (copies / f"{part}/{i * 7 % 40}-{i}.tif").write_bytes((copies / f"a/{i}.bmp.tif").read_bytes())
status, text, trained, held = index(copies)
of = {name: (copies / name).read_bytes() for name in trained | held}
ok(status == 0 and len(of) == 120 and held and not {of[name] for name in trained} & {of[name] for name in held} and "80 of the files have the same content" in text,
   f"copies lie in one part: {len(held)} of 120 held out", text)
names = sorted(of)
lines = "".join(f"copies/{name},{'test' if name.startswith('b/1') else 'train'}\n" for name in names)
(folder / "list.csv").write_text("path,split\n" + lines)
status, text, trained, held = index(folder / "list.csv")
ok(status == 0 and len(trained | held) == 120 and not {of[name[10:]] for name in trained} & {of[name[10:]] for name in held} and len(held) > len([n for n in names if n.startswith("b/1")]),
   "  whatever a manifest says: a copy of what is held out is held out", text)
(folder / "list.csv").write_text("path,group\n" + "".join(f"copies/{name},{generator.randint(0, 30)}\n" for name in names))
status, text, trained, held = index(folder / "list.csv")
ok(status == 0 and held and not {of[name[10:]] for name in trained} & {of[name[10:]] for name in held}, "  and whatever its groups are", text)
(folder / "list.csv").write_text("path,left,top\n" + "".join(f"copies/{name},{x},0\n" for name in names[:1] + [n for n in names[1:] if of[n] == of[names[0]]] for x in (0, 8)))
status, text, trained, held = index(folder / "list.csv")
ok(status == 0 and trained == {f"../copies/{names[0]}"}, "  of placed tiles only one file's are taken", text, trained)

# ---- the order of a manifest ----
tiles = [(name, x, y, f"label {name[0]}", f"group {i % 50}") for i, name in enumerate(names[:40]) for x in (0, 16) for y in (0, 16)]
texts = []
for _ in range(3):
    generator.shuffle(tiles)
    (folder / "list.csv").write_text("path,left,top,label,group\n" + "".join(",".join(map(str, ("copies/" + tile[0],) + tile[1:])) + "\n" for tile in tiles))
    index(folder / "list.csv")
    texts.append((folder / f"run{runs}/index.csv").read_text())
ok(len(set(texts)) == 1 and texts[0].count("\n") == 161, "the index does not depend on the order of its manifest")

# ---- thin images ----
thin = folder / "thin"
thin.mkdir()
picture(3000, 20).save(thin / "wide.png")
picture(20, 3000).save(thin / "high.png")
report = subprocess.run([ROOT / "build/sb_loader", "index", thin, "data.tile=64"], capture_output=True, text=True).stdout
wide = (3000 - 500 - 64) // 64
report = " ".join(report.split())
ok(f"3000 x 20 {wide} tiles, a strip held out" in report and f"20 x 3000 {wide} tiles, a strip held out" in report, "an image that is thinner than a tile has as many tiles as fit its length", report)

# ---- files on which the decoder fails ----
subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", folder / "fault.so", ROOT / "tests/pipeline/preload/fault.c", "-ldl"], check=True)
for kind, said in [("11", "the decoder crashed on it (Segmentation fault)"), ("7", "the decoder crashed on it (Bus error)"), ("hang", "took longer than loader.timeout = 0.5 s")]:
    where = {"LD_PRELOAD": str(folder / "fault.so"), "FAULT": f"open:{kind}", "FAULT_FILE": "a.jpg", "FAULT_PROGRAM": "sb_loader index"}
    run = folder / f"crash{kind}"
    run.mkdir()
    (run / "config.yaml").write_text(f"data: {{path: '{mixed}', tile: 32, max_bad: 0.5}}\nloader: {{timeout: {0.5 if kind == 'hang' else 60}}}\n")
    done = subprocess.run([ROOT / "build/sb_loader", "index", run, "--freeze"], capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **where})
    ok(done.returncode == 0 and "a.jpg: " in done.stderr and said in done.stderr and "b.jfif" in (run / "index.csv").read_text(),
       f"one on which it fails ({kind}) is named, and the others are indexed", done.stderr)

for name in ("a.jpg", "without", "sub/e.tif"):
    run = folder / f"sector{name.replace('/', '')}"
    run.mkdir()
    (run / "config.yaml").write_text(f"data: {{path: '{mixed}', tile: 32, max_bad: 0.5}}\n")
    where = {"LD_PRELOAD": str(folder / "fault.so"), "FAULT": "read:error=5", "FAULT_FILE": Path(name).name, "FAULT_PROGRAM": "sb_loader index"}
    done = subprocess.run([ROOT / "build/sb_loader", "index", run, "--freeze"], capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **where})
    ok(done.returncode == 0 and f"{name}: Input/output error" in done.stderr and "b.jfif" in (run / "index.csv").read_text(),
       f"a bad sector of {name} is named, and the others are indexed", done.stderr)

# ---- pixels ----
hurt = folder / "hurt"
hurt.mkdir()
for i in range(4):
    picture(200, 200).save(hurt / f"{i}.jpg")
data = (hurt / "2.jpg").read_bytes()
(hurt / "2.jpg").write_bytes(data[:len(data) // 2])
write_tiff(hurt / "tiled.tif", [pattern(600, 600, 3)], 2, tile=64)
for flags, expected in [([], 0), (["--decode"], 1)]:
    done = subprocess.run([ROOT / "build/sb_loader", "index", hurt, "data.tile=64", *flags], capture_output=True, text=True, timeout=PATIENCE)
    ok(done.returncode == 0 and done.stdout.count("2.jpg: ") == expected and "5 (1 decode" in done.stdout or expected and "images        4" in done.stdout,
       f"index {' '.join(flags)} finds {expected} file with damaged pixels", done.stdout)

# ---- a page of small pictures ----
hung = folder / "hung"
hung.mkdir()
(hung / "config.yaml").write_text(f"data:\n  path: '{mixed}'\n  tile: 32\n  max_bad: 0.5\nloader:\n  timeout: 0.5\n")
done = subprocess.run([ROOT / "build/sb_loader", "index", hung, "--freeze"], capture_output=True, text=True, timeout=PATIENCE,
                      env={**os.environ, "LD_PRELOAD": str(folder / "fault.so"), "FAULT": "decode:hang", "FAULT_FILE": "b.jfif", "FAULT_PROGRAM": "sb_loader index"})
ok(done.returncode == 0 and "index.png was not drawn: an image took longer than loader.timeout" in done.stderr and (hung / "index.bin").exists() and
   not (hung / "index.png").exists(), "an image on which the picture hangs leaves a run without it", done.stderr)
strange = folder / "strange"
strange.mkdir()
for i, name in enumerate(["<b>&amp;.png", "a 'quoted' \"name\".png", "é" * 60 + ".png", "%s%n.png", "last.png"]):
    Image.new("RGB", (80, 80), (40 * i, 200, 10)).save(strange / name)
(strange / "last.png").write_bytes((strange / "last.png").read_bytes()[:-30])
done = subprocess.run([ROOT / "build/sb_loader", "index", strange, "data.tile=32", "data.max_bad=1", "-o", folder / "page.png"], capture_output=True, text=True, timeout=PATIENCE)
drawn = Image.open(folder / "page.png").convert("RGB")
cell = drawn.width // 6
above = drawn.height - cell * 292 // 220  # the title; a cell has 220 x 292 pixels
middles = [drawn.getpixel((i * cell + cell // 2, above + cell // 2)) for i in range(6)]
ok(done.returncode == 0 and sorted(middles[:5])[:4] == sorted((40 * i, 200, 10) for i in range(4)) and middles[5] == (255, 255, 255),
   "the index is drawn as a page of its tiles", done.stderr, middles)
before = (strange / "%s%n.png").read_bytes()
done = subprocess.run([ROOT / "build/sb_loader", "index", strange, "data.tile=32", "-o", strange / "%s%n.png"], capture_output=True, text=True, timeout=PATIENCE)
ok(done.returncode == 1 and (strange / "%s%n.png").read_bytes() == before, "  and replaces none of the images", done.stderr)

deep = folder / "deep"
deep.mkdir()
for i in range(3):
    write_tiff(deep / f"{i}.tif", [pattern(200, 160)[:, :, :1].astype("uint16") * 9 + 700 * i], 1)
drawings, said = {}, ""
for text in ["data.range=percentile", "data.range=given"]:
    text = text.replace("given", said)
    done = subprocess.run([ROOT / "build/sb_loader", "index", deep, "data.tile=32", "data.channels=1", text, "-o", folder / "deep.png"],
                          capture_output=True, text=True, timeout=PATIENCE)
    said = said or done.stdout.partition("data.range=")[2].partition(":")[0]
    drawings[text] = (folder / "deep.png").read_bytes()
shown = Image.open(folder / "deep.png").convert("L").crop((10, above + 10, 210, above + 210)).getextrema()
ok(len(drawings) == 2 and len(set(drawings.values())) == 1 and shown[1] - shown[0] > 60, "a range that was found is the one that is drawn", done.stderr, said, shown)
status, text, _, _ = index(deep, "data.channels=1", "data.range=percentile")
ok(status == 0 and (folder / f"run{runs}/index.png").read_bytes() == drawings[f"data.range={said}"], "a run has this picture as index.png", text)

subprocess.run(["rm", "-rf", folder])
ok.finish()

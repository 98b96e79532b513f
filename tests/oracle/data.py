#!/usr/bin/python3
"""The index of a data set: manifests, sound and wrong, and what is held out: whatever the sizes and the rule, no pixel is in both parts."""
import csv
import random
import struct
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from images import PATIENCE, ROOT, Tap

ok = Tap()
folder = Path(tempfile.mkdtemp(prefix="smallbatch-test-"))
images = folder / "images"
runs = 0


def make(width, height, name):
    (images / name).parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (width, height))
    picture.putpixel((0, 0), sum(name.encode()) % 256)  # no two are equal by chance alone
    picture.putpixel((width - 1, height - 1), len(list(images.iterdir())) % 256)
    picture.save(images / name)
    return name


def freeze(data, tile, **keys):
    """(status, text, rows of index.csv) of a frozen index."""
    global runs
    runs += 1
    run = folder / f"run{runs}"
    run.mkdir()
    values = {"path": f"'{data}'", "tile": tile, **keys}
    (run / "config.yaml").write_text("data:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items()))
    done = subprocess.run([ROOT / "build/sb_loader", "index", run, "--freeze"], capture_output=True, timeout=PATIENCE)
    rows = []
    if done.returncode == 0:
        with open(run / "index.csv", newline="") as file:
            rows = [{key: int(value) if key not in ("path", "label") else value for key, value in row.items()} for row in csv.DictReader(file)]
    return done.returncode, done.stderr.decode(), rows


def manifest(text, tile=16, encoding="utf-8", **keys):
    path = images / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return freeze(path, tile, **keys)


def region(row, part):
    return [row[f"{part}_{side}"] for side in ("left", "top", "width", "height")]


def apart(rows):
    """What is wrong with the parts: a training tile may lie anywhere in its region (a smaller region is mirrored in itself)."""
    held = [row for row in rows if row["test_width"]]
    for a in rows:
        x, y, w, h = region(a, "train")
        for b in held:
            u, v, p, q = region(b, "test")
            if w and a["path"] == b["path"] and a["page"] == b["page"] and x < u + p and u < x + w and y < v + q and v < y + h:
                return f"{a} {b}"
    return None


# ---- manifests ----
for i in range(3):
    make(100, 50, f"{i}.png")
make(100, 50, "with, comma \"quoted\".png")
(images / "wrong.png").write_bytes(b"no image")

status, text, rows = manifest("path,label\n0.png,cat\n1.png,\n2.png,dog\n")
ok(status == 0 and [(Path(r["path"]).name, r["label"]) for r in rows] == [("0.png", "cat"), ("1.png", ""), ("2.png", "dog")], "path and label", text)
status, text, rows = manifest("\ufeffpath,label\r\n\r\n2.png,dog\r\n\r\n0.png,cat")
ok(status == 0 and [Path(r["path"]).name for r in rows] == ["0.png", "2.png"], "byte order mark, CR LF, empty lines, no last line break; sorted", text)
status, text, rows = manifest('label,path\nx,"with, comma ""quoted"".png"\n')
ok(status == 0 and rows[0]["path"].endswith('with, comma "quoted".png'), "quoting, other order of columns", text)
other = folder / "other.png"
Image.new("L", (40, 50)).save(other)
Image.new("L", (40, 50), 9).save(folder / "third.png")
status, text, rows = manifest(f"path\n{images}/0.png\n{other}\n1.png\n../third.png\n")
ok(status == 0 and [r["path"] for r in rows] == ["../../third.png", "../0.png", "../1.png", str(other)],
   "absolute paths, which stay so where they are not below the manifest's folder", text)
status, text, rows = manifest("path,left,top\n0.png,3,4\n0.png,60,20\n1.png,0,0\n")
ok(status == 0 and [(r["placed"], r["left"], r["top"], r["train_width"]) for r in rows] == [(1, 3, 4, 16), (1, 60, 20, 16), (1, 0, 0, 16)],
   "placed tiles", text)
status, text, rows = manifest("path,group\n0.png,a\n1.png,b\n2.png,a\n")
ok(status == 0 and rows[0]["group"] == rows[2]["group"] != rows[1]["group"], "groups", text)
status, text, rows = manifest("path,split\n2.png,test\n0.png,train\n1.png,train\n")
ok(status == 0 and [r["test_width"] for r in rows] == [0, 0, 100] and [r["train_width"] for r in rows] == [100, 100, 0], "split", text)
status, text, rows = manifest("path\n0.png\nwrong.png\nmissing.png\n", max_bad=0.7)
ok(status == 0 and len(rows) == 1 and "wrong.png" in text and "missing.png: No such file" in text, "unusable files are left out and named", text)
quarantine = (folder / f"run{runs}/quarantine.jsonl").read_text()
ok(quarantine.count("\n") == 2 and '"reason"' in quarantine and "wrong.png" in quarantine, "  in quarantine.jsonl as well", quarantine)
status, text, rows = manifest("path\n0.png\nwrong.png\nmissing.png\n", max_bad=0.6)
ok(status != 0 and "2 of 3 images" in text and "data.max_bad = 0.6" in text, "more of them than data.max_bad: refused", text)

for name, content, *parts in [
        ("empty", "", "is empty"), ("only line breaks", "\n\r\n\n", "is empty"), ("no rows", "path\n", "no image that can be used"),
        ("no path column", "label\ncat\n", ":1:", "column path is missing"), ("unknown column", "path,lable\n0.png,x\n", ":1:", "`lable`"),
        ("column twice", "path,path\n0.png,1.png\n", ":1:", "two columns `path`"), ("too few fields", "path,label\n0.png\n", ":2:", "1 columns"),
        ("too many fields", "path\n\n0.png\n1.png,x\n", ":4:", "2 columns"), ("empty path", "path,label\n,x\n", ":2:", "path is empty"),
        ("not a number", "path,left,top\n0.png,1,2\n0.png,x,2\n", ":3:", "left = x", "must be a whole number"),
        ("a fraction", "path,left,top\n0.png,1.5,2\n", "left = 1.5"), ("a huge number", "path,left,top\n0.png,99999999999999999999,0\n", "left = 9"),
        ("left without top", "path,left\n0.png,1\n", "column top is missing"), ("negative", "path,left,top\n0.png,-1,0\n", "left = -1"),
        ("outside", "path,left,top\r\n0.png,0,0\r\n0.png,100,0\r\n", ":3:", "left = 100", "0 to 99"),
        ("an unknown split", "path,split\n0.png,val\n", ":2:", "split = val", "train or test"),
        ("a row twice", "path\n0.png\n1.png\n0.png\n", "0.png", "twice"),
        ("a tile twice", "path,left,top\n0.png,5,5\n0.png,5,5\n", "(5, 5)", "twice"),
        ("split inside a file", "path,left,top,split\n0.png,0,0,train\n0.png,40,0,test\n0.png,15,0,train\n0.png,31,0,train\n", "0.png", "(31, 0)",
         "trained on and held out"),
        ("split: one file in both", "path,split\n1.png,train\n0.png,train\n0.png,test\n", "0.png"),
        ("an open quote", 'path\n"0.png\n', "not CSV"), ("a quote inside", 'path\n0"x.png\n', ":2:", "not CSV"),
        ("a zero byte", b"path\n0.p\0ng\n", ":2:", "zero byte"), ("a line number after quoted breaks", 'path,label\n0.png,"a\nb"\n1.png\n', ":4:"),
        ("33 columns", ",".join(["path"] * 33) + "\n", "32 columns"), ("UTF-16", "path\n0.png\n".encode("utf-16"), ":1:")]:
    status, text, _ = manifest(content)
    ok(status == 1 and "list.csv" in text + " list.csv" * (name in ("no rows", "a row twice", "a tile twice") or name.startswith("split")) and
       all(part in text for part in parts), f"refused: {name}", text)
status, text, rows = manifest("path,left,top,split\n0.png,0,0,train\n0.png,16,0,test\n0.png,0,16,train\n")
ok(status == 0 and not apart(rows), "tiles side by side may be split", text)

# ---- what is held out ----
generator = random.Random(5)
subprocess.run(["rm", "-rf", images])
for i in range(150):
    make(generator.choice((generator.randint(1, 60), generator.randint(1, 700))), generator.choice((generator.randint(1, 60), generator.randint(1, 700))),
         f"{i % 7}/{i}.png")
wrong, strips, guards = [], 0, 0
for tile in (16, 17, 33, 64, 100):
    status, text, rows = freeze(images, tile)
    wrong += [(tile, problem) for problem in [apart(rows) or (status and text)] if problem]
    for row in rows:
        longer = max(row["width"], row["height"])
        side = "left" if row["width"] >= row["height"] else "top"
        if row["test_width"]:
            strips += 1
            train_end = row["train_width" if side == "left" else "train_height"]
            if row[f"test_{side}"] - train_end < tile or longer - row[f"test_{side}"] < max(longer // 6, tile) or train_end < tile:
                wrong.append((tile, row))
        elif longer >= 3 * tile:
            wrong.append((tile, row))
ok(strips > 200 and not wrong, f"strips: {strips} of random sizes, a guard band of a tile before each, a sixth or a tile wide", wrong[:2])
ok(len({row["label"] for row in rows}) == 7, "sub-folders are labels")

status, text, rows = freeze(images, 300)  # no image is three tiles long
held = {row["path"] for row in rows if row["test_width"]}
ok(status == 0 and 5 <= len(held) <= 30 and not apart(rows) and all((row["train_width"] == 0) == (row["test_width"] > 0) for row in rows),
   f"by hash: {len(held)} of 150 images", text)
moved = folder / "moved"
images.rename(moved)
ok(len(rows) == 150 and freeze(moved, 300)[2] == rows, "  the same index where the data set has moved: its paths are relative to it")
moved.rename(images)

names = sorted(str(path.relative_to(images)) for path in images.glob("*/*.png"))
wrong = []
for tile in (16, 40):
    groups = "path,group\n" + "".join(f"{name},g{generator.randint(0, 25)}\n" for name in names)
    status, text, rows = manifest(groups, tile)
    held = {row["group"] for row in rows if row["test_width"]}
    if status or not held or apart(rows) or any((row["group"] in held) != (row["train_width"] == 0) for row in rows):
        wrong.append(text or rows[0])
ok(not wrong, "whole groups, where there are ten or more", wrong)

outcomes = [0, 0]
for trial in range(40):  # tiles of one image at random, split at random: taken if and only if no pixel is in both parts
    tile, rows = 16, []
    big = make(70, 50, "big.png")
    spots = {(generator.randrange(70), generator.randrange(50)) for _ in range(generator.randint(2, 4))}
    tiles = [(x, y, generator.choice(("train", "train", "test"))) for x, y in spots]
    clash = any(a[2] != b[2] and abs(a[0] - b[0]) < tile and abs(a[1] - b[1]) < tile for a in tiles for b in tiles)
    status, text, rows = manifest("path,left,top,split\n" + "".join(f"{big},{x},{y},{part}\n" for x, y, part in tiles), tile)
    outcomes[clash] += (status != 0) == clash and not apart(rows)
    wrong += [(tiles, text)] if (status != 0) != clash or apart(rows) else []
ok(not wrong and min(outcomes) > 3, f"split tiles of one image: {outcomes[1]} with shared pixels refused, {outcomes[0]} others taken", wrong)

# ---- an index that was damaged ----
status, text, rows = manifest("path\n" + "\n".join(names) + "\n", 16)
frozen = folder / f"run{runs}/index.bin"
whole = frozen.read_bytes()


def reread(damaged):
    frozen.write_bytes(damaged)
    done = subprocess.run([ROOT / "build/sb_augment", "--check", frozen.parent], capture_output=True, timeout=PATIENCE)
    return done.returncode, done.stderr.decode()


with_batch = (frozen.parent / "config.yaml").read_text() + "trainer: {batch: 2}\n"
(frozen.parent / "config.yaml").write_text(with_batch)
ok(reread(whole) == (0, ""), "an index reads back", reread(whole))
(frozen.parent / "index.csv").unlink()
ok(reread(whole) == (0, ""), "  without the table for people", reread(whole))
# A row as index.h has it: where each of its fields of 4 bytes lies, by looking for what the table says.
first = next(row for row in rows if row["test_width"] and row["train_width"])
needle = struct.pack("<qqiii", first["bytes"], first["mtime_ns"], first["page"], first["width"], first["height"])
at = whole.index(needle) - 8
spots = {"name": at, "page": at + 24, "width": at + 28, "left": at + 36, "label": at + 44, "group": at + 48, "tiles": at + 52, "value": at + 56, "file": at + 88,
         "train_left": at + 92, "train_width": at + 100, "test_left": at + 108, "test_width": at + 116, "random_access": at + 124, "placed": at + 128}
ok(struct.unpack_from("<iiii", whole, spots["train_left"]) == tuple(region(first, "train")) and
   struct.unpack_from("<iiii", whole, spots["test_left"]) == tuple(region(first, "test")), "  its rows lie as the test thinks")
cases = [("cut", whole[:-1]), ("empty", b""), ("longer", whole + b"\0"), ("a header of another", b"x" + whole[1:]), ("damaged labels", whole[:24] + b"\xff" + whole[25:])]
for name, spot in spots.items():
    for value in (0xfffffff0, 0x7fffffff, 0x10001) if name != "group" else (0xffffffff,):
        cases.append((f"{name} = {value}", whole[:spot] + struct.pack("<I", value) + whole[spot + 4:]))
overlap = bytearray(whole)
struct.pack_into("<iiii", overlap, spots["test_left"], *region(first, "train"))
cases.append(("pixels in both parts", bytes(overlap)))
row_bytes = struct.unpack_from("<I", whole, 12)[0]
place = whole.index(struct.pack("<qqiii", *(rows[0][key] for key in ("bytes", "mtime_ns", "page", "width", "height")))) - 8
one, two = whole[place:place + row_bytes], whole[place + row_bytes:place + 2 * row_bytes]
cases += [("out of order", whole[:place] + two + one + whole[place + 2 * row_bytes:]), ("a row twice", whole[:place] + one + one + whole[place + 2 * row_bytes:])]
wrong = [(name, status, text) for name, damaged in cases for status, text in [reread(damaged)] if status != 1 or "index" not in text and ".png" not in text]
ok(not wrong, f"{len(cases)} damaged indexes are refused", wrong[:3])

subprocess.run(["rm", "-rf", folder])
ok.finish()

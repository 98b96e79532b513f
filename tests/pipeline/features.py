"""features.py RUN FEATURES ENCODER STEM: the features in FEATURES.npy, of the tiles in FEATURES.csv, are torchvision's with the weights of
the run. The weights are loaded with the lines that the README shows."""
import csv
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import torch
from PIL import Image

root = Path(__file__).parents[2]
sys.path.insert(0, str(root / "tests/oracle"))
import reference  # noqa: E402

SIDE = 64


def load(run, encoder, stem):
    text = (root / "README.md").read_text().split("## The weights")[1].split("\n## ")[0]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert any("strict=True" in line for line in lines), lines
    safetensors = SimpleNamespace(load_file=reference.load_file)  # Debian 12 has no package of it
    sys.modules["safetensors"], sys.modules["safetensors.torch"] = SimpleNamespace(torch=safetensors), safetensors
    names = {}
    os.chdir(run)
    for line in lines:
        exec(line.replace("resnet18", encoder), names)
        if line.startswith("model = ") and stem == "small":
            names["model"].conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
            names["model"].maxpool = torch.nn.Identity()
    return names["model"].eval()


def main():
    run, path, encoder, stem = sys.argv[1:]
    features, rows = numpy.load(path + ".npy"), list(csv.DictReader(open(path + ".csv")))
    model = load(run, encoder, stem)
    assert len(features) == len(rows) == 2 + 2 + 4, (features.shape, len(rows))
    for feature, row in zip(features, rows):
        left, top = int(row["left"]), int(row["top"])
        tile = numpy.asarray(Image.open(row["path"]))[top:top + SIDE, left:left + SIDE]
        with torch.no_grad():
            wanted = model(reference.normalised(tile[None]).float())[0].numpy()
        assert feature.shape == wanted.shape, (feature.shape, wanted.shape)
        error = numpy.linalg.norm(feature - wanted) / numpy.linalg.norm(wanted)
        assert error < 1e-4, (row, error)
        print(f"{row['path']} {left} {top}: off by {error:.1e}")


main()

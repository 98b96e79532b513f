"""features.py LINES.py [FEATURES.npy TILES.csv]: the lines make torchvision's `model`, and the features, of the tiles, are its."""
import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
import reference  # noqa: E402

SIDE = 64


def load(lines):
    safetensors = SimpleNamespace(load_file=reference.load_file)  # Debian 12 has no package of it, and PyPI may be out of reach
    sys.modules["safetensors"], sys.modules["safetensors.torch"] = SimpleNamespace(torch=safetensors), safetensors
    assert "strict=True" in lines, lines
    names = {}
    exec(lines, names)
    return names["model"].eval()


def main():
    model = load(Path(sys.argv[1]).read_text())
    if len(sys.argv) == 2:
        return
    features, rows = numpy.load(sys.argv[2]), list(csv.DictReader(open(sys.argv[3])))
    assert len(features) == len(rows) == 2 + 2 + 4, (features.shape, len(rows))
    for feature, row in zip(features, rows):
        left, top = int(row["left"]), int(row["top"])
        tile = numpy.asarray(Image.open(row["path"]))[top:top + SIDE, left:left + SIDE]
        with torch.no_grad():
            x = reference.normalised(tile[None]).float()
            head = hasattr(model, "conv_head")  # the projector's: the features are what comes before
            wanted = (model.forward_features(x).mean((2, 3)) if head else model(x))[0].numpy()
        assert feature.shape == wanted.shape, (feature.shape, wanted.shape)
        error = numpy.linalg.norm(feature - wanted) / numpy.linalg.norm(wanted)
        assert error < 1e-4, (row, error)
        print(f"{row['path']} {left} {top}: off by {error:.1e}")


main()

#!/usr/bin/python3
"""Views against torchvision. With given parameters: torchvision's functions on float tensors, with antialias=True a triangle filter like ours in
0.14 too. One level of 255 is promised; half a level is what rounding takes, and a hundredth more is given here. Drawn parameters: the
distributions of torchvision's get_params, by tests whose seeds are fixed, so that they pass or fail for good."""
import math
import subprocess
import sys
from pathlib import Path

import numpy
import torch
import torchvision.transforms as transforms
import torchvision.transforms.functional as functional

TOOL = Path(__file__).parents[2] / "build/tests/oracle/view_tool"

# sb_view_params of kernels/op/view.h, as it lies in memory.
PARAMS = numpy.dtype([("left", "i4"), ("top", "i4"), ("width", "i4"), ("height", "i4"), ("size", "i4"), ("flip", "i4"), ("grey", "i4"),
                      ("jitter", "i4"), ("order", "i4", 4), ("brightness", "f4"), ("contrast", "f4"), ("saturation", "f4"),
                      ("hue", "f4"), ("blur", "f4"), ("solarise", "f4")])

# Every single test below may fail by chance with probability 1e-4.
NORMAL_LIMIT = 3.89  # two sides
KOLMOGOROV_LIMIT = math.sqrt(-math.log(1e-4 / 2) / 2)


def tile_of(generator, width, height, channels):
    """Waves of every length, noise, and black, white and grey areas."""
    y, x = numpy.mgrid[0:height, 0:width] / max(width, height)
    planes = [140 + 90 * numpy.sin(9 * x + 2 * c) * numpy.cos(7 * y - c) + 60 * numpy.sin(300 * x * y + c) for c in range(channels)]
    tile = numpy.stack(planes, axis=2) + generator.normal(0, 15, (height, width, channels))
    tile[: height // 8, : width // 3] = 0
    tile[-(height // 8):, : width // 3] = 255
    tile[:, -(width // 8):] = numpy.linspace(0, 255, height)[:, None, None]
    return tile.clip(0, 255).astype(numpy.uint8)


def torchvision_view(tile, p):
    image = torch.from_numpy(tile).permute(2, 0, 1).float() / 255
    size = int(p["size"])
    image = functional.resized_crop(image, int(p["top"]), int(p["left"]), int(p["height"]), int(p["width"]), [size, size], antialias=True)
    if p["flip"]:
        image = functional.hflip(image)
    if p["jitter"]:
        for what in p["order"]:
            name = ("brightness", "contrast", "saturation", "hue")[what]
            image = getattr(functional, f"adjust_{name}")(image, float(p[name]))
    if p["grey"]:
        image = functional.rgb_to_grayscale(image, len(image))
    if p["blur"] > 0:
        image = functional.gaussian_blur(image, max(3, size // 10 | 1), float(p["blur"]))
    close = numpy.zeros(image.shape, bool)
    if p["solarise"] < 2:  # a last bit decides on which side of the threshold a value is
        close = (image - float(p["solarise"])).abs().numpy() < 2e-6
        image = functional.solarize(image, float(p["solarise"]))
    return image.numpy().transpose(1, 2, 0) * 255, close.transpose(1, 2, 0)


def random_params(generator, width, height, sizes):
    p = numpy.zeros(len(sizes), PARAMS)
    for v, size in zip(p, sizes):
        v["width"], v["height"] = generator.integers(1, width + 1), generator.integers(1, height + 1)
        v["left"] = generator.integers(0, width - v["width"] + 1)
        v["top"] = generator.integers(0, height - v["height"] + 1)
        v["size"] = size
        v["flip"], v["jitter"] = generator.random(2) < (0.5, 0.8)
        v["grey"] = generator.random() < 0.2
        v["order"] = generator.permutation(4)
        v["brightness"], v["contrast"], v["saturation"] = generator.uniform(0, 2, 3)
        v["hue"] = generator.uniform(-0.5, 0.5)
        v["blur"] = generator.uniform(0.1, 2) if generator.random() < 0.5 else 0
        v["solarise"] = generator.random() if generator.random() < 0.2 else 2
    return p


def render(tile, params):
    height, width, channels = tile.shape
    command = [TOOL, "render", str(width), str(height), str(channels), str(len(params))]
    got = subprocess.run(command, input=tile.tobytes() + params.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    views, at = [], 0
    for p in params:
        count = int(p["size"]) ** 2 * channels
        views.append(numpy.frombuffer(got, numpy.uint8, count, at).reshape(p["size"], p["size"], channels))
        at += count
    assert at == len(got)
    return views


def rendered_as_by_torchvision():
    """One row a tile: (what, worst difference, bound, detail)."""
    generator = numpy.random.default_rng(1)
    for width, height, channels, sizes in ((257, 255, 3, [16, 31, 33, 64, 96, 224] * 6), (257, 255, 1, [16, 33, 224] * 4),
                                           (33, 31, 3, [16, 17, 64, 129] * 4), (1, 97, 3, [16, 33]), (64, 64, 3, [63, 64, 65] * 4),
                                           (1024, 1024, 3, [16, 224, 255, 1024]), (1023, 517, 1, [31, 512])):
        tile = tile_of(generator, width, height, channels)
        params = random_params(generator, width, height, sizes)
        params[0]["left"] = params[0]["top"] = 0
        params[0]["width"], params[0]["height"] = width, height
        worst, counted = 0, 0
        for p, view in zip(params, render(tile, params)):
            wanted, close = torchvision_view(tile, p)
            assert close.mean() < 1e-3
            worst = max(worst, numpy.abs(view - wanted)[~close].max())
            counted += view.size
        yield f"{len(params)} views of a tile of {width} x {height} x {channels}, {counted} values: levels", worst, 0.51


# ---- what is drawn ----------------------------------------------------------------------------------------------------------------------

def draw(width, height, count, **keys):
    names = [f"views.0.{key}={value}" for key, value in keys.items()]
    got = subprocess.run([TOOL, "draw", str(width), str(height), str(count), *names], stdout=subprocess.PIPE, check=True).stdout
    return numpy.frombuffer(got, PARAMS)


def uniform(values, low, high):
    """Kolmogorov and Smirnov's distance from the uniform distribution, in its own unit."""
    x = numpy.sort((numpy.asarray(values, float) - low) / (high - low))
    if x[0] < -1e-6 or x[-1] > 1 + 1e-6:
        return math.inf
    steps = numpy.arange(len(x) + 1) / len(x)
    return max((x - steps[:-1]).max(), (steps[1:] - x).max()) * math.sqrt(len(x))


def alike(a, b):
    """The distance between two samples."""
    grid = numpy.concatenate([a, b])
    below = [numpy.searchsorted(numpy.sort(s), grid, "right") / len(s) for s in (a, b)]
    return numpy.abs(below[0] - below[1]).max() * math.sqrt(len(a) * len(b) / (len(a) + len(b)))


def chi_square(values, count):
    """Pearson's sum for `values` uniform over 0 .. count - 1."""
    seen, wanted = numpy.bincount(values, minlength=count), len(values) / count
    return ((seen - wanted) ** 2 / wanted).sum() if len(seen) == count else math.inf


def share(happened, probability):
    if probability in (0, 1):
        return 0 if (happened == probability).all() else math.inf
    return abs(happened.mean() - probability) / math.sqrt(probability * (1 - probability) / len(happened))


def correlation(a, b):
    return abs(numpy.corrcoef(a, b)[0, 1]) * math.sqrt(len(a))


def crops_of_torchvision(width, height, count, scale, ratio):
    image = torch.empty(1, height, width)
    crops = numpy.array([transforms.RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)])
    return dict(zip(("top", "left", "height", "width"), crops.T))


def crops_as_by_torchvision():
    torch.manual_seed(1)
    for width, height, scale, ratio in ((1024, 1024, (0.2, 1), (3 / 4, 4 / 3)), (1024, 1024, (0.08, 0.14), (3 / 4, 4 / 3)),
                                        (640, 200, (0.3, 1), (0.5, 2)), (97, 301, (0.05, 0.9), (0.9, 1.5))):
        count = 10000
        ours = draw(width, height, count, crop_min=scale[0], crop_max=scale[1], ratio_min=ratio[0], ratio_max=ratio[1])
        theirs = crops_of_torchvision(width, height, count, scale, ratio)
        name = f"crops of {width} x {height}, area {scale[0]} to {scale[1]}"
        for what, value in (("left", lambda c: c["left"]), ("top", lambda c: c["top"]), ("width", lambda c: c["width"]),
                            ("height", lambda c: c["height"]), ("area", lambda c: c["width"] * c["height"]),
                            ("ratio", lambda c: c["width"] / c["height"]),
                            ("centre", lambda c: c["left"] + c["top"] + (c["width"] + c["height"]) / 2)):
            yield f"{name}: {what}", alike(value(ours), value(theirs)), KOLMOGOROV_LIMIT
    for width, height, ratio in ((400, 30, (0.75, 4 / 3)), (31, 401, (0.75, 4 / 3)), (200, 100, (2.5, 3))):  # none fits: the central crop
        ours = draw(width, height, 20, crop_min=0.99, crop_max=1, ratio_min=ratio[0], ratio_max=ratio[1])
        theirs = crops_of_torchvision(width, height, 1, (0.99, 1), ratio)
        yield f"central crop of {width} x {height}", max(abs(ours[key] - theirs[key][0]).max() for key in theirs), 0


def draws_as_by_torchvision():
    count = 20000
    yield from crops_as_by_torchvision()
    chances = dict(flip=0.5, jitter=0.8, grey=0.2, blur=0.3, solarise=0.1)
    p = draw(256, 256, count, **chances, brightness=0.4, contrast=0.8, saturation=1.5, hue=0.1, blur_min=0.1, blur_max=2,
             solarise_threshold=0.25)
    drawn = {"flip": p["flip"], "jitter": p["jitter"], "grey": p["grey"], "blur": p["blur"] > 0, "solarise": p["solarise"] < 2}
    for name, probability in chances.items():
        yield f"share of {name}", share(drawn[name], probability), NORMAL_LIMIT
    jitter = transforms.ColorJitter(0.4, 0.8, 1.5, 0.1)  # its own ranges
    for name in ("brightness", "contrast", "saturation", "hue"):
        yield f"{name} uniform", uniform(p[name], *getattr(jitter, name)), KOLMOGOROV_LIMIT
    yield "sigma uniform", uniform(p["blur"][drawn["blur"]], 0.1, 2), KOLMOGOROV_LIMIT
    yield "threshold", abs(p["solarise"][drawn["solarise"]] - 0.25).max(), 0
    yield "orders are permutations", abs(numpy.sort(p["order"], axis=1) - numpy.arange(4)).max(), 0
    ranks = numpy.unique(p["order"], axis=0, return_inverse=True)[1]
    yield "orders uniform: chi-square of 24", chi_square(ranks, 24), 58.6  # 1e-4 of 23 degrees of freedom, as 18.4 of 2
    small = draw(4, 4, count, crop_min=0.25, crop_max=0.25, ratio_min=1, ratio_max=1)  # 2 x 2: three places each way
    yield "left uniform: chi-square of 3 places", chi_square(small["left"], 3), 18.4
    yield "top uniform: chi-square of 3 places", chi_square(small["top"], 3), 18.4
    values = dict(drawn, left=p["left"], width=p["width"], hue=p["hue"], brightness=p["brightness"], first=p["order"][:, 0])
    names = list(values)
    for i, a in enumerate(names):
        yield f"{a} does not follow the sample before", correlation(values[a][1:], values[a][:-1]), NORMAL_LIMIT
        for b in names[:i]:
            if (a, b) != ("width", "left"):  # a wide crop cannot lie far to the right
                yield f"{a} does not follow {b}", correlation(values[a], values[b]), NORMAL_LIMIT
    for probability in (0, 1):
        p = draw(64, 64, 2000, flip=probability, jitter=probability, grey=probability, blur=probability, solarise=probability)
        for name, happened in (("flip", p["flip"]), ("jitter", p["jitter"]), ("grey", p["grey"]), ("blur", p["blur"] > 0),
                               ("solarise", p["solarise"] < 2)):
            yield f"{name} with probability {probability}", share(happened, probability), 0


def main():
    torch.set_num_threads(1)
    number = failed = 0
    for rows in (rendered_as_by_torchvision(), draws_as_by_torchvision()):
        for name, measured, bound in rows:
            number += 1
            good = measured <= bound
            failed += not good
            print(f"{'' if good else 'not '}ok {number} - {name}: {measured:.3g}, bound {bound:.3g}", flush=True)
    print(f"1..{number}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

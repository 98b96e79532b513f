#!/usr/bin/python3
"""tensorboard.py RUN [COMMAND...]: RUN/tensorboard as TensorBoard itself reads it: every point against the run's logs, pictures, and what the
projector serves. With a COMMAND it stays open while that runs, as a TensorBoard does, and then looks again."""
import io
import json
import os
import subprocess
import sys
import warnings

sys.path.insert(0, "build/tensorboard")
warnings.filterwarnings("ignore")
import numpy
from PIL import Image
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector import projector_plugin
from tensorboard.util import tensor_util
from werkzeug.test import Client

ROWS = {"chance": "chance", "colour": "colour statistics", "pixels": "16 x 16 pixels", "untrained": "untrained", "given": "as given", "trained": "trained"}
POINTS = 1000  # of a curve, at most

run = sys.argv[1]
folder = os.path.join(run, "tensorboard")


def lines(name):
    """The objects of a log; what is none of them is passed over."""
    path = os.path.join(run, name)
    for line in open(path, "rb").read().split(b"\n")[:-1] if os.path.exists(path) else []:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and type(value.get("step")) is int:
            yield value


def expected():
    """{run of TensorBoard: {tag: {step: value}}} by the logs alone."""
    runs = {"training": {}}

    def take(name, group, step, values):
        for key, value in values.items():
            if isinstance(value, (int, float)) and key != "step" and abs(value) <= numpy.finfo("f4").max:
                runs.setdefault(name, {}).setdefault(f"{group}/{key}", {})[step] = float(value)

    for o in lines("metrics.jsonl"):
        take("training", "training", o["step"], o)
        take("training", "guides", o["step"], o.get("guides", {}))
    for o in lines("evaluation.jsonl"):
        for row, name in ROWS.items():
            take(name, "evaluation", o["step"], o["rows"].get(row, {}))
            for size, rows in o.get("sizes", {}).items():
                take(name, f"evaluation at {size} pixels", o["step"], rows.get(row, {}))
        take("training", "embeddings", o["step"], o.get("embeddings", {}))
    return runs


def thinned(points):
    """(step, value), in order; of a long curve means."""
    points = sorted(points.items())
    count = min(len(points), POINTS)
    parts = [points[p * len(points) // count : (p + 1) * len(points) // count] for p in range(count)]
    return [(part[-1][0], numpy.float32(sum(v for _, v in part) / len(part))) for part in parts]


class Board:
    def __init__(self):
        # All points, not a sample of them.
        self.events = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0, "images": 0}, purge_orphaned_data=True)

    def reload(self):
        self.events.AddRunsFromDirectory(folder)
        self.events.Reload()

    def values(self, name, tag):
        return [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in self.events.Tensors(name, tag)]

    def check_scalars(self):
        wanted = expected()
        runs = self.events.Runs()
        for name in runs:
            tags = set(runs[name]["tensors"]) - {"pictures/contact", "pictures/tiles"}
            points = {tag: self.values(name, tag) for tag in tags}
            points = {tag: p for tag, p in points.items() if p}  # what was forgotten leaves its name
            assert set(points) == set(wanted.get(name, {})), (name, set(points) ^ set(wanted.get(name, {})))
            for tag, got in points.items():
                want = thinned(wanted[name][tag])
                assert [s for s, _ in got] == [s for s, _ in want], (name, tag, got, want)
                assert all(abs(g - w) <= 1e-6 * abs(w) if len(wanted[name][tag]) > POINTS else g == w for (_, g), (_, w) in zip(got, want)), (name, tag, got, want)
        assert set(wanted) <= set(runs), set(wanted) - set(runs)
        print(f"{sum(len(t) for t in wanted.values())} curves of {len(wanted)} runs, {sum(len(p) for t in wanted.values() for p in t.values())} values in the logs")

    def check_picture(self, tag, step):
        (at, (width, height, data)), = self.values("training", tag)  # one
        picture = Image.open(io.BytesIO(data))
        picture.load()
        assert at == step and picture.size == (int(width), int(height)), (at, picture.size, width, height)
        return picture, data

    def check_pictures(self):
        there = [tag for tag in ("pictures/contact", "pictures/tiles") if tag in self.events.Runs()["training"]["tensors"] and self.values("training", tag)]
        assert ("pictures/contact" in there) == os.path.exists(f"{run}/pictures/contact.png")
        assert ("pictures/tiles" in there) == os.path.exists(f"{run}/findings.json")
        if "pictures/contact" in there:
            ours = Image.open(f"{run}/pictures/contact.png").convert("RGB")
            theirs, _ = self.check_picture("pictures/contact", 0)
            assert theirs.width == min(ours.width, 1000)
            assert numpy.abs(numpy.asarray(theirs.resize((32, 32)), "f4") - numpy.asarray(ours.resize((32, 32)), "f4")).mean() < 8
        return "pictures/tiles" in there

    def check_projector(self):
        findings = json.load(open(f"{run}/findings.json"))
        features = numpy.load(f"{run}/findings.npy")
        tiles = findings["tiles"]
        plugin = projector_plugin.ProjectorPlugin(base_plugin.TBContext(logdir=folder, data_provider=data_provider.MultiplexerDataProvider(self.events, folder)))
        apps = plugin.get_plugin_apps()

        def serve(what):
            answer = Client(apps["/" + what]).get("/", query_string={"run": "training", "name": "tiles"})
            assert answer.status_code == 200, (what, answer.data)
            return answer.data

        assert json.loads(serve("runs")) == ["training"]
        (config,) = json.loads(serve("info"))["embeddings"]
        assert config["tensorShape"] == list(features.shape) and features.shape[0] == len(tiles) > 1, config
        assert numpy.allclose(numpy.linalg.norm(features, axis=1), 1, atol=1e-5)
        assert numpy.allclose(numpy.frombuffer(serve("tensor"), "f4").reshape(features.shape), features, rtol=1e-5)
        head, *rows = serve("metadata").decode().split("\n")[:-1]
        assert head == "name\tlabel\tleft\ttop\tpage\tpart" and len(rows) == len(tiles)
        for t, (row, tile) in enumerate(zip(rows, tiles)):
            part = "held out" if t < findings["held"] else "train"
            assert row.split("\t") == [tile["name"], tile.get("label", ""), str(tile["left"]), str(tile["top"]), str(tile["page"]), part], (row, tile)
        # A tile's picture is its cell of the atlas: in rows of as many as the picture is wide.
        picture, data = self.check_picture("pictures/tiles", findings["step"])
        side = findings["cell"] + 2 * findings["frame"]
        assert serve("sprite_image") == data and config["sprite"]["singleImageDim"] == [side, side]
        assert picture.width == findings["columns"] * side and picture.width // side * (picture.height // side) >= len(tiles)
        print(f"{len(tiles)} tiles in the projector")

    def check(self):
        self.reload()
        self.check_scalars()
        if self.check_pictures():
            self.check_projector()
        full = [n for where, _, names in os.walk(folder) for n in names if "tfevents" in n and os.path.getsize(os.path.join(where, n))]
        assert len(full) == len(self.events.Runs()), full  # one file for each run has events


board = Board()
board.check()
if len(sys.argv) > 2:
    subprocess.run(sys.argv[2:], check=True)
    board.check()
    Board().check()

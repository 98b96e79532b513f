#!/usr/bin/python3
"""Every measure of the evaluator against numpy, written from the papers' formulas with whole matrices."""
import subprocess
import sys
from pathlib import Path

import numpy

TOOL = Path(__file__).parents[2] / "build/tests/oracle/metrics_tool"
NONE = 0xFFFFFFFF


def unit(x):
    return x / numpy.linalg.norm(x, axis=1, keepdims=True)


def same(ids):
    equal = ids[:, None] == ids[None, :]
    numpy.fill_diagonal(equal, False)
    return equal


def chance(ids):
    known = ids[ids != NONE]
    partners = same(known).sum(axis=1)
    return (partners[partners > 0] / (len(known) - 1)).mean() if (partners > 0).any() else -1


def knn(x, labels, k=20, temperature=0.07):
    rows = numpy.flatnonzero(labels != NONE)
    if len(rows) < 2:
        return -1, -1
    x, labels = x[rows], labels[rows]
    first = fifth = 0
    for i in range(len(rows)):
        s = x @ x[i]
        s[i] = -numpy.inf
        near = numpy.argsort(-s, kind="stable")[: min(k, len(rows) - 1)]
        votes = numpy.zeros(labels.max() + 1)
        numpy.add.at(votes, labels[near], numpy.exp(s[near] / temperature))
        ranked = [c for c in numpy.argsort(-votes, kind="stable") if votes[c] > 0]
        first += labels[i] in ranked[:1]
        fifth += labels[i] in ranked[:5]
    return first / len(rows), fifth / len(rows)


def reference(clean, view, labels, groups):
    tiles, each = len(clean), len(view) // len(clean)
    clean, view = unit(clean.astype(float)), unit(view.astype(float))
    out = {"view_retrieval": ((view @ clean.T).argmax(axis=1) == numpy.arange(len(view)) // each).mean()}
    s = clean @ clean.T
    numpy.fill_diagonal(s, -numpy.inf)
    partners = same(groups).any(axis=1)
    hits = groups[s.argmax(axis=1)] == groups
    out["group_retrieval"] = hits[partners].mean() if partners.any() else -1
    out["knn_top1"], out["knn_top5"] = knn(clean, labels)
    singular = numpy.linalg.svd(view[:1024], compute_uv=False)
    p = singular / singular.sum() + 1e-7
    out["rank"] = numpy.exp(-(p * numpy.log(p)).sum())
    out["alignment"] = ((view - clean.repeat(each, axis=0)) ** 2).sum(axis=1).mean()
    square = ((clean[:, None] - clean[None]) ** 2).sum(axis=2)
    out["uniformity"] = numpy.log(numpy.exp(-2 * square[numpy.triu_indices(tiles, 1)]).mean())
    out["deviation"] = view.std(axis=0).mean() * view.shape[1] ** 0.5
    out["chance.group_retrieval"], out["chance.knn_top1"], out["chance.view_retrieval"] = chance(groups), chance(labels), 1 / tiles
    return out


def main():
    generator = numpy.random.default_rng(3)
    cases = [(2, 1, 3, 0), (3, 8, 31, 2), (31, 8, 33, 7), (33, 1, 257, 3), (257, 8, 64, 12), (24, 8, 512, 0)]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (tiles, each, width, classes) in enumerate(cases, 1):
        clean = generator.standard_normal((tiles, width)).astype(numpy.float32)
        view = (clean.repeat(each, axis=0) + 1.5 * generator.standard_normal((tiles * each, width))).astype(numpy.float32)
        labels = numpy.full(tiles, NONE, numpy.uint32)
        if classes:
            labels[:] = generator.integers(0, classes, tiles)
            labels[generator.random(tiles) < 0.1] = NONE
        groups = generator.integers(0, max(1, tiles // 2), tiles).astype(numpy.uint32)
        got = subprocess.run([TOOL, str(tiles), str(each), str(width)], stdout=subprocess.PIPE, check=True,
                             input=clean.tobytes() + view.tobytes() + labels.tobytes() + groups.tobytes()).stdout
        got = {line.split()[0]: float(line.split()[1]) for line in got.decode().splitlines()}
        wanted = reference(clean, view, labels.astype(numpy.int64), groups)
        wrong = {k: (got[k], v) for k, v in wanted.items() if not abs(got[k] - v) <= 1e-5 * max(1, abs(v))}
        failed += bool(wrong)
        print(f"{'not ' if wrong else ''}ok {number} - measures of {tiles} tiles, {each} views, width {width}, {classes} labels {wrong or ''}",
              flush=True)
    return failed > 0


sys.exit(main())

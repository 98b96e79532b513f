#!/usr/bin/python3
"""Every measure of the evaluator against numpy, written from the papers' formulas with whole matrices; the linear probe against
scikit-learn's LogisticRegression."""
import subprocess
import sys
import warnings
from pathlib import Path

import numpy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler

from philox import philox

TOOL = Path(__file__).parents[2] / "build/tests/oracle/metrics_tool"
NONE = 0xFFFFFFFF
LACKS = -sys.float_info.max


def unit(x):
    return x / numpy.linalg.norm(x, axis=1, keepdims=True)


def same(ids):
    equal = ids[:, None] == ids[None, :]
    numpy.fill_diagonal(equal, False)
    return equal


def chance(ids):
    known = ids[ids != NONE]
    partners = same(known).sum(axis=1)
    return (partners[partners > 0] / (len(known) - 1)).mean() if (partners > 0).any() else LACKS


def knn(x, labels, k=20, temperature=0.07):
    rows = numpy.flatnonzero(labels != NONE)
    if len(rows) < 2:
        return LACKS, LACKS
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


class Draws:
    """The numbers of proto/random.h's stream (seed 0, purpose 8, a, b, 1), below n without bias."""

    def __init__(self, a, b):
        self.hashed = philox((0, 0), (a, b, 1, 8))
        self.words = []
        self.block = 0

    def word(self):
        if not self.words:
            self.words = [int(w) for w in philox(self.hashed[:2], (self.block, self.hashed[2], self.hashed[3], 8))]
            self.block += 1
        return self.words.pop(0)

    def below(self, n):
        product = self.word() * n
        while product % 2**32 < 2**32 % n:
            product = self.word() * n
        return product >> 32


def classifier(x, labels, l2):
    """scikit-learn's: the sum of losses times C, and half the squared weights; ours is of the mean. A softmax of two classes, too."""
    return LogisticRegression(C=1 / (len(x) * l2), tol=1e-8, max_iter=20000, multi_class="multinomial").fit(x, labels)


def scores(model, x, classes):
    """[rows, classes], of two classes, too, where scikit-learn has the second one's score, which is minus the first's."""
    out = model.decision_function(x)
    return numpy.stack([-out, out], 1) if len(classes) == 2 else out


def validation_part(groups):
    """A fifth or more of the rows, in whole groups, in the order of our draws."""
    draws, order = Draws(0, 0), numpy.unique(groups)
    for i in range(len(order) - 1, 0, -1):
        other = draws.below(i + 1)
        order[i], order[other] = order[other], order[i]
    held = numpy.zeros(len(groups), bool)
    for group in order[:-1]:
        if 5 * held.sum() >= len(groups):
            break
        held |= groups == group
    return held


def balanced(right, labels, weights=None):
    weights = numpy.ones(len(labels)) if weights is None else weights
    of = [numpy.average(right[labels == c], weights=weights[labels == c]) for c in numpy.unique(labels) if weights[labels == c].sum() > 0]
    return numpy.mean(of)


def probe(x, labels, groups, held_x, held_labels, held_groups, out):
    """Into out: values, and how far ours may be off: 0.2 points, or one held-out tile of the smallest class where that is more."""
    keys = "probe probe_low probe_high probe_top1 probe_top5 probe_l2 few_1 few_5 few_10 few_100".split()
    out.update(dict.fromkeys(keys, LACKS))
    known = held_labels != NONE
    held_x, held_labels, held_groups = held_x[known], held_labels[known], held_groups[known]
    classes = numpy.unique(labels)
    if len(classes) < 2 or not known.any():
        return
    out["chance.probe"] = 1 / len(classes)
    scale = StandardScaler().fit(x)
    x, held_x = scale.transform(x), scale.transform(held_x)
    if len(numpy.unique(groups)) > 1:
        part = validation_part(groups)
        losses = {}
        for l2 in (10, 1, 0.1, 0.01, 0.001, 0.0001):
            fitted = classifier(x[~part], labels[~part], l2)
            assert set(fitted.classes_) == set(classes)
            p = scores(fitted, x[part], classes)
            losses[l2] = log_loss(labels[part], numpy.exp(p) / numpy.exp(p).sum(axis=1, keepdims=True), labels=classes)
        out["probe_l2"] = min(losses, key=losses.get)
    else:
        out["probe_l2"] = 0.1
    found = scores(classifier(x, labels, out["probe_l2"]), held_x, classes)
    order = classes[numpy.argsort(-found, axis=1, kind="stable")]
    right = order[:, 0] == held_labels
    out["probe"], out["probe_top1"] = balanced(right, held_labels), right.mean()
    assert set(held_labels) - set(classes) or abs(out["probe"] - balanced_accuracy_score(held_labels, order[:, 0])) < 1e-12
    if len(classes) > 5:
        out["probe_top5"] = (order[:, :5] == held_labels[:, None]).any(axis=1).mean()
    distinct = numpy.unique(held_groups)
    if len(distinct) > 1:
        drawn = []
        for d in range(1000):
            draws = Draws(1, d)
            chosen = distinct[[draws.below(len(distinct)) for _ in distinct]]
            drawn.append(balanced(right, held_labels, (held_groups[:, None] == chosen).sum(axis=1).astype(float)))
        drawn.sort()
        out["probe_low"], out["probe_high"] = drawn[25], drawn[974]
    before = 0
    for number, each in enumerate((1, 5, 10, 100)):
        if max((labels == c).sum() for c in classes) <= before:
            break
        before, of = each, []
        for d in range(5):
            draws, chosen = Draws(2 + number, d), []
            for c in classes:
                rows = list(numpy.flatnonzero(labels == c))
                for n in range(min(each, len(rows))):
                    other = n + draws.below(len(rows) - n)
                    rows[n], rows[other] = rows[other], rows[n]
                chosen += rows[:min(each, len(rows))]
            few = classifier(x[chosen], labels[chosen], 1 / len(chosen))
            of.append(balanced(classes[scores(few, held_x, classes).argmax(axis=1)] == held_labels, held_labels))
        out[f"few_{each}"] = numpy.mean(of)


def effective(values, more=0.0):
    p = values / values.sum() + more
    return numpy.exp(-(p * numpy.log(p)).sum())


def lidar(view, tiles, each):
    if each < 2:
        return LACKS
    tiles = min(tiles, 1024 // each)
    x = view[:tiles * each].reshape(tiles, each, -1)
    means = x.mean(axis=1)
    apart = numpy.cov(means.T)
    rest = (x - means[:, None]).reshape(tiles * each, -1)
    within = rest.T @ rest / (tiles * (each - 1)) + 1e-4 * numpy.eye(x.shape[2])
    value, vector = numpy.linalg.eigh(within)
    root = vector / value ** 0.5 @ vector.T
    return effective(numpy.linalg.eigvalsh(root @ apart @ root).clip(0) + 1e-7)


def alpha_req(view):
    view = view[:1024]
    last = min(len(view) - 1, view.shape[1]) // 2
    if last < 19:
        return LACKS
    value = numpy.linalg.eigvalsh(numpy.cov(view.T))[::-1]
    rank = numpy.arange(10, last + 1)
    return -numpy.polyfit(numpy.log(rank), numpy.log(value[9:last]), 1)[0]


def clusters(x, count):
    """From the first place and those farthest from the ones before it; 20 rounds at most."""
    def nearest(centres):
        return ((x[:, None] - centres[None]) ** 2).sum(axis=2)
    centres = x[:1]
    while len(centres) < min(count, len(x)):
        centres = numpy.concatenate([centres, x[[nearest(centres).min(axis=1).argmax()]]])
    label = nearest(centres).argmin(axis=1)
    for _ in range(20):
        centres = numpy.stack([x[label == k].mean(axis=0) if (label == k).any() else centres[k] for k in range(len(centres))])
        before, label = label, nearest(centres).argmin(axis=1)
        if (label == before).all():
            break
    return centres, label


def inner(x, label):
    """Of each cluster of two places or more."""
    parts = [x[label == k] for k in numpy.unique(label) if (label == k).sum() > 1]
    return [numpy.linalg.svd(p - p.mean(axis=0), compute_uv=False).sum() / max(len(p) - 1, p.shape[1]) ** 0.5 for p in parts]


def dense_structure(places):
    if len(places) == 0:
        return LACKS
    places = places / numpy.linalg.norm(places, axis=2, keepdims=True)
    every = places.reshape(-1, places.shape[2])
    length = numpy.linalg.norm(every - every.mean(axis=0), axis=1).mean()
    inter, together, rank = [], [], []
    for t in range(0, len(places), 8):
        x = places[t:t + 8].reshape(-1, places.shape[2])
        centres, label = clusters(x, 24)
        distance = numpy.linalg.norm(x[:, None] - centres[None], axis=2)
        distance[numpy.arange(len(x)), label] = numpy.inf
        inter.append(distance.min(axis=1).mean())
        together += inner(x, label)
        rank.append(effective(numpy.linalg.svd(x, compute_uv=False), 1e-12) / min(x.shape))
    alone = [numpy.mean(inner(x, clusters(x, 3)[1])) for x in places]
    return numpy.mean(inter) / length + numpy.mean(rank) - (numpy.mean(together) + numpy.mean(alone)) / 2 / length


def reference(clean, view, labels, groups, learnt, learnt_labels, learnt_groups, places):
    tiles, each = len(clean), len(view) // len(clean)
    out = {}
    probe(learnt.astype(float), learnt_labels, learnt_groups, clean.astype(float), labels, groups, out)
    clean, view = unit(clean.astype(float)), unit(view.astype(float))
    out["view_retrieval"] = ((view @ clean.T).argmax(axis=1) == numpy.arange(len(view)) // each).mean()
    s = clean @ clean.T
    numpy.fill_diagonal(s, -numpy.inf)
    partners = same(groups).any(axis=1)
    hits = groups[s.argmax(axis=1)] == groups
    out["group_retrieval"] = hits[partners].mean() if partners.any() else LACKS
    out["knn_top1"], out["knn_top5"] = knn(clean, labels)
    out["rank"] = effective(numpy.linalg.svd(view[:1024], compute_uv=False), 1e-7)
    out["lidar"], out["alpha_req"] = lidar(view, tiles, each), alpha_req(view)
    out["alignment"] = ((view - clean.repeat(each, axis=0)) ** 2).sum(axis=1).mean()
    square = ((clean[:, None] - clean[None]) ** 2).sum(axis=2)
    out["uniformity"] = numpy.log(numpy.exp(-2 * square[numpy.triu_indices(tiles, 1)]).mean())
    out["deviation"] = view.std(axis=0).mean() * view.shape[1] ** 0.5
    out["dense_structure"] = dense_structure(places.astype(float))
    out["chance.group_retrieval"], out["chance.knn_top1"], out["chance.view_retrieval"] = chance(groups), chance(labels), 1 / tiles
    return out


def tolerance(key, value):
    return 0.002 if key.startswith(("probe", "few")) and key != "probe_l2" else 1e-5 * max(1, abs(value))


def main():
    warnings.simplefilter("error")
    generator = numpy.random.default_rng(3)
    cases = [(2, 1, 3, 0, 0, (0, 1, 1)), (3, 8, 31, 2, 12, (3, 9, 5)), (31, 8, 33, 7, 200, (11, 4, 40)), (33, 1, 257, 3, 60, (8, 64, 33)),
             (257, 8, 64, 12, 900, (32, 16, 24)), (600, 1, 40, 5, 500, (0, 1, 1)), (24, 8, 512, 0, 0, (24, 49, 16))]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (tiles, each, width, classes, learnt_tiles, (mapped, per, place_width)) in enumerate(cases, 1):
        clean = generator.standard_normal((tiles, width)).astype(numpy.float32)
        view = (clean.repeat(each, axis=0) + 1.5 * generator.standard_normal((tiles * each, width))).astype(numpy.float32)
        labels, learnt_labels = numpy.full(tiles, NONE, numpy.uint32), numpy.zeros(learnt_tiles, numpy.uint32)
        learnt = generator.standard_normal((learnt_tiles, width)).astype(numpy.float32)
        if classes: # what a class is, features tell in part; one class is at the end of the numbers, with a hole before it
            centre = generator.standard_normal((classes, width))
            labels[:], learnt_labels[:] = generator.integers(0, classes, tiles), numpy.arange(learnt_tiles) % classes
            clean += (0.5 * centre[labels]).astype(numpy.float32)
            learnt += (0.5 * centre[learnt_labels]).astype(numpy.float32)
            labels[labels == classes - 1] = learnt_labels[learnt_labels == classes - 1] = classes + 3
            labels[generator.random(tiles) < 0.1] = NONE
        groups = generator.integers(0, max(1, tiles // 2), tiles).astype(numpy.uint32)
        learnt_groups = generator.integers(1000, 1000 + max(1, learnt_tiles // 15), learnt_tiles).astype(numpy.uint32)
        places = generator.standard_normal((mapped, per, place_width)).astype(numpy.float32)
        sent = b"".join(a.tobytes() for a in (clean, view, learnt, places, labels, groups, learnt_labels, learnt_groups))
        got = subprocess.run([TOOL, *map(str, (tiles, each, width, learnt_tiles, mapped, per, place_width))], stdout=subprocess.PIPE,
                             check=True, input=sent).stdout
        got = {line.split()[0]: float(line.split()[1]) for line in got.decode().splitlines()}
        wanted = reference(clean, view, labels.astype(numpy.int64), groups, learnt, learnt_labels.astype(numpy.int64), learnt_groups, places)
        missing = {k for k in got if k not in wanted and not k.startswith("chance.few") and got[k] != LACKS}
        wrong = {k: (got[k], v) for k, v in wanted.items() if not abs(got[k] - v) <= tolerance(k, v)}
        failed += bool(wrong or missing)
        print(f"{'not ' if wrong or missing else ''}ok {number} - measures of {tiles} tiles, {each} views, width {width}, {classes} labels "
              f"{wrong or ''}{missing or ''}", flush=True)
    return failed > 0


sys.exit(main())

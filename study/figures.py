"""figures.py: what studies share: intervals over seeds, and the evaluator's kNN (evaluator/metrics/knn.c) of any features."""
import math
import os
import statistics

import numpy
from scipy import stats

NEIGHBOURS, TEMPERATURE = 20, 0.07


def interval(values):
    """Mean and half of the 95 % interval of it; None instead where one value leaves none."""
    if len(values) < 2:
        return values[0], None
    return statistics.mean(values), stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def text(values, sign=""):
    """In per cent."""
    mean, half = interval([100 * v for v in values])
    return f"{mean:{sign}.1f}" + ("" if half is None else f" ± {half:.1f}")


def knn(features, labels):
    """Share of the rows whose label has the most votes of their neighbours, weighted; a row has none on itself. float64 [N, d], int [N]."""
    features = features / numpy.linalg.norm(features, axis=1, keepdims=True)
    similarity = features @ features.T
    numpy.fill_diagonal(similarity, -numpy.inf)
    near = numpy.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    weight = numpy.exp(numpy.take_along_axis(similarity, near, axis=1) / TEMPERATURE)
    votes = numpy.stack([(weight * (labels[near] == label)).sum(axis=1) for label in range(labels.max() + 1)], axis=1)
    return float((votes.argmax(axis=1) == labels).mean())


def machine():
    lines = open("/proc/cpuinfo").read().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    flags = next((line for line in lines if line.startswith("flags")), "")
    kind = "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "AVX-512, no bf16" if "avx512f" in flags else "AVX2, no bf16"
    return f"{os.cpu_count()} cores, {model} ({kind})"

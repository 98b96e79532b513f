"""The random streams of proto/random.h, written down a second time. For the tests in this folder."""
import numpy
import torch


def philox(key, counter):
    """Salmon et al. 2011: Philox4x32-10; arrays of 32-bit numbers."""
    k0, k1 = (numpy.uint64(k) for k in key)
    x = [numpy.asarray(c, numpy.uint64) for c in counter]
    low, half = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)
    for _ in range(10):
        p0, p1 = numpy.uint64(0xD2511F53) * x[0], numpy.uint64(0xCD9E8D57) * x[2]
        x = [(p1 >> half) ^ x[1] ^ k0, p1 & low, (p0 >> half) ^ x[3] ^ k1, p0 & low]
        k0, k1 = (k0 + numpy.uint64(0x9E3779B9)) & low, (k1 + numpy.uint64(0xBB67AE85)) & low
    return x


def normals(seed, number, which, count):
    """What a method draws in step `number` for leaf `which` of its graph: stream 9, and Box and Muller's pairs."""
    hashed = philox((seed, 0), (number, 0, which, 9))
    blocks = numpy.arange((2 * count + 6) // 4, dtype=numpy.uint64)
    words = philox((hashed[0], hashed[1]), (blocks, hashed[2], hashed[3], 9))
    u, v = numpy.stack(numpy.broadcast_arrays(*words), 1).astype(numpy.float64).reshape(-1, 2).T
    radius = numpy.sqrt(-2 * numpy.log((u + 1) / 2**32))
    pairs = radius * numpy.stack([numpy.cos(2 * numpy.pi * v / 2**32), numpy.sin(2 * numpy.pi * v / 2**32)])
    return torch.from_numpy(pairs.T.ravel()[:count].astype(numpy.float32))

#!/bin/bash
# ./run loss as a user meets it, from a folder of the user's: the formula of SimCLR once more, in numpy, and what is said of input that has
# no loss.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"
root=$PWD
cd "$work" || exit 1
/usr/bin/python3 - <<'END'
import numpy
g = numpy.random.default_rng(3)
a, b = (g.standard_normal((9, 6)).astype(numpy.float32) for _ in range(2))
numpy.save("a", a), numpy.save("b", b), numpy.save("short", b[:8]), numpy.save("one", a[:1]), numpy.save("double", a.astype(float))
numpy.save("columns", numpy.asfortranarray(a)), numpy.save("flat", a[0])
numbers = numpy.array([7, 2, 40, 2, 0, 1, 3, 4, 5], numpy.int32)
numpy.save("numbers", numbers), numpy.save("long", numbers.astype(int))
numbers[3] = -1
numpy.save("below", numbers)
b[4, 2] = numpy.nan
numpy.save("nan", b)
places = numpy.array([[i // 3, 20 * (i % 3), 7, 25 if i < 5 else 20] for i in range(9)], numpy.int32)  # 0-1, 1-2, 3-4 and 4-5 overlap
numpy.save("places", places), numpy.save("triples", places[:, 1:]), numpy.save("backwards", places[:, ::-1].copy())
open("cut.npy", "wb").write(open("a.npy", "rb").read()[:200])
END

loss() { "$root/run" loss "$@"; }

by_numpy() {
    loss simclr a.npy b.npy method.temperature=0.5 -o out >said && /usr/bin/python3 - <<'END'
import numpy
a, b, g = numpy.load("a.npy").astype(float), numpy.load("b.npy").astype(float), numpy.load("out/gradient.1.npy")

def loss(a, b):
    z = numpy.concatenate([a, b])
    z /= numpy.linalg.norm(z, axis=1, keepdims=True)
    s = numpy.exp(z @ z.T / 0.5)
    numpy.fill_diagonal(s, 0)
    rows = numpy.arange(18)
    return -numpy.log(s[rows, (rows + 9) % 18] / s.sum(1)).mean()

word, said = open("said").read().split()
moved = b.copy()
moved[3, 1] += 1e-5
assert word == "loss" and abs(float(said) - loss(a, b)) < 1e-6
assert abs((loss(a, moved) - loss(a, b)) / 1e-5 - g[3, 1]) < 1e-5
END
}

# What a method has of its own follows from the seed, or from files: another seed with the first one's arrays is the first.
out_and_in() {
    loss byol a.npy b.npy method.hidden=5 -o first >one && loss byol a.npy b.npy method.hidden=5 seed=4 -o other >two && ! cmp one two &&
        loss byol a.npy b.npy method.hidden=5 seed=4 --arrays first/arrays -o again >three && cmp one three &&
        cmp first/gradients/predictor.0.weight.npy again/gradients/predictor.0.weight.npy
}

# What is kept for each image: the rows that the numbers name, and no other.
kept_for_images() {
    loss sogclr a.npy b.npy --images numbers.npy -o images >said && /usr/bin/python3 - <<'END'
import numpy
seen, numbers = numpy.load("images/after/seen.npy")[:, 0], numpy.load("numbers.npy")
assert len(seen) == 41 and set(numpy.flatnonzero(seen)) == set(numbers), seen
END
}

# Samples whose tiles overlap are no negatives of each other; those that touch, or are of two images, are.
overlapping() {
    loss dcl a.npy b.npy --places places.npy method.temperature=0.5 -o overlapping >said && /usr/bin/python3 - <<'END'
import numpy
z = numpy.concatenate([numpy.load("a.npy"), numpy.load("b.npy")]).astype(float)
z /= numpy.linalg.norm(z, axis=1, keepdims=True)
s = z @ z.T / 0.5
negative = numpy.tile(~numpy.eye(9, dtype=bool), (2, 2))
for i, j in (0, 1), (1, 2), (3, 4), (4, 5):
    for a in i, i + 9:
        negative[a, [j, j + 9]] = negative[[j, j + 9], a] = False
wanted = (numpy.log((numpy.exp(s) * negative).sum(1)) - s[numpy.arange(18), (numpy.arange(18) + 9) % 18]).mean()
assert abs(float(open("said").read().split()[1]) - wanted) < 1e-6, wanted
END
}

# refused TEXT ARGUMENTS...: an error that has this text, and no loss.
refused() {
    local text=$1 said
    shift
    ! said=$(loss "$@" 2>&1) && echo "$said" && [[ $said == *"$text"* ]]
}

ok "the loss and its gradient are numpy's" by_numpy
ok "what a method has of its own goes out and in again" out_and_in
ok "what is kept for each image" kept_for_images
ok "tiles that overlap" overlapping
ok "places where no samples are compared" refused "no negatives in its batch: --places does not apply" byol a.npy b.npy --places places.npy -o out
ok "places without their image" refused "triples.npy: [9, 4] was expected" dcl a.npy b.npy --places triples.npy -o out
ok "places in another order" refused "the tile of sample 0 has a side of 0" dcl a.npy b.npy --places backwards.npy -o out
ok "rows that do not match" refused "short.npy is [8, 6], and the first view is [9, 6]" dcl a.npy short.npy -o out
ok "a value that is no number" refused "nan.npy: value 26 is nan" dcl a.npy nan.npy -o out
ok "fewer samples than the method takes" refused "method dcl needs at least 2" dcl one.npy one.npy -o out
ok "another type" refused "double.npy holds no float32: save it as x.astype(numpy.float32)" dcl a.npy double.npy -o out
ok "columns first" refused "columns.npy has its columns first" dcl columns.npy a.npy -o out
ok "one dimension" refused "flat.npy: a matrix [N, d]" dcl flat.npy a.npy -o out
ok "a file that is cut short" refused "cut.npy is not as long as its shape says" dcl cut.npy a.npy -o out
ok "a file that is no array" refused "no array in numpy's format" dcl said a.npy -o out
ok "a file that is not there" refused "opening none.npy" dcl none.npy a.npy -o out
ok "one view" refused "compares 2 views of a sample, not 1" dcl a.npy -o out
ok "no view" refused "a file for each view" dcl -o out
ok "a method that compares no samples" refused "its loss is of more than the embeddings of a batch" mae a.npy -o out
ok "three views" refused "compares 2 views of a sample, not 3" dcl a.npy b.npy a.npy -o out
ok "another method" refused "must be one of simclr|dcl|" dlc a.npy b.npy -o out
ok "another key" refused "the nearest is method.temperature" dcl a.npy b.npy method.temprature=1 -o out
ok "a target where there is none" refused "has no target network" dcl a.npy b.npy --target a.npy --target b.npy -o out
ok "images where nothing is kept for them" refused "keeps nothing for each image: --images does not apply" dcl a.npy b.npy --images numbers.npy -o out
ok "a number for each of other samples" refused "numbers.npy: [8] was expected" sogclr short.npy short.npy --images numbers.npy -o out
ok "a number that is none" refused "sample 3 is of image -1" sogclr a.npy b.npy --images below.npy -o out
ok "numbers of another type" refused "save it as x.astype(numpy.int32)" sogclr a.npy b.npy --images long.npy -o out
ok "an array of another shape" refused "has another shape than predictor.0.weight" byol a.npy b.npy method.hidden=6 --arrays first/arrays -o out
ok "a bank that is no multiple of the batch" refused "a multiple of trainer.batch = 9" dcl a.npy b.npy method.bank=20 -o out
ok "a bank of the batch alone" refused "of at least twice as many" dcl a.npy b.npy method.bank=9 -o out
ok "a bank beside a target network" refused "byol keeps a target network from batch to batch already" byol a.npy b.npy method.bank=18 -o out
ok "a bank beside a queue" refused "nnclr keeps queue from batch to batch already" nnclr a.npy b.npy method.bank=18 -o out
ok "no folder" refused "needs -o FOLDER" dcl a.npy b.npy
finish

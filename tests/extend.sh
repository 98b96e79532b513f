#!/bin/bash
# What CONTRIBUTING says that a new part takes is true: in a copy of the tree an operation, an encoder, a method, a measure and a key are added,
# each by the files in tests/extend and the lines below; the operation's cases pass on both devices, and a run trains and is measured with them.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/pipeline/common.sh"
copy=$work/copy
export SB_BUILD=build
# Where there is no CUDA toolkit, no emulated device is built.
emulated=$([ "$(head -c 4 build/tests/sb_emulated.so 2>/dev/null)" = $'\x7fELF' ] && echo yes)

# add FILE LINE: a line at the end.
add() { echo "$2" >>"$copy/$1"; }
# after FILE TEXT LINE: a line behind the one that has TEXT.
after() { grep -q "$2" "$copy/$1" && sed -i "/$2/a $3" "$copy/$1"; }

copy_tree() {
    mkdir "$copy" && tar -c --exclude=./build/address --exclude=./build/thread --exclude=./data --exclude=./runs --exclude=./.git . | tar -x -C "$copy"
}
extend() {
    cp -r tests/extend/. "$copy" &&
        add kernels/ops.def 'SB_OP(SQUARE, square)' &&
        add trainer/encoders/encoders.def 'SB_ENCODER(tiny)' &&
        add trainer/methods/methods.def 'SB_METHOD(agree)' &&
        add evaluator/metrics/metrics.def 'SB_METRIC(LARGEST, largest)' &&
        after evaluator/keys.h 'int max_tiles;' 'int patience;' &&
        after evaluator/keys.c 'static const sb_key evaluate_keys' 'SB_KEY_INT(sb_evaluate_keys, patience, "3", 1, 9, "of who looks", .apart = true),'
}
build() { make -s -C "$copy" -j2 OPTIMISE=-O1 all build/tests/kernels/test_cpu build/tests/emulated/test_cases build/tests/sb_emulated.so; }
cases() { (cd "$copy" && "build/tests/$1" compare square | tee "$work/cases" && grep -c '^ok' "$work/cases" | grep -q '^1[0-9]' && ! grep '^not ok' "$work/cases"); }
loss() { (cd "$copy" && tests/oracle/method.py agree | tee "$work/losses" && ! grep '^not ok' "$work/losses"); }
train() {
    (cd "$copy" && within ./run train methods/agree data.path="$work/images" run.dir="$work/$1" "${@:2}") && grep -q 'patience: 7' "$work/$1/config.yaml"
}
# What the run kept for each of its 12 images: in how many of its 6 batches each was, on whichever device. 48 samples are of them.
counted() {
    /usr/bin/python3 - "${@/#/$work/}" <<'END'
import glob, json, struct, sys
import numpy
found = []
for run in sys.argv[1:]:
    data = open(glob.glob(f"{run}/checkpoints/*6.safetensors")[0], "rb").read()
    length, = struct.unpack("<Q", data[:8])
    begin, end = json.loads(data[8:8 + length])["seen"]["data_offsets"]
    found.append(numpy.frombuffer(data[8 + length + begin:8 + length + end], numpy.float32))
print(found)
sys.exit(not all(len(f) == 12 and 24 <= f.sum() <= 48 and f.max() <= 6 and (f == found[0]).all() for f in found))
END
}
knows() { (cd "$copy" && ./run help keys "${@:2}" | grep -q "$1"); }
measured() { (cd "$copy" && within ./run evaluate "$work/agree") && grep -q '"largest":' "$work/agree/evaluation.jsonl"; }

make_images
ok "a copy of the tree" copy_tree
ok "an operation, an encoder, a method, a measure and a key are added" extend
ok "it builds" build
ok "the operation's cases, CPU" cases kernels/test_cpu
[ -n "$emulated" ] && ok "the operation's cases, emulated CUDA" cases emulated/test_cases
ok "the method's loss, as its formula in PyTorch has it" loss
ok "a run of the method with the encoder" train agree
[ -n "$emulated" ] && ok "the same on the emulated GPU" train emulated device=cuda cuda.plugin=build/tests/sb_emulated.so
ok "the method counted each image's batches" counted agree ${emulated:+emulated}
ok "it is measured" measured
ok "help knows the method's key" knows method.weight agree
ok "and what it suggests" knows projector.out=12 agree
ok "help knows the encoder's key" knows encoder.width tiny
ok "help knows the room's key" knows evaluate.patience
finish

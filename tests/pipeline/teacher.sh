#!/bin/bash
# A run that learns from a teacher: which files are refused, that it takes its teacher as the file has it and keeps nothing of it, and that a run
# goes on with the teacher that it began with or not at all.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

student=(data.path="$work/images" data.tile=64 data.view=64 data.channels=1 encoder.name=convnext_atto teacher.encoder=resnet18 method.queue=16
         trainer.batch=8 trainer.chunk=5 trainer.steps=6 trainer.threads=2 trainer.checkpoint_every=2 trainer.checkpoint_keep=9 trainer.precision=f32)
prepare() { build/sb_trainer prepare --recipe recipes/methods/distillation.yaml run.dir="$work/none" "${student[@]}" "$@" 2>&1; }
says() { grep -E "$1" <(prepare "${@:2}"); }
learn() { within ./run train methods/distillation run.dir="$work/$1" "${student[@]}" teacher.file="$work/teacher.safetensors" "${@:2}"; }

# made FILE CHANGE: the teacher's file after a change, in Python, to `tensors`: by name what the header says, and the bytes.
made() {
    /usr/bin/python3 - "$work/teacher.safetensors" "$work/$1" "$2" <<'END'
import json, sys
data = open(sys.argv[1], "rb").read()
size = int.from_bytes(data[:8], "little")
header, data = json.loads(data[8:8 + size]), data[8 + size:]
tensors = {name: (t, data[slice(*t["data_offsets"])]) for name, t in header.items() if name != "__metadata__"}
exec(sys.argv[3])
header, at = {}, 0
for name, (t, piece) in tensors.items():
    header[name] = {**t, "data_offsets": [at, at + len(piece)]}
    at += len(piece)
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(len(text).to_bytes(8, "little") + text + b"".join(piece for _, piece in tensors.values()))
END
}
# What a checkpoint of run $1 has: of the teacher nothing but its mark.
nothing_of_it() {
    /usr/bin/python3 - "$work/$1" <<'END'
import json, sys
for name, own in (("backbone", set()), ("checkpoints/step-000000006", {"queue", "global.weight", "local.weight"})):
    data = open(f"{sys.argv[1]}/{name}.safetensors", "rb").read()
    names = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    mark = names.pop("__metadata__").get("smallbatch.teacher")
    assert own <= set(names) and not any("layer1" in n or "conv1" in n for n in names), sorted(names)
    assert (mark is not None) == bool(own), mark
    assert own or not {"global.weight", "local.weight"} & set(names)
END
}
# As if killed behind its first checkpoint.
cut_back() {
    rm -rf "$work/again"
    cp -r "$work/run" "$work/again" && rm "$work/again/backbone.safetensors" "$work"/again/checkpoints/step-*{4,6}.safetensors
}
resume() { within ./run resume "$work/again"; }
# refused PATTERN: it does not go on, and says why.
refused() { ! resume && grep -E "$1" "$work/again/log/trainer.log" && [ "$(find "$work/again/checkpoints" -name 'step-*' | wc -l)" -eq 1 ]; }

make_images
seed=0
for name in teacher another; do
    ok "a network that may teach: $name" run_small $name trainer.steps=2 trainer.checkpoint_every=2 encoder.stem=imagenet data.view=32 \
        seed="$((++seed))"
    cp "$work/$name/backbone.safetensors" "$work/$name.safetensors"
done
cp "$work/teacher.safetensors" "$work/kept.safetensors"

ok "refused: no file" says "teacher.file is not set: method distillation learns from a teacher \(teacher.encoder = resnet18\)"
ok "refused: a file that is not there" says "teacher.file: .*none.safetensors: No such file" teacher.file="$work/none.safetensors"
ok "refused: the weights of a smaller encoder" says "teacher.encoder = resnet34, .* of tensor layer1.2.conv1.weight .* the file has none" \
    teacher.encoder=resnet34 teacher.file="$work/teacher.safetensors"
ok "refused: those of another encoder" says "none of its [0-9]+ tensors has a name and shape of this encoder" teacher.encoder="vit_tiny pool=class" \
    teacher.file="$work/teacher.safetensors"
ok "a file with a scale in a block" made more.safetensors 'tensors["layer4.1.ls1.gamma"] = {"dtype": "F32", "shape": [2]}, bytes(8)'
ok "a file whose first filters have two channels" made two.safetensors \
    't, piece = tensors["conv1.weight"]; tensors["conv1.weight"] = {**t, "shape": [64, 2, 7, 7]}, piece[:len(piece) // 3 * 2]'
ok "refused: filters of other channels" says "of tensor conv1.weight f32 \[64, 3, 7, 7\] the file has f32 \[64, 2, 7, 7\]" teacher.file="$work/two.safetensors" data.channels=3
ok "refused: an encoder that does not exist" says "teacher.encoder = vit_huge: .*must be one of resnet18" teacher.encoder=vit_huge
ok "refused: a key that it has not" says "teacher.encoder = resnet18 pool=class: .*no key encoder.pool with encoder resnet18" teacher.encoder="resnet18 pool=class"
ok "refused: a teacher of a method that has none" grep "teacher.file: method dcl takes no teacher from a file" <(build/sb_trainer prepare data.path="$work/images" teacher.file="$work/teacher.safetensors" 2>&1)
ok "refused: an encoder for a teacher that there is not" grep "teacher.encoder: method dcl takes no teacher from a file" \
    <(build/sb_trainer prepare data.path="$work/images" teacher.encoder=resnet18 2>&1)
ok "refused: a file of a network with more in a block" says "the file has layer4.1.ls1.gamma, and no layer of the encoder has that" teacher.file="$work/more.safetensors"
ok "refused: a queue of less than a batch" says "method.queue = 7 is less than a batch of 8" method.queue=7 teacher.file="$work/teacher.safetensors"

ok "a run ends" learn run
ok "  its teacher is whole" grep -E "teacher: .*teacher.safetensors: 99 tensors taken; 1 resized \(conv1.weight: .* sums over channels\); 0 of .*; 0 new" "$work/run/log/trainer.log"
ok "  checkpoints and export have nothing of it" nothing_of_it run
ok "cut back" cut_back
ok "  without the file it does not go on" eval 'rm "$work/teacher.safetensors" && refused "teacher.file: .*teacher.safetensors: No such file"'
ok "  which an evaluation does not need" within ./run evaluate "$work/run"
ok "  nor with another one" eval 'cp "$work/another.safetensors" "$work/teacher.safetensors" && refused "its run has another teacher: teacher.file is not what it was"'
ok "  with its own it does" eval 'cp "$work/kept.safetensors" "$work/teacher.safetensors" && resume'
ok "  the same weights" same_weights run again
ok "continued from given weights, with adapters" learn continued continue.lora=4 continue.heads=2 continue.ramp=2 init="$work/run/backbone.safetensors"
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# A collapse, and the alarm that says so (alarms.sh: what alarms do). Training drives a method into it by a learning rate or by keys that leave nothing to keep embeddings apart;
# for methods that hold out against that, all images are one colour. Healthy runs of the same length raise no alarm.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Keys of a method that keep it small here.
keys_of() { case $1 in byol | simsiam | fastsiam | hsic | moco3) echo ", hidden: 32" ;; swav) echo ", prototypes: 16, queue: 0" ;; dino) echo ", prototypes: 64" ;; moco2) echo ", queue: 64" ;; nnclr) echo ", queue: 64, hidden: 32" ;; wmse) echo ", sub_batch: 8" ;; esac; }
# train NAME METHOD IMAGES [KEY=VALUE...]: 24 steps, each looked at; a projector without a last norm, which would hide that all embeddings are one.
train() {
    cat >"$work/$1.yaml" <<END
method: { name: $2$(keys_of "$2") }
data: { path: "$work/$3", tile: 64, view: 16 }
encoder: { stem: small }
projector: { hidden: 64, out: 32, last: bias }
trainer: { batch: 8, steps: 24, threads: 2, look_every: 1, checkpoint_every: 24 }
optimiser: { name: sgd, scaling: none, warmup: 0, weight_decay: 0, lr: 0.001 }
views: [{ count: 2, jitter: ${jitter:-0.8}, grey: ${grey:-0.2} }]
END
    within ./run train "$work/$1.yaml" run.dir="$work/$1" "${@:4}"
}
alarms() { lines "$work/$1/alarms.jsonl"; }
healthy() { train "$@" && [ "$(alarms "$1")" -eq 0 ]; }
collapses() { train "$@" && [ "$(alarms "$1")" -ge 1 ] && ! grep -v '"alarm":"collapse"' "$work/$1/alarms.jsonl"; }
flat() { jitter=0 grey=0 "$@"; }
# jepa ALARMS NAME KEY=VALUE: cnn_jepa, whose features are looked at themselves, raises as many.
jepa() {
    within ./run train methods/cnn_jepa run.dir="$work/$2" data.path="$work/images" data.tile=96 data.view=96 method.block=1 trainer.batch=8 \
        trainer.steps=12 trainer.look_every=1 trainer.checkpoint_every=12 trainer.threads=2 trainer.precision=f32 optimiser.scaling=none \
        optimiser.warmup=0 "$3" && [ "$(alarms "$2")" -eq "$1" ]
}
logged() { grep -q '"deviation":0\.[0-9]*,"rank":[1-9]' "$work/$1/metrics.jsonl"; }

make_images
mkdir "$work/flat" && /usr/bin/python3 -c '
import sys
from PIL import Image
for i in range(12):
    Image.new("RGB", (600, 400), (90, 120, 150)).save(f"{sys.argv[1]}/{i:02d}.png")' "$work/flat"

for method in $(sed -n 's/^SB_METHOD(\(.*\))/\1/p' trainer/methods/methods.def); do
    out=32
    case $method in mae | fcmae | cnn_jepa | distillation | supervised) continue ;; esac # without a projector: below
    [ "$method" != wmse ] || out=4 # it whitens half as many columns as there are samples
    ok "$method: no alarm" healthy "$method" "$method" images trainer.steps=6 trainer.checkpoint_every=6 projector.out=$out encoder.stem=imagenet
done
ok "spread and rank are in the log of steps" logged dcl
ok "contrastive: a rate that is far too large" collapses simclr.rate simclr images optimiser.lr=10
ok "prototypes: assignments that say nothing, and a large learning rate" collapses swav.soft swav images method.epsilon=100 optimiser.lr=10
for method in byol simsiam vicreg; do
    ok "$method: images of one colour" flat collapses $method.flat $method flat
done
ok "cnn_jepa: no alarm" jepa 0 cnn_jepa optimiser.lr=0.00015
ok "cnn_jepa: a rate that is far too large" jepa 1 cnn_jepa.rate optimiser.lr=0.05
ok "nothing is left behind" nothing_left
finish

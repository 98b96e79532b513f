#!/bin/bash
# backbone.safetensors of real runs: loads into torchvision with the README's lines, and gives the features that `embed` gives.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

run_encoder() { # NAME: two steps with torchvision's stem
    within ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$1" "${small[@]}" encoder.name="$1" \
        encoder.stem=imagenet trainer.steps=2 optimiser.warmup=0 optimiser.final_lr=1
}

make_images
make_tiles
for encoder in resnet18 resnet34 resnet50; do
    ok "$encoder is trained and exported" run_encoder $encoder
    ok "  features are torchvision's" same_features $encoder $encoder imagenet
done
ok "nothing is left behind" nothing_left
finish

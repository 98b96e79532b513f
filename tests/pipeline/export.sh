#!/bin/bash
# What real runs export loads into torchvision or timm with the lines that `export` prints, which are the README's, and gives the features that `embed`
# gives.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

small=("${small[@]/encoder.stem=*/optimiser.warmup=0}") # each encoder as its library has it
run_encoder() { # NAME [KEY=VALUE...]: two steps
    within ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$1" "${small[@]}" trainer.steps=2 optimiser.final_lr=1 \
        "${@:2}"
}
readme_shows() { # NAME: its lines
    diff <(sed -n '/^## The weights/,/^## /s/^    //p' README.md) <(sed "s|$work/$1.safetensors|backbone.safetensors|" "$work/$1.py")
}
readme_has() { # NAME: what its lines have beside those of a plain one
    local line
    while read -r line; do grep -qF "\`$line\`" README.md || { echo "$line"; return 1; }; done < <(diff "$work/resnet18.py" "$work/$1.py" | sed -n '/load_file/d; s/^> //p')
}

their_file() { # NAME MODEL...: random weights, as a library has them, to $work/NAME.theirs.safetensors
    PYTHONPATH=build/timm /usr/bin/python3 - "$work/$1.theirs.safetensors" "$2" <<'END'
import sys
import safetensors.torch, torch, torchvision
sys.path.insert(0, "tests/oracle")
from reference import timm
torch.manual_seed(1)
model = eval(sys.argv[2])
safetensors.torch.save_file({name: t.clone() for name, t in model.state_dict().items()}, sys.argv[1])
END
}
same_tensors() { # NAME: the export of run NAME has what the library's file has, but the classifier and counts of batches
    /usr/bin/python3 - "$work/$1.theirs.safetensors" "$work/$1.safetensors" <<'END'
import sys
sys.path.insert(0, "tests/oracle")
import reference
library, ours = (reference.load_file(path) for path in sys.argv[1:])
library = {name: t for name, t in library.items() if not name.startswith("fc.")}
assert library.keys() - ours.keys() <= {name for name in library if name.endswith("num_batches_tracked")}, library.keys() ^ ours.keys()
for name, t in ours.items():
    assert t.equal(library[name]) or "running" in name or "tracked" in name, name
END
}
unchanged() { # NAME MODEL [KEY=VALUE...]: what the library has comes back as it was
    their_file "$1" "$2" && run_encoder "$1" "${@:3}" optimiser.lr=0 init="$work/$1.theirs.safetensors" && loads "$1" && same_tensors "$1"
}
in_torchvision() { # ATTO: with the lines of docs/convnext.md this file and another of the tiny one; in f64, since in f32 one rounding (1.2e-7) differs now and then
    PYTHONPATH=build/timm /usr/bin/python3 - "$1" "$work/tiny.safetensors" <<'END'
import sys
sys.path.insert(0, "tests/oracle")
import safetensors.torch, torch
from reference import timm
names = {}
exec("".join(line[4:] or "\n" for line in open("docs/convnext.md") if line.startswith("    ") or line == "\n"), names)
torch.nn.init.trunc_normal_ = lambda t, *how, **more: t.data.normal_(0, 0.02)  # the same but for its tails, and fast
timm.models.convnext.trunc_normal_ = torch.nn.init.trunc_normal_
atto, tiny = (timm.create_model(name, num_classes=0).eval() for name in ("convnext_atto", "convnext_tiny"))
atto.load_state_dict(safetensors.torch.load_file(sys.argv[1]), strict=True)
safetensors.torch.save_file(tiny.state_dict(), sys.argv[2])
x = torch.randn(1, 3, 64, 64).double()
with torch.no_grad():
    for name, file, model in ("convnext_atto", sys.argv[1], atto), ("convnext_tiny", sys.argv[2], tiny):
        off = (names["torchvision_model"](name, file).double()(x) - model.double()(x)).abs().max().item()
        assert off < 1e-12, (name, off)  # below what the layer scale, which begins at 1e-6, leaves of a branch
END
}

make_images
make_tiles
for encoder in resnet18 resnet50; do
    ok "$encoder is trained and exported" run_encoder $encoder encoder.name=$encoder
    ok "  features are torchvision's" same_features $encoder
done
ok "README shows the lines of resnet18" readme_shows resnet18
for stem in small stride4; do
    ok "stem $stem is trained and exported" run_encoder $stem encoder.stem=$stem data.view=32
    ok "  features are torchvision's" same_features $stem
    ok "  README has its lines" readme_has $stem
done
ok "stem stride4 is trained in grey and exported" run_encoder grey encoder.stem=stride4 data.view=32 data.channels=1
ok "  torchvision loads it" loads grey
if [ -d build/timm ]; then # and PyPI's safetensors
    plain=(encoder.norm=group encoder.standardise=false data.view=32)
    ok "torchvision's ResNet with group norm is begun from and exported as it was" unchanged plain \
        'torchvision.models.resnet18(norm_layer=lambda c: torch.nn.GroupNorm(32, c))' "${plain[@]}"
    ok "  features are torchvision's" same_features plain
    says_changed() { run_encoder changed encoder.norm=group data.view=32 init="$work/plain.theirs.safetensors" 2>&1 | grep "filters of 20 tensors are not standardised in the file"; }
    ok "  filters that the network standardises are named" says_changed
    ok "timm's MobileNetV4 is begun from and exported as it was, its last layer too" unchanged mobilenet \
        'timm.create_model("mobilenetv4_conv_small", num_classes=0)' encoder.name=mobilenetv4_conv_small data.view=64
    ok "  features are timm's, before that layer" same_features mobilenet
    ok "timm's convnext_atto is begun from and exported as it was" unchanged convnext_atto "timm.create_model('convnext_atto', num_classes=0)" \
        encoder.name=convnext_atto data.view=32
    ok "  features are timm's" same_features convnext_atto
    ok "  docs/convnext.md takes it and the tiny one to torchvision" in_torchvision "$work/convnext_atto.safetensors"
    ok "timm's convnextv2_atto is begun from and exported as it was" unchanged convnextv2_atto "timm.create_model('convnextv2_atto', num_classes=0)" \
        encoder.name=convnextv2_atto data.view=32
    ok "  features are timm's" same_features convnextv2_atto
    ok "timm's vit_tiny is begun from and exported as it was" unchanged vit_tiny "timm.create_model('vit_tiny_patch16_224', img_size=64, num_classes=0)" \
        encoder.name=vit_tiny encoder.pool=class data.view=64
    ok "  features are timm's" same_features vit_tiny
    patches=(encoder.name=vit_tiny encoder.patch=32 data.view=64)
    other_grid() { run_encoder patches "${patches[@]}" init="$work/vit_tiny.theirs.safetensors" 2>&1 | grep "2 resized (patch_embed.proj.weight: .*, pos_embed: .*bicubic, without the class token's)"; }
    ok "  a network of other patches takes its positions" other_grid
    ok "  and is exported, with timm's features" same_features patches
else
    skip "what libraries have is begun from and exported as it was" "timm and safetensors from PyPI are missing"
fi
ok "scales of last norms begin at 0" run_encoder zero encoder.zero_gamma=true optimiser.lr=0
begins_zero() { /usr/bin/python3 - "$work/zero/backbone.safetensors" <<'END'
import sys
sys.path.insert(0, "tests/oracle")
import reference
for name, t in reference.load_file(sys.argv[1]).items():
    if name.endswith(".weight") and "bn" in name:
        assert t.eq(0).all() if name.endswith("bn2.weight") else t.eq(1).all(), name
END
}
ok "  and they are 0, no others" begins_zero
ok "group norm is trained, in chunks of one view, and exported" run_encoder group encoder.norm=group data.view=32 trainer.chunk=1
ok "  features are torchvision's" same_features group
ok "  README has its lines" readme_has group
refused() { # MESSAGE NAME [KEY=VALUE...]
    ! run_encoder "${@:2}" >"$work/refused" 2>&1 && grep "$1" "$work/refused"
}
frozen=(encoder.norm=frozen data.view=32 trainer.chunk=1)
ok "frozen norms without weights to start from are refused" refused "init=FILE names it" frozen "${frozen[@]}"
ok "  and with weights that have no statistics" refused "bn1.running_mean stays as the file has it, and the file has none" frozen "${frozen[@]}" \
    init="$work/group.safetensors"
ok "frozen norms are trained, in chunks of one view, and exported" run_encoder frozen "${frozen[@]}" init="$work/resnet18.safetensors"
ok "  features are torchvision's" same_features frozen
ok "  norms are those of the file that it began from, convolutions are not" /usr/bin/python3 - "$work/resnet18.safetensors" "$work/frozen.safetensors" <<'END'
import sys
sys.path.insert(0, "tests/oracle")
import reference
a, b = (reference.load_file(path) for path in sys.argv[1:])
for name in a:
    if not name.endswith("num_batches_tracked"):
        norm = "bn" in name or "downsample.1" in name
        assert a[name].equal(b[name]) == norm, name
END
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# Every method by its recipe, made small (most with a smaller encoder, too): everything is killed in the middle and resumed, and the weights are those of an undisturbed run; what a
# method keeps is in its checkpoints, and not in what is exported; an evaluator measures runs with views of several sizes and shows every view.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

small=(data.path="$work/images" data.tile=64 data.view=32 projector.hidden=32 projector.out=16 trainer.batch=8 trainer.steps=8
       trainer.threads=2 trainer.checkpoint_every=4 trainer.precision=f32)
# What else is large in the recipe of method $1.
also() {
    case $1 in
        moco2 | nnclr | barlow) echo method.queue=16 ;;
        byol | moco3) echo method.hidden=32 ;;
        wmse) echo projector.out=4 ;;
        dino | simdino | swav | lejepa | visreg) echo views.{0,1}.size=32 views.{2..7}.size=16 ;;&
        dino) echo method.prototypes=24 ;;
        swav) echo method.prototypes=24 method.queue=16 method.queue_from=0.3 method.frozen=0.2 ;;
        lejepa) echo method.directions=64 ;;
        distillation) echo data.view=64 teacher.encoder=resnet18 teacher.file="$work/teacher.safetensors" method.queue=16 ;;
        supervised) echo data.path="$work/labelled" projector.layers=0 ;;
        mae) echo method.block=1 method.decoder_width=32 method.decoder_blocks=1 ;;
        fcmae) echo data.tile=96 data.view=96 method.decoder_width=32 ;;
        cnn_jepa) echo data.tile=96 data.view=96 method.block=1 ;;
    esac
}

# In place of a ResNet-18, where no export is looked at: an encoder whose checkpoints are a fifth of its.
encoder() {
    case $1 in
        moco2 | byol | swav | distillation | supervised | instances) ;;
        *) ! grep -q "^encoder: { name: resnet18" "recipes/methods/$1.yaml" || echo encoder.name=mobilenetv4_conv_small ;;
    esac
}

# train METHOD NAME [KEY=VALUE...]: run NAME.
# shellcheck disable=SC2046
train() { within ./run train "methods/$1" run.dir="$work/$2" "${small[@]}" $(encoder "$1") $(also "$1") "${@:3}"; }
# killed METHOD NAME [KEY=VALUE...]: run NAME.
killed() {
    held 5 "$2" train "$@" || return 1
    pkill -KILL -f "$work/$2"
    wait $run
    nothing_left && within ./run resume "$work/$2"
}
# What the checkpoint has beside weights and optimiser.
keeps() {
    /usr/bin/python3 - "$work/$1/checkpoints/step-000000008.safetensors" "$2" <<'END'
import json, sys
data = open(sys.argv[1], "rb").read()
names = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
assert any(name.startswith(sys.argv[2]) for name in names), sorted(names)
END
}
# The backbone alone is exported: torchvision loads it strictly.
exported() {
    /usr/bin/python3 - "$work/$1/backbone.safetensors" <<'END'
import json, sys
import torchvision
data = open(sys.argv[1], "rb").read()
names = set(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])) - {"__metadata__"}
wanted = {name for name in torchvision.models.resnet18().state_dict() if not name.startswith("fc.")}
assert names == wanted, sorted(names ^ wanted)
END
}
# These weights of the encoder's, and nothing of a decoder's.
encoder_alone() {
    /usr/bin/python3 - "$work/$1/backbone.safetensors" "${@:2}" <<'END'
import json, sys
data = open(sys.argv[1], "rb").read()
names = set(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])) - {"__metadata__"}
assert set(sys.argv[2:]) <= names and not any(name.startswith("decoder") for name in names), sorted(names)
END
}
# The contact sheet has a column for the tile and for each view.
sheet() {
    /usr/bin/python3 - "$work/$1/pictures" "$2" <<'END'
import sys
from PIL import Image
sheet = Image.open(sys.argv[1] + "/contact.png")
print(sheet.size)
assert sheet.width >= int(sys.argv[2]) * 16
END
}
# Tiles that are one and the same are no negatives of each other: of DCL's loss the positives are left, which weigh 1/100. With negatives it
# is about log 14.
overlapping() {
    mkdir "$work/one" && cp "$work/images/00.jpg" "$work/one" &&
        train dcl overlapping data.path="$work/one" data.tile=600 data.tiles_per_image=8 trainer.steps=2 method.temperature=100 &&
        /usr/bin/python3 - "$work/overlapping/metrics.jsonl" <<'END'
import json, sys
losses = [json.loads(line)["loss"] for line in open(sys.argv[1])]
print(losses)
assert len(losses) == 2 and all(abs(loss) <= 0.01 for loss in losses)
END
}

# refused METHOD TEXT KEY=VALUE...: before anything starts.
refused() {
    local said
    ! said=$(build/sb_trainer needs --recipe "recipes/methods/$1.yaml" data.path="$work/images" "${@:3}" 2>&1) && echo "$said" && [[ $said == *"$2"* ]]
}

# What else holds of a run of method $1.
more() {
    case $1 in
        byol)
            ok "its target and predictor are not exported" exported byol
            ok "it keeps its target network" keeps byol target.layer1 ;;
        sogclr)
            ok "it keeps the averages of images" keeps sogclr log_u
            ok "  and which it has seen" keeps sogclr seen ;;
        swav)
            ok "its prototypes and queues are not exported" exported swav
            ok "it keeps its queues" keeps swav queue.1
            ok "an evaluation of views of two sizes" within ./run evaluate "$work/swav"
            ok "  every view is shown" sheet swav 8 ;;
        dino)
            ok "it keeps its centre" keeps dino centre
            ok "  and the target's own prototypes" keeps dino target.prototypes ;;
        distillation)
            ok "it keeps its queue" keeps distillation queue
            ok "  and exports nothing of what imitates" exported distillation
            ok "  and takes a batch of one sample" train distillation distillation.alone trainer.batch=1 ;;
        supervised)
            ok "it keeps its classifier" keeps supervised classifier.0.weight
            ok "  which is not exported" exported supervised
            ok "  and takes a batch of one sample" train supervised supervised.alone trainer.batch=1
            ok "refused: without a column" refused supervised "learns what columns say, and none is named" guide.label=0
            ok "refused: a column to unlearn" refused supervised "learns columns, and unlearns none" guide.label=-1
            ok "refused: a bank" refused supervised "compares no samples with each other" method.bank=64 ;;
        mae)
            ok "its decoder is not exported" encoder_alone mae pos_embed blocks.11.mlp.fc2.bias
            ok "  and it takes a batch of one sample" train mae mae.alone trainer.batch=1 ;;
        fcmae)
            ok "its decoder is not exported" encoder_alone fcmae stages.3.blocks.1.mlp.grn.weight
            ok "  and it takes a batch of one sample, and a ResNet" train fcmae fcmae.alone trainer.batch=1 encoder.name=resnet18
            ok "  an evaluation, of whole tiles" within ./run evaluate "$work/fcmae"
            ok "refused: a size that cuts cells, later in the run" refused fcmae "views of 100 x 100" "views.0.size=96 100@0.5 128@0.9"
            ok "refused: an encoder without cells" refused fcmae "ViT, ConvNeXt and ResNet can" encoder.name=mobilenetv4_conv_small
            ok "refused: tokens of no place" refused fcmae "tokens of no place" encoder.name=vit_tiny encoder.pool=class
            ok "refused: a bank" refused fcmae "compares no samples with each other" method.bank=64
            ok "refused: a loss of places beside it" refused fcmae "the loss of method fcmae is of places already" dense.weight=0.5 ;;
        cnn_jepa)
            ok "it keeps the average of its encoder" keeps cnn_jepa target.stages.3.blocks.1.mlp.grn.weight
            ok "  and takes a batch of one sample, and a ResNet" \
                train cnn_jepa cnn_jepa.alone trainer.batch=1 encoder.name=resnet18 encoder.norm=group
            ok "  not with batch norms" refused cnn_jepa "resnet18 has batch norms: method cnn_jepa takes an encoder whose norms are of one view by itself" \
                encoder.name=resnet18 ;;
        instances)
            ok "it keeps a vector for each image" keeps instances vectors
            ok "  which are not exported" exported instances
            ok "  and takes a batch of one sample" train instances alone trainer.batch=1 ;;
        lejepa)
            ok "embeddings of views of two sizes" within ./run embed "$work/lejepa" "$work/images" -o "$work/features.npy" ;;
    esac
}
# both NAME METHOD [KEY=VALUE...]: a run that ends, the same one killed and resumed, and what they have in common. A run takes half a gigabyte,
# so the killed one goes at once.
both() {
    ok "$1: a run ends" train "$2" "$1" "${@:3}"
    ok "$1: killed and resumed" killed "$2" "$1.killed" "${@:3}"
    ok "$1:   the same weights, and all that is kept" same_weights "$1" "$1.killed"
    rm -rf "$work/$1.killed"
}

make_images
# Two labels.
mkdir -p "$work"/labelled/{a,b} && cp "$work"/images/0[0-5].jpg "$work/labelled/a" && cp "$work"/images/{0[6-9],1?}.jpg "$work/labelled/b"
ok "what holds a trainer" make_fault
# For methods that have a teacher: a run as any.
ok "a network that may teach" train dcl teacher encoder.name=resnet18 trainer.steps=4
cp "$work/teacher/backbone.safetensors" "$work/teacher.safetensors"
rm -rf "$work/teacher"
for recipe in recipes/methods/*.yaml; do
    method=$(basename "$recipe" .yaml)
    both "$method" "$method"
    more "$method"
    rm -rf "${work:?}/$method"
done
both bank dcl method.bank=24
ok "a bank is kept" keeps bank bank.1
rm -rf "$work/bank"
ok "tiles that overlap are no negatives" overlapping
both dense moco2 dense.weight=0.5 dense.hidden=16 dense.out=8 dense.queue=16 # beside it the loss of places
ok "  its queue is kept" keeps dense dense.queue
ok "    and its layers are not exported" exported dense
rm -rf "$work/dense"
both chunks swav trainer.chunk=8 # chunks of 8 views
both replicas byol trainer.replicas=2
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# Methods that keep something beside the weights, and views of several sizes: everything is killed in the middle and resumed, and the weights are
# those of an undisturbed run; an evaluator measures such runs and shows every view.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# recipe METHOD VIEWS METHOD-KEYS: writes $work/METHOD.yaml.
recipe() {
    cat >"$work/$1.yaml" <<END
method: { name: $1$3 }
encoder: { name: resnet18 }
data: { path: "$work/images", tile: 64, view: 32 }
projector: { hidden: 32, out: 16 }
trainer: { batch: 8, steps: 12, threads: 2, checkpoint_every: 4 }
views: $2
END
}
two="[{ size: 32, count: 2 }]"
crops="[{ size: 32, count: 2 }, { size: 16, count: 3, crop_min: 0.05, crop_max: 0.2 }]"

train() { within ./run train "$work/$1.yaml" run.dir="$work/$2" "${@:3}"; }
# killed METHOD NAME [KEY=VALUE...]: run NAME.
killed() {
    held 7 "$2" train "$@" || return 1
    pkill -KILL -f "$work/$2"
    wait $run
    nothing_left && within ./run resume "$work/$2"
}
# What the checkpoint has beside weights and optimiser.
keeps() {
    /usr/bin/python3 - "$work/$1/checkpoints/step-000000012.safetensors" "$2" <<'END'
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

make_images
recipe moco2 "$two" ", queue: 16, symmetric: true"
recipe moco3 "$two" ", hidden: 32, momentum: 0.9"
recipe nnclr "$two" ", hidden: 32, queue: 16"
recipe byol "$two" ", hidden: 32, momentum: 0.9"
recipe barlow "$two" ", queue: 16"
recipe tico "$two" ", momentum: 0.9"
recipe dino "$crops" ", prototypes: 24, momentum: 0.9"
recipe swav "$crops" ", prototypes: 24, queue: 16, queue_from: 0.3, frozen: 0.2"
recipe lejepa "$crops" ", directions: 64"
recipe instances "$crops" ", others: 3"
ok "what holds a trainer" make_fault
for method in moco2 moco3 nnclr byol barlow tico dino swav lejepa instances; do
    ok "$method: a run ends" train $method $method
    ok "$method: killed and resumed" killed $method $method.killed
    ok "$method:   the same weights, and all that is kept" same_weights $method $method.killed
done
ok "chunks of 8 views" train swav chunks trainer.chunk=8
ok "  killed and resumed" killed swav chunks.killed trainer.chunk=8
ok "  the same weights" same_weights chunks chunks.killed
ok "byol's target and predictor are not exported" exported byol
ok "nor are swav's prototypes and queues" exported swav
ok "byol keeps its target network" keeps byol target.layer1
ok "swav keeps its queues" keeps swav queue.1
ok "dino keeps its centre" keeps dino centre
ok "  and the target's own prototypes" keeps dino target.prototypes
ok "instances keeps a vector for each image" keeps instances vectors
ok "  which are not exported" exported instances
ok "instances: a batch of one sample" train instances alone trainer.batch=1
ok "an evaluation of views of two sizes" within ./run evaluate "$work/swav"
ok "  every view is shown" sheet swav 5
ok "embeddings of views of two sizes" within ./run embed "$work/lejepa" "$work/images" -o "$work/features.npy"
ok "nothing is left behind" nothing_left
finish

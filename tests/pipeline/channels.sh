#!/bin/bash
# Runs on images of five samples a pixel, 12 bits of each, and of two and eight: on the CPU and on the emulated device, the same bytes twice; what
# comes of them is evaluated, embedded and exported with the true number of channels.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

plugin=build/tests/sb_emulated.so
# Levels of 8 bits, 16 to each, so that data.range=0..4095 gives them back.
make_samples() {
    /usr/bin/python3 - "$work" <<'END'
import os, sys
sys.path.insert(0, "tests/oracle")
import numpy
from images import pattern, write_tiff
for name, samples in (("five", 5), ("two", 2), ("eight", 8)):
    os.makedirs(f"{sys.argv[1]}/{name}")
    for i in range(5):
        levels = numpy.dstack([pattern(192, 128, 10 * i + k) for k in range(3)])[:, :, :samples]
        write_tiff(f"{sys.argv[1]}/{name}/{i}.tif", [levels.astype(numpy.uint16) * 16 + 7], 1, tile=64 * (i % 2), extra=(0,) * (samples - 1))
END
}

# run_of NAME DATA CHANNELS [KEY=VALUE...]
run_of() {
    within ./run train recipes/demo.yaml data.path="$work/$2" run.dir="$work/$1" data.channels="$3" data.range=0..4095 "${small[@]/encoder.stem=*/optimiser.warmup=0}" trainer.batch=4 \
        trainer.steps=3 evaluate.max_tiles=8 evaluate.views=2 "${@:4}"
}
same() { cmp "$work/$1/backbone.safetensors" "$work/$2/backbone.safetensors"; }
logged() { grep -qE "$2" "$work/$1"/log/*.log; }

# The weights in torch, with the lines that `export` prints, give the features of `embed` of the same pixels.
features() { # NAME DATA
    ./run embed "$work/$1" "$work/$2" -o "$work/$1.npy" data.view=64 && ./run export "$work/$1" -o "$work/$1.safetensors" >"$work/$1.py" &&
        /usr/bin/python3 - "$work/$1" <<'END'
import csv, sys
sys.path[:0] = ["tests/oracle", "tests/pipeline"]
from types import SimpleNamespace
import numpy, torch
import reference
from images import pattern
name = sys.argv[1]
safetensors = SimpleNamespace(load_file=reference.load_file)
sys.modules["safetensors"], sys.modules["safetensors.torch"] = SimpleNamespace(torch=safetensors), safetensors
names = {}
exec(open(f"{name}.py").read(), names)
features, rows = numpy.load(f"{name}.npy"), list(csv.DictReader(open(f"{name}.csv")))
assert len(features) == len(rows) == 5 * 6, (features.shape, len(rows))
for feature, row in zip(features, rows):
    i, left, top = int(row["path"].split("/")[-1][0]), int(row["left"]), int(row["top"])
    levels = numpy.dstack([pattern(192, 128, 10 * i + k) for k in range(3)])[top:top + 64, left:left + 64, :5]
    with torch.no_grad():
        wanted = names["model"].eval()(reference.normalised(levels[None]).float())[0].numpy()
    error = numpy.linalg.norm(feature - wanted) / numpy.linalg.norm(wanted)
    assert error < 1e-4, (row, error)
END
}

pictures() {
    /usr/bin/python3 - "$work/run5/pictures/contact.png" <<'END'
import sys
import numpy
from PIL import Image
sheet = numpy.asarray(Image.open(sys.argv[1]).convert("RGB"))
assert sheet.std() > 10 and (sheet[:, :, 0] != sheet[:, :, 1]).mean() > 0.2, "the first three samples are its colours"
END
}

near() { # two runs' first losses
    /usr/bin/python3 - "$work/$1" "$work/$2" <<'END'
import json, sys
a, b = (json.loads(open(f"{path}/metrics.jsonl").readline())["loss"] for path in sys.argv[1:])
print(a, b)
assert abs(a - b) < 1e-4 * abs(a)
END
}

refused() {
    ! run_of none two 5 >"$work/out" 2>&1 && cat "$work/out" && said "2 samples in a pixel, data.channels = 5: data.bands chooses among them"
}
reordered() { SB_EMULATION_ORDER=random:3 run_of cuda2 five 5 "${gpu[@]}"; }

make_images
make_samples
ok "five channels train" run_of run5 five 5
ok "  the run says which are colours" logged run5 "data.channels = 5: jitter, grey and solarise change the first three"
ok "  and gives the same bytes twice" run_of again five 5 run.loaders=2
ok "  which it does" same run5 again
ok "  it is evaluated" within ./run evaluate "$work/run5"
ok "  its contact sheet has colours" pictures
ok "  its features are torch's" features run5 five
ok "  which the export says what they are of" grep -qx "# inputs: \[n, 5, height, width\], 0..4095 (of 8-bit files 0..255) as 0..1, less (0.485, 0.456, 0.406, 0.449, 0.449), by (0.229, 0.224, 0.225, 0.226, 0.226)" "$work/run5.py"
ok "  another choice of bands trains" run_of chosen five 4 data.bands=5,1,1,3
ok "  a number of channels that the files do not have is refused" refused
ok "a network of three channels goes on with five" run_of three images 3
ok "  the further ones are 0" run_of taken five 5 init="$work/three/backbone.safetensors" optimiser.lr=0
ok "  and the run says so" logged taken "1 resized \(conv1.weight: f32 \[64, 3, 7, 7\] to f32 \[64, 5, 7, 7\], the further channels 0\)"
ok "two channels train" run_of run2 two 2
ok "  without colours, as the run says" logged run2 "data.channels = 2: jitter, grey and solarise are off"
ok "eight channels train: ConvNeXt" run_of run8 eight 8 encoder.name=convnext_atto data.view=32
if [ "$(head -c 4 $plugin 2>/dev/null)" = $'\x7fELF' ]; then
    gpu=(device=cuda cuda.plugin="$plugin")
    ok "five channels train on the emulated device" run_of cuda five 5 "${gpu[@]}"
    ok "  as on the CPU" near run5 cuda
    ok "  in another order of threads" reordered
    ok "  the same bytes" same cuda cuda2
    ok "eight train in bf16" run_of cuda8 eight 8 "${gpu[@]}" trainer.precision=bf16
else
    skip "five channels train on the emulated device" "it was not built"
fi
finish

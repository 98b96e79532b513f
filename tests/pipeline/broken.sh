#!/bin/bash
# A run whose numbers go to infinity says so: it ends with an error that names the step, the tensor and what to lower; what it leaves behind is sound.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# At such a rate the decay of AdamW makes every weight some hundred times as large in each step.
breaks() {
    run_small broken optimiser.name=adamw optimiser.lr=1000 optimiser.scaling=sqrt optimiser.weight_decay=0.1 trainer.checkpoint_every=2 "$@"
    [ $? -eq 1 ]
}
says() { tail -n 1 "$work/broken/log/trainer.log" | grep -E "step [0-9]+.*(tensor|gradient|loss).*[Ll]ower optimiser.lr or raise optimiser.warmup"; }
# Every checkpoint is finite, and there is no export.
sound() {
    [ ! -e "$work/broken/backbone.safetensors" ] && /usr/bin/python3 - "$work/broken/checkpoints" <<'END'
import sys
from pathlib import Path
sys.path.insert(0, "tests/oracle")
from reference import load_file
paths = list(Path(sys.argv[1]).iterdir())
wrong = [f"{path.name}: {name}" for path in paths for name, t in load_file(path).items() if t.is_floating_point() and not t.isfinite().all()]
assert all(path.suffix == ".safetensors" for path in paths) and not wrong, (paths, wrong)
END
}
has_norm() { grep -qE '"gradient_norm":[0-9.e-]+' "$work/broken/metrics.jsonl"; }

make_images
ok "a rate that is far too large ends a run" breaks
ok "  which says at which step, where, and what to lower" says
ok "  and leaves nothing that is not finite" sound
ok "  the length of the gradient is in the metrics" has_norm
ok "nothing is left behind" nothing_left
finish

#!/bin/bash
# Runs that go on from given weights: the report, what is kept, the heads' phase, resuming, and the row "as given".
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# In grey, from weights of colour: the stem is resized.
settings=(data.channels=1 init="$work/given.safetensors" continue.heads=2 continue.ramp=2 trainer.steps=6 trainer.checkpoint_every=2 optimiser.final_lr=1 evaluate.views=2 evaluate.max_tiles=20)
continued() { run_small "$1" "${settings[@]}" "${@:2}"; }
reports() {
    continued reference >"$work/out" 2>&1
    local status=$?
    cat "$work/out"
    return $status
}

# Steps 2 and 4 of a run: in the first the backbone is what was given, with its running statistics and in the
# optimiser's state nothing; in the second all of it is another.
phases() {
    /usr/bin/python3 - "$work/$1" <<'END_PYTHON'
import json, sys
sys.path.insert(0, "tests/oracle")
import reference
given, second, fourth = (reference.load_file(f"{sys.argv[1]}/{name}.safetensors")
                         for name in ("given", "checkpoints/step-000000002", "checkpoints/step-000000004"))
names = [name for name in given if not name.startswith("projector.") and not name.endswith("num_batches_tracked")]
assert len(names) == 100, names
for name in names:
    assert given[name].equal(second[name]), name
    assert not given[name].equal(fourth[name]), name
    if not "running" in name:
        assert not second[f"optimiser.0.{name}"].any() and fourth[f"optimiser.0.{name}"].any(), name
assert not given["projector.0.weight"].equal(second["projector.0.weight"])
rates = [(line["lr"], line["backbone_lr"]) for line in map(json.loads, open(f"{sys.argv[1]}/metrics.jsonl"))]
assert [round(backbone / lr, 6) for lr, backbone in rates] == [0, 0, 0.05, 0.1, 0.1, 0.1], rates
END_PYTHON
}

evaluates() { # NAME STEP: the table has the row, and so does the log; in the heads' phase it is the trained one
    ./run evaluate --no-pictures "$work/$1" >"$work/table" && cat "$work/table" && grep -q '^  as given  ' "$work/table" &&
        grep -qE 'continue: (view|group) of [0-9]+ tiles [0-9.]+ %, [+-][0-9.]+ points against the weights as given' "$work/table" &&
        /usr/bin/python3 - "$work/$1/evaluation.jsonl" "$2" <<'END_PYTHON'
import json, sys
line = [json.loads(line) for line in open(sys.argv[1])][-1]
rows, step = line["rows"], int(sys.argv[2])
assert line["step"] == step and (rows["given"] == rows["trained"]) == (step <= 2), line
assert rows["given"] != rows["untrained"], line
END_PYTHON
}

# Killed before the first checkpoint, and the file of init is gone: it starts again from what it was given.
killed_early() {
    cp "$work/given.safetensors" "$work/other.safetensors"
    held 1 early continued early init="$work/other.safetensors"
    rm "$work/other.safetensors"
    pkill -KILL -f "sb_trainer train $work/early"
    wait "$run"
}
# As if it had been killed behind its first checkpoint.
cut_back() {
    cp -r "$work/reference" "$work/resumed" && rm "$work/resumed/backbone.safetensors" "$work"/resumed/checkpoints/step-*{4,6}.safetensors
}
resume() { within ./run resume "$work/resumed"; }
same_as_reference() {
    local file
    for file in backbone given checkpoints/step-000000006; do cmp "$work/reference/$file.safetensors" "$work/$1/$file.safetensors" || return 1; done
}

# Of a run with adapters: its export has the names of any other, and its optimiser keeps nothing of what stays.
adapted() {
    /usr/bin/python3 - "$work" <<'END_PYTHON'
import json, sys
def names(path):
    data = open(f"{sys.argv[1]}/{path}.safetensors", "rb").read()
    return set(json.loads(data[8:8 + int.from_bytes(data[:8], "little")]))
assert names("adapted/backbone") == names("reference/backbone")
kept = names("adapted/checkpoints/step-000000006")
assert {"lora.conv1.weight.base", "lora.conv1.weight.A", "optimiser.0.lora.conv1.weight.A", "optimiser.0.bn1.weight"} <= kept, sorted(kept)
assert "optimiser.0.conv1.weight" not in kept
END_PYTHON
}
# As if killed behind its first checkpoint.
adapted_again() {
    cp -r "$work/adapted" "$work/adapted.again" && rm "$work/adapted.again/backbone.safetensors" "$work"/adapted.again/checkpoints/step-*{4,6}.safetensors &&
        within ./run resume "$work/adapted.again" && same_weights adapted adapted.again
}

make_images
make_fault
ok "a network to go on from" run_small first trainer.steps=2
cp "$work/first/backbone.safetensors" "$work/given.safetensors"
: >"$work/weights.pth" && printf 'PK\3\4\0\0\10\10\0\0\0\0' >"$work/weights.pth"
prepare() { build/sb_trainer prepare --recipe recipes/demo.yaml data.path="$work/images" run.dir="$work/none" "${small[@]}" "$@" 2>&1; }
says() { grep -E "$1" <(prepare "${@:2}"); }
ok "refused: nothing to continue from" says "continue: there are no weights to go on from: init=FILE" continue=true
ok "refused: a pickle; how to convert it is said" says "torch.load.* '$work/weights.pth' '$work/weights.safetensors'$" init="$work/weights.pth"
ok "refused: a part of a backbone" says "a whole network is needed: of tensor layer1.2.conv1.weight .* the file has none" continue=true encoder.name=resnet34 \
    init="$work/given.safetensors"
ok "a run continues" reports
ok "  what was taken, resized, new and left over" grep -E "init: .*: 99 tensors taken; 1 resized \(conv1.weight: f32 \[64, 3, 3, 3\] to f32 \[64, 1, 3, 3\], sums over channels\); 0 of .*; [0-9]+ new: .*\(projector.*; 0 left over" "$work/out"
ok "  the heads learn alone, then all" phases reference
ok "killed before its first checkpoint, without the file of init" killed_early
ok "  the same weights" same_as_reference early
ok "with low-rank adapters" continued adapted continue.lora=4
ok "  the export is as any, and what stays has no state" adapted
ok "  cut back and resumed: the same weights" adapted_again
rm "$work/given.safetensors"
ok "behind the heads' phase" cut_back
ok "  the row as given is that of what is trained, without the file of init" evaluates resumed 2
ok "  it is resumed" resume
ok "  the same weights" same_as_reference resumed
ok "the row as given stays" evaluates reference 6
ok "nothing is left behind" nothing_left
finish

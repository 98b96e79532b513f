#!/bin/bash
# Views whose size changes in the course of a run: it goes over by itself, and the weights are the same whatever is killed on the way.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Of 12 steps the first five have views of 24 pixels, the next four of 40, for which the rings' slots have to be larger (a page), the last three of 32.
schedule=(views.{0,1}.size="24 40@0.4 32@0.75")
growing() { run_small "$1" "${schedule[@]}" trainer.checkpoint_keep=10 "${@:2}"; }

says_sizes() {
    local log=$work/$1/log/trainer.log
    cat "$log"
    grep -q "views.0.size = 24 until step 5 of 12" "$log" && grep -q "views.0.size = 40 until step 9 of 12" "$log" &&
        grep -q "views.0.size = 32 until step 12 of 12" "$log" && [ "$(lines "$work/$1/metrics.jsonl")" -eq 12 ]
}
# Checkpoint $3 of runs $1 and $2: the same tensors, under whatever configuration.
same_tensors() {
    /usr/bin/python3 - "$work"/{"$1","$2"}/checkpoints/"step-$3.safetensors" <<'END'
import json, struct, sys
files = [open(path, "rb").read() for path in sys.argv[1:]]
ends = [8 + struct.unpack("<Q", f[:8])[0] for f in files]
names = [{k: v for k, v in json.loads(f[8:end]).items() if k != "__metadata__"} for f, end in zip(files, ends)]
assert names[0] == names[1] and files[0][ends[0]:] == files[1][ends[1]:], "they differ"
END
}
different() { ! same_tensors "$@"; }

killed() {
    held "$2" "$1" growing "$1" --detach || return 1
    wait $run
    pkill -KILL -f "$work/$1"
    nothing_left && within ./run resume "$work/$1"
}
trainer_killed() {
    growing trainer &
    local run=$! step
    for step in 2 6 10; do wait_step "$work/trainer" $step && pkill -KILL -f "sb_trainer train $work/trainer"; done
    wait $run
}
# Asked to stop before the step that is the last of its size: the run stops, and goes on with the next size.
stopped() {
    held 5 stopped growing stopped || return 1
    ./run stop "$work/stopped" & # answered when the trainer has saved
    until_true "the trainer's being told" is_told "sb_trainer train $work/stopped" && go_on trainer stopped
    wait $run
    [ $? -eq 130 ] && grep -q '"phase": "stopped"' "$work/stopped/status.json" && nothing_left && within ./run resume "$work/stopped"
}
# The trainer's main thread hangs where it saves the last step of a size, and answers beside it an augment that comes anew. What it is given is of
# these sizes: it joins and waits, until the trainer is killed.
joined_twice() { [ "$(grep -c "augment: device:" "$work/saving/log/augment.log")" -eq 2 ] || ! kill -0 "$run" 2>/dev/null; }
augment_killed_while_saving() {
    local run
    FAULT=open:hang FAULT_PROGRAM="sb_trainer train" FAULT_FILE="step-000000005*" FAULT_COUNTER=$work/hangs FAULT_TIMES=1 LD_PRELOAD=$work/fault.so growing saving &
    run=$!
    until_true "the hang" test -s "$work/hangs" && pkill -KILL -f "sb_augment $work/saving" && until_true "another augment" joined_twice || return 1
    pkill -KILL -f "sb_trainer train $work/saving"
    wait $run
}
# same_configuration FROM TO: TO says that its run had FROM's.
same_configuration() {
    /usr/bin/python3 - "$@" <<'END_PYTHON'
import json, sys
def read(path):
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]
(source, _), (header, data) = map(read, sys.argv[1:])
header["__metadata__"]["smallbatch.config"] = source["__metadata__"]["smallbatch.config"]
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[2], "wb").write(len(text).to_bytes(8, "little") + text + data)
END_PYTHON
}
# The newest checkpoint is of another network, and the one before it of another size.
not_the_newest() {
    local said
    cp -r "$work/growing" "$work/mixed" && rm "$work/mixed/checkpoints/step-000000012.safetensors" && run_small other encoder.stem=imagenet trainer.steps=9 || return 1
    cp "$work/other/checkpoints/step-000000009.safetensors" "$work/mixed/checkpoints/"
    ! said=$(within ./run resume "$work/mixed" 2>&1) && echo "$said" && [[ $said == *"encoder.stem = small "*"in the checkpoint of step 9 it is imagenet"* ]] || return 1
    same_configuration "$work/mixed/checkpoints/step-00000000"{8,9}.safetensors
    ! said=$(within ./run resume "$work/mixed" 2>&1) && echo "$said" && [[ $said == *"views.0.size: it is 40 after step 8"*"and 32 after the newest"* ]]
}
planned() { ./run plan demo trainer.batch=8 "${schedule[@]}" >"$work/plan" && cat "$work/plan" && grep -q "^time: .* a step on average" "$work/plan" && grep -q "^ *40 px *none *16 of 16" "$work/plan"; }

make_images
ok "what holds a trainer" make_fault
ok "a run with views of 24, 40 and 32 pixels" growing growing
ok "  says when each is in force" says_sizes growing
ok "a run with views of 24 pixels" run_small fixed data.view=24 trainer.checkpoint_keep=10
ok "  the first part is the same" same_tensors growing fixed 000000004
ok "  what follows is not" different growing fixed 000000008
ok "three loaders, augment is killed" growing loaders run.loaders=3
ok "  the same weights" same_weights growing loaders
ok "the trainer is killed in each part" trainer_killed
ok "  the same weights" same_weights growing trainer
ok "everything is killed in the last step of a size" killed last 5
ok "  the same weights" same_weights growing last
ok "everything is killed in the first step of a size" killed first 10
ok "  the same weights" same_weights growing first
ok "a stop in the last step of a size" stopped
ok "  the same weights" same_weights growing stopped
ok "augment is killed while the last step of a size is saved" augment_killed_while_saving
ok "  the same weights" same_weights growing saving
ok "two batches a step" growing batches trainer.accumulate=2 trainer.chunk=5
ok "a checkpoint that is not used, of another size" not_the_newest
ok "planned" planned
finish

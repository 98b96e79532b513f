#!/bin/bash
# SIGKILL of the trainer, of the supervisor, of everything, and Ctrl-C: resumed, the weights are those of an undisturbed run.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

start() { run_small "$1" trainer.steps=12 & run=$!; }

trainer_killed() {
    start trainer
    wait_step "$work/trainer" 5 && pkill -KILL -f "sb_trainer train $work/trainer"
    wait $run
}

supervisor_killed() {
    ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/supervisor" "${small[@]}" trainer.steps=12 --detach
    wait_step "$work/supervisor" 6 || return 1
    kill -KILL "$(cat "$work/supervisor/lock")"
    nothing_left || return 1
    timeout 120 ./run resume "$work/supervisor"
}

everything_killed() {
    start all
    wait_step "$work/all" 7
    pkill -KILL -f "$work/all"
    wait $run
    nothing_left || return 1
    timeout 120 ./run resume "$work/all"
}

interrupted() {
    ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/interrupt" "${small[@]}" trainer.steps=12 >"$work/out" 2>&1 &
    local run=$! status
    wait_step "$work/interrupt" 3 || return 1
    kill -TERM $run
    wait $run
    status=$?
    cat "$work/out"
    [ $status -eq 130 ] && grep -q "./run resume $work/interrupt" "$work/out" && nothing_left && timeout 120 ./run resume "$work/interrupt"
}

# The first interrupt waits for a trainer that is stopped, the second for nobody.
interrupted_twice() {
    ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/twice" "${small[@]}" trainer.steps=12 >"$work/out" 2>&1 &
    local run=$! status
    wait_step "$work/twice" 6 && pkill -STOP -f "sb_trainer train $work/twice" || return 1
    kill -TERM $run && sleep 0.5 && kill -0 $run && kill -TERM $run
    wait $run
    status=$?
    cat "$work/out"
    [ $status -eq 130 ] && grep -q "stopped at once; .* ./run resume $work/twice" "$work/out" && nothing_left && timeout 120 ./run resume "$work/twice"
}

# One run is killed again and again, each time another part of it at a random moment after a random step, and resumed.
random_kills() {
    local round run="$work/random"
    RANDOM=$seed
    ./run train recipes/demo.yaml data.path="$work/images" run.dir="$run" "${small[@]}" trainer.steps=12 --detach
    for round in 1 2 3 4 5; do
        wait_step "$run" $((2 * round + RANDOM % 3 - 1)) || return 1
        sleep "0.$((RANDOM % 400 + 100))"
        case $((RANDOM % 3)) in
            0) pkill -KILL -f "sb_trainer train $run"; continue ;; # the supervisor starts it again
            1) kill -KILL "$(cat "$run/lock")" ;;
            2) pkill -KILL -f "$run" ;;
        esac
        nothing_left && ./run resume "$run" --detach || return 1
    done
    timeout 120 flock "$run/lock" true # held while the run lives
}

make_images
ok "a run ends" run_small reference
ok "the trainer is killed and comes back" trainer_killed
ok "  the same weights" same_weights reference trainer
ok "the supervisor is killed, the run resumed" supervisor_killed
ok "  the same weights" same_weights reference supervisor
ok "everything is killed, the run resumed" everything_killed
ok "  the same weights" same_weights reference all
seed=${SB_TEST_SEED:-$RANDOM}
echo "# SB_TEST_SEED=$seed repeats the next kills"
ok "killed at random moments and resumed, five times" random_kills
ok "  the same weights" same_weights reference random
ok "interrupted, the run resumed" interrupted
ok "  the same weights" same_weights reference interrupt
ok "interrupted twice: at once, the run resumed" interrupted_twice
ok "  the same weights" same_weights reference twice
ok "metrics have each step once" bash -c "[ \$(wc -l <$work/all/metrics.jsonl) -eq 12 ] && [ \$(wc -l <$work/interrupt/metrics.jsonl) -eq 12 ]"
ok "nothing is left behind" nothing_left
finish

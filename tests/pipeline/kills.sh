#!/bin/bash
# SIGKILL of the trainer, of the supervisor, of everything, and Ctrl-C: resumed, the weights are those of an undisturbed run.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# Each is killed while its trainer stands at a step, so that nobody is too late.
start() { held "$2" "$1" run_small "$1" "${@:3}"; }
resume() { nothing_left && within ./run resume "$work/$1"; }

trainer_killed() {
    start trainer 5 || return 1
    pkill -KILL -f "sb_trainer train $work/trainer"
    wait $run
}

# Within a step, between two of its batches or in one.
accumulating_killed() {
    run_small accumulating trainer.accumulate=3 &
    local run=$!
    for step in 2 6; do
        wait_step "$work/accumulating" $step && sleep 0.1 && pkill -KILL -f "sb_trainer train $work/accumulating"
    done
    wait $run
}

supervisor_killed() {
    start supervisor 7 --detach || return 1
    wait $run
    kill -KILL "$(cat "$work/supervisor/lock")"
    resume supervisor
}

everything_killed() {
    start all 8 || return 1
    pkill -KILL -f "$work/all"
    wait $run
    resume all
}

# told_to_go_on NAME TEXT STEP: an interrupted run, whose last step was this, said how, and it does.
told_to_go_on() {
    wait $run
    local status=$?
    cat "$work/out"
    [ $status -eq 130 ] && said "$2.* ./run resume $work/$1" && says 0 "; go on from step 4 with: ./run resume" ./run status "$work/$1" && said "^step $3/12" && resume "$1"
}
# train NAME [interruptible]: Ctrl-C is ignored by a shell's background jobs, unless they are told otherwise.
train() { exec ${2:+env --default-signal=INT} ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$1" "${small[@]}" trainer.steps=12 >"$work/out" 2>&1; }

interrupted() {
    local run
    held 4 interrupt train interrupt || return 1
    kill -TERM "$run" && go_on trainer interrupt
    told_to_go_on interrupt "stopped after step 4, saved; go on with:" 4
}

# The first Ctrl-C waits for a trainer that is stopped, the second for nobody.
interrupted_twice() {
    local run
    held 7 twice train twice interruptible || return 1
    kill -INT "$run" && until_true "the trainer's being told" is_told "sb_trainer train $work/twice" && kill -0 "$run" && kill -INT "$run"
    told_to_go_on twice "stopped at once, after step 6; go on from step 4 with:" 6
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
            1) pkill -KILL -f "sb_supervisor supervise $run" ;;
            2) pkill -KILL -f "$run" ;;
        esac
        nothing_left && ./run resume "$run" --detach || return 1
    done
    within flock "$run/lock" true # held while the run lives
}

make_images
ok "what holds a trainer" make_fault
ok "a run ends" run_small reference
ok "the trainer is killed and comes back" trainer_killed
ok "  the same weights" same_weights reference trainer
ok "a run of three batches a step" run_small accumulated trainer.accumulate=3
ok "  the trainer is killed and comes back" accumulating_killed
ok "  the same weights" same_weights accumulated accumulating
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

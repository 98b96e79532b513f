#!/bin/bash
# soak.sh [EVENTS] [SEED]: a run that is disturbed all the time has the weights of one that is not. Not among the tests of ./run check: 1000 events
# (the default) take about an hour. docs/reliability.md has what was seen.
#
# Events: SIGKILL of any process or of all, SIGSTOP and SIGCONT, stop and resume, stop at once, loaders scaled, SIGTERM, SIGHUP, evaluators that come and are
# killed, a disk that is full for a second, a data folder that is away for a second. The run lies on a small disk of its own where that may be made.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"
events=${1:-1000} seed=${2:-$RANDOM}
steps=$((6 * events))
if [ -z "${SOAK_SPACE:-}" ] && unshare -rm true 2>/dev/null; then
    SOAK_SPACE=1 exec unshare -rm bash "$0" "$events" "$seed"
fi
mkdir "$work/disk"
[ -z "${SOAK_SPACE:-}" ] || mount -t tmpfs -o size=1500m none "$work/disk" || exit 1
trap 'pkill -KILL -f "$work/"; umount -l "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT
run=$work/disk/run
declare -A times=()
RANDOM=$seed
small+=(trainer.steps="$steps" trainer.checkpoint_every=25 trainer.checkpoint_keep=2 loader.timeout=10)

lives() { build/sb_supervisor status "$run" | head -n 1 | grep -qE ': (starting|training|stopping),'; }
ended() { [ -f "$run/backbone.safetensors" ]; }
# Somebody of the run.
victim() { pgrep -f "sb_(trainer train|augment|loader serve) $run" | shuf -n 1 --random-source=<(yes "$RANDOM"); }
go() { ended || lives || ./run resume "$run" --detach; }

disturb() {
    local event pid
    event=$(printf '%s\n' kill kill kill kill_supervisor kill_all pause stop stop_now term hangup scale scale evaluator full away | sed -n "$((RANDOM % 15 + 1))p")
    times[$event]=$((${times[$event]:-0} + 1))
    case $event in
        kill)
            pid=$(victim)
            [ -z "$pid" ] || kill -KILL "$pid" ;;
        kill_supervisor) pkill -KILL -f "sb_supervisor supervise $run" ;;
        kill_all) pkill -KILL -f "$run" ;;
        pause)
            pid=$(victim)
            [ -z "$pid" ] || { kill -STOP "$pid" && sleep "0.$((RANDOM % 900 + 100))"; kill -CONT "$pid"; } ;;
        stop) ./run stop "$run" ;;
        stop_now) ./run stop "$run" --now ;;
        term) pkill -TERM -f "sb_supervisor supervise $run" ;;
        hangup) pkill -HUP -f "$run" ;; # detached: it changes nothing
        scale) ./run scale "$run" loaders=$((RANDOM % 4 + 1)) ;;
        evaluator)
            ./run evaluate "$run" --no-pictures >/dev/null 2>&1 &
            sleep "0.$((RANDOM % 900 + 100))"
            kill -KILL $! 2>/dev/null ;;
        full)
            [ -n "${SOAK_SPACE:-}" ] || return 0
            dd if=/dev/zero of="$work/disk/filler" bs=1M 2>/dev/null
            sleep 1
            rm "$work/disk/filler" ;;
        away)
            mv "$work/images" "$work/away" && sleep 1
            mv "$work/away" "$work/images" ;;
    esac
    return 0
}

soak() {
    local done=0
    ./run train recipes/demo.yaml data.path="$work/images" run.dir="$run" "${small[@]}" --detach || return 1
    while ! ended; do
        if [ $done -lt "$events" ]; then disturb; fi
        done=$((done + 1))
        sleep "$((RANDOM % 3)).$((RANDOM % 900 + 100))"
        go
    done >>"$work/soak.log" 2>&1
    for event in "${!times[@]}"; do echo "# $event: ${times[$event]} times"; done >&3
    echo "# $((done < events ? done : events)) events, $steps steps, $(wc -l <"$run/metrics.jsonl") lines of metrics, $SECONDS s" >&3
}
same() { cmp "$run/backbone.safetensors" "$work/undisturbed/backbone.safetensors"; }
whole() { [ ! -e "$run/quarantine.jsonl" ] && [ "$(wc -l <"$run/metrics.jsonl")" -eq "$steps" ]; }

exec 3>&1
echo "# soak.sh $events $seed repeats what is random here, but for what the machine does meanwhile"
make_images
ok "the run, disturbed" soak
DEADLINE=14400 # it is as long as its events made it
ok "the run, undisturbed" run_small undisturbed "${small[@]}"
ok "  the same weights" same
ok "  each step once, no image blamed" whole
ok "nothing is left behind" nothing_left
tail -n 40 "$work/soak.log" | sed 's/^/# /'
finish

#!/bin/bash
# Any process of the user may write to a run's sockets: whatever it sends, the run ends, with the same weights.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"
tool=build/tests/pipeline/hostile_tool

make_noise() {
    seed=$((${seed:-0} + 1))
    "$tool" noise "$work/$1" augment $seed
    "$tool" noise "$work/$1" trainer $seed
}
tell_lies() {
    local augment
    augment=$(pgrep -f "sb_augment $work/$1") && "$tool" lies "$work/$1" "$augment"
}
# A process that is no loader of this run, and one that the supervisor did start, are named as a loader; the first as augment, too.
pretend() {
    local pid
    for pid in "$bystander" "$(pgrep -f "sb_trainer train $work/$1")"; do
        "$tool" idle "$work/$1" "$pid" "$(awk '{ print $22 }' "/proc/$pid/stat")" >>"$work/refused"
    done
    # The supervisor is stopped meanwhile, so that no augment is there before.
    suspend "$(cat "$work/$1/lock")" && pkill -KILL -f "sb_augment $work/$1" && claim "$1"
    kill -CONT "$(cat "$work/$1/lock")"
}
# Until it is refused, or the trainer is gone: then nobody answers, and the supervisor, which is stopped, does not end the run.
claim() {
    "$tool" claim "$work/$1" "$bystander" "$(awk '{ print $22 }' "/proc/$bystander/stat")" >>"$work/refused" &
    while kill -0 $! 2>/dev/null && pgrep -f "sb_trainer train $work/$1" >/dev/null; do sleep 0.1; done
    kill $! 2>/dev/null
    wait $!
}
nobody_believed() {
    grep -c "^refused: process $bystander is no sb_loader that this run's supervisor" "$work/refused" &&
        grep -c "^refused: process $bystander is no sb_augment that this run's supervisor" "$work/refused" &&
        ! grep -vE "^refused: process [0-9]+ is no sb_(loader|augment) that|^refused: the run has an augment" "$work/refused" &&
        ! grep -q "loader $bystander made no progress" "$work/pretend/log/augment.log" && kill -0 "$bystander"
}

# Programs of which the loader is no loader at its first, third and fifth start.
make_lazy() {
    mkdir -p "$work/programs/lazy" && ln -s "$PWD"/build/sb_{trainer,augment,supervisor} "$work/programs" && ln -s "$PWD/$tool" "$work/programs/lazy/sb_loader" &&
        cat >"$work/programs/sb_loader" <<END
#!/bin/bash
starts=\$(stat -c %s "$work/starts" 2>/dev/null || echo 0)
[ "\$1" != serve ] || printf x >>"$work/starts"
if [ "\$1" = serve ] && [ \$((starts % 2)) -eq 0 ] && [ "\$starts" -lt 6 ]; then exec "$work/programs/lazy/sb_loader" idle "\$2"; fi
exec "$PWD/build/sb_loader" "\$@"
END
    chmod +x "$work/programs/sb_loader"
}
run_lazy() { SB_BUILD="$work/programs" run_small "$@" && grep -q "made no progress for 0.5 s" "$work/$1/log/augment.log"; }

make_images
ok "a run ends" run_small reference
ok "noise on both sockets" disturbed noise make_noise run_small noise
ok "  the same weights" same_weights reference noise
# Which of them stand in the log depends on the order in which four connections are heard: the first three that were refused.
refusals() { [ "$(grep -cE "a message was refused: (message |type [0-9]+ field |wrong number of parts)" "$work/noise/log/$1.log")" -eq 3 ]; }
ok "  it arrived, and was refused with reasons" refusals augment
ok "  by the trainer too" refusals trainer
ok "lies about the work of others" disturbed lies tell_lies run_small lies
ok "  the same weights" same_weights reference lies
ok "  no image was given up" test ! -s "$work/lies/quarantine.jsonl"
(exec -a "$work/bystander" sleep infinity) & # the name: so that it ends with this test
bystander=$!
ok "hellos in the name of others" disturbed pretend pretend run_small pretend loader.timeout=0.5
ok "  nobody is believed or killed" nobody_believed
ok "  the same weights" same_weights reference pretend
kill $bystander
make_lazy
ok "a loader that never does its work" run_lazy idle loader.timeout=0.5
ok "  the same weights" same_weights reference idle
ok "nothing is left behind" nothing_left
finish

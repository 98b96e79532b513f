#!/bin/bash
# ./run watch: a run in the whole terminal, while it lives, when it is killed and comes back, and at its end; as lines where the terminal cannot.
# Whatever becomes of the view, the run goes on, and the terminal is as it was.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

# on TERM SIZE COMMAND...: acts on it as standard input says (terminal.py).
on() { within /usr/bin/python3 tests/pipeline/terminal.py "$@"; }
export LC_ALL=C.UTF-8
live=$work/live

first_frame() {
    local loss
    loss=$(tail -n 1 "$live/metrics.jsonl" | grep -oE '"loss":[0-9.]+' | cut -d: -f2)
    on xterm 80x24 ./run watch "$live" <<END
see $live
page training, since
page loss $(printf %.4f "$loss")
page stages: time at work
page trainer: memory: 
page q leaves; the run goes on
braille
key up
lives
key q
end 0
restored
END
}
by_default() {
    on xterm 80x24 ./run watch <<END
page $live
key q
end 0
restored
END
}
resized() {
    on xterm 120x40 ./run watch "$live" <<END
page messages
resize 40x12
page loss
within 40x12
page loss
without stages
resize 20x5
page training
within 20x5
page training
without messages
resize 1x1
lives
resize 200x60
within 200x60
page stages
page messages
key q
end 0
restored
END
}
# Each way out: $1 the action, $2 the status.
left() {
    on xterm 80x24 ./run watch "$live" <<END
page training, since
$1
end $2
restored
run ./run status $live | grep -q 'training, since'
END
}
ascii() {
    LC_ALL=C on xterm 80x24 ./run watch "$live" <<END
page training, since
page loss
key q
end 0
restored
ascii
END
}
# The trainer is killed, and started again; the run ends; the view stays until it is left.
through() {
    on xterm 80x24 ./run watch "$live" <<END
page training, since
run pkill -KILL -f '$(command_of trainer live)'
page step 12/12
page finished, 
page q leaves
without the run goes on
lives
key q
end 0
restored
END
}
lines_of_live() {
    on "$1" 80x24 ./run watch "$live" <<END
see training, since
signal TERM
end -15
plain
END
}
interrupted() {
    on dumb 80x24 ./run watch "$live" <<END
see training, since
key ^C
end -2
run ./run status $live | grep -q 'training, since'
END
}
too_small() {
    on xterm 19x24 ./run watch "$live" <<END
see training, since
key ^C
end -2
plain
END
}
into_pipe() {
    within ./run watch "$1" </dev/null 2>&1 | cat >"$work/out"
    local status=${PIPESTATUS[0]}
    cat "$work/out"
    [ "$status" -eq "$2" ] && said "$3" && ! grep -q $'\033' "$work/out"
}
# Until the end of a run that goes on meanwhile; each line once.
to_the_end() {
    ./run watch "$work/other" >"$work/lines" 2>&1 &
    local watcher=$!
    has_line() { grep -q 'other: training, since' "$work/lines"; }
    until_true "a first line" has_line && go_on trainer other && wait "$watcher" || return 1
    cat "$work/lines"
    grep -q 'other: finished, ' "$work/lines" && grep -q 'step 12/12' "$work/lines" && [ -z "$(uniq -d "$work/lines")" ]
}
unread() {
    ./run watch "$work/gone" | head -n 1
    [ "${PIPESTATUS[0]}" -eq 0 ]
}
vanishes() {
    on xterm 80x24 ./run watch "$work/gone" <<END
page finished, 
run rm -r $work/gone
page the run directory is not there any more
lives
key q
end 0
restored
END
}
hangs_up() {
    on xterm 80x24 ./run watch "$live" <<END
page finished, 
signal HUP
end -1
restored
END
}

make_images
ok "what holds a run" make_fault
held 5 live run_small live >>"$work/log" 2>&1
held=$run
ok "the first page of a live run" first_frame
ok "  without a name it is the run used last" by_default
ok "  in windows of other sizes" resized
ok "  q leaves it, and the run goes on" left "key q" 0
ok "  so does Ctrl-C" left "key ^C" 0
ok "  SIGTERM ends it, and the terminal is as it was" left "signal TERM" -15
ok "  and SIGQUIT" left "signal QUIT" -3
ok "  in ASCII, where the locale has no more" ascii
ok "lines on a terminal without escape codes" lines_of_live dumb
ok "  and on one of no name" lines_of_live -
ok "  and on one that nobody knows" lines_of_live no-such-terminal
ok "  and in a window that is too small" too_small
ok "  Ctrl-C leaves the run alone" interrupted
ok "through the trainer's death to the run's end" through
ok "  which ends as it would have" wait "$held"
held 3 other run_small other >>"$work/log" 2>&1
held=$run
ok "lines into a file end with the run" to_the_end
ok "  which ends" wait "$held"
ok "a run that has ended, into a pipe" into_pipe "$live" 0 'live: finished, '
sed 's/"phase": "finished"/"phase": "stopped"/' "$live/status.json" >"$work/status" && cp "$work/status" "$live/status.json"
ok "  one that was stopped" into_pipe "$live" 0 'live: stopped, .*; go on from step 12 with'
sed -i 's/"reason": ""/"reason": "collapse at step 3"/' "$live/status.json"
ok "  by an alarm" into_pipe "$live" 8 'live: stopped, .*, by an alarm: collapse at step 3'
sed -i 's/"phase": "stopped"/"phase": "failed"/' "$live/status.json"
ok "  one that has failed" into_pipe "$live" 1 'live: failed, .*: collapse at step 3'
sed -i 's/"phase": "failed"/"phase": "finished"/' "$live/status.json"
cp -r "$live" "$work/gone"
ok "nobody reads the lines" unread
ok "a run directory that vanishes" vanishes
ok "a terminal that hangs up" hangs_up
ok "nothing is left behind" nothing_left
finish

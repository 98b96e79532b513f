#!/bin/bash
# What a run shows: the notes of its programs, each once; on a terminal a line that keeps to the window's width; elsewhere no escape codes; and
# where nobody reads it, nothing of that changes the run.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

shown_once() {
    cat "$work/screen"
    [ "$(grep -cF "$1" "$work/screen")" -eq 1 ]
}
few=(device=cpu trainer.steps=4 trainer.checkpoint_every=2)
train() { run_small run "${few[@]}" >"$work/screen" 2>&1; }
resume() {
    rm "$work/run/backbone.safetensors" "$work/run/checkpoints/step-000000004.safetensors"
    ./run resume "$work/run" >"$work/screen" 2>&1
}

# in_window TERM COMMAND...: on a terminal of 60 columns, of 40 after the first line that rewrites itself; its output to $work/screen.
in_window() {
    /usr/bin/python3 - "$work/screen" "$@" <<'END'
import fcntl, os, pty, struct, sys, termios
target, term, command = sys.argv[1], sys.argv[2], sys.argv[3:]
def resize(fd, columns): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    resize(0, 60)
    os.environ["TERM"] = term
    os.execvp(command[0], command)
screen, resized = b"", False
while True:
    try:
        part = os.read(fd, 65536)
    except OSError:
        break
    if not part:
        break
    screen += part
    if b"\033[K" in screen and not resized:
        resize(fd, 40)
        screen, resized = screen + b"\nRESIZED\n", True
open(target, "wb").write(screen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}
on_terminal() { in_window "$1" ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/$1" "${small[@]}" trainer.steps=12; }
fits() {
    /usr/bin/python3 - "$work/screen" <<'END'
import re, sys
before, after = open(sys.argv[1], "rb").read().decode().split("\nRESIZED\n")
def lines(text): return [line for line in re.findall(r"\r([^\r\n\033]*)\033\[K", text) if line]
print(before, after)
assert lines(before) and all("step" in line and len(line) < 60 for line in lines(before)), lines(before)
# The one that was on its way at the moment of the change may have the old width.
assert len(lines(after)) > 1 and all("step" in line and len(line) < 40 for line in lines(after)[1:]), lines(after)
END
}
no_codes() { grep -q "step 12/12" "$work/screen" && ! grep -q $'\033' "$work/screen"; }
unread() {
    run_small unread "${few[@]}" 2>"$work/errors" | head -n 1
    local status=${PIPESTATUS[0]}
    cat "$work/errors"
    [ "$status" -eq 0 ] && cmp "$work/unread/backbone.safetensors" "$work/run/backbone.safetensors" && ! grep -qi pipe "$work/errors"
}

make_images
ok "a run" train
ok "  which device, and why" shown_once "trainer: device: CPU"
ok "  and augment's" shown_once "augment: device: CPU"
ok "resumed" resume
ok "  which device, and why" shown_once "trainer: device: CPU"
ok "  from where" shown_once "trainer: resuming after step 2"
ok "on a terminal" on_terminal xterm
ok "  it keeps to the window's width" fits
ok "on a terminal without escape codes" on_terminal dumb
ok "  it writes none" no_codes
ok "nobody reads it" unread
ok "nothing is left behind" nothing_left
finish

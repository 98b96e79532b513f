#!/usr/bin/env python3
"""Runs a command on a terminal of its own and acts on it as a person would.

terminal.py TERM WIDTHxHEIGHT COMMAND...      actions come from standard input, one a line:

    see TEXT       waits for TEXT, behind what was seen before
    page TEXT      asks for the whole page (Ctrl-L) until TEXT is in it
    without TEXT   TEXT is not in the last page
    key NAME       presses a key: q, ^C, up
    resize WxH     gives the window another size
    within WxH     from here on no character lands outside of that; asked of the next pages
    signal NAME    sends the command a signal
    run COMMAND    a command of the shell, which has to succeed
    lives          the command has not ended
    end STATUS     waits for its end: an exit status, or -N by signal N
    restored       the terminal's settings are those of before, and its own page is back
    plain          not one escape code was written
    ascii          nothing beyond ASCII was written
    braille        braille was written
"""
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time

DEADLINE = 900  # seconds; only what hangs meets it
term, size, command = sys.argv[1], sys.argv[2], sys.argv[3:]
keys = {"^C": b"\x03", "^L": b"\x0c", "up": b"\x1bOA"}


def set_size(text):
    columns, rows = map(int, text.split("x"))
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


master, slave = pty.openpty()  # the slave's end stays open here, so that its settings can be asked for afterwards
set_size(size)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.close(master), os.close(slave)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if term == "-":
        os.environ.pop("TERM", None)
    else:
        os.environ["TERM"] = term
    os.execvp(command[0], command)
screen, seen, limit, status, last = b"", 0, None, None, b""
end = time.monotonic() + DEADLINE


def take(seconds):
    """Reads what is written within this time, or until there is nothing for a while."""
    global screen
    got = b""
    while select.select([master], [], [], seconds)[0]:
        got += os.read(master, 65536)
        seconds = 0.1
    screen += got
    return got


def wait(what, found):
    while not found():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {DEADLINE} s; the terminal has got {screen[-4000:]}")


def look_for(text):
    global seen
    take(0.2)
    at = screen.find(text, seen)
    seen = seen if at < 0 else at + len(text)
    return at >= 0


def look_at_page(text):
    global last
    os.write(master, keys["^L"])
    last = take(0.3)
    for row, column in re.findall(rb"\x1b\[(\d+);(\d+)H", last) if limit else []:
        assert int(row) <= limit[1] and int(column) <= limit[0], (row, column, limit)
    return text in last


def has_ended():
    global status
    take(0.1)
    done, code = os.waitpid(pid, os.WNOHANG)
    if done:
        status = os.waitstatus_to_exitcode(code)
        take(0.1)
    return bool(done)


for line in sys.stdin.read().splitlines():
    action, _, text = line.strip().partition(" ")
    if action == "see":
        wait(line, lambda: look_for(text.encode()))
    elif action == "page":
        wait(line, lambda: look_at_page(text.encode()))
    elif action == "without":
        assert text.encode() not in last, last
    elif action == "key":
        os.write(master, keys.get(text, text.encode()))
    elif action == "resize":
        set_size(text)  # the kernel sends SIGWINCH
    elif action == "within":
        limit = tuple(map(int, text.split("x")))
    elif action == "signal":
        os.kill(pid, getattr(signal, "SIG" + text))
    elif action == "run":
        subprocess.run(text, shell=True, check=True, executable="/bin/bash", stdin=subprocess.DEVNULL)
    elif action == "lives":
        take(0.5)
        assert os.waitpid(pid, os.WNOHANG)[0] == 0, screen
    elif action == "end":
        wait(line, has_ended)
        assert status == int(text), (status, screen)
    elif action == "restored":
        after = termios.tcgetattr(slave)
        assert after == before, (before, after)
        assert b"\x1b[?1049h" in screen and screen.rindex(b"\x1b[?1049l") > screen.rindex(b"\x1b[?1049h"), screen
        assert b"\x1b[?25h" in screen[screen.rindex(b"\x1b[?1049h"):], "the cursor stays away"
    elif action == "plain":
        assert b"\x1b" not in screen, screen
    elif action == "ascii":
        assert max(screen) < 0x80, screen
    elif action == "braille":
        assert re.search(rb"\xe2[\xa0-\xa3][\x80-\xbf]", screen), screen
    elif action:
        sys.exit(f"no action {line}")
if status is None:
    os.kill(pid, signal.SIGKILL)
    sys.exit("it was not waited for")
print(screen.decode(errors="replace"))

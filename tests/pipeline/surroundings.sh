#!/bin/bash
# What surrounds a program is no part of the configuration: locale, variables, HOME, PATH, umask, descriptors that are closed or that nobody
# reads, ignored signals. Each time the same run, or one clear line.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/common.sh"

run_four() { run_small "$1" trainer.steps=4 evaluate.max_tiles=8 evaluate.views=1 "${@:2}"; }
# The run's files are the reference's, but for its name; times are not compared.
same() {
    cmp "$work/$1/backbone.safetensors" "$work/reference/backbone.safetensors" && cmp "$work/$1/index.csv" "$work/reference/index.csv" &&
        diff <(sed "s#/$1'#/reference'#" "$work/$1/config.yaml") "$work/reference/config.yaml"
}
last() { tail -n 1 "$work/$1/evaluation.jsonl"; }
answers() { # what programs print, of which nothing depends on time, and on a run's name its paths alone
    ./run index "$work/images" data.tile=64 && ./run help keys && ./run methods byol && ./run loss simclr "$work/a.npy" "$work/b.npy" method.temperature=0.25 -o "$work/loss" &&
        ./run evaluate "$work/$1" && build_export "$1" && cmp "$work/$1.safetensors" "$work/reference.safetensors"
}
build_export() { ./run export "$work/$1" -o "$work/$1.safetensors" | sed "s#/$1\.#/reference.#"; }
same_answers() { answers "$1" >"$work/answers" 2>"$work/errors" && cat "$work/errors" && diff <(sed "s#/$1/#/reference/#" "$work/answers") "$work/answered" && [ ! -s "$work/errors" ]; }

# A locale with decimal commas, made here where the system has none.
make_german() {
    mkdir "$work/locale" && localedef -i de_DE -f UTF-8 "$work/locale/de_DE.UTF-8" >/dev/null 2>&1
    [ "$(german /usr/bin/printf '%.1f' 1,5 2>/dev/null)" = 1,5 ]
}
german() { LOCPATH=$work/locale LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 LANGUAGE=de "$@"; }
in_german() { german run_four german && same german && german same_answers german && [ "$(last german)" = "$(last reference)" ]; }

# Variables that make libraries talk, compute otherwise or hang, and getopt stop at the first argument.
talking() {
    ONEDNN_VERBOSE=1 DNNL_VERBOSE=2 G_MESSAGES_DEBUG=all G_DEBUG=fatal-warnings VIPS_INFO=1 VIPS_PROFILE=1 POSIXLY_CORRECT=1 OMP_DYNAMIC=true OMP_NESTED=true \
        OMP_MAX_ACTIVE_LEVELS=0 OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 ONEDNN_DEFAULT_FPMATH_MODE=BF16 ONEDNN_CPU_ISA_HINTS=PREFER_YMM ONEDNN_JIT_DUMP=1 "$@"
}
with_variables() { talking run_four variables && same variables && talking same_answers variables && [ -z "$(find . -maxdepth 1 -name '*dump*' -o -maxdepth 1 -name 'vips-profile*')" ]; }

without_home() {
    (unset HOME TERM LANG && PATH=/usr/bin:/bin run_four bare) && same bare && env -i build/sb_evaluator evaluate "$work/bare" && [ -s "$work/bare/pictures/curves.png" ]
}
without_path() {
    PATH=/nonexistent build/sb_evaluator evaluate "$work/bare" >"$work/out" 2>"$work/errors" && cat "$work/errors" && grep -q trained "$work/out" &&
        [ "$(lines "$work/errors")" = 1 ] && grep -q "no .*curves.png: gnuplot: No such file or directory" "$work/errors"
}

closed_to_others() { (umask 077 && run_four private) && same private && [ -z "$(find "$work/private" -perm /077 ! -type s)" ]; }
# Permissions that the owner has not hold for root only where it gives up its privileges.
closed_to_all() {
    (umask 0777 && bounded within ./run train recipes/demo.yaml data.path="$work/images" run.dir="$work/closed" "${small[@]}" trainer.steps=4 evaluate.max_tiles=8 evaluate.views=1) &&
        same closed
}

# Of what is printed nothing may be left in the files that are opened instead.
without_descriptors() {
    run_four silent <&- >&- 2>&- && same silent && build/sb_trainer export "$work/silent" -o "$work/silent.safetensors" <&- >&- 2>&- && cmp "$work/silent.safetensors" "$work/reference.safetensors" &&
        build/sb_evaluator evaluate "$work/silent" <&- >&- 2>&- && [ "$(last silent)" = "$(last reference)" ] && ! grep -aqsE --exclude=report.html "smallbatch [a-z]+:|held-out tiles" "$work"/silent/*.* "$work"/silent/pictures/*
}

# The note about an image that is left out goes to the descriptor that the features would have.
without_errors() {
    local embed=(build/sb_evaluator embed "$work/reference" "$work/few" data.view=16 -o)
    mkdir "$work/few" && cp "$work"/images/0[12].jpg "$work/few" && head -c 5000 "$work/images/03.jpg" >"$work/few/00.jpg" && "${embed[@]}" "$work/open.npy" && "${embed[@]}" "$work/shut.npy" 2>&- &&
        cmp "$work/open.npy" "$work/shut.npy" && cmp "$work/open.csv" "$work/shut.csv"
}

# unread COMMAND...: its standard output is a pipe that nobody reads. Status 0, and not a word.
unread() {
    perl -e 'pipe R, W; close R; open STDOUT, ">&", W; exec @ARGV' "$@" 2>"$work/errors"
    local status=$?
    cat "$work/errors"
    [ $status -eq 0 ] && [ ! -s "$work/errors" ]
}
unread_evaluation() {
    local before
    before=$(lines "$work/reference/evaluation.jsonl")
    rm -r "$work/reference/pictures"
    unread ./run evaluate "$work/reference" && [ "$(lines "$work/reference/evaluation.jsonl")" = $((before + 1)) ] && [ -s "$work/reference/pictures/curves.png" ]
}
# head COMMAND...: as people do it.
headed() { [ "$("$@" 2>"$work/errors" | head -n 1 | wc -l)" = 1 ] && cat "$work/errors" && [ ! -s "$work/errors" ]; }

# one_line PATTERN COMMAND...: a failure, said in one line.
one_line() {
    local pattern=$1 status
    shift
    "$@" 2>"$work/errors"
    status=$?
    cat "$work/errors"
    [ $status -eq 1 ] && [ "$(lines "$work/errors")" = 1 ] && grep -q "$pattern" "$work/errors"
}
written_in_vain() { one_line "not all of the output could be written: No space left on device" "$@" >/dev/full; }
small_files() { (ulimit -f 100 && one_line "File too large" build/sb_trainer export "$work/reference" -o "$work/large.safetensors") && [ -z "$(find "$work" -name 'large.*')" ]; }
unwaited() { rm -r "$work/reference/pictures" && (trap '' CHLD && ./run evaluate "$work/reference") && [ -s "$work/reference/pictures/curves.png" ]; }

make_images
/usr/bin/python3 - "$work" <<'END_PYTHON'
import sys
import numpy
generator = numpy.random.default_rng(3)
for name in "ab":
    numpy.save(f"{sys.argv[1]}/{name}", generator.standard_normal((9, 6)).astype(numpy.float32))
END_PYTHON
ok "a run, and what programs say" eval "run_four reference && answers reference >$work/answered"
german="a locale with decimal commas: the same run, the same answers"
if make_german; then ok "$german" in_german; else skip "$german" "no de_DE.UTF-8, and localedef cannot make it"; fi
ok "variables of libraries: the same run, the same answers" with_variables
ok "no HOME, a short PATH: the same run" without_home
ok "  no gnuplot in PATH: one line" without_path
ok "umask 077: the same run, and nobody else's" closed_to_others
ok "umask 0777: what programs make they can use" closed_to_all
ok "closed descriptors: the same run, and no message in a file" without_descriptors
ok "  and none in features" without_errors
ok "nobody reads: methods" unread ./run methods
ok "  every key" unread ./run help keys
ok "  an index" unread ./run index "$work/images" data.tile=64
ok "  a plan" unread ./run plan demo
ok "  an evaluation, which is kept all the same" unread_evaluation
ok "into head: methods" headed ./run methods
ok "  every key" headed ./run help keys
ok "  an index" headed ./run index "$work/images" data.tile=64
ok "a full disk for what is printed: one line" written_in_vain ./run methods
ok "  of the loader" written_in_vain ./run index "$work/images" data.tile=64
ok "a limit of a file's size: one line" small_files
ok "SIGCHLD is ignored: gnuplot is waited for" unwaited
ok "nothing is left behind" nothing_left
finish

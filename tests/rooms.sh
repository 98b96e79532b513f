#!/bin/bash
# Rooms: which room includes which, which library belongs where, and that no program contains another's loop.
cd "$(dirname "$0")/.." || exit 1
number=0 failed=0

# verdict NAME FINDINGS: passes if there are none.
verdict() {
    number=$((number + 1))
    if [ -z "$2" ]; then echo "ok $number - $1"; else
        failed=1
        echo "not ok $number - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

# room NAME REGEX: all that a room's files include of this project, from the top. A cross link is named header by header. ROOM/keys.h are data
# alone (structs and tables of keys): any room above proto and kernels may read them, and no keys.c links anything of its room.
room() { verdict "$1 includes what it may" "$(grep -rnE '^#include "' --include='*.[ch]' --include='*.cu' "$1" | grep -vE "#include \"($2)\"")"; }
room proto 'proto/[a-z]+\.h'
room kernels '(proto|kernels|kernels/[a-z]+)/[a-z0-9_]+\.h|kernels/ops\.def'
room loader '(proto|loader|loader/index|loader/readers)/[a-z]+\.h'
room augment '(proto|augment)/[a-z]+\.h|(loader|trainer)/keys\.h|kernels/(device|open)\.h|kernels/op/view\.h|loader/(index/index|readers/decoder|quarantine)\.h'
room trainer '(proto|trainer|trainer/(encoders|graph|heads|methods|step))/[a-z_]+\.h|(loader|augment|evaluator)/keys\.h|loader/index/index\.h|trainer/(methods/methods|encoders/encoders|optimisers/optimisers)\.def|kernels/(device|op|open|staging)\.h|kernels/op/[a-z_]+\.h|kernels/share/(codes|overlap|resample|sincos)\.h'
room evaluator '(proto|evaluator|evaluator/metrics)/[a-z]+\.h|evaluator/(metrics/metrics\.def|event\.pb-c\.h)|kernels/device\.h|loader/(index/index|readers/decoder)\.h|augment/(order|view)\.h|kernels/op/(product|view)\.h|(loader|augment)/keys\.h|trainer/(alarm|collapse|configuration|encoder|checkpoint|npy|publish|spread|status)\.h|trainer/graph/(build|plan)\.h'
room supervisor '(proto|supervisor)/[a-z]+\.h|(evaluator|loader|trainer)/keys\.h|trainer/(alarm|status)\.h'
room sweep '(proto|sweep)/[a-z]+\.h|evaluator/measure\.h|trainer/(configuration|status)\.h'

# library HEADER REGEX: only these files include it.
library() { verdict "$1 stays in its place" "$(grep -rlF "#include <$1" --include='*.[ch]' --include='*.cu' proto kernels loader augment trainer supervisor evaluator sweep | grep -vE "^($2)$")"; }
library zmq.h 'proto/socket\.c'
library msgpack.h 'proto/message\.c'
library yaml.h 'proto/config\.c'
library dnnl 'kernels/cpu/[a-z]+\.[ch]'
library omp.h 'kernels/cpu/[a-z]+\.[ch]'
library lbfgs.h 'evaluator/metrics/classifier\.c'
library curses.h 'supervisor/window\.c'
library vips/ 'loader/readers/[a-z]+\.[ch]|loader/index/picture\.c|evaluator/sheet\.c'

verdict "protobuf-c stays in its place" "$(grep -rlE '#include .*(protobuf-c|pb-c)' --include='*.[ch]' --include='*.cu' proto kernels loader augment trainer supervisor evaluator sweep | grep -v '^evaluator/events\.c$')"
verdict "command lines are read in one place" "$(grep -rnE '\bargp_(parse|error|usage|failure)\(' --include='*.c' proto loader augment trainer supervisor evaluator sweep | grep -v '^proto/program\.c:')"
verdict "no operation, device or graph knows the configuration" "$(grep -rnE '#include "(proto/(config|key)\.h|[a-z]+/(keys|configuration)\.h)"' --include='*.[ch]' --include='*.cu' kernels trainer/graph)"
verdict "keys are data: they need nothing of their rooms" "$(nm -u build/libkeys.a | grep -oE 'sb_[a-z_]+' | grep -vE '^sb_(config_.*|fail|.*_table|.*_keys_.*)$')"

verdict "the programs are built" "$(for program in loader augment trainer supervisor evaluator sweep; do [ -x "build/sb_$program" ] || echo "no build/sb_$program"; done)"

# loop PROGRAM SYMBOL...: what makes the program's loop is in it and in no other one.
loop() {
    local owner=$1 program symbol found=""
    for symbol in "${@:2}"; do
        for program in loader augment trainer supervisor evaluator sweep; do
            if nm "build/sb_$program" | grep -q " T $symbol$"; then
                [ "$program" = "$owner" ] || found+="$symbol is in sb_$program"$'\n'
            elif [ "$program" = "$owner" ]; then
                found+="$symbol is not in sb_$program"$'\n'
            fi
        done
    done
    verdict "no program contains the loop of $owner" "$found"
}
loop loader sb_serve sb_recheck
loop augment sb_dispatch_create sb_dispatch_turn sb_dispatch_take
loop trainer sb_train sb_control_start sb_step_gradient sb_step_commit sb_publish_weights
loop supervisor sb_supervise sb_child_start sb_log_take sb_watch_run
loop evaluator sb_attach sb_gallery_create sb_report_append sb_page_write sb_tensorboard_write
verdict "the loader has no graph, no views" "$(nm build/sb_loader | grep -E ' [TtU] (sb_(device|op|graph|plan|store|view|order|step)_|dnnl_)')"
echo "1..$number"
exit $failed

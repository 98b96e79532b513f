#!/bin/bash
# Everything that is C under AddressSanitizer, LeakSanitizer and UBSan: the test programs, one short real run of all four programs, and one of
# augment and trainer on the emulated GPU, which has its kernels, threads and memory checked on the way.
# shellcheck source=tests/pipeline/common.sh
source "$(dirname "$0")/../pipeline/common.sh"

# Every process writes what it finds into a file of its own, so that nothing is lost in a log; every finding ends its process. UBSan beside
# ASan writes to standard error, whatever it is told: to the logs of a run.
export ASAN_OPTIONS="log_path=$work/found detect_leaks=1 detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1"
plugin=build/address/tests/sb_emulated.so

nothing_found() {
    grep -rF "runtime error: " "$work"/*/log 2>/dev/null && return 1
    compgen -G "$work/found*" >/dev/null || return 0
    head -n 18 "$work"/found*
    rm -f "$work"/found*
    return 1
}

short_run() {
    run_small run run.loaders=2 trainer.steps=6 evaluate.views=2 evaluate.max_tiles=24 && ./run evaluate "$work/run" &&
        ./run export "$work/run" -o "$work/out.safetensors" && ./run embed "$work/run" "$work/images" -o "$work/out.npy" && ./run status "$work/run" && ./run watch "$work/run"
}

# run_on_gpu NAME [KEY=VALUE...]: two chunks to a batch, a checkpoint within the run and one at its end.
run_on_gpu() {
    run_small "$@" device=cuda cuda.plugin=$plugin data.path="$work/photographs" data.tile=128 trainer.batch=4 trainer.chunk=4 trainer.steps=3 \
        trainer.checkpoint_every=2
}

# A leak on purpose: this fails where the leak check cannot work (under ptrace), which would else go unnoticed.
leak_is_seen() {
    printf '#include <stdlib.h>\nint main(void) { return malloc(10) == (void *)1; }\n' >"$work/leak.c"
    gcc -O0 -fsanitize=address "$work/leak.c" -o "$work/leak" && ! "$work/leak" && ! nothing_found
}

programs=() arguments=()
for source in tests/{unit,kernels,fuzz}/test_*.c tests/emulated/test_{calls,plans}.c; do programs+=("build/address/${source%.c}"); done
ok "the build" make -s -j2 SAN=address,undefined all $plugin "${programs[@]}"
ok "a leak is seen" leak_is_seen
for program in "${programs[@]}"; do
    arguments=()
    # The thread count with the most seams and empty parts; the program without sanitizers has all four.
    if [[ $program = */test_cpu ]]; then arguments=(compare "" 7); fi
    ok "${program#build/address/tests/}" timeout 900 "$program" "${arguments[@]}"
    ok "  nothing found" nothing_found
done
export SB_BUILD=build/address
make_images
ok "a run, its evaluation, its features" short_run
ok "  nothing found" nothing_found
if [ "$(head -c 4 $plugin)" = $'\x7fELF' ]; then
    ok "photographs" take_photographs
    for precision in f32 bf16 f16; do
        ok "a run on the emulated GPU in $precision" run_on_gpu $precision trainer.precision=$precision
        ok "  nothing found" nothing_found
    done
fi
ok "nothing is left behind" nothing_left
finish

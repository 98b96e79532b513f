#!/bin/bash
# Kernels of our own that are written for the widest vectors there are, built for narrower ones, and held to all of their cases: those of AVX2
# where the processor has AVX-512, and those of every x86-64.
set -u
cd "$(dirname "$0")/../.." || exit 1
operations=(conv depthwise)
targets=(x86-64-v3 x86-64)
echo 1..$((${#targets[@]} * ${#operations[@]}))
number=0
for target in "${targets[@]}"; do
    program=build/$target/test_cpu
    narrower=1
    [ "$target" = x86-64 ] || gcc -march=native -dM -E -x c /dev/null | grep -q __AVX512F__ || narrower=
    [ -z "$narrower" ] || make -s "$program" >"build/$target.log" 2>&1 || rm -f "$program"
    for operation in "${operations[@]}"; do
        name="ok $((++number)) - $operation, $target"
        if [ -z "$narrower" ]; then echo "$name # SKIP this processor has none that are wider"; continue; fi
        if output=$("$program" compare "$operation" 7 2>&1); then # threads: other numbers are the program's that has all of the processor
            echo "$name"
        else
            echo "not $name"
            { [ -f "$program" ] || grep -v "^  CC" "build/$target.log"; grep -v "^ok" <<<"$output"; } | head -n 10 | sed 's/^/# /'
        fi
    done
done

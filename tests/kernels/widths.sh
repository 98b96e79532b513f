#!/bin/bash
# Kernels of our own are compiled for the processor's widest vectors: with AVX-512, those of AVX2 are built as well, and held to the same cases.
set -u
cd "$(dirname "$0")/../.." || exit 1
operations=(conv depthwise)
echo 1..${#operations[@]}
number=0 there=build/avx2
if gcc -march=native -dM -E -x c /dev/null | grep -q __AVX512F__; then
    make -s BUILD=$there ARCH=-march=x86-64-v3 OPTIMISE=-O2 $there/tests/kernels/test_cpu >/dev/null || there=
else
    there=none
fi
for operation in "${operations[@]}"; do
    name="ok $((++number)) - $operation with AVX2's vectors"
    if [ "$there" = none ]; then echo "$name # SKIP this processor has none that are wider"; continue; fi
    if output=$([ -n "$there" ] && $there/tests/kernels/test_cpu compare "$operation" 2>&1); then echo "$name"; else echo "not $name" && grep -v "^ok" <<<"$output" | head -n 10 | sed 's/^/# /'; fi
done

#!/bin/bash
# Which GPUs `make cuda` builds for: those from compute capability 7.5 on that the toolkit's nvcc lists, whichever toolkit it is. Stand-ins for nvcc
# list others; nothing is compiled.
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d /tmp/smallbatch-test-XXXXXX)
trap 'rm -rf "$work"' EXIT
number=0 failed=0

# ok NAME ARCHITECTURES LISTED [KEY=VALUE...]: with an nvcc that lists LISTED, those are built, and PTX of the last.
ok() {
    local name=$1 expected=$2 listed=$3 line wanted=""
    shift 3
    number=$((number + 1))
    mkdir -p "$work/bin"
    printf '#!/bin/sh\n[ "$*" = --list-gpu-arch ] && printf "compute_%%s\\n" %s\n' "$listed" >"$work/bin/nvcc"
    chmod +x "$work/bin/nvcc"
    for arch in $expected; do wanted+="-gencode arch=compute_$arch,code=sm_$arch "; done
    wanted+="-gencode arch=compute_${expected##* },code=compute_${expected##* }"
    line=$(make -n CUDA="$work" BUILD="$work/build" "$@" "$work/build/cuda/maxpool.cu.o" 2>&1)
    if [ "$(grep -oE -- '-gencode [^ ]+' <<<"$line" | xargs)" = "$wanted" ]; then echo "ok $number - $name"; else
        failed=1
        echo "not ok $number - $name"
        printf '%s\n' "$line" | sed 's/^/# /'
    fi
}

ok "a toolkit of CUDA 12.2" "75 80 86 87 89 90" "50 52 53 60 61 62 70 72 75 80 86 87 89 90"
ok "one of CUDA 13, whose list is not in order" "75 80 90 100 103 110 121" "75 80 90 100 110 103 121"
ok "CUDA_ARCHS says otherwise" "86 120" "75 80 90" CUDA_ARCHS="86 120"
echo "1..$number"
exit $failed

#!/bin/bash
# The plug-in as nvcc builds it, for one architecture: no warning, no local memory in any kernel, enough of each to fill a multiprocessor, and
# nothing undefined but what the program and NVIDIA's libraries give it. Nothing here has run on a GPU.
cd "$(dirname "$0")/../.." || exit 1
arch=90 folder=build/nvcc
if [ ! -x "${CUDA:-/usr/local/cuda}/bin/nvcc" ]; then
    echo "1..0 # SKIP no nvcc in ${CUDA:-/usr/local/cuda}"
    exit
fi
number=0
ok() {
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >build/nvcc.log 2>&1; then echo "ok $number - $name"; else echo "not ok $number - $name"; tail -n 30 build/nvcc.log | sed 's/^/# /'; fi
    grep '^# ' build/nvcc.log
}

links() {
    local library
    for library in libcudart libcudnn libcublas; do
        readelf -d $folder/sb_cuda.so | grep -q "NEEDED.*$library\.so" || { echo "$library is not linked by its name"; return 1; }
    done
    ldd -r $folder/sb_cuda.so 2>&1 | grep "undefined symbol" | grep -vE 'undefined symbol: sb_(fail|fail_errno|context|error)[[:space:]]' && return 1
    return 0
}

ok "nvcc builds it for sm_$arch without a warning and without local memory" make -s -j2 BUILD=$folder CUDA_ARCHS=$arch cuda
ok "every kernel fills at least half a multiprocessor" bash -c "cat $folder/cuda/*.ptxas | build/tests/cuda/occupancy"
ok "it links cudart, cuDNN and cuBLAS by name and leaves nothing else open" links
echo "1..$number"

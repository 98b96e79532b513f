#!/bin/bash
# The plug-in as nvcc builds it, for one architecture: no warning, no local memory in any kernel, enough of each to fill a multiprocessor, and
# nothing undefined but what the program and NVIDIA's libraries give it; the machine code keeps the rules of sass.py. Nothing here has run on a GPU.
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

# What the toolkit has, or what setup.sh fetched.
tools=${CUDA:-/usr/local/cuda}/bin
if [ ! -x "$tools/nvdisasm" ] || [ ! -x "$tools/cuobjdump" ]; then tools=build/disassembler/nvidia/cu13/bin; fi

code() {
    tests/cuda/sass.py $tools $folder/cuda/{norm,maxpool,avgpool,gridpool,input,layout,update,view}.cu.o \
        $folder/cuda/{layernorm,gelu,residual,bias,combine,grn,unpick,depthwise}.cu.o
}

# One line of broken.cu's for each rule, and none of its sound kernel.
refused() {
    "${CUDA:-/usr/local/cuda}/bin/nvcc" -O3 -gencode arch=compute_$arch,code=sm_$arch -c tests/cuda/broken.cu -o $folder/broken.cu.o || return 1
    if tests/cuda/sass.py $tools $folder/broken.cu.o >$folder/broken.txt; then return 1; fi
    cat $folder/broken.txt
    [ "$(grep -oE '^broken.cu.o: _Z[0-9]+[a-z_]+' $folder/broken.txt | sort -u | wc -l)" = 5 ] && ! grep -q sound $folder/broken.txt &&
        [ "$(cut -d: -f3 $folder/broken.txt | sort -u | xargs)" = "f32 loads order stores" ]
}

ok "nvcc builds it for sm_$arch without a warning and without local memory" make -s -j2 BUILD=$folder CUDA_ARCHS=$arch cuda
ok "every kernel fills at least half a multiprocessor" bash -c "cat $folder/cuda/*.ptxas | build/tests/cuda/occupancy"
ok "it links cudart, cuDNN and cuBLAS by name and leaves nothing else open" links
if [ -x "$tools/nvdisasm" ] && [ -x "$tools/cuobjdump" ]; then
    ok "16 bytes an instruction, loads before stores, neither f64 nor 64-bit divisions by pixels" code
    ok "kernels that break these rules are refused" refused
else
    number=$((number + 1))
    echo "ok $number - machine code # SKIP no nvdisasm and cuobjdump in the CUDA toolkit nor from PyPI"
fi
echo "1..$number"

#!/bin/bash
# The tables of tests/gpu.sh, bounds beside times by CUDA events, on the emulated GPU: every column is filled, and by the clock of the events, by
# which there any piece of work takes a microsecond. The times mean nothing.
cd "$(dirname "$0")/../.." || exit 1
program=build/tests/emulated/test_cases
if ! [ "$(head -c 4 $program 2>/dev/null)" = $'\x7fELF' ]; then
    exec $program # says why there is none
fi
number=0

# ok NAME ROWS MICROSECONDS ARGUMENTS...: the table has so many rows, each with a bound, such a time (0: any) and the one over the other.
ok() {
    local name=$1 rows=$2 time=$3 table
    shift 3
    number=$((number + 1))
    table=$($program "$@" 2>&1)
    if awk -v rows="$rows" -v time="$time" '
        NR == 1 { head = /^emulated GPU: at most 100 GB\/s, 2.6 TFLOP\/s in f32, 41.0 in bf16/ }
        NR == 2 { head = head && /operation: shape +bound, us +measured, us +ratio$/ }
        NR > 2 {
            bound = $(NF - 2); measured = $(NF - 1); ratio = measured / bound - $NF
            good += bound > 0 && measured > 0 && (!time || measured == time) && ratio * ratio < 1e-4 * $NF * $NF
        }
        END { exit !(head && good == rows && NR == rows + 2) }' <<<"$table"; then echo "ok $number - $name"; else
        echo "not ok $number - $name"
        printf '%s\n' "$table" | sed 's/^/# /'
    fi
}

ok "one kernel" 1 1 time "avgpool_forward: f32" 0
ok "three kernels" 1 3 time "batchnorm_forward: bf16 [98, 1, 1, 1024]" 0
ok "a product and a sum" 1 2 time "linear_forward: [512, 1, 1, 2048] to 2048, bias" 0
ok "a convolution" 1 0 time "conv_forward: bf16 [16, 64, 64, 3] to 64, 3 x 3" 0
ok "a step, f32, bf16 and f16" 3 0 step recipes/demo.yaml trainer.batch=2 data.view=32
echo "1..$number"

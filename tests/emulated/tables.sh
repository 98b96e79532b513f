#!/bin/bash
# The tables of tests/gpu.sh, predictions beside times by CUDA events, on the emulated GPU: every column is filled, and by the clock of the events, by
# which there any piece of work takes a microsecond. The times mean nothing.
cd "$(dirname "$0")/../.." || exit 1
program=build/tests/emulated/test_cases
if ! [ "$(head -c 4 $program 2>/dev/null)" = $'\x7fELF' ]; then
    exec $program # says why there is none
fi
number=0

# ok NAME ROWS MICROSECONDS SHARES ARGUMENTS...: the table has so many rows, each with a bound, a model's time, such a time (0: any), how many times
# the model's that is, and the verdict that follows; then how many of them are within the factor, and so many shares as kinds of kernels reached them.
ok() {
    local name=$1 rows=$2 time=$3 shares=$4 table
    shift 4
    number=$((number + 1))
    table=$($program "$@" 2>&1)
    if awk -v rows="$rows" -v time="$time" -v shares="$shares" '
        NR == 1 { head = /^emulated GPU: at most 100 GB\/s, 2.6 TFLOP\/s in f32, 41.0 in bf16/ }
        NR == 2 { head = head && /operation: shape +bound, us +model, us +measured, us +ratio to the model$/ }
        NR > 2 && /within a factor of/ { end = NR == rows + 3 && $1 == within && $3 == rows && $8 == 1.5 }
        NR > 2 && NR <= rows + 2 {
            bound = $(NF - 4); model = $(NF - 3); measured = $(NF - 2); off = measured / model - $(NF - 1)
            verdict = measured > 1.5 * model ? "SLOWER" : 1.5 * measured < model ? "FASTER" : "within"
            within += verdict == "within"
            good += bound > 0 && model > bound && (!time || measured == time) && off * off < 1e-4 * $(NF - 1) * $(NF - 1) && $NF == verdict
        }
        NR == rows + 4 { heads = /^kind of kernel +share +assumed +reached +least +most +calls$/ }
        NR > rows + 4 { reached += /(of the bandwidth|of the peak, (f32|half)) +0\.[0-9]+ +[0-9].* (kept|to be corrected)$/ }
        END { exit !(head && end && good == rows && reached == shares && NR == rows + 3 + (shares > 0) * (1 + shares) && heads == (shares > 0)) }' <<<"$table"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        printf '%s\n' "$table" | sed 's/^/# /'
    fi
}

ok "one kernel" 1 1 0 time "avgpool_forward: f32" 0
ok "three kernels" 1 3 0 time "batchnorm_forward: bf16 [98, 1, 1, 1024]" 0
ok "a product and a sum" 1 2 0 time "linear_forward: [512, 1, 1, 2048] to 2048, bias" 0
ok "a convolution, and the share that it reached" 1 0 1 time "conv_forward: bf16 [16, 64, 64, 3] to 64, 3 x 3" 0
ok "a step, f32, bf16 and f16" 3 0 0 step recipes/demo.yaml trainer.batch=2 data.view=32
ok "a step that is predicted" 3 0 0 steps "ResNet-18 at 224" trainer.batch=2 data.view=32
echo "1..$number"

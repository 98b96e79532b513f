#!/bin/bash
# check.sh: every test there is, in an order that ends early, by check.pl. What ./run check ends with.
set -u
cd "$(dirname "$0")/.." || exit 1
# The longest first, so that both jobs end at about one time; and what depends on how oneDNN computes (step.py sees to that itself).
first=(tests/oracle/step.py tests/sanitizers/address.sh tests/pipeline/methods.sh tests/lint.sh tests/extend.sh)
again=(tests/oracle/{masked,distillation,method,method_step,metrics,implementations}.py build/tests/kernels/test_cpu build/tests/unit/test_{graph,sizes}
             "build/tests/emulated/test_cases compare "{conv,linear,match,nearest_row,product,relations}) # what asks a library
tests=("${first[@]}" build/tests/*/test_* tests/oracle/*.py tests/*/*.sh tests/lint.sh tests/rooms.sh tests/readme.sh tests/extend.sh) found=()
declare -A listed=()
export XDG_CACHE_HOME=$PWD/build/cache # not the user's: what a GPU's plans are chosen by
for t in "${tests[@]}"; do
    if [ -x "$t" ] && [ -f "$t" ] && [[ $t != *.[od] ]] && [ -z "${listed[$t]:-}" ]; then found+=("$t") listed[$t]=1; fi
done
# What is right with this processor's arithmetic must be so with that of most others.
less=ONEDNN_MAX_CPU_ISA=AVX2
device=$(build/tests/kernels/test_cpu device) || exit 1
if [ "$(env $less build/tests/kernels/test_cpu device)" = "$device" ]; then
    echo "$device: $less changes nothing, and no test runs a second time with it"
else
    echo "$device: what computes runs a second time with $less"
    found=("${found[@]:0:${#first[@]}}" "${again[@]/#/$less }" "${found[@]:${#first[@]}}")
fi
# Two run at a time. Whole runs mostly wait, and all else computes: by turns behind the first ones, one for so many of the others, no processor
# stands idle.
computes=() waits=() turns=("${found[@]:0:${#first[@]}}")
for t in "${found[@]:${#first[@]}}"; do if [[ $t = tests/pipeline/* ]]; then waits+=("$t"); else computes+=("$t"); fi; done
for ((i = 0; i < ${#waits[@]}; i++)); do
    from=$((i * ${#computes[@]} / ${#waits[@]})) to=$(((i + 1) * ${#computes[@]} / ${#waits[@]}))
    turns+=("${waits[i]}" "${computes[@]:from:to - from}")
done
exec tests/check.pl "${turns[@]}"

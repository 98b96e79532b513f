#!/bin/bash
# What README says of keys is what the program says.
cd "$(dirname "$0")/.." || exit 1
echo 1..1
if differences=$(diff <(build/sb_trainer keys) <(sed -n '/^| key | default |/,/^$/p' README.md | sed '/^$/d')); then echo "ok 1 - README has every key"; else
    echo "not ok 1 - README has every key"
    printf '%s\n' "$differences" | sed 's/^/# /'
    exit 1
fi

#!/bin/bash
# What README says of keys is what the program says; what a choice brings.
cd "$(dirname "$0")/.." || exit 1
failed=0
echo 1..3
if differences=$(diff <(build/sb_trainer keys) <(sed -n '/^| key | default |/,/^$/p' README.md | sed '/^$/d')); then echo "ok 1 - README has every key"; else
    echo "not ok 1 - README has every key"
    printf '%s\n' "$differences" | sed 's/^/# /'
    failed=1
fi
# What a choice brings is its own keys alone; another name is refused with those that there are.
if [ "$(build/sb_trainer keys lars | grep -o '`[a-z.0-9]*`' | tr -d '\n')" = '`optimiser.momentum``optimiser.trust`' ]; then echo "ok 2 - the keys that lars brings"; else
    echo "not ok 2 - the keys that lars brings"
    failed=1
fi
if build/sb_trainer keys larz 2>&1 | grep -q 'no method, encoder or optimiser larz; there are simclr'; then echo "ok 3 - the keys of no choice"; else
    echo "not ok 3 - the keys of no choice"
    failed=1
fi
exit $failed

#!/bin/bash
# What README and docs/ say of keys and methods is what the program says; what a choice brings.
cd "$(dirname "$0")/.." || exit 1
failed=0
echo 1..5
if differences=$(diff <(build/sb_trainer keys) <(sed -n '/^| key | default |/,/^$/p' docs/keys.md | sed '/^$/d')); then echo "ok 1 - docs/keys.md has every key"; else
    echo "not ok 1 - docs/keys.md has every key"
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
# Every method is in the list, and docs/methods.md has all of a section for it.
methods=$(sed -n 's/^SB_METHOD(\(.*\))/\1/p' trainer/methods/methods.def)
if differences=$(diff <(printf '%s\n' $methods) <(build/sb_trainer methods | sed -n '/^More MiB/q; s/^\([a-z0-9_]\+\) .*/\1/p')); then echo "ok 4 - every method is listed"; else
    echo "not ok 4 - every method is listed"
    printf '%s\n' "$differences" | sed 's/^/# /'
    failed=1
fi
missing=$(for method in $methods; do
    section=$(sed -n "/^## $method\$/,/^## /p" docs/methods.md)
    for part in "trainer/methods/$method\\.c" Defaults 'At small batches' 'What goes wrong'; do
        grep -q "$part" <<<"$section" || echo "$method: $part"
    done
done)
if [ -z "$missing" ]; then echo "ok 5 - docs/methods.md has every method"; else
    echo "not ok 5 - docs/methods.md has every method"
    printf '%s\n' "$missing" | sed 's/^/# /'
    failed=1
fi
exit $failed

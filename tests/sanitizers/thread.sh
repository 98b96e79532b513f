#!/bin/bash
# proto under ThreadSanitizer: rings, broadcasts, their threads.
cd "$(dirname "$0")/../.." || exit 1
export TSAN_OPTIONS=halt_on_error=1
tests=(test_threads test_broadcast) number=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for test in "${tests[@]}"; do
    number=$((number + 1))
    if make -s SAN=thread "build/thread/tests/unit/$test" >"$log" 2>&1 && timeout 900 "build/thread/tests/unit/$test" >"$log" 2>&1; then
        echo "ok $number - $test under ThreadSanitizer"
    else
        failed=1
        echo "not ok $number - $test under ThreadSanitizer"
        tail -n 60 "$log" | sed 's/^/# /'
    fi
done
echo "1..$number"
exit $failed

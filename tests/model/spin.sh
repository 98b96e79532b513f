#!/bin/bash
# The protocols of shared memory, checked by Spin: every model holds, and each way to get it wrong is found.
cd "$(dirname "$0")" || exit 1
work=$(mktemp -d /tmp/smallbatch-test-XXXXXX)
trap 'rm -rf "$work"' EXIT
cp ./*.pml "$work"
cd "$work" || exit 1
number=0 failed=0

# explore MODEL [-DVARIANT]: Spin's report in ./report. The search must be complete: nothing cut off by depth or memory.
explore() {
    spin -a "${@:2}" "$1" >report 2>&1 && gcc -O1 -w -DSAFETY -o pan pan.c >>report 2>&1 && timeout 900 ./pan -m100000 >report 2>&1
    ! grep -q -e 'max search depth too small' -e 'out of memory' report && grep -q 'errors: ' report
}

# verdict NAME GREP MODEL [-DVARIANT]: one test.
verdict() {
    number=$((number + 1))
    if explore "${@:3}" && grep -q -- "$2" report; then
        echo "ok $number - $1"
        grep -h -e 'states, stored' -e '^pan:1:' report | sed 's/^ */# /'
    else
        failed=1
        echo "not ok $number - $1"
        tail -n 30 report | sed 's/^/# /'
    fi
}

verdict "view ring: nothing is torn, nothing lost" 'errors: 0' ring.pml
verdict "tile ring: nothing is torn, nothing lost" 'errors: 0' pool.pml
verdict "broadcast: nothing torn is returned" 'errors: 0' broadcast.pml
for model in ring pool; do
    verdict "$model: slots taken back from the living are noticed" 'errors: 1' $model.pml -DRECLAIM_EARLY
    verdict "$model: an incarnation number used twice is noticed" 'errors: 1' $model.pml -DREUSED_ID
done
verdict "broadcast: a missing fence of the writer is noticed" 'errors: 1' broadcast.pml -DNO_RELEASE_FENCE
verdict "broadcast: a missing fence of the reader is noticed" 'errors: 1' broadcast.pml -DNO_ACQUIRE_FENCE
echo "1..$number"
exit $failed

#!/bin/bash
# Static checks as one test: cppcheck, clang-tidy and shellcheck over everything (make lint).
cd "$(dirname "$0")/.." || exit 1
echo 1..1
if make -s lint >build/lint.log 2>&1; then echo "ok 1 - lint"; else echo "not ok 1 - lint"; tail -n 30 build/lint.log | sed 's/^/# /'; fi

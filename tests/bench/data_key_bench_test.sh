#!/usr/bin/env bash
# The benchmark in its short form: that it runs through and has a figure for every subject, not how fast.
set -euo pipefail
out="$TEST_TMPDIR/figures.json"
"$1" --quick --server "$2" --json "$out"
count=$(grep -c '"per_second":' "$out")
[[ $count -eq 39 ]] || { echo "39 figures were expected, $count are there"; exit 1; }

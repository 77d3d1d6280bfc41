#!/usr/bin/env bash
# The benchmark in its short form: that it runs through and has a figure for every subject, not how fast.
set -euo pipefail
out="$TEST_TMPDIR/figures.json"
"$1" --quick --server "$2" --json "$out"
expect() {
  local count
  count=$(sed -n "/\"$1\":\\[/,/^\\]/p" "$out" | grep -c '^{"name":') || true
  [[ $count -eq $2 ]] || { echo "$2 figures of $1 were expected, $count are there"; exit 1; }
}
expect limits 39
expect audit 4
expect neighbour 4
grep -q '^"signing":{"raw_sign_rps":[1-9].*"ratio":[0-9]' "$out" || { echo "no figures of signing"; exit 1; }
# The noise was there, and was held to its rate.
grep -q '"rate 500, calls again at once".*"noise_refused_per_second":[1-9]' "$out" ||
  { echo "no call of the noise was refused"; exit 1; }

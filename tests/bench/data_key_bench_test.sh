#!/usr/bin/env bash
# The benchmark in its shortest form: that it runs through and has a figure for everything, not how fast.
set -euo pipefail
out="$TEST_TMPDIR/figures.json"
"$1" --smoke --json "$out"
expect() { # WHAT FILTER: that jq finds the filter true.
  jq -e "$2" "$out" >/dev/null || {
    echo "not so: $1"
    exit 1
  }
}
expect "the limits are there" '.echo_rps > 0 and .raw_seal_rps > 0'
expect "36 echoes" '.echo | length == 36'
expect "8 operations over 3 transports with 3 loads" '.ops | length == 72'
expect "half loads" '(.half_load | length == 4) and all(.half_load[]; .p99_ms > 0)'
expect "batches" '.batch.keys_per_s > 0 and (.batch.each | length == 12)'
expect "pairs" '(.pairs | length == 2) and all(.pairs[]; .served_ms_p50 > 0 and .raw_ms_p50 > 0)'
expect "refilling and restarts" '.refill.full_p99_ms > 0 and .restart.waiting > 0'
expect "lanes" '[.lanes[].lanes] == [1, 2, 4, 8, 16, 32, 64] and all(.lanes[]; .rps > 0)'
expect "growth and starts" '(.growth | length == 3) and .growth[0].keys == 1 and .start[0].start_s > 0'
expect "audit, neighbour, threading" '(.audit | length == 4) and (.neighbour | length == 4) and (.threading | length == 16)'
expect "signing" '.signing.raw_sign_rps > 0 and .signing.served_sign_rps > 0'
expect "the noise was held to its rate" '.neighbour[2].neighbour_refused_per_second > 0'
expect "the machine" '.machine.processors > 0 and .machine.kernel != ""'
expect "demands" '.demands | length > 15'

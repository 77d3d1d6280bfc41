#!/usr/bin/env bash
# Installs what the tests need and runs them all: the checks of form, every test, and again with sanitizers those that
# handle memory from outside or run threads. The last line is "N passed, M failed", where a run with a sanitizer counts
# its test cases again.
#
#   tests/run.sh [--long]
#
# --long runs everything with sanitizers that can be (the TSan suites stay below gRPC), and the soak for a minute.
set -uo pipefail
cd "$(dirname "$0")/.."

asan=(//tests/e2e:soak_test //tests/hsm/... //tests/server/core/... //tests/server/gate/... //tests/server/grpc/...)
tsan=(//tests/hsm:kept_pair_test //tests/hsm:lanes_test //tests/server/core:pair_reservoir_test //tests/server/core:stress_test //tests/server/gate:authority_test
  //tests/server/gate:client_certificates_test //tests/server/gate:rate_limiter_test //tests/server/gate/audit:trail_test
  //tests/server/grpc:acceptor_test //tests/server/grpc:workers_test //tests/server/store:sqlite_store_test)
soak=()
if [[ ${1:-} == --long ]]; then
  asan=(//tests/...)
  tsan=(//tests/platform/... //tests/hsm/... //tests/testing/... //tests/server/core/... //tests/server/store/...
    //tests/server/gate:authority_test //tests/server/gate:client_certificates_test //tests/server/gate:rate_limiter_test
    //tests/server/gate/audit/... //tests/server/grpc:acceptor_test //tests/server/grpc:workers_test)
  soak=(--test_env=STRONGROOM_SOAK_SECONDS=60)
fi

deploy/install-packages.sh test || exit 1

passed=0
failed=0
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
# Without a disk cache of the user's own choice, one that the configurations share.
cache=(--disk_cache="${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-bazel")

# check NAME COMMAND...: one case.
check() {
  local name=$1
  shift
  if "$@" >"$results/check.log" 2>&1; then
    echo "ok      $name"
    passed=$((passed + 1))
  else
    cat "$results/check.log"
    echo "FAILED  $name"
    failed=$((failed + 1))
  fi
}

# suite NAME BAZEL-ARGUMENTS...: as many cases as the tests have; one that fails if they do not build.
suite() {
  local name=$1 begin=$SECONDS events=$results/$1.json code=0 ok bad
  shift
  bazel test "${cache[@]}" --noshow_progress --show_result=0 --build_event_json_file="$events" "$@" || code=$?
  # Only this run's results: bazel-testlogs keeps those of others.
  read -r ok bad < <(python3 tests/count_cases.py "$events")
  if [[ $code -ne 0 && ${bad:-0} -eq 0 ]]; then
    echo "FAILED  $name: bazel exited with $code"
    bad=1
  fi
  echo "        $name: $ok passed, $bad failed, $((SECONDS - begin)) s"
  passed=$((passed + ok))
  failed=$((failed + bad))
}

source tests/form.sh

# By their folders, for //... would follow the links that a Bazel with another output base leaves.
suite everything "${soak[@]}" //client/... //deploy/... //docs/... //hsm/... //platform/... //proto/... //server/... \
  //tests/...
suite asan_and_ubsan --config=asan --config=ubsan --build_tests_only "${soak[@]}" "${asan[@]}"
suite tsan --config=tsan --build_tests_only "${tsan[@]}"

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]

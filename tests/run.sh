#!/usr/bin/env bash
# Installs what the tests need and runs them all: the checks of form, every test, and the tests again with sanitizers.
# The last line is "N passed, M failed", where a run with a sanitizer counts its test cases again.
set -uo pipefail
cd "$(dirname "$0")/.."

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

suite everything //...
suite asan_and_ubsan --config=asan --config=ubsan --test_tag_filters=-no-sanitizer --build_tests_only //...
suite tsan --config=tsan --build_tests_only //tests/platform/... //tests/hsm/... //tests/server/core/... //tests/server/store/...

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]

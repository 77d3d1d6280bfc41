#!/usr/bin/env bash
# Builds optimized and measures: GenerateDataKey against an empty RPC and against the token's own seals, in one run.
#
#   tests/bench/run.sh [--quick] [--json FILE]
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/install-packages.sh test
bazel build --config=release //tests/bench:data_key_bench //server:strongroomd
bin=$(bazel info --config=release bazel-bin 2>/dev/null)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TEST_TMPDIR=$work "$bin/tests/bench/data_key_bench" --server "$bin/server/strongroomd" "$@"

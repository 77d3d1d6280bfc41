#!/usr/bin/env bash
# Builds optimized and measures, in one run: GenerateDataKey against an empty RPC and the token's own seals, what the audit trail
# costs, what one principal notices of another, and signing with an opened key against the token's own signatures.
#
#   tests/bench/run.sh [--quick] [--rounds N] [--part limits|audit|neighbour|signing] [--json FILE]
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/install-packages.sh test
bazel build --config=release //tests/bench:data_key_bench //server:strongroomd
bin=$(bazel info --config=release bazel-bin 2>/dev/null)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TEST_TMPDIR=$work "$bin/tests/bench/data_key_bench" --server "$bin/server/strongroomd" "$@"

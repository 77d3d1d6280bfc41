#!/usr/bin/env bash
# Builds optimized and measures, in one run: the service against an empty RPC and the token's own work, and what else
# docs/benchmarks.md tells of. A full run takes half an hour, --quick three minutes.
#
#   tests/bench/run.sh [--quick] [--rounds N] [--part NAME]... [--hot-keys N] [--json FILE]
#
# The parts: service, half_load, batch, pairs, growth, lanes, audit, neighbour, signing, threading.
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/install-packages.sh test
cache=(--disk_cache="${XDG_CACHE_HOME:-$HOME/.cache}/strongroom-bazel")
bazel build --config=release "${cache[@]}" //tests/bench
bin=$(bazel info --config=release bazel-bin 2>/dev/null)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TEST_TMPDIR=$work TEST_SRCDIR=$bin/tests/bench/bench.runfiles
"$bin/tests/bench/bench" "$@"

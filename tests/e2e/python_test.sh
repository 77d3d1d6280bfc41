#!/bin/sh
# Runs the Python suite with Debian's Python and tells Bazel of each test in it.
set -eu
export PYTHONDONTWRITEBYTECODE=1
here=$TEST_SRCDIR/$TEST_WORKSPACE/tests/e2e
exec /usr/bin/python3 -m pytest -c "$here/pytest.ini" --rootdir="$here" \
  --basetemp="$TEST_TMPDIR/pytest" --junitxml="$XML_OUTPUT_FILE" "$here" "$@"

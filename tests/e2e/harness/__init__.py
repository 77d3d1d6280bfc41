"""What the end-to-end tests share. The generated stubs become importable with it."""

import os
import pathlib
import sys

_RUNFILES = pathlib.Path(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"])

sys.path.append(str(_RUNFILES / "tests" / "e2e" / "stubs"))


def runfile(path):
    """The path of a file that Bazel built for the tests."""
    return str(_RUNFILES / path)

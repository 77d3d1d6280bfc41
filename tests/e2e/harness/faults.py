"""The PKCS#11 module that fails and waits on demand; tests/testing/fault_module.h documents it."""

import errno
import os
import pathlib
import threading

from harness import runfile, softhsm

MODULE = runfile("tests/testing/libfault_module.so")
_PATIENCE = 60  # seconds, for what takes milliseconds


class Faults:
    """What the fault module shall do in a server."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        self._directives = self._directory / "faults"
        self._counts = self._directory / "counts"
        self._points = []
        self.clear()

    def clear(self):
        """Has the next server to start count its calls, and nothing else."""
        self.set(f"counts {self._counts}")

    def set(self, *directives):
        """Replaces the directives that the next server to start gets."""
        self._directives.write_text("".join(line + "\n" for line in directives))

    def add(self, directive):
        """Adds a directive for the next server to start."""
        with self._directives.open("a") as file:
            file.write(directive + "\n")

    def hold(self, function, when):
        """Makes calls of a PKCS#11 function wait, e.g. hold("C_WrapKey", "call=1")."""
        point = HoldPoint(self._directory / f"hold-{len(self._points)}-{function}-{when}")
        self._points.append(point)
        self.add(f"hold {function} {point.path} {when}")
        return point

    def release_all(self):
        """Lets go of all calls that wait, as at the end of a test that failed."""
        for point in self._points:
            point.release()

    def calls(self, function):
        """How often the last server to end had called a function."""
        counts = dict(line.split() for line in self._counts.read_text().splitlines())
        return int(counts.get(function, 0))

    def environment(self):
        """What a process needs in its environment besides SoftHSM's own."""
        return {
            "STRONGROOM_TEST_MODULE": softhsm.MODULE,
            "STRONGROOM_TEST_FAULTS": str(self._directives),
        }


class HoldPoint:
    """A place at which a call into the token waits until the test lets it go."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._fd = None
        os.mkfifo(self.path, 0o600)

    def wait_until_held(self):
        """Blocks until a call has come here. From then on it waits for release()."""

        def open_other_end():
            self._fd = os.open(self.path, os.O_WRONLY)

        # Opening a FIFO waits for the other side; the thread is for the case that none comes.
        thread = threading.Thread(target=open_other_end, daemon=True)
        thread.start()
        thread.join(_PATIENCE)
        assert self._fd is not None, f"no call came to {self.path.name}"

    def release(self):
        """Lets go of the call, if there is one."""
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                assert error.errno == errno.ENXIO  # Nobody waits.
                return
        os.close(self._fd)
        self._fd = None

"""A SoftHSM of a test's own."""

import os
import pathlib
import secrets
import subprocess

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


class SoftHsm:
    """A folder with tokens in it, their configuration, and their PIN in a file (0600)."""

    def __init__(self, directory, label="strongroom-e2e"):
        self.directory = pathlib.Path(directory)
        self.label = label
        self.pin = secrets.token_hex(16)
        self.pin_file = self.directory / "pin"
        self.config_file = self.directory / "softhsm2.conf"
        tokens = self.directory / "tokens"
        tokens.mkdir(parents=True)
        self.write_secret("pin", self.pin + "\n")
        self.config_file.write_text(
            f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        self.add_token(label)

    def add_token(self, label):
        """Makes one more token, with the same PIN."""
        # The PIN is of a throw-away token: it may be on a command line.
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label]
            + ["--so-pin", secrets.token_hex(16), "--pin", self.pin],
            env=dict(os.environ, **self.environment()),
            check=True,
            capture_output=True,
        )

    def objects(self):
        """How many objects there are in all tokens; SoftHSM keeps each in a file of its own."""
        return len(list(self.directory.glob("tokens/*/*.object")))

    def write_secret(self, name, text):
        """Writes a file (0600) beside the PIN's, and returns its path."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def environment(self):
        """What a process needs in its environment to see these tokens."""
        return {"SOFTHSM2_CONF": str(self.config_file)}

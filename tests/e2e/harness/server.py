"""The server as a process of its own."""

import base64
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import grpc

import health_pb2
from harness import runfile, softhsm
from harness.client import Client
from harness.faults import MODULE as FAULT_MODULE
from harness.faults import Faults
from harness.softhsm import SoftHsm

BINARY = runfile("server/strongroomd")
# Every principal of the tests.
EVERYBODY = [
    "e2e",
    "someone-else",
    "local",
    "x",
    "backend.example.org",
    "first.example.org",
    "spiffe://example.org/*",
]
_PATIENCE = 120  # seconds, for what takes a fraction of one; instrumented servers are slow
_SECRETS_LOOKED_FOR = 200


class Server:
    """One configuration, and the process that runs with it, if one does."""

    def __init__(self, directory, socket_directory, token, command=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.token = token
        self.socket_path = pathlib.Path(socket_directory, "socket")
        self.config_file = self.directory / "strongroomd.yaml"
        self.audit_directory = self.directory / "audit"
        # A test changes what it is about before it starts the server.
        self.config = {
            "development": True,
            "listen": {
                "unix": [{"path": str(self.socket_path), "principal": "e2e"}],
                "tcp": [{"address": "127.0.0.1:0"}],
            },
            "token": {
                "module": softhsm.MODULE,
                "token": token.label,
                "pin_file": str(token.pin_file),
            },
            "store": {"path": str(self.directory / "strongroom.db")},
            # Who may do what is for authority_test.py.
            "policy": [{"principals": EVERYBODY, "operations": ["*"]}],
            "audit": {"directory": str(self.audit_directory)},
            # The lines of calls that went well.
            "log": {"level": "debug"},
        }
        self.environment = dict(os.environ, **token.environment())
        self.process = None
        # Every secret that a client of this server was given.
        self.secrets = set()
        self._command = list(command)
        self._faults = None
        self._lines = []
        self._log_ended = True
        self._changed = threading.Condition()
        self._reader = None
        self._clients = []

    def add_principal(self, principal):
        """A principal with a unix socket of its own; call it before start()."""
        path = self.socket_path.with_name(principal)
        self.config["listen"]["unix"].append({"path": str(path), "principal": principal})

    def client_of(self, principal):
        """A client on the socket that add_principal() made."""
        return self.client_at(f"unix:{self.socket_path.with_name(principal)}")

    def set_days_ahead(self, days):
        """Has the next process see a clock that is some days ahead; how time passes stays."""
        # Not by faketime's own command, which would stand between the server and its signals.
        (library,) = pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.environment.update(
            LD_PRELOAD=str(library), FAKETIME=f"+{days}d", FAKETIME_DONT_FAKE_MONOTONIC="1"
        )

    def use_faults(self):
        """Puts the fault module before the token; call it before start()."""
        self._faults = Faults(self.directory)
        self.config["token"]["module"] = FAULT_MODULE
        self.environment.update(self._faults.environment())
        # The server unloads the module at its end, and with it what points to the module's memory,
        # which LeakSanitizer would take for lost.
        options = self.environment.get("ASAN_OPTIONS", "")
        self.environment["ASAN_OPTIONS"] = f"{options}:detect_leaks=0"
        return self._faults

    # --- The process ------------------------------------------------------------------------------

    def start(self):
        """Starts the server and returns when it serves."""
        self.launch()
        with Client(f"unix:{self.socket_path}") as client:
            while True:
                assert self.process.poll() is None, f"the server ended:\n{self.log()}"
                try:
                    request = health_pb2.HealthCheckRequest()
                    answer = client.health.Check(request, timeout=1, wait_for_ready=True)
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error
                    continue
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
                return self

    def launch(self):
        """Starts the server and returns at once."""
        assert self.process is None
        self.write_config()
        self._lines = []
        self._log_ended = False
        self.process = subprocess.Popen(
            self._command + [BINARY, "--config", str(self.config_file)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()

    def write_config(self):
        """Writes the configuration file, and returns its path."""
        # JSON is YAML.
        self.config_file.write_text(json.dumps(self.config, indent=2))
        return self.config_file

    def run(self, *arguments):
        """Runs the program to its end: its exit code, and what it wrote to stderr."""
        done = subprocess.run(
            [BINARY, *arguments],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
            check=False,
        )
        return done.returncode, done.stderr.decode()

    def start_and_fail(self):
        """Starts a server that has to refuse to start: its exit code, and what it said why."""
        self.launch()
        with self._changed:
            self._changed.wait_for(lambda: self._log_ended or self._is_listening(), _PATIENCE)
            listening = self._is_listening()
        if listening:
            self.kill()
            raise AssertionError("the server started")
        code = self._wait()
        assert code > 0, f"ended with {code}:\n{self.log()}"
        text = self.log()
        assert self.token.pin not in text
        # The libraries may have had something to say before.
        before, prefix, message = text.partition("strongroomd: ")
        assert prefix and all(json.loads(line) for line in before.splitlines()), text
        return code, message

    def _is_listening(self):
        return any('"event":"listening"' in line for line in self._lines)

    def terminate(self):
        """Asks the server to stop, and returns at once."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Stops the server, which has to end in good order and to have kept its secrets."""
        self.terminate()
        self.wait_until_stopped()

    def wait_until_stopped(self):
        """The second half of stop()."""
        code = self._wait()
        assert code == 0, f"ended with {code}:\n{self.log()}"
        # Whatever else writes to stderr, such as a sanitizer, writes no JSON.
        assert self.events()[-1]["event"] == "stopped"
        self.check_log_keeps_secrets(itertools.islice(self.secrets, _SECRETS_LOOKED_FOR))

    def kill(self):
        """Ends the server as a power cut would."""
        self.process.kill()
        assert self._wait() == -signal.SIGKILL

    def close(self):
        """What a test has to do at its end: stop(), if the server runs."""
        if self._faults is not None:
            self._faults.release_all()
        if self.process is not None:
            self.stop()

    def _wait(self):
        for client in self._clients:
            client.close()
        self._clients = []
        try:
            code = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join()
            self.process = None
        return code

    def _read(self, pipe):
        for line in pipe:
            with self._changed:
                self._lines.append(line.decode())
                self._changed.notify_all()
        pipe.close()
        with self._changed:
            self._log_ended = True
            self._changed.notify_all()

    # --- Its clients ------------------------------------------------------------------------------

    def client(self):
        """A client on the unix socket. It is closed when the server ends."""
        return self.client_at(f"unix:{self.socket_path}")

    def client_at(self, target):
        """A client on another listener. It is closed when the server ends."""
        return self._keep(Client(target, secrets=self.secrets))

    def tcp_client(self, credentials=None):
        """A client on the first TCP listener. It is closed when the server ends."""
        return self._keep(Client(self.tcp_address(), credentials, self.secrets))

    def _keep(self, client):
        self._clients.append(client)
        return client

    def tcp_address(self):
        """Where the first TCP listener is, as the log tells it."""
        event = self.wait_for_event(
            lambda event: event["event"] == "listening" and "security" in event
        )
        return event["address"]

    # --- Its log ----------------------------------------------------------------------------------

    def log(self):
        """All that the server wrote to stderr since it was started."""
        with self._changed:
            return "".join(self._lines)

    def events(self):
        """The log's lines, each of which has to be a JSON object."""
        return [json.loads(line) for line in self.log().splitlines()]

    def calls(self):
        """The log's lines about calls, by request id."""
        return {event["request_id"]: event for event in self.events() if event["event"] == "call"}

    def wait_for_event(self, wanted):
        """The first line of the log for which `wanted` is true. Waits for it."""

        def find():
            return next(filter(wanted, map(json.loads, self._lines)), None)

        with self._changed:
            self._changed.wait_for(lambda: self._log_ended or find() is not None, _PATIENCE)
            event = find()
        assert event is not None, f"the log has no such line:\n{self.log()}"
        return event

    def check_log_keeps_secrets(self, secrets):
        """Checks that neither the PIN nor any of `secrets` is in the log, however written."""
        self._check_keeps_secrets(self.log().encode(), secrets)

    def check_files_keep_secrets(self, secrets):
        """Checks the same of the audit trail and the database."""
        files = [*self.audit_directory.iterdir(), *self.directory.glob("strongroom.db*")]
        assert len(files) >= 2
        for file in files:
            self._check_keeps_secrets(file.read_bytes(), secrets)

    def _check_keeps_secrets(self, text, secrets):
        lower = text.lower()
        assert self.token.pin.encode() not in text
        for secret in secrets:
            # A few bytes are somewhere by chance.
            if len(secret) < 8:
                continue
            assert secret not in text
            assert secret.hex().encode() not in lower
            assert base64.b64encode(secret).rstrip(b"=") not in text
            assert base64.urlsafe_b64encode(secret).rstrip(b"=") not in text


class Servers:
    """Makes servers with folders of their own, and stops them at the end."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        # A unix socket's path has at most 107 bytes, which Bazel's folders use up.
        self._sockets = tempfile.mkdtemp(prefix="strongroom-", dir="/tmp")
        self._servers = []
        self._numbers = itertools.count(1)

    def token(self):
        """A new token."""
        return SoftHsm(self._directory / f"softhsm{next(self._numbers)}")

    def new(self, token=None, command=()):
        """A server that does not run yet, on a token of its own or the one given."""
        number = next(self._numbers)
        sockets = pathlib.Path(self._sockets, str(number))
        sockets.mkdir()
        server = Server(
            self._directory / f"server{number}", sockets, token or self.token(), command
        )
        self._servers.append(server)
        return server

    def close(self):
        """Stops those that run."""
        try:
            for server in self._servers:
                server.close()
        finally:
            shutil.rmtree(self._sockets)

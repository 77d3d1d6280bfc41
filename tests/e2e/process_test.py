"""The server as the operating system sees it."""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys

import pytest

from harness.operations import operation


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# --- The service manager --------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_service_manager_is_told(server, abstract):
    address = str(server.socket_path.with_name("notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(60)
        manager.bind("\0" + address if abstract else address)
        server.environment["NOTIFY_SOCKET"] = "@" + address if abstract else address
        server.launch()
        assert manager.recv(100) == b"READY=1"
        # It is, at once and on every listener.
        for client in (server.client(), server.tcp_client()):
            assert client.health_of() == "SERVING"
        server.terminate()
        assert manager.recv(100) == b"STOPPING=1"
    server.wait_until_stopped()


def test_service_manager_is_not_told_of_a_start_that_fails(server):
    address = str(server.socket_path.with_name("notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        server.environment["NOTIFY_SOCKET"] = address
        server.config["token"]["token"] = "no-such-token"
        server.start_and_fail()
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


# --- Its memory -----------------------------------------------------------------------------------


def capabilities():
    with open("/proc/self/status", encoding="ascii") as status:
        return int(re.search(r"CapEff:\s*(\w+)", status.read()).group(1), 16)


def without_capabilities():
    """What to put before a command so that it has none: root may look into every process."""
    if capabilities() == 0:
        return []
    return [shutil.which("setpriv"), "--bounding-set=-all", "--inh-caps=-all"]


def may_look_into(pid):
    """Whether a process of the same user, without capabilities, may read another's memory."""
    look = f"open('/proc/{pid}/mem', 'rb')"
    done = subprocess.run(
        without_capabilities() + [sys.executable, "-c", look], capture_output=True, check=False
    )
    if done.returncode != 0:
        assert b"PermissionError" in done.stderr
    return done.returncode == 0


def test_memory_is_closed_to_other_processes_of_the_same_user(servers):
    # The check itself works: into a process of no special kind one may look.
    echo = subprocess.Popen(
        without_capabilities() + ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with echo:
        # It runs, and has dropped what it had to.
        os.write(echo.stdin.fileno(), b"\n")
        assert os.read(echo.stdout.fileno(), 1) == b"\n"
        assert may_look_into(echo.pid)
    server = servers.new(command=without_capabilities()).start()
    assert not may_look_into(server.process.pid)


def test_it_leaves_no_core_dumps(shared_server):
    with open(f"/proc/{shared_server.process.pid}/limits", encoding="ascii") as limits:
        (line,) = (line for line in limits if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


# --- Its files ------------------------------------------------------------------------------------


def test_files_are_private(server):
    server.start().client().create_key()
    made = [path for path in server.directory.iterdir() if path.name.startswith("strongroom.db")]
    assert made
    for path in made:
        assert mode_of(path) == 0o600, path
    assert mode_of(server.socket_path) == 0o600


def test_mode_of_a_socket_can_let_the_group_in(server):
    server.config["listen"]["unix"][0]["mode"] = "0660"
    server.start()
    assert mode_of(server.socket_path) == 0o660


def test_each_socket_has_its_principal(server):
    second = str(server.socket_path.with_name("second"))
    server.config["listen"]["unix"].append({"path": second, "principal": "someone-else"})
    server.start()
    answers = {}
    for client in (server.client(), server.client_at(f"unix:{second}"), server.tcp_client()):
        key = client.create_key()
        answers[operation("kms-Encrypt").seal(client, key).answer.request_id] = client
    server.stop()
    calls = server.calls()
    principals = [calls[request_id]["principal"] for request_id in answers]
    assert principals == ["e2e", "someone-else", "local"]

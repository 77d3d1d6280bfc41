"""Servers that must not start, and what they say."""

import socket
import stat

import pytest

from harness.operations import KMS_DECRYPT, operation

WRONG_ARGUMENTS = 64
CANNOT_START = 69
PIN_REFUSED = 77
WRONG_CONFIGURATION = 78

SEALER = operation("kms-GenerateDataKey")


class Works:
    """A running server, and the check that nothing has happened to it."""

    def __init__(self, server):
        self.server = server.start()
        self._client = server.client()
        self._key = self._client.create_key()
        self._sealed = SEALER.seal(self._client, self._key)

    def check(self):
        """On its old connection and on a new one."""
        for client in (self._client, self.server.client()):
            assert KMS_DECRYPT.open(client, self._sealed).plaintext == self._sealed.plaintext
            assert SEALER.seal(client, self._key)


# --- Two servers ----------------------------------------------------------------------------------


def test_second_server_on_the_same_store_and_token(servers):
    first = Works(servers.new())
    second = servers.new(first.server.token)
    second.config["store"] = first.server.config["store"]
    code, message = second.start_and_fail()
    assert code == CANNOT_START
    path = first.server.config["store"]["path"]
    assert message.startswith("store: ") and path in message
    assert f"pid {first.server.process.pid}" in message
    assert "Stop that server first" in message
    first.check()


def test_second_server_by_another_name_of_the_store(servers):
    first = Works(servers.new())
    second = servers.new(first.server.token)
    link = second.directory / "link.db"
    link.symlink_to(first.server.config["store"]["path"])
    second.config["store"] = {"path": str(link)}
    code, message = second.start_and_fail()
    assert code == CANNOT_START and "is in use" in message
    first.check()


def test_second_store_on_the_same_token(servers):
    first = Works(servers.new())
    second = servers.new(first.server.token)
    code, message = second.start_and_fail()
    assert code == CANNOT_START
    assert "belongs to the store with id" in message
    assert f'"{first.server.token.label}"' in message
    first.check()
    # Nor when the first one does not run.
    first.server.stop()
    assert second.start_and_fail() == (code, message)


def test_store_with_another_token(servers):
    server = servers.new()
    server.start().stop()
    other = servers.token()
    server.environment.update(other.environment())
    server.config["token"]["pin_file"] = str(other.pin_file)
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert "the store's keys are in the token with serial" in message


# --- Sockets --------------------------------------------------------------------------------------


def test_live_socket_is_not_replaced(servers):
    first = Works(servers.new())
    second = servers.new()
    second.config["listen"]["unix"] = first.server.config["listen"]["unix"]
    code, message = second.start_and_fail()
    assert code == CANNOT_START
    assert f"another server listens on {first.server.socket_path}" in message
    first.check()


def test_socket_that_a_kill_left_is_replaced(server):
    server.start().kill()
    assert server.socket_path.is_socket()
    assert server.start().client().health_of() == "SERVING"


def test_file_that_is_no_socket_is_not_replaced(server):
    server.socket_path.write_text("precious")
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert f"{server.socket_path} is there already and is not a socket" in message
    assert server.socket_path.read_text() == "precious"


def test_socket_in_a_folder_that_is_not_there(server):
    server.config["listen"]["unix"][0]["path"] = "/nowhere/socket"
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "/nowhere/socket" in message


def test_tcp_port_that_is_taken(server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server.config["listen"]["tcp"] = [{"address": address}]
        code, message = server.start_and_fail()
    assert code == CANNOT_START and address in message


def test_second_server_on_the_same_port(servers):
    first = Works(servers.new())
    second = servers.new()
    second.config["listen"]["tcp"] = [{"address": first.server.tcp_address()}]
    code, message = second.start_and_fail()
    assert code == CANNOT_START and first.server.tcp_address() in message
    first.check()


# --- The token ------------------------------------------------------------------------------------


def test_wrong_pin_is_tried_once(server):
    faults = server.use_faults()
    wrong = server.token.write_secret("wrong", "4321-not-the-pin\n")
    server.config["token"]["pin_file"] = str(wrong)
    code, message = server.start_and_fail()
    assert code == PIN_REFUSED
    assert message.startswith(f"token: the token does not accept the PIN in {wrong}")
    assert "It was tried once" in message
    assert "4321" not in message
    assert faults.calls("C_Login") == 1
    # And the right one still works.
    server.config["token"]["pin_file"] = str(server.token.pin_file)
    server.start()


@pytest.mark.parametrize("flag", ["CKF_USER_PIN_FINAL_TRY", "CKF_USER_PIN_LOCKED"])
def test_pin_is_not_tried_when_little_is_left(server, flag):
    faults = server.use_faults()
    faults.add(f"flag {flag}")
    code, message = server.start_and_fail()
    assert code == PIN_REFUSED
    assert "No PIN was tried" in message
    assert faults.calls("C_Login") == 0


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620], ids=oct)
def test_pin_file_that_others_may_read(server, mode):
    faults = server.use_faults()
    server.token.pin_file.chmod(mode)
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert f"{server.token.pin_file} holds a secret but has mode {mode:04o}" in message
    assert "chmod 0600" in message
    server.token.pin_file.chmod(0o640)
    server.start().stop()
    assert faults.calls("C_Login") == 1


def test_pin_file_that_is_not_there_or_empty(server):
    server.config["token"]["pin_file"] = "/nowhere/pin"
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "/nowhere/pin" in message
    empty = server.token.write_secret("empty", "\n")
    server.config["token"]["pin_file"] = str(empty)
    code, message = server.start_and_fail()
    assert code == CANNOT_START and f"the PIN's file is empty: {empty}" in message


def test_missing_module(server):
    server.config["token"]["module"] = "/usr/lib/softhsm/no-such-module.so"
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert "cannot load the PKCS#11 module" in message
    assert "/usr/lib/softhsm/no-such-module.so" in message


def test_library_that_is_no_module(server):
    server.config["token"]["module"] = "/lib/x86_64-linux-gnu/libm.so.6"
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "is not a PKCS#11 module" in message


@pytest.mark.parametrize("name", ["no-such-token", "pkcs11:token=no-such-token"])
def test_wrong_token_lists_those_there_are(server, name):
    server.token.add_token("another-token")
    server.config["token"]["token"] = name
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert f"no token matches {name}" in message
    assert f'"{server.token.label}" (serial ' in message
    assert '"another-token" (serial ' in message


def test_token_that_is_ambiguous(server):
    server.token.add_token(server.token.label)
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "several tokens match" in message


def test_token_by_uri(server):
    server.config["token"]["token"] = f"pkcs11:token={server.token.label}"
    assert SEALER.seal(server.start().client(), server.client().create_key())


def test_pin_in_a_uri_is_refused_and_not_repeated(server):
    server.config["token"]["token"] = f"pkcs11:token=x?pin-value={server.token.pin}"
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "holds a PIN" in message


@pytest.mark.parametrize(
    "mechanism", ["CKM_AES_GCM", "CKM_AES_KEY_WRAP_PAD", "CKM_AES_KEY_GEN"]
)
def test_token_without_a_mechanism(server, mechanism):
    faults = server.use_faults()
    faults.add(f"hide {mechanism}")
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert message.startswith(f"token: the token lacks {mechanism}")
    assert faults.calls("C_Login") == 0


def test_token_whose_gcm_does_not_work(server):
    faults = server.use_faults()
    faults.add("fail C_Encrypt CKR_DEVICE_ERROR")
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "trying AES-GCM" in message and "C_Encrypt" in message


# --- The store ------------------------------------------------------------------------------------


def test_store_in_a_folder_that_is_not_there(server):
    server.config["store"]["path"] = "/nowhere/strongroom.db"
    code, message = server.start_and_fail()
    assert code == CANNOT_START
    assert "/nowhere does not exist" in message


def test_store_that_is_no_database(server):
    path = server.directory / "strongroom.db"
    path.write_text("no database at all, but longer than a header" * 10)
    path.chmod(0o600)
    code, message = server.start_and_fail()
    assert code == CANNOT_START and f"{path} is not an SQLite database" in message
    assert path.read_text().startswith("no database at all")


def test_store_that_others_may_write(server):
    server.start().stop()
    path = server.directory / "strongroom.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    code, message = server.start_and_fail()
    assert code == CANNOT_START and "chmod 0600" in message


# --- The configuration ----------------------------------------------------------------------------

MISTAKES = """\
development: perhaps
colour: blue
listen:
  unix:
    - path: relative/socket
      principal: "two words"
      mode: "0777"
    - path: /run/a
  tcp:
    - address: 127.0.0.1
token:
  module: /usr/lib/softhsm/libsofthsm2.so
  pin_file: pin
  pin: 1234
  lanes: 0
store:
  path: ""
limits:
  concurrent_pair_generations: many
log:
  level: loud
shutdown_grace_seconds: 601
policy:
  - principals: [operator]
    operations: [Decrpyt]
  - principals: [everybody*]
    operations: ["*"]
    condition: {}
"""

# Line -> the field that is wrong there.
MISTAKEN_FIELDS = [
    (1, "audit"),
    (1, "development"),
    (2, "colour"),
    (5, "listen.unix[0].path"),
    (6, "listen.unix[0].principal"),
    (7, "listen.unix[0].mode"),
    (8, "listen.unix[1].principal"),
    (10, "listen.tcp[0].address"),
    (11, "token.token"),
    (13, "token.pin_file"),
    (14, "token.pin"),
    (15, "token.lanes"),
    (17, "store.path"),
    (19, "limits.concurrent_pair_generations"),
    (21, "log.level"),
    (22, "shutdown_grace_seconds"),
    (25, "policy[0].operations"),
    (26, "policy[1].principals"),
    (28, "policy[1].condition"),
]


def refuse_config(server, text):
    """The mistakes that the server finds in a configuration, a line each."""
    path = server.directory / "wrong.yaml"
    path.write_text(text)
    code, message = server.run("--config", str(path))
    assert code == WRONG_CONFIGURATION
    assert message.startswith("strongroomd: ")
    return [line.replace(f"{path}:", "", 1) for line in message[13:].splitlines()]


def test_all_mistakes_of_a_configuration_are_told_at_once(server):
    mistakes = refuse_config(server, MISTAKES)
    for line, field in MISTAKEN_FIELDS:
        found = [mistake for mistake in mistakes if mistake.startswith(f"{line}: {field}: ")]
        assert len(found) == 1, (line, field, mistakes)
    assert len(mistakes) == len(MISTAKEN_FIELDS)
    assert not any("1234" in mistake for mistake in mistakes)


@pytest.mark.parametrize("text", ["", "just a text", "- a\n- list\n", "token: [unclosed"])
def test_what_is_no_map_is_refused(server, text):
    assert refuse_config(server, text)


@pytest.mark.parametrize(
    "development, address, expected",
    [
        (False, "127.0.0.1:0", 'needs a "tls" section'),
        (True, "0.0.0.0:0", "plaintext is only for loopback"),
        (True, "[::]:0", "plaintext is only for loopback"),
        (True, "192.0.2.1:7443", "plaintext is only for loopback"),
        (True, "127.0.0.1.example.com:0", "plaintext is only for loopback"),
    ],
)
def test_plaintext_tcp_is_for_development_on_loopback(server, development, address, expected):
    server.config["development"] = development
    server.config["listen"]["tcp"] = [{"address": address}]
    code, message = server.start_and_fail()
    assert code == WRONG_CONFIGURATION
    assert "listen.tcp[0].address: " in message and expected in message


def test_unix_sockets_need_no_development(server):
    server.config["development"] = False
    del server.config["listen"]["tcp"]
    assert server.start().client().create_key()


def test_configuration_that_is_not_there(server):
    code, message = server.run("--config", "/nowhere/strongroomd.yaml")
    assert code == WRONG_CONFIGURATION and "/nowhere/strongroomd.yaml" in message


def test_check_config_starts_nothing(server):
    path = server.write_config()
    assert server.run("--config", str(path), "--check-config") == (0, "")
    assert not (server.directory / "strongroom.db").exists()


@pytest.mark.parametrize("arguments", [[], ["--no-such-option"], ["--config"]])
def test_wrong_arguments(server, arguments):
    code, _ = server.run(*arguments)
    assert code == WRONG_ARGUMENTS


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version(server, argument):
    assert server.run(argument)[0] == 0

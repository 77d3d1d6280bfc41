"""TLS: who is let in, and who they are."""

import socket
import ssl

import grpc
import pytest

from harness import certificates
from harness.operations import KMS_DECRYPT, operation
from harness.refusals import refusal
from harness.server import Servers

SEALER = operation("kms-GenerateDataKey")
SPIFFE = "spiffe://example.org/backend"


class Tls:
    """A server with TLS, its authorities, and the key that clients use."""

    def __init__(self, directory, server):
        directory.mkdir()
        self.servers_authority = certificates.Authority(directory)
        self.clients_authority = certificates.Authority(directory)
        self.server = server
        own = self.servers_authority.issue("server", "DNS:localhost,IP:127.0.0.1")
        server.config["development"] = False
        server.config["tls"] = {
            "certificate": str(own.certificate),
            "private_key": str(own.private_key),
            "client_ca": str(self.clients_authority.certificate),
        }
        server.start()
        self.key = server.client().create_key()

    def client(self, own):
        """A client with a certificate, or with None."""
        return self.server.tcp_client(certificates.credentials(self.servers_authority, own))

    def assert_not_connected(self, own):
        """Checks that a client does not get as far as a call."""
        with pytest.raises(grpc.RpcError) as error:
            SEALER.seal(self.client(own), self.key)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "grpc-status-details-bin" not in dict(error.value.trailing_metadata() or ())


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """One for all tests of this file."""
    directory = tmp_path_factory.mktemp("tls")
    servers = Servers(directory)
    yield Tls(directory / "certificates", servers.new())
    servers.close()


@pytest.mark.parametrize(
    "names, principal",
    [
        (f"URI:{SPIFFE}", SPIFFE),
        ("DNS:backend.example.org", "backend.example.org"),
        (f"DNS:backend.example.org,URI:{SPIFFE}", SPIFFE),
        ("URI:https://example.org/,DNS:backend.example.org", "backend.example.org"),
        ("DNS:first.example.org,DNS:second.example.org", "first.example.org"),
    ],
)
def test_principal_is_the_alternative_name(tls, names, principal):
    client = tls.client(tls.clients_authority.issue("not-an-identity", names))
    sealed = SEALER.seal(client, tls.key)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    line = tls.server.wait_for_event(
        lambda event: event.get("request_id") == sealed.answer.request_id
    )
    assert line["principal"] == principal


@pytest.mark.parametrize(
    "names",
    [
        "",
        "email:backend@example.org",
        "IP:127.0.0.1",
        "URI:https://example.org/backend",
        # Whose it is cannot be told.
        f"URI:{SPIFFE},URI:{SPIFFE}-2",
    ],
)
def test_certificate_without_an_identity_has_no_permission(tls, names):
    client = tls.client(tls.clients_authority.issue("backend.example.org", names))
    assert refusal(SEALER.seal, client, tls.key).reason == "Forbidden.NoPermission"
    assert refusal(client.create_key).reason == "Forbidden.NoPermission"


def test_client_without_a_certificate_is_not_connected(tls):
    tls.assert_not_connected(None)


def test_certificate_of_another_authority_is_not_connected(tls):
    tls.assert_not_connected(tls.servers_authority.issue("x", f"URI:{SPIFFE}"))


def test_expired_certificate_is_not_connected(tls):
    tls.assert_not_connected(tls.clients_authority.issue("x", f"URI:{SPIFFE}", days=-1))


def test_plaintext_is_not_connected(tls):
    with pytest.raises(grpc.RpcError) as error:
        SEALER.seal(tls.server.tcp_client(), tls.key)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


def test_client_that_does_not_trust_the_server_does_not_connect(tls):
    own = tls.clients_authority.issue("x", f"URI:{SPIFFE}")
    client = tls.server.tcp_client(certificates.credentials(tls.clients_authority, own))
    with pytest.raises(grpc.RpcError) as error:
        SEALER.seal(client, tls.key)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_before_1_2_is_refused(tls):
    context = ssl.create_default_context(cafile=tls.servers_authority.certificate)
    own = tls.clients_authority.issue("x", f"URI:{SPIFFE}")
    context.load_cert_chain(own.certificate, own.private_key)
    # Debian's OpenSSL would not offer it either.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    host, port = tls.server.tcp_address().split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        with pytest.raises(ssl.SSLError) as error:
            context.wrap_socket(connection, server_hostname="localhost")
    # It was the server's doing: the client did offer it.
    assert error.value.reason in (None, "TLSV1_ALERT_PROTOCOL_VERSION")


def test_unix_socket_works_beside(tls):
    client = tls.server.client()
    sealed = SEALER.seal(client, tls.key)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext


def test_log_tells_that_tcp_is_tls(tls):
    line = tls.server.wait_for_event(lambda event: event.get("security"))
    assert line["security"] == "tls"


def test_what_is_no_certificate_is_refused_at_start(server, tmp_path):
    authority = certificates.Authority(tmp_path)
    own = authority.issue("server", "DNS:localhost")
    files = {
        "certificate": str(own.certificate),
        "private_key": str(own.private_key),
        "client_ca": str(authority.certificate),
    }
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a PEM")
    wrong.chmod(0o600)
    server.config["tls"] = dict(files, certificate="/nowhere/certificate.pem")
    assert "tls.certificate: cannot open /nowhere/certificate.pem" in server.start_and_fail()[1]
    for field in files:
        server.config["tls"] = dict(files, **{field: str(wrong)})
        code, message = server.start_and_fail()
        assert code == 69, field
        assert message.startswith(f"tls.{field}: {wrong} has no "), message


def test_private_key_that_others_may_read_is_refused_at_start(server, tmp_path):
    authority = certificates.Authority(tmp_path)
    own = authority.issue("server", "DNS:localhost")
    own.private_key.chmod(0o644)
    server.config["tls"] = {
        "certificate": str(own.certificate),
        "private_key": str(own.private_key),
        "client_ca": str(authority.certificate),
    }
    code, message = server.start_and_fail()
    assert code == 69
    assert message.startswith("tls.private_key: ") and "chmod 0600" in message

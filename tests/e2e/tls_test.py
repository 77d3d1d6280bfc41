"""TLS: who is let in, and who they are."""

import os
import shutil
import socket
import ssl
import threading

import grpc
import pytest

from harness import certificates
from harness.operations import KMS_DECRYPT, operation
from harness.refusals import refusal
from harness.server import Servers

SEALER = operation("kms-GenerateDataKey")
SPIFFE = "spiffe://example.org/backend"


def replace(path, content, mode=0o600):
    """Puts a new file in a file's place."""
    new = path.with_suffix(".new")
    new.touch(mode)
    new.write_bytes(content)
    new.rename(path)


class Tls:
    """A server with TLS, its authorities, and the key that clients use."""

    def __init__(self, directory, server, revocation=False):
        directory.mkdir()
        self.servers_authority = certificates.Authority(directory)
        self.clients_authority = certificates.Authority(directory)
        self.server = server
        # The server's files, which tests change.
        self.certificate = directory / "server.pem"
        self.private_key = directory / "server.key"
        self.client_ca = directory / "clients.pem"
        self.client_crl = directory / "clients.crl"
        self.install(self.servers_authority.issue("server", "DNS:localhost,IP:127.0.0.1"))
        shutil.copy(self.clients_authority.certificate, self.client_ca)
        server.config["development"] = False
        server.config["tls"] = {
            "certificate": str(self.certificate),
            "private_key": str(self.private_key),
            "client_ca": str(self.client_ca),
        }
        if revocation:
            self.client_crl.write_bytes(self.clients_authority.revocation_list())
            server.config["tls"]["client_crl"] = str(self.client_crl)
        server.start()
        self.key = server.client().create_key()

    def install(self, own):
        """Gives the server a certificate."""
        replace(self.certificate, own.certificate.read_bytes())
        replace(self.private_key, own.private_key.read_bytes())

    def issue(self, names=f"URI:{SPIFFE}", **more):
        """A client's certificate."""
        return self.clients_authority.issue("not-an-identity", names, **more)

    def client(self, own):
        """A client with a certificate, or with None."""
        return self.server.tcp_client(certificates.credentials(self.servers_authority, own))

    def context(self, own):
        """The same for Python's own TLS."""
        context = ssl.create_default_context(cafile=self.servers_authority.certificate)
        context.load_cert_chain(own.certificate, own.private_key)
        context.set_alpn_protocols(["h2"])
        return context

    def connect(self, context):
        """The version and the server's certificate (DER) of a connection that gets an answer."""
        host, port = self.server.tcp_address().split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            with context.wrap_socket(connection, server_hostname="localhost") as tls:
                # TLS 1.3 judges the client's certificate after the client's handshake is over.
                assert tls.recv(9)
                return tls.version(), tls.getpeercert(binary_form=True)

    def wait_for_events(self, name, count=1):
        """Waits until the log has so many lines of an event."""

        def enough(_):
            return sum(event["event"] == name for event in self.server.events()) >= count

        self.server.wait_for_event(enough)

    def assert_not_connected(self, own):
        """Checks that a client does not get as far as a call."""
        with pytest.raises(grpc.RpcError) as error:
            SEALER.seal(self.client(own), self.key)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "grpc-status-details-bin" not in dict(error.value.trailing_metadata() or ())

    def assert_refused(self, client, why):
        """Checks that a client's certificate is refused, and that the log says why."""
        refused = refusal(SEALER.seal, client, self.key)
        assert refused.reason == "Forbidden.NoPermission"
        assert f"the client certificate is refused: {why}; " in refused.message
        line = self.server.wait_for_event(
            lambda event: event.get("request_id") == refused.request_id
        )
        assert line["principal"] == ""
        assert line["detail"] == f"client certificate: {why}"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """One for all tests of this file that leave it as it was."""
    directory = tmp_path_factory.mktemp("tls")
    servers = Servers(directory)
    yield Tls(directory / "certificates", servers.new())
    servers.close()


@pytest.fixture
def own_tls(tmp_path, server):
    """One of the test's own, with revocation."""
    return Tls(tmp_path / "certificates", server, revocation=True)


@pytest.mark.parametrize(
    "names, principal",
    [
        (f"URI:{SPIFFE}", SPIFFE),
        ("DNS:backend.example.org", "backend.example.org"),
        (f"DNS:backend.example.org,URI:{SPIFFE}", SPIFFE),
        ("URI:https://example.org/,DNS:backend.example.org", "backend.example.org"),
        ("DNS:first.example.org,DNS:second.example.org", "first.example.org"),
        ("DNS:Backend.Example.ORG", "backend.example.org"),
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
    "names, why",
    [
        ("", "it has neither a SPIFFE id nor a DNS name"),
        ("email:backend@example.org", "it has neither a SPIFFE id nor a DNS name"),
        ("IP:127.0.0.1", "it has neither a SPIFFE id nor a DNS name"),
        ("URI:https://example.org/backend", "it has neither a SPIFFE id nor a DNS name"),
        # Whose it is cannot be told.
        (f"URI:{SPIFFE},URI:{SPIFFE}-2", "it has more than one SPIFFE id"),
        (f"DNS:a.example.org,URI:{SPIFFE},URI:{SPIFFE}-2", "it has more than one SPIFFE id"),
        # The DNS name does not stand in for what is wrong.
        (f"DNS:a.example.org,URI:{SPIFFE}/", "its SPIFFE id is not well formed"),
        (f"DNS:a.example.org,URI:{SPIFFE}?admin", "its SPIFFE id is not well formed"),
        ("DNS:a.example.org,URI:spiffe://example.org:1/x", "its SPIFFE id is not well formed"),
        ("DNS:*.example.org,DNS:a.example.org", "its first DNS name is not a host name"),
    ],
)
def test_certificate_without_an_identity_has_no_permission(tls, names, why):
    # The common name is a host name, which is no identity.
    client = tls.client(tls.clients_authority.issue("backend.example.org", names))
    tls.assert_refused(client, why)
    assert refusal(client.create_key).reason == "Forbidden.NoPermission"
    # What needs none.
    assert client.health_of() == "SERVING"
    assert client.reflect(list_services="").list_services_response.service


def test_client_without_a_certificate_is_not_connected(tls):
    tls.assert_not_connected(None)


def test_certificate_of_another_authority_is_not_connected(tls):
    tls.assert_not_connected(tls.servers_authority.issue("x", f"URI:{SPIFFE}"))


def test_expired_certificate_is_not_connected(tls):
    tls.assert_not_connected(tls.clients_authority.issue("x", f"URI:{SPIFFE}", days=-1))


def test_certificate_that_is_not_valid_yet_is_not_connected(tls):
    tls.assert_not_connected(tls.issue(start="20990101000000Z"))


def test_certificate_for_servers_only_is_not_connected(tls):
    tls.assert_not_connected(tls.issue(usage="serverAuth"))
    assert SEALER.seal(tls.client(tls.issue(usage="clientAuth")), tls.key)


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
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_tls_before_1_3_is_refused(tls, version):
    context = tls.context(tls.issue())
    # Debian's OpenSSL would not offer the oldest either.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError) as error:
        tls.connect(context)
    # It was the server's doing: the client did offer it.
    assert error.value.reason in (None, "TLSV1_ALERT_PROTOCOL_VERSION")


def test_tls_1_3_is_spoken(tls):
    assert tls.connect(tls.context(tls.issue()))[0] == "TLSv1.3"


def test_session_is_not_resumed(tls):
    # It would outlive the check of its certificate.
    context = tls.context(tls.issue())
    host, port = tls.server.tcp_address().split(":")
    session = None
    for _ in range(2):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            with context.wrap_socket(
                connection, server_hostname="localhost", session=session
            ) as wrapped:
                assert wrapped.recv(9)
                assert not wrapped.session_reused
                session = wrapped.session


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


def test_key_of_another_certificate_is_refused_at_start(server, tmp_path):
    authority = certificates.Authority(tmp_path)
    own = authority.issue("server", "DNS:localhost")
    other = authority.issue("server", "DNS:localhost")
    server.config["tls"] = {
        "certificate": str(own.certificate),
        "private_key": str(other.private_key),
        "client_ca": str(authority.certificate),
    }
    code, message = server.start_and_fail()
    assert code == 69
    assert message.startswith(
        f"tls.private_key: {other.private_key} is not the key of the certificate in "
        f"{own.certificate}"
    )


def test_revocation_list_of_another_authority_is_refused_at_start(server, tmp_path):
    authority = certificates.Authority(tmp_path)
    own = authority.issue("server", "DNS:localhost")
    crl = tmp_path / "clients.crl"
    server.config["tls"] = {
        "certificate": str(own.certificate),
        "private_key": str(own.private_key),
        "client_ca": str(authority.certificate),
        "client_crl": str(crl),
    }
    code, message = server.start_and_fail()
    assert code == 69 and message.startswith(f"tls.client_crl: cannot open {crl}")
    crl.write_text("not a PEM")
    code, message = server.start_and_fail()
    assert code == 69 and message.startswith(f"tls.client_crl: {crl} has no ")
    crl.write_bytes(certificates.Authority(tmp_path).revocation_list())
    code, message = server.start_and_fail()
    assert code == 69 and "none of the client authorities signed" in message


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


# --- Revocation -----------------------------------------------------------------------------------


def test_revoked_certificate_is_refused_on_an_open_connection(own_tls):
    own = own_tls.issue()
    client = own_tls.client(own)
    other = own_tls.client(own_tls.issue())
    for each in (client, other):
        assert SEALER.seal(each, own_tls.key)
    replace(own_tls.client_crl, own_tls.clients_authority.revocation_list(own))
    own_tls.wait_for_events("tls_reloaded")
    own_tls.assert_refused(client, "certificate revoked")
    # And on a new one.
    own_tls.assert_refused(own_tls.client(own), "certificate revoked")
    assert SEALER.seal(other, own_tls.key)


def test_outdated_revocation_list_refuses_all(own_tls):
    client = own_tls.client(own_tls.issue())
    assert SEALER.seal(client, own_tls.key)
    outdated = own_tls.clients_authority.revocation_list(next_update="20200102000000Z")
    replace(own_tls.client_crl, outdated)
    own_tls.wait_for_events("tls_reloaded")
    own_tls.assert_refused(client, "CRL has expired")
    warning = own_tls.server.wait_for_event(lambda event: event["event"] == "tls_warning")
    assert warning["detail"].startswith(f"tls.client_crl: {own_tls.client_crl} has a list that is")
    # A new one lets them in again.
    replace(own_tls.client_crl, own_tls.clients_authority.revocation_list())
    own_tls.wait_for_events("tls_reloaded", 2)
    assert SEALER.seal(client, own_tls.key)


# --- New files ------------------------------------------------------------------------------------


class Callers:
    """Calls without end, on an open connection and on new ones."""

    def __init__(self, tls, credentials):
        self._tls = tls
        self._credentials = credentials
        self._stop = threading.Event()
        self._counts = [0, 0]
        self._changed = threading.Condition()
        self.errors = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, connect))
            for number, connect in enumerate((lambda client: client, lambda _: self._connect()))
        ]
        for thread in self._threads:
            thread.start()

    def _connect(self):
        return self._tls.server.tcp_client(self._credentials)

    def _run(self, number, connect):
        client = self._connect()
        while not self._stop.is_set():
            try:
                used = connect(client)
                SEALER.seal(used, self._tls.key)
                if used is not client:
                    used.close()
            except grpc.RpcError as error:
                self.errors.append(error)
            with self._changed:
                self._counts[number] += 1
                self._changed.notify_all()

    def wait_for_more(self):
        """Returns after two more calls of each kind, one of which began after this was called."""
        with self._changed:
            wanted = [count + 2 for count in self._counts]
            assert self._changed.wait_for(
                lambda: all(have >= want for have, want in zip(self._counts, wanted)), 120
            )

    def stop(self):
        """Ends them; no call may have failed."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors


def test_new_certificate_and_authorities_are_taken_while_clients_call(own_tls):
    old = own_tls.issue()
    new_servers = certificates.Authority(own_tls.certificate.parent)
    new_clients = certificates.Authority(own_tls.certificate.parent)
    both = own_tls.servers_authority.certificate
    both.write_bytes(both.read_bytes() + new_servers.certificate.read_bytes())
    callers = Callers(own_tls, certificates.credentials(own_tls.servers_authority, old))
    callers.wait_for_more()
    first = own_tls.connect(own_tls.context(old))[1]

    issued = new_servers.issue("server", "DNS:localhost,IP:127.0.0.1")
    replace(
        own_tls.client_ca,
        own_tls.client_ca.read_bytes() + new_clients.certificate.read_bytes(),
    )
    replace(
        own_tls.client_crl,
        own_tls.clients_authority.revocation_list() + new_clients.revocation_list(),
    )
    own_tls.install(issued)
    own_tls.wait_for_events("tls_reloaded")
    callers.wait_for_more()
    callers.stop()
    second = own_tls.connect(own_tls.context(old))[1]
    assert second != first
    assert second == ssl.PEM_cert_to_DER_cert(issued.certificate.read_text())
    # A client of the new authority.
    assert SEALER.seal(own_tls.client(new_clients.issue("x", f"URI:{SPIFFE}-2")), own_tls.key)
    # Files that are half changed were not taken for a mistake.
    assert not [e for e in own_tls.server.events() if e["event"] == "tls_reload_failed"]


def test_client_of_an_authority_that_went_is_refused_on_an_open_connection(own_tls):
    client = own_tls.client(own_tls.issue())
    assert SEALER.seal(client, own_tls.key)
    other = certificates.Authority(own_tls.certificate.parent)
    replace(own_tls.client_ca, other.certificate.read_bytes())
    replace(own_tls.client_crl, other.revocation_list())
    own_tls.wait_for_events("tls_reloaded")
    assert refusal(SEALER.seal, client, own_tls.key).reason == "Forbidden.NoPermission"
    own_tls.assert_not_connected(own_tls.issue())


def test_file_that_is_written_in_place_is_taken(own_tls):
    own = own_tls.issue()
    client = own_tls.client(own)
    own_tls.client_crl.write_bytes(own_tls.clients_authority.revocation_list(own))
    own_tls.wait_for_events("tls_reloaded")
    own_tls.assert_refused(client, "certificate revoked")


def test_folder_that_is_swapped_as_kubernetes_does_is_taken(server, tmp_path):
    folder = tmp_path / "volume"
    folder.mkdir()

    def publish(name, own, authority):
        (folder / name).mkdir()
        shutil.copy(own.certificate, folder / name / "tls.crt")
        shutil.copy(own.private_key, folder / name / "tls.key")
        shutil.copy(authority.certificate, folder / name / "ca.crt")
        (folder / "..data_tmp").symlink_to(name)
        os.rename(folder / "..data_tmp", folder / "..data")

    authority = certificates.Authority(tmp_path)
    names = "DNS:localhost,IP:127.0.0.1"
    publish("..1", authority.issue("server", names), authority)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (folder / name).symlink_to(f"..data/{name}")
    server.config["tls"] = {
        "certificate": str(folder / "tls.crt"),
        "private_key": str(folder / "tls.key"),
        "client_ca": str(folder / "ca.crt"),
    }
    server.start()
    own = authority.issue("x", f"URI:{SPIFFE}")
    other = certificates.Authority(tmp_path)
    publish("..2", other.issue("server", names), other)
    shutil.rmtree(folder / "..1")
    server.wait_for_event(lambda event: event["event"] == "tls_reloaded")
    own = other.issue("x", f"URI:{SPIFFE}")
    assert server.tcp_client(certificates.credentials(other, own)).create_key()


@pytest.mark.parametrize("field", ["certificate", "private_key", "client_ca", "client_crl"])
def test_broken_file_leaves_everything_as_it_was(own_tls, field):
    own = own_tls.issue()
    client = own_tls.client(own)
    path = getattr(own_tls, field)
    right = path.read_bytes()
    before = own_tls.connect(own_tls.context(own))[1]
    replace(path, right[: len(right) // 2])
    own_tls.wait_for_events("tls_reload_failed")
    line = own_tls.server.wait_for_event(lambda event: event["event"] == "tls_reload_failed")
    assert line["level"] == "error" and line["detail"].startswith(f"tls.{field}: {path} has ")
    assert SEALER.seal(client, own_tls.key)
    assert own_tls.connect(own_tls.context(own))[1] == before

    # It is told once, and what is right is taken again, together with what else is new.
    revoked = own_tls.clients_authority.revocation_list(own)
    if field == "client_crl":
        right = revoked
    replace(own_tls.client_crl, revoked)
    replace(path, right)
    own_tls.wait_for_events("tls_reloaded")
    own_tls.assert_refused(client, "certificate revoked")
    events = [event["event"] for event in own_tls.server.events()]
    assert events.count("tls_reload_failed") == 1


def test_certificate_that_has_expired_is_taken_with_a_warning(own_tls):
    expired = own_tls.servers_authority.issue("server", "DNS:localhost", days=-1)
    own_tls.install(expired)
    line = own_tls.server.wait_for_event(lambda event: event["event"] == "tls_warning")
    assert line["detail"] == f"tls.certificate: {own_tls.certificate} has expired"
    own_tls.wait_for_events("tls_reloaded")

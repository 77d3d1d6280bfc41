"""How many connections there are, and what becomes of those that are too many."""

import os
import socket
import struct

import grpc
import pytest

from harness import certificates
from harness.operations import KMS_DECRYPT, operation

SEALER = operation("kms-GenerateDataKey")

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_MAX_CONCURRENT_STREAMS = 3


def connect(server, unix=False):
    """A connection that HTTP/2 is spoken on, or None if it was refused."""
    connection = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    connection.settimeout(60)
    try:
        if unix:
            connection.connect(str(server.socket_path))
        else:
            host, port = server.tcp_address().split(":")
            connection.connect((host, int(port)))
        connection.sendall(_PREFACE + _EMPTY_SETTINGS)
        if connection.recv(1, socket.MSG_PEEK):
            return connection
    except (BrokenPipeError, ConnectionResetError):
        pass
    connection.close()
    return None


def connect_until_taken(server, unix=False):
    """A connection, for which room is made any moment."""
    while True:
        connection = connect(server, unix)
        if connection is not None:
            return connection


def fill(server, count):
    """So many connections, over both kinds of listeners, none of which may be refused."""
    # The harness' own, by which it saw the server start, may still be there.
    connections = [connect_until_taken(server)]
    while len(connections) < count:
        connections.append(connect_until_taken(server, unix=len(connections) % 2 == 1))
    return connections


def test_connections_over_the_limit_are_refused_until_there_is_room(server):
    server.config["limits"] = {"connections": 5}
    server.start()
    connections = fill(server, 5)
    for _ in range(20):
        assert connect(server) is None
        assert connect(server, unix=True) is None
    line = server.wait_for_event(
        lambda event: event["event"] == "connections_refused" and event["open"] == 5
    )
    assert line["level"] == "warning" and line["limit"] == 5 and line["refused"] >= 1
    # Closing in whatever way makes room for one, and for no more.
    for number, unix in enumerate((False, True, False, True, False)):
        closing = connections.pop(0)
        if number % 2 == 0 and closing.family == socket.AF_INET:
            closing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        closing.close()
        connections.append(connect_until_taken(server, unix))
        assert connect(server) is None
    for connection in connections:
        connection.close()


def test_refusals_are_at_most_a_line_a_second_and_all_counted(server):
    server.config["limits"] = {"connections": 1}
    server.start()
    connections = fill(server, 1)
    for _ in range(200):
        assert connect(server) is None
    connections.pop().close()
    connect_until_taken(server).close()
    lines = [event for event in server.events() if event["event"] == "connections_refused"]
    # Whatever time that took, it was not 200 lines.
    assert 1 <= len(lines) < 100


def test_calls_go_on_at_the_limit(server):
    server.config["limits"] = {"connections": 2}
    server.start()
    connections = fill(server, 1)
    client = server.client()
    while True:
        try:
            key = client.create_key()
            break
        except grpc.RpcError:
            # The harness' own connection may still be there.
            continue
    for _ in range(20):
        assert connect(server) is None
        sealed = SEALER.seal(client, key)
        assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    connections.pop().close()


def test_limit_holds_for_tls(server, tmp_path):
    authority = certificates.Authority(tmp_path)
    own = authority.issue("server", "DNS:localhost,IP:127.0.0.1")
    server.config["tls"] = {
        "certificate": str(own.certificate),
        "private_key": str(own.private_key),
        "client_ca": str(authority.certificate),
    }
    server.config["limits"] = {"connections": 2}
    server.start()
    client = server.tcp_client(certificates.credentials(authority, authority.issue("x", "DNS:x")))
    key = client.create_key()
    other = connect_until_taken(server, unix=True)
    for _ in range(5):
        assert connect(server, unix=True) is None
    # A handshake that fails gives its room back.
    other.close()
    host, port = server.tcp_address().split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"This is no TLS at all, and long enough to see that at once.\r\n")
            try:
                while connection.recv(1024):
                    pass
            except ConnectionResetError:
                pass
    connect_until_taken(server, unix=True).close()
    assert SEALER.seal(client, key)


def test_connections_that_say_nothing_are_closed(server, tmp_path):
    authority = certificates.Authority(tmp_path)
    own = authority.issue("server", "DNS:localhost,IP:127.0.0.1")
    server.config["tls"] = {
        "certificate": str(own.certificate),
        "private_key": str(own.private_key),
        "client_ca": str(authority.certificate),
    }
    server.start()
    host, port = server.tcp_address().split(":")
    # One that owes a TLS handshake, and one that owes HTTP/2's first frames.
    with socket.create_connection((host, int(port))) as tls, socket.socket(socket.AF_UNIX) as http:
        http.connect(str(server.socket_path))
        for connection in (tls, http):
            connection.settimeout(100)
            while connection.recv(1024):
                pass


def test_running_out_of_descriptors_is_survived(servers):
    server = servers.new(command=["prlimit", "--nofile=128:128"]).start()
    client = server.client()
    key = client.create_key()
    warning = server.wait_for_event(lambda event: event["event"] == "descriptors_are_few")
    assert warning["limit"] == 128
    connections = []
    while True:
        connection = connect(server)
        if connection is None:
            break
        connections.append(connection)
    # Every further one is told so, rather than left waiting.
    for _ in range(5):
        assert connect(server) is None
    for connection in connections:
        connection.close()
    connect_until_taken(server).close()
    assert SEALER.seal(client, key)
    assert SEALER.seal(server.tcp_client(), key)


def test_streams_of_a_connection_are_limited(server):
    server.config["limits"] = {"streams_per_connection": 7}
    server.start()
    with connect_until_taken(server) as connection:
        settings = b""
        length = None
        while length is None or len(settings) < 9 + length:
            settings += connection.recv(1024)
            if len(settings) >= 9:
                length = int.from_bytes(settings[:3], "big")
        assert settings[3] == 4
        values = dict(struct.iter_unpack(">HI", settings[9 : 9 + length]))
        assert values[_MAX_CONCURRENT_STREAMS] == 7


def test_descriptors_of_connections_are_closed(server):
    server.start()
    descriptors = f"/proc/{server.process.pid}/fd"
    if not os.access(descriptors, os.R_OK):
        pytest.skip("the server's descriptors cannot be counted")
    connect_until_taken(server).close()
    connect_until_taken(server, unix=True).close()
    before = len(os.listdir(descriptors))
    for _ in range(50):
        connect_until_taken(server).close()
        connect_until_taken(server, unix=True).close()
    # Those of the last ones may still be about to be closed.
    while len(os.listdir(descriptors)) > before + 10:
        connect_until_taken(server).close()


def test_ipv6_is_listened_on(server):
    server.config["listen"]["tcp"] = [{"address": "[::1]:0"}, {"address": "localhost:0"}]
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server.start()
    assert server.tcp_address().startswith("[::1]:")
    assert server.tcp_client().health_of() == "SERVING"
    addresses = [
        event["address"] for event in server.events() if event.get("security") == "none"
    ]
    assert server.client_at(addresses[1]).health_of() == "SERVING"

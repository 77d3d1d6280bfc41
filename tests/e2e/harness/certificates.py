"""Certificates of every kind that a TLS test needs, made by OpenSSL's own command."""

import dataclasses
import itertools
import pathlib

import grpc

from harness import openssl


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate and its private key (0600), in files."""

    certificate: pathlib.Path
    private_key: pathlib.Path


class Authority:
    """A CA."""

    _numbers = itertools.count(1)

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        self._own = self._new_key()
        self.certificate = self._own.certificate
        openssl.run(
            *("req", "-x509", "-subj", "/CN=CA", "-days", "2"),
            *("-key", str(self._own.private_key), "-out", str(self.certificate)),
        )

    def _new_key(self):
        stem = self._directory / f"{next(self._numbers)}"
        new = Certificate(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        new.private_key.touch(mode=0o600)
        new.private_key.write_bytes(
            openssl.run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        )
        return new

    def issue(self, common_name, names="", days=1):
        """A certificate with alternative names as in x509v3_config(5), e.g. "DNS:a,URI:b"."""
        new = self._new_key()
        request = openssl.run(
            *("req", "-new", "-subj", f"/CN={common_name}", "-key", str(new.private_key)),
            *(("-addext", f"subjectAltName={names}") if names else ()),
        )
        issued = openssl.run(
            *("x509", "-req", "-days", str(days), "-copy_extensions", "copy"),
            *("-CA", str(self.certificate), "-CAkey", str(self._own.private_key)),
            stdin=request,
        )
        new.certificate.write_bytes(issued)
        return new


def credentials(authority, own=None):
    """What a client needs that trusts an authority, and has a certificate of its own or none."""
    return grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(),
        own and own.private_key.read_bytes(),
        own and own.certificate.read_bytes(),
    )

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
            *("req", "-x509", "-subj", f"/CN={self._own.certificate.stem}", "-days", "2"),
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

    def issue(self, common_name, names="", days=1, usage="", start=None):
        """A certificate with alternative names as in x509v3_config(5), e.g. "DNS:a,URI:b".

        `usage`: its extended key usage, if it has one. `start`: from when on it is valid, e.g.
        "20990101000000Z", rather than from now on for some days.
        """
        new = self._new_key()
        request = openssl.run(
            *("req", "-new", "-subj", f"/CN={common_name}", "-key", str(new.private_key)),
            *(("-addext", f"subjectAltName={names}") if names else ()),
            *(("-addext", f"extendedKeyUsage={usage}") if usage else ()),
        )
        if start:
            requested = new.certificate.with_suffix(".csr")
            requested.write_bytes(request)
            dates = ("-startdate", start, "-enddate", "20991231000000Z")
            self._ca("-in", str(requested), "-notext", "-out", str(new.certificate), *dates)
            return new
        issued = openssl.run(
            *("x509", "-req", "-days", str(days), "-copy_extensions", "copy"),
            *("-CA", str(self.certificate), "-CAkey", str(self._own.private_key)),
            stdin=request,
        )
        new.certificate.write_bytes(issued)
        return new

    def revocation_list(self, *revoked, next_update="20991231000000Z"):
        """A list, in PEM, of the certificates that are revoked, with those revoked before."""
        for certificate in revoked:
            self._ca("-revoke", str(certificate.certificate))
        dates = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", next_update)
        return self._ca("-gencrl", *dates)

    def _ca(self, *arguments):
        """openssl-ca(1), which keeps a database."""
        database = self.certificate.with_suffix(".db")
        config = self.certificate.with_suffix(".cnf")
        if not database.exists():
            database.touch()
            config.write_text(
                "[ca]\ndefault_ca = own\n[own]\npolicy = any\ndefault_md = sha256\n"
                "rand_serial = yes\nunique_subject = no\ncopy_extensions = copy\n"
                f"database = {database}\nnew_certs_dir = {self._directory}\n"
                "[any]\ncommonName = supplied\n"
            )
        own = ("-cert", str(self.certificate), "-keyfile", str(self._own.private_key))
        return openssl.run("ca", "-batch", "-config", str(config), *own, *arguments)


def credentials(authority, own=None):
    """What a client needs that trusts an authority, and has a certificate of its own or none."""
    return grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(),
        own and own.private_key.read_bytes(),
        own and own.certificate.read_bytes(),
    )

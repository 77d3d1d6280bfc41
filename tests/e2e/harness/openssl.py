"""Key pairs as OpenSSL's own command sees them."""

import base64
import re
import subprocess
import tempfile
import textwrap

# Spec -> what `openssl pkey -text` calls it.
DESCRIPTIONS = {
    "RSA_2048": ["Public-Key: (2048 bit)", "Exponent: 65537 (0x10001)"],
    "RSA_3072": ["Public-Key: (3072 bit)", "Exponent: 65537 (0x10001)"],
    "RSA_4096": ["Public-Key: (4096 bit)", "Exponent: 65537 (0x10001)"],
    "EC_P256": ["ASN1 OID: prime256v1"],
    "EC_P384": ["ASN1 OID: secp384r1"],
    "EC_P521": ["ASN1 OID: secp521r1"],
    "EC_P256K": ["ASN1 OID: secp256k1"],
}


def run(*arguments, stdin=b""):
    """Runs the command, which has to succeed, and returns what it writes."""
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"openssl {' '.join(arguments)}: {done.stderr.decode()}"
    return done.stdout


def to_pem(label, der):
    """RFC 7468, in its strict form, with a newline at the end."""
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


def from_pem(label, pem):
    """The DER in a PEM, which has to be in the strict form."""
    match = re.fullmatch(
        rf"-----BEGIN {label}-----\n(.*)\n-----END {label}-----\n", pem.decode(), re.DOTALL
    )
    assert match, f"not a PEM of a {label}"
    der = base64.b64decode(match.group(1))
    assert to_pem(label, der) == pem
    return der


def check_pair(spec, key_format, private_key, public_key):
    """Checks that both halves are what they have to be, and belong together."""
    if key_format == "PEM":
        private_key = from_pem("PRIVATE KEY", private_key)
        public_key = from_pem("PUBLIC KEY", public_key)
    # Under this label OpenSSL takes PKCS#8 and nothing else.
    private_pem = to_pem("PRIVATE KEY", private_key)
    derived = run("pkey", "-pubout", "-outform", "DER", stdin=private_pem)
    assert derived == public_key
    # Its checks of the key's numbers; the text goes where a PEM would.
    assert b"Key is valid" in run("pkey", "-check", "-noout", stdin=private_pem)
    described = run("pkey", "-pubin", "-inform", "DER", "-noout", "-text", stdin=public_key)
    for expected in DESCRIPTIONS[spec]:
        assert expected in described.decode()


def pkeyutl(*arguments, options=(), **files):
    """`openssl pkeyutl`, with files for the options that take one: inkey=b"...", in_=b"..."."""
    with tempfile.TemporaryDirectory() as directory:
        for number, (name, content) in enumerate(files.items()):
            path = f"{directory}/{number}"
            with open(path, "wb") as file:
                file.write(content)
            arguments += (f"-{name.rstrip('_')}", path)
        for option in options:
            arguments += ("-pkeyopt", option)
        return run("pkeyutl", *arguments)


def encrypt_oaep(public_key, plaintext, digest):
    """RSAES-OAEP under a public key (SubjectPublicKeyInfo, DER)."""
    options = ("rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{digest}")
    pem = to_pem("PUBLIC KEY", public_key)
    return pkeyutl("-encrypt", "-pubin", options=options, inkey=pem, in_=plaintext)


def verify(public_key, scheme, digest_name, digest, signature):
    """Checks a signature of a digest: scheme is "PKCS1_V1_5", "PSS" or "ECDSA"."""
    options = [f"digest:{digest_name}"]
    if scheme != "ECDSA":
        options.append("rsa_padding_mode:" + ("pss" if scheme == "PSS" else "pkcs1"))
    if scheme == "PSS":
        options += ["rsa_pss_saltlen:digest", f"rsa_mgf1_md:{digest_name}"]
    pem = to_pem("PUBLIC KEY", public_key)
    said = pkeyutl("-verify", "-pubin", options=options, inkey=pem, in_=digest, sigfile=signature)
    assert b"Signature Verified Successfully" in said

"""Blobs as docs/blob-format.md describes them: written from that page, not from the server."""

import dataclasses
import struct
import uuid

HEADER_BYTES = 56
TAG_BYTES = 16

# The header's fields: name -> (first byte, one behind the last).
FIELDS = {
    "magic": (0, 4),
    "format_version": (4, 5),
    "algorithm": (5, 6),
    "kind": (6, 7),
    "pair_spec": (7, 8),
    "content_length": (8, 12),
    "key_id": (12, 28),
    "key_version_id": (28, 44),
    "iv": (44, 56),
}

KIND_BYTES = 1
KIND_WRAPPED_BYTES = 2
KIND_WRAPPED_PEM = 3
KIND_WRAPPED_DER = 4


@dataclasses.dataclass(frozen=True)
class Header:
    """What a blob says of itself."""

    kind: int
    pair_spec: int
    content_length: int
    key_id: str
    key_version_id: str
    iv: bytes


def parse(blob):
    """The header of a blob that has to be one."""
    magic, version, algorithm, kind, spec, length, key, key_version, iv = struct.unpack(
        ">4sBBBBI16s16s12s", blob[:HEADER_BYTES]
    )
    assert (magic, version, algorithm) == (b"SRKB", 1, 1)
    assert len(blob) > HEADER_BYTES + TAG_BYTES
    return Header(
        kind, spec, length, str(uuid.UUID(bytes=key)), str(uuid.UUID(bytes=key_version)), iv
    )


def splice(blob, field, other):
    """`blob` with a field of its header taken from `other`."""
    first, end = FIELDS[field]
    return blob[:first] + other[first:end] + blob[end:]


def encode_context(context):
    """A binding's bytes for an encryption context, without the byte that says so."""
    encoded = b""
    for key, value in sorted((key.encode(), value.encode()) for key, value in context.items()):
        encoded += struct.pack(">I", len(key)) + key + struct.pack(">I", len(value)) + value
    return encoded

"""The operations that seal and those that open, each in one form, so that tests go through all."""

import dataclasses
import typing

from strongroom.instance.v1 import messages_pb2 as instance_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

PLAINTEXT = b"what the caller wants sealed"

# What the two services call the same thing.
_FIELDS = {
    "kms": {
        "key": "key_id",
        "context": "encryption_context",
        "spec": "key_pair_spec",
        "format": "key_format",
        "number_of_bytes": "number_of_bytes",
        "key_spec": "key_spec",
        "count": "count",
        "without_plaintext": "without_plaintext",
        "plaintext": "plaintext",
        "blob": "ciphertext_blob",
        "aad": "aad",
    },
    "instance": {
        "key": "KeyId",
        "aad": "Aad",
        "spec": "KeyPairSpec",
        "format": "KeyFormat",
        "number_of_bytes": "NumberOfBytes",
        "plaintext": "Plaintext",
        "blob": "CiphertextBlob",
        "iv": "Iv",
    },
}

_DEFAULTS = {
    "data_key": {},
    "batch": {"count": 1},
    "pair": {"spec": "EC_P256", "format": "DER"},
    "encrypt": {"plaintext": PLAINTEXT},
}


def _enum(prefix, name):
    return kms_pb.DESCRIPTOR.enum_types_by_name[prefix].values_by_name[name].number


def _kms_value(field, value):
    """Values that are enumerators in KmsService and texts elsewhere."""
    if isinstance(value, str) and field == "spec":
        return _enum("DataKeyPairSpec", "DATA_KEY_PAIR_SPEC_" + value)
    if isinstance(value, str) and field == "format":
        return _enum("KeyFormat", "KEY_FORMAT_" + value)
    if isinstance(value, str) and field == "key_spec":
        return _enum("DataKeySpec", "DATA_KEY_SPEC_" + value)
    return value


@dataclasses.dataclass(frozen=True)
class Sealed:
    """The answer of an operation that seals."""

    key_id: str
    # None in the answers that do not tell it.
    key_version_id: typing.Optional[str]
    blob: bytes
    # None if the operation does not return it.
    plaintext: typing.Optional[bytes]
    public_key: typing.Optional[bytes]
    answer: typing.Any


@dataclasses.dataclass(frozen=True)
class Opened:
    """The answer of an operation that opens."""

    key_id: str
    key_version_id: typing.Optional[str]
    plaintext: bytes
    answer: typing.Any


@dataclasses.dataclass(frozen=True)
class _Operation:
    name: str
    service: str  # "kms" or "instance"

    def __str__(self):
        return f"{self.service}-{self.name}"

    def request(self, **fields):
        """A request, with the fields by their common names."""
        module = kms_pb if self.service == "kms" else instance_pb
        names = _FIELDS[self.service]
        if self.service == "kms":
            fields = {field: _kms_value(field, value) for field, value in fields.items()}
        return getattr(module, self.name + "Request")(
            **{names[field]: value for field, value in fields.items() if value is not None}
        )

    def call(self, client, request, **options):
        """Calls the operation with a request."""
        return getattr(getattr(client, self.service), self.name)(request, **options)


@dataclasses.dataclass(frozen=True)
class SealingOperation(_Operation):
    """An operation that seals."""

    kind: str  # "data_key", "batch", "pair" or "encrypt"
    version: str  # which one seals: "initial" or "primary"
    returns_plaintext: bool
    tells_version: bool

    __str__ = _Operation.__str__

    @property
    def binding(self):
        """The kind of binding it takes."""
        return "context" if self.service == "kms" else "aad"

    def sealing_request(self, key, **fields):
        """A request with all that is required."""
        return self.request(key=key, **{**_DEFAULTS[self.kind], **fields})

    def seal(self, client, key, **fields):
        """Seals under `key`; fields as in _FIELDS. Of a batch, the first data key."""
        answer = self.call(client, self.sealing_request(key, **fields))
        by_name = {field.name: value for field, value in answer.ListFields()}
        if self.kind == "batch":
            data_key = answer.outcomes[0].data_key
            by_name.update((field.name, value) for field, value in data_key.ListFields())

        def first(*names):
            return next((by_name[name] for name in names if name in by_name), None)

        plaintext = first("plaintext", "Plaintext", "PrivateKeyPlaintext")
        version = first("key_version_id", "KeyVersionId")
        assert (plaintext is not None) == (self.returns_plaintext and self.kind != "encrypt")
        assert (version is not None) == self.tells_version
        if self.kind == "encrypt":
            plaintext = first("plaintext") or fields.get("plaintext", PLAINTEXT)
        return Sealed(
            key_id=first("key_id", "KeyId"),
            key_version_id=version,
            blob=first(
                "ciphertext_blob",
                "CiphertextBlob",
                "private_key_ciphertext_blob",
                "PrivateKeyCiphertextBlob",
            ),
            plaintext=plaintext,
            public_key=first("public_key", "PublicKey"),
            answer=answer,
        )


@dataclasses.dataclass(frozen=True)
class OpeningOperation(_Operation):
    """An operation that opens."""

    needs_key: bool
    takes_context: bool
    tells_version: bool

    __str__ = _Operation.__str__

    def open(self, client, sealed, **fields):
        """Opens a Sealed, or a blob under `key`; other fields as in _FIELDS."""
        if isinstance(sealed, Sealed):
            if self.needs_key:
                fields.setdefault("key", sealed.key_id)
            sealed = sealed.blob
        answer = self.call(client, self.request(blob=sealed, **fields))
        if self.service == "kms":
            return Opened(answer.key_id, answer.key_version_id, answer.plaintext, answer)
        version = answer.KeyVersionId if self.tells_version else None
        return Opened(answer.KeyId, version, answer.Plaintext, answer)


SEALING = (
    SealingOperation("GenerateDataKey", "kms", "data_key", "primary", True, True),
    SealingOperation("GenerateDataKeyWithoutPlaintext", "kms", "data_key", "primary", False, True),
    SealingOperation("BatchGenerateDataKey", "kms", "batch", "primary", True, True),
    SealingOperation("GenerateDataKeyPair", "kms", "pair", "primary", False, True),
    SealingOperation("GenerateDataKeyPairWithoutPlaintext", "kms", "pair", "primary", False, True),
    SealingOperation("Encrypt", "kms", "encrypt", "primary", False, True),
    SealingOperation("GenerateDataKey", "instance", "data_key", "initial", True, False),
    SealingOperation("AdvanceGenerateDataKey", "instance", "data_key", "primary", True, True),
    SealingOperation("GenerateDataKeyPair", "instance", "pair", "initial", True, False),
    SealingOperation(
        "GenerateDataKeyPairWithoutPlaintext", "instance", "pair", "initial", False, False
    ),
    SealingOperation("AdvanceGenerateDataKeyPair", "instance", "pair", "primary", True, True),
    SealingOperation(
        "AdvanceGenerateDataKeyPairWithoutPlaintext", "instance", "pair", "primary", False, True
    ),
    SealingOperation("Encrypt", "instance", "encrypt", "initial", False, False),
    SealingOperation("AdvanceEncrypt", "instance", "encrypt", "primary", False, True),
)

KMS_DECRYPT = OpeningOperation("Decrypt", "kms", False, True, True)
INSTANCE_DECRYPT = OpeningOperation("Decrypt", "instance", True, False, False)
ADVANCE_DECRYPT = OpeningOperation("AdvanceDecrypt", "instance", False, False, True)
OPENING = (KMS_DECRYPT, INSTANCE_DECRYPT, ADVANCE_DECRYPT)

DATA_KEYS = tuple(operation for operation in SEALING if operation.kind in ("data_key", "batch"))
PAIRS = tuple(operation for operation in SEALING if operation.kind == "pair")
ENCRYPTIONS = tuple(operation for operation in SEALING if operation.kind == "encrypt")


def operation(text):
    """An operation by "service-Name"."""
    return next(found for found in SEALING + OPENING if str(found) == text)

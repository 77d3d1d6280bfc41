"""A kill at any step of a change in the token loses nothing acknowledged and leaves nothing.

Each change is done once to see which functions of PKCS#11 it calls, and how often. Then, for every
one of these calls, the server is killed before the call, started again, and has to be as if the
change had not begun or was done; and the change can be done then.
"""

import contextlib
import sqlite3
import threading

import grpc
import pytest

from harness.imports import (
    bring_in,
    create_external_key,
    delete_material,
    new_material,
    parameters_for,
)
from harness.operations import KMS_DECRYPT, operation
from strongroom.v1 import key_management_service_pb2 as key_pb

ENCRYPT = operation("kms-Encrypt")
# Those that change what is in the token: between any two others a kill finds the same.
STEPS = (
    "C_CopyObject",
    "C_CreateObject",
    "C_DeriveKey",
    "C_DestroyObject",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_SetAttributeValue",
    "C_UnwrapKey",
)
# Those that come after; of each the last call, for what is between the token and the store.
LAST_STEPS = ("C_Encrypt", "C_Decrypt")
# In the store's column.
STATE_PENDING_IMPORT = 4
# Of the key pair whose public half GetParametersForImport returns, the private one stays.
OBJECTS_OF_IMPORT = 1


class Change:
    """A change that a test kills, on one key, and what has to hold before and after it."""

    def prepare(self, client):
        """Makes what the change needs. Called before each."""

    def do(self, client):
        """The change itself: one call, or more."""

    def check(self, client):
        """That the change was done or was not, and that all works. Called after each."""


class Creation(Change):
    """CreateKey."""

    def __init__(self):
        self.keys = 0

    def prepare(self, client):
        self.keys = len(all_keys(client))

    def do(self, client):
        client.create_key()

    def check(self, client):
        keys = all_keys(client)
        assert len(keys) - self.keys in (0, 1)
        for key in keys:
            assert key.state == key_pb.KEY_STATE_ENABLED
            assert KMS_DECRYPT.open(client, ENCRYPT.seal(client, key.key_id)).plaintext


class Rotation(Change):
    """CreateKeyVersion."""

    def __init__(self):
        self.key = None
        self.sealed = None
        self.versions = 0

    def prepare(self, client):
        self.key = self.key or client.create_key()
        self.sealed = ENCRYPT.seal(client, self.key)
        self.versions = len(client.versions(self.key))

    def do(self, client):
        client.rotate(self.key)

    def check(self, client):
        versions = client.versions(self.key)
        assert len(versions) - self.versions in (0, 1)
        assert [version.number for version in versions] == list(range(1, len(versions) + 1))
        assert KMS_DECRYPT.open(client, self.sealed).plaintext == self.sealed.plaintext
        newest = ENCRYPT.seal(client, self.key)
        assert newest.key_version_id == versions[-1].key_version_id


class Import(Change):
    """ImportKeyMaterial, of material that the key had before."""

    def __init__(self):
        self.key = None
        self.sealed = None
        self.material = new_material()
        self.parameters = None

    def prepare(self, client):
        if self.key is None:
            self.key = create_external_key(client)
            bring_in(client, self.key, self.material)
            self.sealed = ENCRYPT.seal(client, self.key)
        if client.describe(self.key).state != key_pb.KEY_STATE_PENDING_IMPORT:
            delete_material(client, self.key)
        self.parameters = parameters_for(client, self.key)

    def do(self, client):
        bring_in(client, self.key, self.material, self.parameters)

    def check(self, client):
        if client.describe(self.key).state == key_pb.KEY_STATE_PENDING_IMPORT:
            bring_in(client, self.key, self.material)
        assert client.describe(self.key).state == key_pb.KEY_STATE_ENABLED
        assert KMS_DECRYPT.open(client, self.sealed).plaintext == self.sealed.plaintext
        assert KMS_DECRYPT.open(client, ENCRYPT.seal(client, self.key)).plaintext


class FirstImport(Import):
    """ImportKeyMaterial, of a new key's first material."""

    def prepare(self, client):
        self.key = create_external_key(client)
        self.parameters = parameters_for(client, self.key)

    def check(self, client):
        if client.describe(self.key).state == key_pb.KEY_STATE_PENDING_IMPORT:
            bring_in(client, self.key, self.material)
        self.sealed = ENCRYPT.seal(client, self.key)
        super().check(client)


class Parameters(Import):
    """GetParametersForImport, beside parameters that the key has."""

    def prepare(self, client):
        self.key = self.key or create_external_key(client)
        parameters_for(client, self.key)

    def do(self, client):
        parameters_for(client, self.key)

    def check(self, client):
        assert client.describe(self.key).state == key_pb.KEY_STATE_PENDING_IMPORT


class MaterialDeletion(Import):
    """DeleteImportedKeyMaterial."""

    def prepare(self, client):
        if self.key is None:
            super().prepare(client)
            super().do(client)
        assert client.describe(self.key).state == key_pb.KEY_STATE_ENABLED

    def do(self, client):
        delete_material(client, self.key)


def all_keys(client):
    """All that are listed."""
    return client.keys.ListKeys(key_pb.ListKeysRequest(page_size=1000)).keys


def counts(faults):
    """How often the server that ended last had called each of the steps."""
    return {step: faults.calls(step) for step in STEPS + LAST_STEPS}


def objects_of(server):
    """How many objects the store of a stopped server accounts for, which has to have no traces."""
    path = server.config["store"]["path"]
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:

        def count(query):
            return database.execute("SELECT count(*) FROM " + query).fetchone()[0]

        assert count("key_versions WHERE number IS NULL") == 0
        versions = count(
            "key_versions JOIN keys ON keys.id = key_id "
            f"WHERE number IS NOT NULL AND state != {STATE_PENDING_IMPORT}"
        )
        return 2 * versions + OBJECTS_OF_IMPORT * count("imports")


@pytest.mark.parametrize(
    "change",
    [Creation(), Rotation(), FirstImport(), Import(), Parameters(), MaterialDeletion()],
    ids=lambda change: type(change).__name__,
)
def test_kill_at_any_step_is_as_if_the_change_was_done_or_was_not(server, change):
    faults = server.use_faults()

    def restart():
        faults.clear()
        return server.start().client()

    # The very first start makes the token's MAC keys, and later ones do not.
    change.prepare(restart())
    server.stop()
    of_no_key = server.token.objects() - objects_of(server)
    restart()
    server.stop()
    idle = counts(faults)
    change.do(restart())
    server.stop()
    steps = [
        (step, number)
        for step, calls in counts(faults).items()
        for number in range(idle[step] + 1, calls + 1)
        if step in STEPS or number == calls
    ]
    assert len(steps) >= 2, "the change does nothing in the token"
    change.check(restart())
    for step, number in steps:
        client = server.client()
        change.prepare(client)
        server.stop()
        assert server.token.objects() == of_no_key + objects_of(server)
        point = faults.hold(step, f"call={number}")
        client = server.start().client()

        def work(client=client):
            with pytest.raises(grpc.RpcError):
                change.do(client)

        thread = threading.Thread(target=work)
        thread.start()
        point.wait_until_held()
        server.kill()
        thread.join()
        client = restart()
        started = server.wait_for_event(lambda event: event["event"] == "started")
        assert started["key_versions_unusable"] == started["key_versions_unknown"] == 0
        change.check(client)
        # And once more, all the way.
        change.prepare(client)
        change.do(client)
        change.check(client)
    server.stop()
    assert server.token.objects() == of_no_key + objects_of(server)

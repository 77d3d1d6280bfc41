"""Which version of a key seals, and that all of them open."""

import pytest

from harness import blobs
from harness.operations import OPENING, SEALING
from strongroom.v1 import key_management_service_pb2 as key_pb

ROTATIONS = 2


@pytest.fixture(scope="module")
def history(client):
    """A key's versions, and what each operation sealed while the key had 1, 2, 3 of them."""
    key = client.create_key()
    versions = [client.describe(key).primary_key_version_id]
    sealed = []
    for rotation in range(ROTATIONS + 1):
        if rotation > 0:
            versions.append(client.rotate(key))
        sealed.append({operation: operation.seal(client, key) for operation in SEALING})
    return key, versions, sealed


@pytest.mark.parametrize("rotations", range(ROTATIONS + 1))
@pytest.mark.parametrize("operation", SEALING, ids=str)
def test_seals_with_its_version(history, operation, rotations):
    key, versions, sealed = history
    answer = sealed[rotations][operation]
    expected = versions[0] if operation.version == "initial" else versions[rotations]
    header = blobs.parse(answer.blob)
    assert (answer.key_id, header.key_id) == (key, key)
    assert header.key_version_id == expected
    if operation.tells_version:
        assert answer.key_version_id == expected


@pytest.mark.parametrize("opener", OPENING, ids=str)
@pytest.mark.parametrize("rotations", range(ROTATIONS + 1))
@pytest.mark.parametrize("operation", SEALING, ids=str)
def test_opens_after_rotations(client, history, operation, rotations, opener):
    key, _, sealed = history
    answer = sealed[rotations][operation]
    opened = opener.open(client, answer)
    assert opened.key_id == key
    if opener.tells_version:
        assert opened.key_version_id == blobs.parse(answer.blob).key_version_id
    if answer.plaintext is not None:
        assert opened.plaintext == answer.plaintext


def test_key_has_initial_and_primary_version(client, history):
    key, versions, _ = history
    described = client.describe(key)
    assert described.initial_key_version_id == versions[0]
    assert described.primary_key_version_id == versions[-1]


def test_versions_are_listed_oldest_first(client, history):
    key, versions, _ = history
    listed = client.keys.ListKeyVersions(key_pb.ListKeyVersionsRequest(key_id=key)).key_versions
    assert [version.key_version_id for version in listed] == versions
    assert [version.number for version in listed] == [1, 2, 3]
    assert [version.primary for version in listed] == [False, False, True]
    assert all(version.key_id == key for version in listed)


def test_rotation_answers_the_new_primary_version(client):
    key = client.create_key()
    answer = client.keys.CreateKeyVersion(key_pb.CreateKeyVersionRequest(key_id=key)).key_version
    assert (answer.key_id, answer.number, answer.primary) == (key, 2, True)
    assert answer.key_version_id == client.describe(key).primary_key_version_id
    assert answer.create_time.ToDatetime() >= client.describe(key).create_time.ToDatetime()


def test_new_key_has_one_version_that_is_both(client):
    described = client.describe(client.create_key("what it is for"))
    assert described.initial_key_version_id == described.primary_key_version_id
    assert described.description == "what it is for"
    assert described.state == key_pb.KEY_STATE_ENABLED

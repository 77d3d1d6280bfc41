"""What names a key: its id, an alias, an ARN that ends in either."""

import uuid

import pytest

from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import key_management_service_pb2 as key_pb

ALIAS = "alias/names/of_a-Key9"

FORMS = {
    "id": "{key}",
    "id-upper-case": "{KEY}",
    "alias": "{alias}",
    "arn-key": "arn:aws:kms:eu-central-1:111122223333:key/{key}",
    "arn-alias": "arn:aws:kms:eu-central-1:111122223333:{alias}",
    "arn-of-another-partition": "arn:strongroom:kms:::key/{key}",
}

MALFORMED = [
    " {key}",
    "{key} ",
    "key/{key}",
    "{key}0",
    "{bare}",
    "alias/",
    "alias/with blank",
    "alias/dot.ted",
    "alias/umlaut-\u00fc",
    "ALIAS/names",
    "alias/" + "a" * 250,
    "arn:aws:kms:eu-central-1:111122223333:{key}",
    "arn:aws:kms:eu-central-1:111122223333:key/",
    "arn:aws:kms:eu-central-1:111122223333:key/{bare}",
    "arn:",
    "a" * 10000,
]


@pytest.fixture(scope="module")
def named_key(client):
    """A key of which ALIAS is a name."""
    key = client.create_key()
    client.create_alias(ALIAS, key)
    return key


def fill(form, key):
    return form.format(key=key, KEY=key.upper(), alias=ALIAS, bare=key.replace("-", ""))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_form_seals(client, named_key, sealer, form):
    sealed = sealer.seal(client, fill(FORMS[form], named_key))
    assert sealed.key_id == named_key


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_form_opens(client, named_key, opener, form):
    sealed = operation("kms-GenerateDataKey").seal(client, named_key)
    opened = opener.open(client, sealed, key=fill(FORMS[form], named_key))
    assert (opened.key_id, opened.plaintext) == (named_key, sealed.plaintext)


@pytest.mark.parametrize("form", FORMS)
def test_form_names_a_key_to_manage(client, named_key, form):
    name = fill(FORMS[form], named_key)
    assert client.describe(name).key_id == named_key
    assert client.enable(name).key_id == named_key
    versions = client.keys.ListKeyVersions(key_pb.ListKeyVersionsRequest(key_id=name)).key_versions
    assert versions[0].key_id == named_key
    aliases = client.keys.ListAliases(key_pb.ListAliasesRequest(key_id=name)).aliases
    assert [alias.alias_name for alias in aliases] == [ALIAS]


def calls_with_key(client):
    """Everything that takes a key, as functions of the key's name."""
    sealed = operation("kms-GenerateDataKey").seal(client, client.create_key())
    yield "key_id", client.describe
    yield "key_id", client.rotate
    yield "key_id", client.enable
    yield "key_id", client.disable
    yield "key_id", lambda name: client.create_alias("alias/never-made", name)
    for sealer in SEALING:
        field = "key_id" if sealer.service == "kms" else "KeyId"
        yield field, lambda name, sealer=sealer: sealer.seal(client, name)
    for opener in OPENING:
        field = "key_id" if opener.service == "kms" else "KeyId"
        yield field, lambda name, opener=opener: opener.open(client, sealed, key=name)


@pytest.mark.parametrize("form", MALFORMED)
def test_malformed_name_is_refused(client, named_key, form):
    for field, call in calls_with_key(client):
        refused = refusal(call, fill(form, named_key))
        assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", field)
        # What a caller wrote is not given back at length.
        assert len(refused.message) < 500


def test_unknown_key_is_refused(client):
    for _, call in calls_with_key(client):
        assert refusal(call, str(uuid.uuid4())).reason == "Forbidden.KeyNotFound"


def test_unknown_alias_is_refused(client):
    for _, call in calls_with_key(client):
        assert refusal(call, "alias/of-nothing").reason == "Forbidden.AliasNotFound"


def test_key_is_required(client):
    calls = [call for call in calls_with_key(client)][: -len(OPENING)]
    for field, call in calls:
        refused = refusal(call, "")
        assert (refused.reason, refused.message.split(":")[0]) == ("MissingParameter", field)


# --- Aliases --------------------------------------------------------------------------------------


def test_alias_moves_and_blobs_made_through_it_still_open(client):
    old, new = client.create_key(), client.create_key()
    alias = "alias/that-moves"
    client.create_alias(alias, old)
    before = {sealer: sealer.seal(client, alias) for sealer in SEALING}
    assert {sealed.key_id for sealed in before.values()} == {old}

    moved = client.move_alias(alias, new)
    assert (moved.alias_name, moved.key_id) == (alias, new)
    assert moved.update_time.ToNanoseconds() >= moved.create_time.ToNanoseconds()
    after = {sealer: sealer.seal(client, alias) for sealer in SEALING}
    assert {sealed.key_id for sealed in after.values()} == {new}

    for sealed in list(before.values()) + list(after.values()):
        for opener in OPENING:
            content = opener.open(client, sealed).plaintext
            if sealed.plaintext is not None:
                assert content == sealed.plaintext
    # The alias names the new key now, which is not that of the old blobs.
    sealed = before[operation("kms-GenerateDataKey")]
    assert refusal(KMS_DECRYPT.open, client, sealed, key=alias).reason == "IncorrectKey"


def test_deleted_alias_names_nothing_and_its_key_stays(client):
    key = client.create_key()
    client.create_alias("alias/short-lived", key)
    sealed = operation("kms-GenerateDataKey").seal(client, "alias/short-lived")
    client.keys.DeleteAlias(key_pb.DeleteAliasRequest(alias_name="alias/short-lived"))
    assert refusal(client.describe, "alias/short-lived").reason == "Forbidden.AliasNotFound"
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    # And the name is free again.
    assert client.create_alias("alias/short-lived", client.create_key()).key_id != key


def test_alias_that_exists_is_not_made_again(client, named_key):
    for key in (named_key, client.create_key()):
        refused = refusal(client.create_alias, ALIAS, key)
        assert refused.reason == "InvalidParameter"
        assert "UpdateAlias" in refused.message
    assert client.describe(ALIAS).key_id == named_key


def test_alias_that_does_not_exist_is_not_moved_or_deleted(client, named_key):
    assert refusal(client.move_alias, "alias/none", named_key).reason == "Forbidden.AliasNotFound"
    request = key_pb.DeleteAliasRequest(alias_name="alias/none")
    assert refusal(client.keys.DeleteAlias, request).reason == "Forbidden.AliasNotFound"


@pytest.mark.parametrize(
    "wrong", ["name", "alias/", "Alias/x", "alias/a b", "alias/a.b", "alias/" + "a" * 250]
)
def test_malformed_alias_is_refused(client, named_key, wrong):
    delete = key_pb.DeleteAliasRequest(alias_name=wrong)
    for call in (
        (client.create_alias, wrong, named_key),
        (client.move_alias, wrong, named_key),
        (client.keys.DeleteAlias, delete),
    ):
        refused = refusal(*call)
        assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "alias_name")
        assert "alias/NAME" in refused.message


def test_longest_alias_works(client, named_key):
    alias = "alias/" + "a" * 249
    assert client.create_alias(alias, named_key).alias_name == alias
    assert client.describe(alias).key_id == named_key


def test_description_has_a_limit(client):
    assert client.describe(client.create_key("d" * 8192)).description == "d" * 8192
    refused = refusal(client.create_key, "d" * 8193)
    assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "description")

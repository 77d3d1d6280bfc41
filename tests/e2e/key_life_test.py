"""What a key is from its creation on: states, deletion, tags, lists, rotation, description."""

import datetime

import pytest

from harness.client import statement
from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from harness.server import Servers
from strongroom.v1 import key_management_service_pb2 as key_pb

SEALER = operation("kms-GenerateDataKey")
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)


def now():
    """The time, as protobuf has it."""
    return datetime.datetime.utcnow()


# --- What a key says of itself --------------------------------------------------------------------


def test_new_key_says_all_of_itself(client):
    key = client.describe(
        client.create_key("for tests", tags={"team": "payments", "ü": ""}, rotation_period_days=30)
    )
    assert key.state == key_pb.KEY_STATE_ENABLED
    assert key.origin == key_pb.KEY_ORIGIN_TOKEN
    assert (key.description, dict(key.tags)) == ("for tests", {"team": "payments", "ü": ""})
    assert key.initial_key_version_id == key.primary_key_version_id
    created = key.create_time.ToDatetime()
    assert abs(created - now()) < 10 * MINUTE
    assert key.rotation_period_days == 30
    assert abs(key.next_rotation_time.ToDatetime() - created - 30 * DAY) < MINUTE
    assert not key.HasField("deletion_time")
    # One use proves the key in the token.
    assert key.primary_uses_left == key.initial_uses_left
    assert 2**31 < key.primary_uses_left < 2**32


def test_description_is_changed_and_checked(client):
    key = client.create_key("a")
    request = key_pb.UpdateKeyDescriptionRequest(key_id=key, description="ü" * 4096)
    assert client.keys.UpdateKeyDescription(request).key.description == "ü" * 4096
    assert client.describe(key).description == "ü" * 4096
    for call in (client.keys.UpdateKeyDescription, client.keys.CreateKey):
        request = (
            key_pb.UpdateKeyDescriptionRequest(key_id=key)
            if call == client.keys.UpdateKeyDescription
            else key_pb.CreateKeyRequest()
        )
        request.description = "ü" * 4096 + "x"
        refused = refusal(call, request)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("description: ") and "8192" in refused.message
    request = key_pb.UpdateKeyDescriptionRequest(key_id=key)
    assert client.keys.UpdateKeyDescription(request).key.description == ""


def test_uses_are_counted_for_the_version_that_seals(client):
    key = client.create_key()
    before = client.describe(key)
    client.rotate(key)
    for _ in range(3):
        SEALER.seal(client, key)
    operation("instance-Encrypt").seal(client, key)
    after = client.describe(key)
    assert after.initial_uses_left == before.initial_uses_left - 1
    initial, primary = client.versions(key)
    assert (initial.uses_left, primary.uses_left) == (
        after.initial_uses_left,
        after.primary_uses_left,
    )
    assert (initial.primary, primary.primary) == (False, True)
    assert primary.uses_left == before.initial_uses_left - 3


def test_new_version_is_described(client):
    key = client.create_key()
    request = key_pb.CreateKeyVersionRequest(key_id=key)
    made = client.keys.CreateKeyVersion(request).key_version
    assert made == client.versions(key)[1]
    assert made.primary and made.number == 2 and made.uses_left > 2**31


# --- Tags -----------------------------------------------------------------------------------------


def test_tags_are_added_replaced_and_taken(client):
    key = client.create_key(tags={"a": "1", "b": "2"})
    assert dict(client.tag(key, {"b": "3", "c": ""}).tags) == {"a": "1", "b": "3", "c": ""}
    assert dict(client.untag(key, "a", "missing", "a").tags) == {"b": "3", "c": ""}
    assert dict(client.describe(key).tags) == {"b": "3", "c": ""}


def test_key_has_at_most_50_tags(client):
    many = {str(number): "" for number in range(50)}
    key = client.create_key(tags=many)
    assert refusal(client.tag, key, {"one more": ""}).reason == "Rejected.LimitExceeded"
    client.tag(key, {"49": "replaced"})
    client.untag(key, "0")
    client.tag(key, {"one more": ""})
    assert len(client.describe(key).tags) == 50
    refused = refusal(client.create_key, tags={**many, "one more": ""})
    assert refused.reason == "InvalidParameter" and refused.message.startswith("tags: ")
    refused = refusal(client.tag, client.create_key(), {**many, "one more": ""})
    assert refused.reason == "Rejected.LimitExceeded"


@pytest.mark.parametrize(
    "name, value",
    [("", "x"), ("ü" * 129, ""), ("x", "ü" * 257), ("a\nb", ""), ("x", "\x7f"), ("\x85", "")],
)
def test_tag_that_cannot_be_is_refused_by_name(client, key, name, value):
    for call in (
        lambda: client.tag(key, {name: value}),
        lambda: client.create_key(tags={name: value}),
        lambda: client.keys.ListKeys(key_pb.ListKeysRequest(tags={name: value})),
    ):
        refused = refusal(call)
        assert refused.reason == "InvalidParameter" and refused.message.startswith("tags: ")


def test_tags_may_be_as_long_as_said(client):
    key = client.create_key(tags={"ü" * 128: "ü" * 256})
    assert dict(client.describe(key).tags) == {"ü" * 128: "ü" * 256}


def test_tags_are_required_where_they_are_the_point(client, key):
    assert refusal(client.tag, key, {}).message.startswith("tags: ")
    assert refusal(client.tag, key, {}).reason == "MissingParameter"
    refused = refusal(client.untag, key)
    assert refused.reason == "MissingParameter" and refused.message.startswith("tag_names: ")
    refused = refusal(client.untag, key, "a", "")
    assert refused.reason == "InvalidParameter" and refused.message.startswith("tag_names: ")


# --- Deletion -------------------------------------------------------------------------------------


def everything_refused(client, key, sealed):
    """The reasons for which a key does not do what an enabled one does."""
    reasons = {refusal(sealer.seal, client, key).reason for sealer in SEALING}
    reasons |= {refusal(opener.open, client, sealed).reason for opener in OPENING}
    return reasons


@pytest.mark.parametrize("days, expected", [(0, 30), (7, 7), (30, 30)])
def test_key_that_will_be_destroyed_says_when(client, days, expected):
    key = client.create_key()
    scheduled = client.schedule_deletion(key, days)
    assert scheduled == client.describe(key)
    assert scheduled.state == key_pb.KEY_STATE_PENDING_DELETION
    due = scheduled.deletion_time.ToDatetime()
    assert abs(due - now() - expected * DAY) < 10 * MINUTE


def test_key_that_will_be_destroyed_does_nothing_until_it_is_kept(client):
    key = client.create_key()
    client.create_alias(f"alias/doomed-{key}", key)
    sealed = operation("instance-GenerateDataKey").seal(client, key)
    client.schedule_deletion(f"alias/doomed-{key}", 7)
    assert everything_refused(client, key, sealed) == {"Rejected.PendingDeletion"}
    for call, *arguments in (
        (client.rotate, key),
        (client.enable, key),
        (client.disable, key),
        (client.schedule_deletion, key),
        (client.tag, key, {"a": "b"}),
        (client.untag, key, "a"),
        (client.set_rotation, key, 5),
        (client.keys.UpdateKeyDescription, key_pb.UpdateKeyDescriptionRequest(key_id=key)),
        (client.create_alias, "alias/too-late", key),
        (client.put_policy, key),
        (client.grant, key, "someone-else", ["Encrypt"]),
    ):
        refused = refusal(call, *arguments)
        assert refused.reason in ("Rejected.PendingDeletion", "MissingParameter"), arguments
    # One can still look.
    assert len(client.versions(key)) == 1

    kept = client.cancel_deletion(key)
    assert kept.state == key_pb.KEY_STATE_DISABLED
    assert not kept.HasField("deletion_time")
    assert everything_refused(client, key, sealed) == {"Rejected.Disabled"}
    client.enable(key)
    opened = operation("instance-AdvanceDecrypt").open(client, sealed)
    assert opened.plaintext == sealed.plaintext
    client.rotate(f"alias/doomed-{key}")


def test_policy_and_grants_of_a_doomed_key_stay_as_they_are(client):
    key = client.create_key()
    grant = client.grant(key, "someone-else", ["Encrypt"]).grant
    client.schedule_deletion(key)
    for call, *arguments in (
        (client.put_policy, key, statement(["someone-else"], ["*"])),
        (client.grant, key, "someone-else", ["Decrypt"]),
    ):
        assert refusal(call, *arguments).reason == "Rejected.PendingDeletion"
    # Taking away is right at any time.
    request = key_pb.RevokeGrantRequest(key_id=key, grant_id=grant.grant_id)
    client.keys.RevokeGrant(request)


@pytest.mark.parametrize("days", [-1, 1, 6, 31, 2**31 - 1])
def test_deletion_window_is_checked(client, days):
    key = client.create_key()
    refused = refusal(client.schedule_deletion, key, days)
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith("pending_window_days: ") and "7 to 30" in refused.message
    assert client.describe(key).state == key_pb.KEY_STATE_ENABLED


def test_nothing_is_kept_that_is_not_to_be_deleted(client):
    key = client.create_key()
    refused = refusal(client.cancel_deletion, key)
    assert refused.reason == "InvalidParameter" and refused.message.startswith("key_id: ")
    client.disable(key)
    assert refusal(client.cancel_deletion, key).reason == "InvalidParameter"


def test_deletion_stays_scheduled_over_a_restart(server):
    client = server.start().client()
    key = client.create_key()
    sealed = SEALER.seal(client, key)
    scheduled = client.schedule_deletion(key, 7)
    server.kill()
    client = server.start().client()
    assert client.describe(key).state == key_pb.KEY_STATE_PENDING_DELETION
    assert client.describe(key).deletion_time == scheduled.deletion_time
    client.cancel_deletion(key)
    client.enable(key)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext


# --- Rotation -------------------------------------------------------------------------------------


def test_rotation_by_time_is_set_and_taken_back(client):
    key = client.create_key(rotation_period_days=0)
    described = client.describe(key)
    assert described.rotation_period_days == 0
    assert not described.HasField("next_rotation_time")
    changed = client.set_rotation(key, 2560)
    assert changed == client.describe(key)
    created = changed.create_time.ToDatetime()
    assert abs(changed.next_rotation_time.ToDatetime() - created - 2560 * DAY) < MINUTE
    assert not client.set_rotation(key, 0).HasField("next_rotation_time")


def test_rotation_period_is_checked(client, key):
    refused = refusal(client.set_rotation, key)
    assert refused.reason == "MissingParameter"
    assert refused.message.startswith("rotation_period_days: ")
    for days in (-1, 2561):
        for call in (
            lambda: client.set_rotation(key, days),  # pylint: disable=cell-var-from-loop
            lambda: client.create_key(
                rotation_period_days=days  # pylint: disable=cell-var-from-loop
            ),
        ):
            refused = refusal(call)
            assert refused.reason == "InvalidParameter"
            assert refused.message.startswith("rotation_period_days: ")


def test_rotating_by_hand_moves_the_next_rotation(client):
    key = client.create_key(rotation_period_days=10)
    client.rotate(key)
    described = client.describe(key)
    made = client.versions(key)[1].create_time.ToDatetime()
    assert abs(described.next_rotation_time.ToDatetime() - made - 10 * DAY) < MINUTE


# --- Lists by state and tags ----------------------------------------------------------------------


class Kinds:
    """A server with keys of several states and tags, and nothing else."""

    def __init__(self, client):
        self.client = client
        self.keys = {}
        for number in range(4):
            for state in ("ENABLED", "DISABLED", "PENDING_DELETION", "PENDING_IMPORT"):
                tags = {"state": state, "number": str(number), "all": ""}
                origin = "KEY_ORIGIN_EXTERNAL" if state == "PENDING_IMPORT" else "KEY_ORIGIN_TOKEN"
                key = client.create_key(tags=tags, origin=origin)
                if state == "DISABLED":
                    client.disable(key)
                if state == "PENDING_DELETION":
                    client.schedule_deletion(key)
                self.keys[key] = tags

    def listed(self, page_size, states=(), tags=None):
        """All pages of a list."""
        request = key_pb.ListKeysRequest(
            page_size=page_size, states=["KEY_STATE_" + state for state in states], tags=tags
        )
        found = []
        while True:
            answer = self.client.keys.ListKeys(request)
            assert len(answer.keys) <= page_size
            found += answer.keys
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    def expected(self, states=(), tags=None):
        """Their ids."""
        return [
            key
            for key, has in self.keys.items()
            if (not states or has["state"] in states) and has.items() >= (tags or {}).items()
        ]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """On a server of its own."""
    servers = Servers(tmp_path_factory.mktemp("kinds"))
    yield Kinds(servers.new().start().client())
    servers.close()


@pytest.mark.parametrize("page_size", [1, 3, 1000])
@pytest.mark.parametrize(
    "wanted",
    [
        {"states": ["DISABLED"]},
        {"states": ["PENDING_IMPORT", "PENDING_DELETION"]},
        {"states": ["ENABLED", "ENABLED"]},
        {"states": ["CREATING"]},
        {"states": ["UNAVAILABLE"]},
        {"tags": {"number": "2"}},
        {"tags": {"number": "2", "all": ""}},
        {"tags": {"all": "x"}},
        {"tags": {"missing": ""}},
        {"states": ["DISABLED", "ENABLED"], "tags": {"number": "3"}},
        {"states": ["DISABLED"], "tags": {"state": "ENABLED"}},
    ],
    ids=str,
)
def test_list_has_what_was_asked_for_and_nothing_else(kinds, wanted, page_size):
    found = kinds.listed(page_size, **wanted)
    assert [key.key_id for key in found] == kinds.expected(**wanted)
    assert all(kinds.client.describe(key.key_id) == key for key in found)


def test_states_are_checked(client):
    for wrong in (0, 99):
        request = key_pb.ListKeysRequest(states=[1, wrong])
        refused = refusal(client.keys.ListKeys, request)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("states[1]: ") and "PENDING_IMPORT" in refused.message

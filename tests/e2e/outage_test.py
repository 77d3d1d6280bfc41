"""A token that fails for a while: callers are told so, and nothing else is."""

import pytest

from harness.operations import KMS_DECRYPT, OPENING, operation
from harness.refusals import refusal

SEALER = operation("kms-Encrypt")


class Outage:
    """A server that has served, and whose token is about to fail."""

    def __init__(self, server):
        self.server = server
        self.faults = server.use_faults()
        client = server.start().client()
        self.key = client.create_key()
        self.sealed = SEALER.seal(client, self.key)
        server.stop()
        # How many calls a start takes, now that there is a key.
        server.start().stop()

    def start(self, function, code, calls):
        """Starts the server again; after the start so many calls of a function will fail."""
        first = self.faults.calls(function) + 1
        # A function that ends an operation ends it when it fails, too.
        forwarded = "" if function.endswith("Init") else "forwarded"
        self.faults.set(f"fail {function} {code} call={first}-{first + calls - 1} {forwarded}")
        return self.server.start().client()


@pytest.fixture
def outage(server):
    """See Outage."""
    return Outage(server)


@pytest.mark.parametrize("code", ["CKR_DEVICE_REMOVED", "CKR_DEVICE_ERROR"])
def test_sealing_while_the_token_is_away(outage, code):
    client = outage.start("C_EncryptInit", code, calls=3)
    for _ in range(3):
        refused = refusal(SEALER.seal, client, outage.key)
        assert (refused.reason, refused.retry_delay) == ("Rejected.Unavailable", 1)
        assert "C_EncryptInit" not in refused.message
        line = outage.server.wait_for_event(
            lambda event, id=refused.request_id: event.get("request_id") == id
        )
        assert line["level"] == "error"
        assert "C_EncryptInit" in line["detail"] and code in line["detail"]
    # It is back, and nobody had to start anything again.
    sealed = SEALER.seal(client, outage.key)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_genuine_blob_opens_in_spite_of_a_single_failure(outage, opener):
    client = outage.start("C_Decrypt", "CKR_GENERAL_ERROR", calls=1)
    assert opener.open(client, outage.sealed).plaintext == outage.sealed.plaintext


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_genuine_blob_is_not_called_false_when_the_token_fails(outage, opener):
    # The answer that SoftHSM has for a wrong tag.
    client = outage.start("C_Decrypt", "CKR_GENERAL_ERROR", calls=2)
    assert refusal(opener.open, client, outage.sealed).reason == "Rejected.Unavailable"
    assert opener.open(client, outage.sealed).plaintext == outage.sealed.plaintext


@pytest.mark.parametrize("code", ["CKR_SESSION_HANDLE_INVALID", "CKR_KEY_HANDLE_INVALID"])
def test_lost_session_or_handle_is_not_the_callers_business(outage, code):
    client = outage.start("C_EncryptInit", code, calls=1)
    sealed = SEALER.seal(client, outage.key)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext


def test_key_that_the_token_did_not_keep_is_not_made(outage):
    client = outage.start("C_GenerateKey", "CKR_DEVICE_MEMORY", calls=1)
    assert refusal(client.create_key).reason in ("Rejected.Throttling", "Rejected.Unavailable")
    key = client.create_key()
    assert SEALER.seal(client, key)
    outage.server.stop()
    outage.server.start()
    started = outage.server.wait_for_event(lambda event: event["event"] == "started")
    assert (started["key_versions"], started["key_versions_unknown"]) == (2, 0)

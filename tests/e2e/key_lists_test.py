"""Lists of keys, versions and aliases, in pages."""

import uuid

import pytest

from harness.refusals import refusal
from harness.server import Servers
from strongroom.v1 import key_management_service_pb2 as key_pb

KEYS = 7
VERSIONS = 5


class Lists:
    """A server that holds nothing but what is listed here."""

    def __init__(self, client):
        self.client = client
        self.keys = [client.create_key(f"key {i}") for i in range(KEYS)]
        first = self.keys[0]
        self.versions = [client.describe(first).primary_key_version_id]
        self.versions += [client.rotate(first) for _ in range(VERSIONS - 1)]
        # Names whose order by bytes is not that of any dictionary.
        self.aliases = {
            "alias/" + name: self.keys[i % 2]
            for i, name in enumerate(["b", "a/z", "B", "a-", "a_", "10", "9", "aa"])
        }
        for alias, key in self.aliases.items():
            client.create_alias(alias, key)


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """What is listed, on a server of this file's own."""
    servers = Servers(tmp_path_factory.mktemp("lists"))
    yield Lists(servers.new().start().client())
    servers.close()


def list_keys(client, **page):
    answer = client.keys.ListKeys(key_pb.ListKeysRequest(**page))
    return [key.key_id for key in answer.keys], answer.next_page_token


def list_versions(client, key, **page):
    answer = client.keys.ListKeyVersions(key_pb.ListKeyVersionsRequest(key_id=key, **page))
    return [version.key_version_id for version in answer.key_versions], answer.next_page_token


def list_aliases(client, **page):
    answer = client.keys.ListAliases(key_pb.ListAliasesRequest(**page))
    return [alias.alias_name for alias in answer.aliases], answer.next_page_token


def all_pages(list_page, page_size):
    """Goes through all pages; all but the last have to be full."""
    pages, token = [], ""
    while True:
        entries, token = list_page(page_size=page_size, page_token=token)
        pages.append(entries)
        if not token:
            break
        assert len(entries) == page_size
    assert 0 < len(pages[-1]) <= page_size
    return [entry for page in pages for entry in page]


@pytest.mark.parametrize("page_size", [1, 2, KEYS - 1, KEYS, KEYS + 1, 1000])
def test_keys_oldest_first(lists, page_size):
    listed = all_pages(lambda **page: list_keys(lists.client, **page), page_size)
    assert listed == lists.keys


@pytest.mark.parametrize("page_size", [1, 2, VERSIONS - 1, VERSIONS, VERSIONS + 1, 1000])
def test_versions_oldest_first(lists, page_size):
    key = lists.keys[0]
    listed = all_pages(lambda **page: list_versions(lists.client, key, **page), page_size)
    assert listed == lists.versions


@pytest.mark.parametrize("page_size", [1, 3, 7, 8, 9, 1000])
def test_aliases_in_the_order_of_their_names(lists, page_size):
    listed = all_pages(lambda **page: list_aliases(lists.client, **page), page_size)
    assert listed == sorted(lists.aliases)


@pytest.mark.parametrize("page_size", [1, 3, 4, 1000])
def test_aliases_of_one_key(lists, page_size):
    for key in lists.keys[:2]:
        listed = all_pages(
            lambda key=key, **page: list_aliases(lists.client, key_id=key, **page), page_size
        )
        assert listed == sorted(alias for alias, of in lists.aliases.items() if of == key)


def test_a_key_without_aliases_has_none(lists):
    assert list_aliases(lists.client, key_id=lists.keys[-1]) == ([], "")


def test_listed_key_is_as_described(lists):
    listed = lists.client.keys.ListKeys(key_pb.ListKeysRequest()).keys
    assert list(listed) == [lists.client.describe(key) for key in lists.keys]
    times = [key.create_time.ToNanoseconds() for key in listed]
    assert times == sorted(times)


def test_default_page_has_100(servers):
    client = servers.new().start().client()
    key = client.create_key()
    for number in range(101):
        client.create_alias(f"alias/{number:03}", key)
    first, token = list_aliases(client)
    assert len(first) == 100
    assert list_aliases(client, page_token=token) == (["alias/100"], "")


@pytest.mark.parametrize("page_size", [-1, 1001, -(2**31)])
def test_page_size_outside_the_range(lists, page_size):
    for call in (list_keys, list_aliases, lambda c, **p: list_versions(c, lists.keys[0], **p)):
        refused = refusal(call, lists.client, page_size=page_size)
        assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "page_size")


@pytest.mark.parametrize(
    "token", ["x", "-1", "0", "1e9", "99999999999", "\x00", "alias/", "a" * 9999]
)
def test_foreign_page_token_is_refused(lists, token):
    for call in (list_keys, list_aliases, lambda c, **p: list_versions(c, lists.keys[0], **p)):
        refused = refusal(call, lists.client, page_token=token)
        assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "page_token")


def test_token_of_a_key_that_is_not_there_is_refused(lists):
    refused = refusal(list_keys, lists.client, page_token=str(uuid.uuid4()))
    assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "page_token")


def test_new_key_does_not_disturb_pages_under_way(servers):
    client = servers.new().start().client()
    keys = [client.create_key() for _ in range(3)]
    first, token = list_keys(client, page_size=2)
    late = client.create_key()
    second, end = list_keys(client, page_size=2, page_token=token)
    assert (first + second, end) == (keys + [late], "")

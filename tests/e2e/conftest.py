"""The fixtures of all end-to-end tests."""

import os
import pathlib

import pytest

from harness.server import Servers


def pytest_collection_modifyitems(config, items):
    """Leaves the tests that are for this shard, where Bazel runs several."""
    shards = int(os.environ.get("TEST_TOTAL_SHARDS", "1"))
    if shards == 1:
        return
    pathlib.Path(os.environ["TEST_SHARD_STATUS_FILE"]).touch()
    mine = items[int(os.environ["TEST_SHARD_INDEX"]) :: shards]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
    items[:] = mine


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """A server for all tests that leave it as it was but for new keys and aliases."""
    servers = Servers(tmp_path_factory.mktemp("shared"))
    yield servers.new().start()
    servers.close()


@pytest.fixture(scope="session")
def client(shared_server):
    """A client of the shared server."""
    return shared_server.client()


@pytest.fixture(scope="module")
def key(client):
    """The id of a key of the test file's own, on the shared server, with one version."""
    return client.create_key()


@pytest.fixture
def servers(tmp_path):
    """Makes servers of the test's own."""
    made = Servers(tmp_path)
    yield made
    made.close()


@pytest.fixture
def server(servers):
    """A server of the test's own, which it starts."""
    return servers.new()

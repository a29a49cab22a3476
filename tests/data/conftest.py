"""Fixtures of the data room's tests."""

from collections.abc import Iterator

import pytest
from endpoint_helpers import Server

from ringlite_cli.sampling import endpoint


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    made = Server()
    yield made
    made.close()

"""Where ranks meet: its name may come up late, and one that never does ends them before torch looks for it."""

import socket

import pytest

from ringlite_cli.errors import FirstRankEnded, UserError
from ringlite_cli.runs import meeting
from ringlite_cli.runs.meeting import find_meeting_place


@pytest.fixture(autouse=True)
def a_rank_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "first.node"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(meeting, "NAME_WAIT", 0.05)
    monkeypatch.setattr(meeting, "LOOKS", 0.01)


def no_name(*_: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_without_an_address_is_told_by_one_rank_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with pytest.raises(
        UserError, match=r"MASTER_ADDR: 'first\.node', the machine where ranks meet, has no address here"
    ):
        find_meeting_place()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(FirstRankEnded):
        find_meeting_place()
    monkeypatch.setenv("WORLD_SIZE", "1")
    find_meeting_place()


def test_a_name_that_comes_up_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "NAME_WAIT", 60.0)
    tries = iter([no_name, no_name, lambda *_: []])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: next(tries)(*asked))
    find_meeting_place()
    assert next(tries, None) is None

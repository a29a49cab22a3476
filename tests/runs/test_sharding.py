"""What a launcher's configuration asks for: FSDP2 and nothing else is taken."""

import os
import re

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.runs.sharding import READ_ONCE, launched_sharded, read_everywhere

FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, r"fsdp_version\): FSDP1 is not supported; set it to 2"),
        ({"ACCELERATE_USE_FSDP": "True", "FSDP_VERSION": "1"}, r"FSDP1 is not supported"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, r"DeepSpeed is not supported.*ringlite launcher fsdp2"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, r"Megatron-LM is not supported.*ringlite launcher fsdp2"),
        (FSDP2 | {"FSDP_STATE_DICT_TYPE": "LOCAL_STATE_DICT"}, r"LOCAL_STATE_DICT is not one of FSDP2's"),
    ],
)
def test_another_way_of_sharding_is_refused_by_name(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        launched_sharded(environment)
    assert re.search(message, str(refused.value))


def test_ranks_without_shards_and_fsdp2_are_told_apart() -> None:
    assert not launched_sharded({})
    assert not launched_sharded({"ACCELERATE_USE_FSDP": "false", "FSDP_VERSION": "1"})
    assert launched_sharded(FSDP2 | {"FSDP_CPU_RAM_EFFICIENT_LOADING": "false"})


@pytest.mark.parametrize(("said", "then"), [("true", "false"), ("false", "false"), (None, None)])
def test_the_launchers_word_on_reading_weights_counts_for_no_stage(
    monkeypatch: pytest.MonkeyPatch, said: str | None, then: str | None
) -> None:
    monkeypatch.delenv(READ_ONCE, raising=False)
    if said:
        monkeypatch.setenv(READ_ONCE, said)
    read_everywhere()
    assert os.environ.get(READ_ONCE) == then

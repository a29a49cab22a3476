"""`ringlite plan --launcher`: what GPUs share by the file that starts training."""

from pathlib import Path

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.shipped import launch_file
from ringlite_cli.stages.commands.launched import Launched, read_launch_file
from ringlite_cli.stages.commands.memory_plan import machines
from ringlite_cli.train.devices import reshards


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        ("fsdp2", {}, Launched(gpus=8)),
        ("fsdp2", {"reshard_after_forward: true": "reshard_after_forward: false"}, Launched(8, reshard=False)),
        ("fsdp2", {"offload_params: false": "offload_params: true"}, Launched(8, offload=True)),
        ("ddp", {}, Launched(gpus=8, sharded=False)),
    ],
)
def test_a_launch_file_says_what_gpus_share(tmp_path: Path, name: str, changed: dict, found: Launched) -> None:
    text = launch_file(name).read_text()
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "launch.yaml").write_text(text)
    read = read_launch_file(tmp_path / "launch.yaml")
    assert read == found
    (machine,) = machines([], 80, 10**10, read)
    assert (machine.gpus, machine.sharded, machine.offload) == (8, found.sharded, found.offload)
    assert machine.reshard == found.reshard
    assert [each.gpus for each in machines([2, 4], 80, 10**10, read)] == [2, 4]


@pytest.mark.parametrize(
    "text", [None, "distributed_type: DEEPSPEED", "- 1", "a: [", "fsdp_config: 3\ndistributed_type: FSDP"]
)
def test_another_file_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "launch.yaml").write_text(text)
    with pytest.raises(UserError) as refused:
        read_launch_file(tmp_path / "launch.yaml")
    assert str(tmp_path / "launch.yaml") in str(refused.value)


@pytest.mark.parametrize(("value", "found"), [(None, True), ("true", True), ("false", False), ("False", False)])
def test_a_run_reads_it_from_what_its_launcher_has_set(value: str | None, found: bool) -> None:
    assert reshards({} if value is None else {"FSDP_RESHARD_AFTER_FORWARD": value}) is found

"""What a launcher's environment makes of a process."""

import os
import subprocess
import sys

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.runs.launcher import (
    check_rank,
    first_host,
    leave_launch,
    take_rank_from_mpi,
    take_rank_from_slurm,
    without_rank,
)

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "11",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2),3",
    "SLURM_STEP_NODELIST": "gpu[007-008,020]",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [*os.environ]:
        if name not in without_rank({name: ""}):
            monkeypatch.delenv(name)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that they are restored
        monkeypatch.delenv(name)
    return monkeypatch


def put(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def test_a_task_of_srun_is_a_rank(environment: pytest.MonkeyPatch) -> None:
    put(environment, STEP)
    take_rank_from_slurm()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    assert [os.environ[name] for name in names] == ["9", "11", "1", "3", "gpu007"]
    port = int(os.environ["MASTER_PORT"])
    assert 20_000 <= port < 30_000
    put(environment, STEP | {"SLURM_STEP_ID": "1"})
    for name in (*names, "MASTER_PORT"):
        environment.delenv(name)
    take_rank_from_slurm()
    assert int(os.environ["MASTER_PORT"]) != port  # another step of the job meets elsewhere


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # a batch script, before any srun
        STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},  # srun --pty bash
    ],
)
def test_what_is_no_rank_stays_alone(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    put(environment, values)
    take_rank_from_slurm()
    assert "RANK" not in os.environ
    assert "WORLD_SIZE" not in os.environ


def test_a_launcher_inside_srun_decides(environment: pytest.MonkeyPatch) -> None:
    put(environment, STEP | {"RANK": "3", "WORLD_SIZE": "16"})
    take_rank_from_slurm()
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("3", "16")
    assert "MASTER_ADDR" not in os.environ


def test_an_address_that_the_user_gives_stays(environment: pytest.MonkeyPatch) -> None:
    put(environment, STEP | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29400"})
    take_rank_from_slurm()
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("10.0.0.1", "29400")


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu7", "gpu7"),
        ("gpu[007-012,020]", "gpu007"),
        ("gpu[3]", "gpu3"),
        ("a-1,b-2", "a-1"),
        ("rack1-n[01-02]-ib,x", "rack1-n01-ib"),
        ("n[9,11-12],gpu[1-2]", "n9"),
    ],
)
def test_the_first_host(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_no_host_is_told() -> None:
    with pytest.raises(UserError, match="export MASTER_ADDR"):
        first_host("")


def test_an_exported_address_cures_a_list_without_a_node(environment: pytest.MonkeyPatch) -> None:
    put(environment, STEP | {"SLURM_STEP_NODELIST": "", "MASTER_ADDR": "10.0.0.1"})
    take_rank_from_slurm()
    assert os.environ["MASTER_ADDR"] == "10.0.0.1"


def become_a_rank() -> None:
    take_rank_from_slurm()
    take_rank_from_mpi()
    check_rank()


MET = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8"}
OPEN_MPI |= {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}
INTEL_MPI = {"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', which is no number of a rank"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is ''"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK is '-1'"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"}, "LOCAL_RANK is 'x'"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, and RANK is not set"),
        ({"RANK": "1"}, "RANK is 1, and WORLD_SIZE is not set"),
        ({"RANK": "5", "WORLD_SIZE": "2"}, "RANK is 5, and WORLD_SIZE is 2"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", **MET, "MASTER_PORT": "abc"},
            "MASTER_PORT is 'abc', which is no number of a",
        ),
        ({"RANK": "0", "WORLD_SIZE": "2", **MET, "MASTER_PORT": "99999"}, "MASTER_PORT is '99999', which is no"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "and MASTER_ADDR and MASTER_PORT, where ranks meet, not set"),
        ({"LOCAL_RANK": "1"}, "LOCAL_RANK is 1, and RANK is not set"),  # accelerate would take it for a rank
        (OPEN_MPI, "and MASTER_ADDR and MASTER_PORT, where ranks meet, not set"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_RANK": "x"}, "OMPI_COMM_WORLD_RANK is 'x'"),
        (STEP | {"SLURM_STEP_NUM_TASKS": "x"}, "SLURM_STEP_NUM_TASKS is 'x'"),
        (STEP | {"SLURM_NODEID": ""}, "SLURM_NODEID is ''"),
        (STEP | {"SLURM_PROCID": "11"}, "RANK is 11, and WORLD_SIZE is 11"),
    ],
)
def test_variables_that_are_half_set_are_refused(
    environment: pytest.MonkeyPatch, values: dict[str, str], what: str
) -> None:
    put(environment, values)
    with pytest.raises(UserError, match="the launcher's environment") as refused:
        become_a_rank()
    assert what in str(refused.value)


@pytest.mark.parametrize("values", [OPEN_MPI, INTEL_MPI])
def test_a_process_of_mpirun_is_a_rank(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    put(environment, MET | values)
    become_a_rank()
    assert [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")] == list("5814")
    leave_launch()
    assert not {*MET, *values, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"} & set(os.environ)


def test_a_process_alone_under_mpirun_is_no_rank(environment: pytest.MonkeyPatch) -> None:
    put(environment, {"PMI_RANK": "0", "PMI_SIZE": "1"})
    become_a_rank()
    assert "RANK" not in os.environ


def test_variables_of_a_whole_rank_or_of_none_are_taken(environment: pytest.MonkeyPatch) -> None:
    for values in ({}, {"RANK": "0"}, {"RANK": "0", "WORLD_SIZE": "1"}, MET | {"RANK": "1", "WORLD_SIZE": "2"}, STEP):
        put(environment, values)
        become_a_rank()
        for name in ("RANK", "WORLD_SIZE", *MET):
            environment.delenv(name, raising=False)


@pytest.mark.parametrize("values", [{"RANK": "1"}, {"WORLD_SIZE": ""}, {"RANK": "x", "LOCAL_RANK": "x"}])
def test_a_process_that_is_half_a_rank_ends_with_one_message(values: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ringlite_cli", "check", "toy"]
    done = subprocess.run(command, env=without_rank(os.environ) | values, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("local", "told"), [("0", True), ("1", False)])
def test_a_list_without_a_node_is_told_once_a_machine(local: str, told: bool) -> None:
    program = (
        "from ringlite_cli.runs import launcher; launcher.LAST = 0; from ringlite_cli.__main__ import main; main()"
    )
    values = STEP | {"SLURM_STEP_NODELIST": "", "SLURM_LOCALID": local}
    done = subprocess.run(
        [sys.executable, "-c", program], env=without_rank(os.environ) | values, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert ("Slurm names no node" in done.stderr) == told, done.stderr


def test_a_process_that_is_no_rank_keeps_the_rest_of_the_environment() -> None:
    ours = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "3", "OMP_NUM_THREADS": "1", "HF_HOME": "/x"}
    theirs = {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_PORT": "1",
        "TORCHELASTIC_RUN_ID": "a",
        "ACCELERATE_USE_FSDP": "1",
    }
    assert without_rank(ours | theirs | STEP) == ours

"""What goes wrong on a real machine: each with a message that says what to do, and the run goes on afterwards."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ringlite

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.runs.manifest import Manifest, describe
from ringlite_cli.sandbox.view import find_bwrap
from ringlite_cli.stages.commands import doctor
from ringlite_cli.stages.commands.doctor import _findings
from ringlite_cli.stages.walk.failures import as_failure
from ringlite_cli.stages.walk.inputs import check_inputs


def in_view(*view: str) -> "list[str]":
    """A command line under bubblewrap, which lays a small or read-only file system over a folder; skips without it."""
    bwrap = find_bwrap()
    command = [str(bwrap), "--dev-bind", "/", "/", *view]
    if bwrap is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("bubblewrap can't lay out file systems here")
    return command


def toy(runs: Path, last: str) -> str:
    """A shell line that runs the toy recipe up to a stage and prints its exit code."""
    return f"{sys.executable} -m ringlite_cli run toy --runs-dir {runs} --to {last}; echo code $?"


def shell(view: list[str], *lines: str) -> subprocess.CompletedProcess:
    command = [*view, "bash", "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    """A file system of 40 MiB that somebody fills by 38: before the run it is refused, in mid-run it stops.

    Then somebody fills it to the last byte.
    """
    ballast = f"{tmp_path}/ballast"
    fill = f"head -c {38 << 20} /dev/zero > {ballast}"
    curating = f"until test -e {tmp_path}/toy/curate/manifest.json; do sleep 0.1; done"
    view = in_view("--size", str(40 << 20), "--tmpfs", str(tmp_path))
    done = shell(
        view, fill, toy(tmp_path, "sft"), f"ls {tmp_path}; rm {ballast}",
        f"({curating}; {fill}) &", toy(tmp_path, "sft"), f"wait; rm {ballast}", toy(tmp_path, "sft"),
        f"(until test -e {tmp_path}/toy/select/manifest.room; do sleep 0.01; done; cat /dev/zero > {ballast}) 2>&- &",
        toy(tmp_path, "select"), f"wait; cat {tmp_path}/toy/select/manifest.json; rm {ballast}",
        toy(tmp_path, "select"),
    )  # fmt: skip
    refused, rest = done.stdout.split("code 2\n")
    assert "[1/2]" not in refused
    assert re.match(r"ballast\n[\d:]{8} \[1/2\]", rest)  # nothing was written
    assert "need about" in done.stderr
    first, second, last = rest.split("code 1\n")
    assert "sft: Long-CoT SFT" in first
    assert "the disk is full" in done.stderr
    assert "free some space; the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert "goes on in" in second or "unchanged, skipped" in second
    assert "code 0\n" in second, done.stdout + done.stderr
    assert '"status": "failed"' in last
    assert '"message": "' + f"{tmp_path}/toy/select: the disk is full (0 MiB free)" in last
    assert last.endswith("code 0\n"), done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_folder_that_is_read_only_is_refused_before_any_work(tmp_path: Path) -> None:
    done = shell(in_view("--ro-bind", str(tmp_path), str(tmp_path)), toy(tmp_path, "curate"))
    assert "code 2" in done.stdout
    assert (
        f"{tmp_path}/toy: the run folder can't be written (Read-only file system); give another --runs-dir"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_stage_s_folder_that_became_read_only_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy" / "curate").mkdir(parents=True)
    done = shell(in_view("--ro-bind", *[str(tmp_path / "toy" / "curate")] * 2), toy(tmp_path, "curate"))
    assert "code 1" in done.stdout
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_report_that_can_t_be_written_is_a_message(tmp_path: Path) -> None:
    Manifest("sft", "sft", "done", "f", 1, {}, []).write(tmp_path / "run" / "sft")
    report = f"{sys.executable} -m ringlite_cli report {tmp_path}/run; echo code $?"
    done = shell(in_view("--ro-bind", *[str(tmp_path / "run")] * 2), report)
    assert "code 1" in done.stdout
    assert "can't be written (Read-only file system)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Manifest]:
    (tmp_path / "curate").mkdir()
    path = tmp_path / "curate" / "traces.parquet"
    path.write_text("rows")
    outputs = {"traces": describe(path, tmp_path)}
    return path, Manifest("curate", "curate", "done", "f", 1, {"rows": 3}, [], outputs=outputs)


def test_a_data_file_that_changed_since_its_manifest_is_refused(tmp_path: Path, written) -> None:
    path, manifest = written
    check_inputs(tmp_path, [manifest])
    path.write_text("others")
    with pytest.raises(UserError, match=r"traces changed since stage 'curate' wrote it; .*--from curate --fresh"):
        check_inputs(tmp_path, [manifest])
    path.unlink()
    with pytest.raises(UserError, match="traces is gone"):
        check_inputs(tmp_path, [manifest])


STARVES = """
import resource, torch
from pathlib import Path
from ringlite_cli.stages.commands import doctor
from ringlite_cli.stages.commands.doctor import _findings
from ringlite_cli.stages.walk.failures import as_failure
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
try:
    torch.zeros(1 << 33)
except RuntimeError as error:
    print(as_failure(error, Path("runs/x/rl")))
"""


@pytest.mark.slow
def test_host_memory_that_runs_out_names_the_need_and_the_keys() -> None:
    done = subprocess.run([sys.executable, "-c", STARVES], capture_output=True, text=True, check=True)
    assert "runs/x/rl: the machine is out of memory (32.00 GiB more were asked for, " in done.stdout
    assert "GiB were held at the most); lower row_tokens, trl.max_completion_length" in done.stdout


def test_gpu_memory_that_runs_out_names_the_need_and_the_keys() -> None:
    """The message of torch 2.13, word for word; there is no GPU to fill here."""
    import torch

    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.1 GiB of which 1 GiB is free."
    )
    message = str(as_failure(error, Path("runs/x/rl")))
    assert message.startswith("runs/x/rl: the GPU is out of memory (2.50 GiB more were asked for")
    assert "lower row_tokens" in message


@pytest.mark.gpu
def test_a_gpu_that_is_filled_says_what_it_held() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(1 << 40, device="cuda")
    assert "GiB were held at the most, of" in str(as_failure(caught.value, Path("x")))


def test_a_bug_stays_a_bug() -> None:
    assert as_failure(ValueError("shapes"), Path("x")) is None
    assert isinstance(as_failure(WorkFailed("known"), Path("x")), WorkFailed)


def test_one_broken_thing_hides_no_other_from_the_doctor() -> None:
    def broken():
        yield True, "first"
        raise RuntimeError("CUDA driver initialization failed\nand more")

    assert list(_findings(broken)) == [(True, "first"), (False, "broken: CUDA driver initialization failed")]


def test_the_doctor_answers_in_json_what_it_says_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def _memory():
        yield True, "enough"
        yield False, "too little: buy some"

    monkeypatch.setattr(doctor, "CHECKS", (_memory,))
    done = ringlite("doctor", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "format": 1,
        "command": "doctor",
        "ok": False,
        "findings": [
            {"check": "memory", "ok": True, "text": "enough"},
            {"check": "memory", "ok": False, "text": "too little: buy some"},
        ],
    }
    lines = ringlite("doctor").stdout.splitlines()
    assert lines == ["ok   enough", "BAD  too little: buy some", "the lines marked BAD say what to do"]


@pytest.mark.slow
def test_the_doctor_finds_this_machine_fit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringlite_cli", "doctor"], capture_output=True, text=True, check=False, env=os.environ
    )
    lines = done.stdout.splitlines()
    assert done.returncode == (1 if any(line.startswith("BAD") for line in lines) else 0)
    for word in (
        "Python 3",
        "trl 1.16",
        "torch ",
        "GPU",
        "vLLM",
        "of memory free",
        "of disk free",
        "isolation of code",
    ):
        assert any(word in line for line in lines), word
    assert "ok   two ranks added up a tensor" in lines
    assert "ok   math verifier: 1/2 against 0.5, verdict correct" in lines


def test_a_model_that_cannot_be_loaded_is_named_whatever_the_library_says(tmp_path: Path) -> None:
    """A folder that vanishes for a moment is a hub id to transformers, whose message then speaks of repositories."""
    from transformers import AutoConfig

    gone = tmp_path / "policy" / "checkpoint-8"
    with pytest.raises(Exception, match="epo") as caught:
        AutoConfig.from_pretrained(str(gone))
    message = str(as_failure(caught.value, tmp_path))
    assert message.startswith(f"{gone}: it can't be loaded (")
    assert "see to the disk or the mount" in message


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ESTALE, "Stale file handle", "/x/y"), "/x/y: the file system fails (Stale file handle)"),
        (OSError(errno.EIO, "Input/output error"), "runs/x: the file system fails (Input/output error)"),
        (RuntimeError("SafetensorError: I/O error: Stale file handle (os error 116)"), "the file system fails"),
        (RuntimeError("while serializing: I/O error: File too large (os error 27)"), "fails (File too large)"),
        (OSError(errno.EFBIG, "File too large"), "fails (File too large)"),  # a row that is appended names no file
        (OSError(errno.ENOTCONN, "Transport endpoint is not connected", "/x"), "/x: the file system fails"),
        (OSError(errno.EACCES, "Permission denied", "/x"), "/x: can't be opened (Permission denied); see to its"),
    ],
)
def test_errors_of_the_file_system_are_messages(error: Exception, says: str) -> None:
    assert says in str(as_failure(error, Path("runs/x")))
    wrapped = ValueError("no such tokenizer")
    wrapped.__cause__ = error
    if "opened" not in says:
        assert says in str(as_failure(wrapped, Path("runs/x")))


def test_a_connection_that_fails_is_no_fault_of_the_disk() -> None:
    assert as_failure(OSError(errno.ETIMEDOUT, "Connection timed out"), Path("x")) is None


def test_a_port_that_is_in_use_is_told_in_words() -> None:
    import socket

    import torch.distributed as dist

    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError) as raised:
            dist.TCPStore("127.0.0.1", port, 2, is_master=True)
    message = str(as_failure(raised.value, Path("runs/x/rl")))
    assert message.startswith(f"MASTER_PORT: port {port}, where the ranks would meet, is in use on this machine; give")

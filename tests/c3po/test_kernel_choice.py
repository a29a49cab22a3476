"""Which attention kernels are found, which are refused, and which of those that are right is taken."""

import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ringlite_cli.c3po import attention, kernel_choice, varlen_kernels
from ringlite_cli.c3po.kernel_choice import ROUNDING, Shape, adopt, decided, fault_of, in_use
from ringlite_cli.c3po.varlen_kernels import KERNELS, TORCH, VARIABLE, Kernel, forced, installed, loaded
from ringlite_cli.errors import UserError

CPU = torch.device("cpu")
SHAPE = Shape(CPU, torch.bfloat16, 4, 2, 16, 16, None)
NAMES = {kernel.name: kernel for kernel in KERNELS}


def right(q: Tensor, k: Tensor, v: Tensor, borders: Tensor, longest: int, scale: float, window: int | None) -> Tensor:
    """The attention that this project has on a CPU, behind the kernels' signature."""
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return attention._by_length(q, k, v, tuple(borders.tolist()), scale, 0.0, window)[0]


def leaking(q: Tensor, k: Tensor, v: Tensor, borders: Tensor, longest: int, scale: float, window: int | None) -> Tensor:
    """Sees the row's other samples."""
    whole = torch.tensor([0, q.shape[0]])
    return right(q, k, v, whole, q.shape[0], scale, window)


def ahead_by_one(q: Tensor, k: Tensor, v: Tensor, *rest: object) -> Tensor:
    return right(q, k, v.roll(-1, 0), *rest)


def without_its_scale(q, k, v, borders, longest, scale, window):
    return right(q, k, v, borders, longest, None, window)


def without_its_window(q, k, v, borders, longest, scale, window):
    return right(q, k, v, borders, longest, scale, None)


def no_numbers(q, *rest):
    return right(q, *rest) * math.nan


def one_head_only(q, k, v, *rest):
    return right(q, k, v, *rest)[:, :1]


class _Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        return slope * 0.9


def of_wrong_gradient(q, k, v, *rest):
    return right(q, _Halved.apply(k), v, *rest)


def raising(*_: object) -> Tensor:
    raise AssertionError("head_dim 16 is not supported on this card\nand so on")


def kernel(name: str, call: object) -> Kernel:
    """A kernel whose module is this one."""
    return Kernel(name, __name__, call.__name__, lambda found: found)


@pytest.fixture(autouse=True)
def _nothing_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_choice, "_decisions", {})
    monkeypatch.setattr(kernel_choice, "_wanted", {})
    monkeypatch.delenv(VARIABLE, raising=False)
    loaded.cache_clear()


@pytest.mark.parametrize("window", [None, 40, 4096])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("heads", "kv_heads", "value_dim"), [(4, 4, 16), (4, 2, 16), (6, 1, 8)])
def test_a_right_kernel_is_right(dtype, window, heads, kv_heads, value_dim) -> None:
    assert fault_of(right, Shape(CPU, dtype, heads, kv_heads, 16, value_dim, window)) == ""


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize(
    ("wrong", "window", "words"),
    [
        (leaking, None, "its output is off by"),
        (ahead_by_one, None, "its output is off by"),
        (without_its_scale, None, "its output is off by"),
        (without_its_window, 40, "its output is off by"),
        (without_its_window, 4096, "its output is off by"),
        (no_numbers, None, "its output is off by nan"),
        (of_wrong_gradient, None, "its key's gradient is off by 0.1"),
        (raising, None, "it raises AssertionError: head_dim 16 is not supported on this card"),
        (one_head_only, None, "it raises"),
    ],
)
def test_a_wrong_kernel_is_refused(wrong, window, words, dtype) -> None:
    fault = fault_of(wrong, SHAPE._replace(dtype=dtype, window=window))
    assert words in fault
    assert "\n" not in fault


def test_a_kernel_is_tried_as_if_nothing_was_around_it() -> None:
    """At first use there may be no gradients, autocast, or the hooks of gradient checkpointing."""
    random = torch.get_rng_state()
    lost = torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda _: pytest.fail("a hook of training ran"))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), lost:
        assert kernel_choice._tried(kernel("a", right), SHAPE) == (right, "")
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("times", "taken"),
    [
        ({"torch": 3.0, "a": 2.0, "b": 1.0}, "b"),
        ({"torch": 3.0, "a": 1.0, "b": 2.0}, "a"),
        ({"torch": 1.0, "a": 2.0, "b": 3.0}, "torch"),
        ({"torch": 1.02, "a": 1.0, "b": 1.01}, "torch"),
        ({"torch": None, "a": None, "b": 9.0}, "b"),
        ({"torch": None, "a": None, "b": None}, "torch"),
    ],
)
def test_the_fastest_of_those_that_are_right_is_taken(times, taken) -> None:
    """None: the measurement itself fails. A gain within what measurements differ by leaves torch's."""
    kernels = [kernel(name, right) for name in times]
    asked = []

    def clock(call: object, shape: Shape) -> float:
        asked.append(list(times)[len(asked)])
        if times[asked[-1]] is None:
            raise RuntimeError("out of memory")
        return times[asked[-1]]

    decision = kernel_choice._fastest(SHAPE, kernels, clock)
    assert decision.taken == taken
    assert set(decision.right) == set(asked) == set(times)


def test_kernels_that_cannot_be_used_are_left_out_with_a_line_each(caplog) -> None:
    absent = Kernel("absent", "flash_attn_of_nowhere", "any", lambda found: found)
    kernels = [kernel("torch", right), kernel("leaks", leaking), kernel("raises", raising), absent]
    with caplog.at_level(logging.WARNING, "ringlite_cli"):
        decision = kernel_choice._fastest(SHAPE, kernels, lambda *_: pytest.fail("one alone needs no time"))
    assert (decision.taken, list(decision.right)) == ("torch", ["torch"])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    for line, name, why in zip(
        said, ("leaks", "raises", "absent"), ("off by", "head_dim", "import fails"), strict=True
    ):
        assert f"kernel {name} is left out for 4/2 heads of 16 in bfloat16 on cpu" in line
        assert why in line


def test_torch_s_is_taken_where_none_is_right_or_it_is_alone() -> None:
    decision = kernel_choice._fastest(SHAPE, [kernel("torch", raising), kernel("b", leaking)], pytest.fail)
    assert (decision.taken, list(decision.right)) == ("torch", ["torch"])
    alone = kernel_choice._fastest(SHAPE, [TORCH], pytest.fail)
    assert alone.taken == "torch"


FOLDERS = {
    "flash-attn": "flash_attn/flash_attn_interface.py",
    "flash-attn-3": "flash_attn_interface.py",
    "flash-attn-4": "flash_attn/cute/__init__.py",
}
BROKEN = "raise ImportError('libcutlass.so: no such file')\n"


def a_package(folder: Path, *names: str) -> Path:
    """Packages of the folders that kernels are installed in, whose import fails."""
    for name in names:
        file = folder / FOLDERS[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(BROKEN)
        if name == "flash-attn":
            (folder / "flash_attn/__init__.py").write_text("from flash_attn.flash_attn_interface import *\n")
    return folder


def seen_from(path: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a folder first on its path."""
    paths = os.pathsep.join([str(path), *sys.path])
    env = os.environ | {"PYTHONPATH": paths} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


FOUND = "import sys; from ringlite_cli.c3po.varlen_kernels import installed; print(*(k.name for k in installed()));"


@pytest.mark.parametrize("names", [(), ("flash-attn",), ("flash-attn-3",), ("flash-attn-4",), tuple(FOLDERS)])
def test_what_is_found_is_what_lies_there(names: tuple[str, ...], tmp_path: Path) -> None:
    """flash-attn-4 makes a folder flash_attn, with no flash-attn 2 in it; looking imports neither it nor torch."""
    loads = "print('torch' in sys.modules, 'flash_attn' in sys.modules)"
    done = seen_from(a_package(tmp_path, *names), FOUND + loads)
    assert done.stdout.split("\n")[:2] == [" ".join(("torch", *names)), "False False"], done.stderr


def test_a_package_whose_import_fails_is_left_out(tmp_path: Path) -> None:
    code = """
import logging, torch
from ringlite_cli.c3po import kernel_choice, varlen_kernels
logging.basicConfig()
shape = kernel_choice.Shape(torch.device("cpu"), torch.bfloat16, 4, 2, 16, 16, None)
print(kernel_choice._fastest(shape, varlen_kernels.installed()[1:], None).taken)
"""
    done = seen_from(a_package(tmp_path, *FOLDERS), code)
    assert done.stdout.strip() == "torch", done.stderr
    for name in FOLDERS:
        assert (
            f"{name} is left out for 4/2 heads of 16 in bfloat16 on cpu: its import fails: ImportError" in done.stderr
        )


def test_the_environment_names_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert forced() is None
    monkeypatch.setenv(VARIABLE, "torch")
    assert forced() is TORCH
    monkeypatch.setenv(VARIABLE, "flash-atn-4")
    with pytest.raises(UserError, match="there is no attention kernel 'flash-atn-4'; did you mean 'flash-attn-4'"):
        forced()
    missing = next((name for name in FOLDERS if NAMES[name] not in installed()), None)
    if missing:
        monkeypatch.setenv(VARIABLE, missing)
        with pytest.raises(UserError, match=rf"'{missing}' is not installed; install it, or name one that is \(torch"):
            forced()
    monkeypatch.setenv(VARIABLE, "flash-attn-3")
    monkeypatch.syspath_prepend(a_package(tmp_path, "flash-attn-3"))
    assert forced() is NAMES["flash-attn-3"]


def test_a_named_kernel_that_is_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    for call in (leaking, raising):
        monkeypatch.setattr(varlen_kernels, "KERNELS", (kernel("flash-attn-3", call),))
        monkeypatch.setenv(VARIABLE, "flash-attn-3")
        with pytest.raises(UserError, match="'flash-attn-3' cannot be used for 4/2 heads of 16 in bfloat16 on cpu: it"):
            kernel_choice._decide(SHAPE)
    monkeypatch.setattr(varlen_kernels, "KERNELS", (kernel("flash-attn-3", right),))
    assert kernel_choice._decide(SHAPE).taken == in_use() == "flash-attn-3"


def test_packed_rows_take_the_kernel_of_their_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole seam below `packed_attention`, with CPU attention in place of a kernel; one decision for a shape."""
    monkeypatch.setattr(kernel_choice, "installed", lambda: [kernel("torch", right), kernel("flash-attn-4", right)])
    clocked = []
    monkeypatch.setattr(kernel_choice, "seconds", lambda call, shape: clocked.append(shape) or 10.0 - len(clocked))
    q, k, v = (torch.randn(1, heads, 30, 16).bfloat16() for heads in (4, 2, 2))
    borders = torch.tensor([0, 7, 30])
    out = attention._varlen(q, k, v, borders, 23, None, None)
    assert torch.equal(out, attention._varlen(q, k, v, borders, 23, None, None))
    torch.testing.assert_close(out, attention._by_length(q, k, v, (0, 7, 30), None, 0.0, None))
    assert clocked == [SHAPE, SHAPE]
    attention._varlen(q, k, v, borders, 23, None, 5)
    assert clocked[2:] == [SHAPE._replace(window=5)] * 2
    assert decided() == {str(shape): "flash-attn-4" for shape in set(clocked)}


def test_ranks_and_resumed_runs_take_the_kernel_that_was_taken(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(kernel_choice, "installed", lambda: [kernel("torch", right), kernel("flash-attn-4", right)])
    monkeypatch.setattr(kernel_choice, "seconds", lambda *_: 1.0)
    later = SHAPE._replace(window=5)
    assert kernel_choice._decide(SHAPE).taken == "torch"
    assert adopt({str(SHAPE): "flash-attn-4", str(later): "flash-attn-4", "elsewhere": "torch"}) == []
    assert kernel_choice._decide(later).taken == "flash-attn-4"
    assert decided() == {str(SHAPE): "flash-attn-4", str(later): "flash-attn-4"}
    gone = SHAPE._replace(heads=8)
    (said,) = adopt({str(SHAPE): "flash-attn", str(gone): "flash-attn"})
    assert said.startswith("attention kernel: flash-attn-4 here, flash-attn before or on the first rank, for 4/2 heads")
    assert kernel_choice._decide(gone).taken == "torch"
    assert "torch here, flash-attn before" in caplog.messages[-1]


GPU = [pytest.mark.slow, pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
on_a_gpu = [pytest.param(name, marks=GPU) for name in NAMES]


@pytest.mark.parametrize("name", on_a_gpu)
@pytest.mark.parametrize(
    ("dtype", "heads", "kv_heads", "head_dim", "window"),
    [(torch.bfloat16, 16, 8, 128, None), (torch.bfloat16, 16, 8, 128, 40), (torch.float16, 4, 4, 64, None)],
)
def test_installed_kernels_give_the_reference(name, dtype, heads, kv_heads, head_dim, window) -> None:
    if NAMES[name] not in installed():
        pytest.skip(f"{name} is not installed")
    shape = Shape(torch.device("cuda", 0), dtype, heads, kv_heads, head_dim, head_dim, window)
    call, fault = kernel_choice._tried(NAMES[name], shape)
    assert fault == ""
    if window is None and head_dim == 128:
        print(f"{name}: {1000 * kernel_choice._timed(name, call, shape, kernel_choice.seconds):.3f} ms")


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_fastest_is_taken_on_a_gpu() -> None:
    shape = Shape(torch.device("cuda", 0), torch.bfloat16, 16, 8, 128, 128, None)
    decision = kernel_choice._decide(shape)
    print(f"taken: {decision.taken} of {', '.join(decision.right)}")
    assert decision.taken in decision.right
    assert "torch" in decision.right

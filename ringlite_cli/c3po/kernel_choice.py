"""Which attention kernel packed rows take on CUDA: of those that give right results here, the fastest.

Each kind of attention (`Shape`) is decided at its first use. Where kernels beside torch's are installed, outputs and
gradients of a small row are compared with float32 attention of each sample alone, and those that are right are timed
on a row of real size. What was decided can be told to other ranks and kept for a resumed run (`decided`, `adopt`).
"""

import logging
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ringlite_cli.c3po.varlen_kernels import TORCH, VARIABLE, Attend, Kernel, forced, installed, loaded
from ringlite_cli.errors import UserError, first_line

log = logging.getLogger(__name__)

TRIED = (1, 7, 64, 129, 250, 130)
"""Tokens of the samples by which kernels are tried: below, at and above the sizes of their tiles."""
TIMED = (4096, 2048, 1280, 768)
"""Tokens of the samples of the row by which kernels are timed."""
TRIED_WINDOW = 96
"""The widest window that is tried, so that it cuts something off the longest samples."""
ROUNDING = {torch.bfloat16: 0.03, torch.float16: 0.01}
"""Change of a sample's outputs or gradients that is rounding, as a share of their size."""
MARGIN = 1.05
"""How many times faster than torch's a kernel must be to be taken: less than that differs from run to run."""
ROUNDS, CALLS = 5, 3
"""Measurements of a kernel, of which the median counts, and forward and backward passes in each."""


class Shape(NamedTuple):
    """A kind of attention, by all that decides which kernels run it."""

    device: torch.device
    dtype: torch.dtype
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        size = str(self.head_dim) if self.head_dim == self.value_dim else f"{self.head_dim}/{self.value_dim}"
        window = f", window {self.window}" if self.window else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.heads}/{self.kv_heads} heads of {size} in {dtype}{window} on {name}"


@dataclass
class _Decision:
    """taken: the kernel's name. right: every kernel that may be taken."""

    taken: str
    right: dict[str, Attend]


_decisions: dict[Shape, _Decision] = {}
_wanted: dict[str, str] = {}
"""What the first rank or the interrupted run took, by the shape in words."""

Clock = Callable[[Attend, Shape], float]


def attend(
    q: Tensor, k: Tensor, v: Tensor, borders: Tensor, longest: int, scale: float | None, window: int | None
) -> Tensor:
    """Attention by the kernel for these tensors, as `varlen_kernels.Attend` has it."""
    shape = Shape(q.device, q.dtype, q.shape[1], k.shape[1], q.shape[2], v.shape[2], window)
    decision = _decisions.get(shape) or _decide(shape)
    out: Tensor = decision.right[decision.taken](q, k, v, borders, longest, scale, window)
    return out


def in_use() -> str:
    """Return the names of the kernels that this process has used, "" for none."""
    return ", ".join(sorted({decision.taken for decision in _decisions.values()}))


def decided() -> dict[str, str]:
    """Return the kernel of each shape in words that was decided in this process."""
    return {str(shape): decision.taken for shape, decision in _decisions.items()}


def adopt(table: Mapping[str, str]) -> list[str]:
    """Take the kernels of another rank or an earlier run (`decided`) where they are right here.

    Return a line for each shape in words that has another kernel here. Shapes that are not decided yet follow later.
    """
    _wanted.update(table)
    changed = []
    for shape, decision in _decisions.items():
        wanted = table.get(str(shape), decision.taken)
        if wanted in decision.right:
            decision.taken = wanted
        else:
            changed.append(_change(shape, wanted, decision.taken))
    return changed


def _change(shape: Shape, before: str, now: str) -> str:
    return (
        f"attention kernel: {now} here, {before} before or on the first rank, for {shape}: results differ by rounding"
    )


@torch.compiler.disable
def _decide(shape: Shape) -> _Decision:
    only = forced()
    decision = _as_asked(only, shape) if only else _fastest(shape, installed(), seconds)
    before = _wanted.get(str(shape), decision.taken)
    if before in decision.right:
        decision.taken = before
    else:
        log.warning("%s", _change(shape, before, decision.taken))
    _decisions[shape] = decision
    return decision


def _as_asked(kernel: Kernel, shape: Shape) -> _Decision:
    """Raises UserError where the kernel that the user asked for does not run this shape."""
    call, fault = _tried(kernel, shape)
    if call is None:
        raise UserError(
            f"the attention kernel {kernel.name!r} cannot be used for {shape}: {fault}",
            where=VARIABLE,
            hint="name another, or none for the fastest that can",
        )
    log.warning("attention kernel: %s, as %s says, for %s", kernel.name, VARIABLE, shape)
    return _Decision(kernel.name, {kernel.name: call})


def _fastest(shape: Shape, kernels: Sequence[Kernel], clock: Clock) -> _Decision:
    """The fastest of the kernels that are right; torch's where none is, or where it is alone."""
    right: dict[str, Attend] = {}
    for kernel in kernels if len(kernels) > 1 else ():
        call, fault = _tried(kernel, shape)
        if call is None:
            log.warning("the attention kernel %s is left out for %s: %s", kernel.name, shape, fault)
        else:
            right[kernel.name] = call
    if len(right) < 2:
        right = right or {TORCH.name: TORCH.load()}
        return _Decision(next(iter(right)), right)
    times = {name: _timed(name, call, shape, clock) for name, call in right.items()}
    best = min(times, key=lambda name: times[name])
    if TORCH.name in times and not times[TORCH.name] > MARGIN * times[best]:
        best = TORCH.name
    told = ", ".join(f"{name} {1000 * taken:.2f} ms" for name, taken in times.items())
    log.warning("attention kernel: %s for %s (forward and backward of %d tokens: %s)", best, shape, sum(TIMED), told)
    return _Decision(best, right)


def _tried(kernel: Kernel, shape: Shape) -> tuple[Attend | None, str]:
    """Return a kernel's function and "", or None and why it cannot be used for a shape."""
    call, fault = loaded(kernel)
    if call is None:
        return None, fault
    with _apart(shape.device):
        fault = fault_of(call, shape)
    return (None, fault) if fault else (call, "")


def _timed(name: str, call: Attend, shape: Shape, clock: Clock) -> float:
    """Seconds by the clock; infinite where that fails, for want of memory say."""
    try:
        with _apart(shape.device):
            return clock(call, shape)
    except Exception as error:
        log.warning("the attention kernel %s is not timed for %s: %s", name, shape, first_line(error))
        return math.inf


def fault_of(call: Attend, shape: Shape) -> str:
    """Return what is wrong with a kernel's outputs or gradients of a small row; "" where it is right."""
    window = min(shape.window, TRIED_WINDOW) if shape.window else None
    row = _Row(shape, TRIED)
    scale = 0.75 / math.sqrt(shape.head_dim)
    try:
        got = row.run(call, scale, window)
    except Exception as error:
        return f"it raises {type(error).__name__}: {first_line(error)}"
    truths = [row.reference(start, end, scale, window) for start, end in pairwise(row.places)]
    allowed = ROUNDING.get(shape.dtype, 1e-4)
    for name, mine, *parts in zip(_RESULTS, got, *truths, strict=True):
        true = torch.cat(parts)
        if mine.shape != true.shape:
            return f"the shape of its {name} is {tuple(mine.shape)}, not {tuple(true.shape)}"
        least = 0.1 * _size(true)  # a sample of one token has no gradients but rounding
        for number, (part, (start, end)) in enumerate(zip(parts, pairwise(row.places), strict=True), 1):
            change = _size(mine[start:end].float() - part) / max(_size(part), least)
            if not change <= allowed:
                what = f"sample {number} of {len(TRIED)}, {end - start} tokens"
                return f"its {name} is off by {change:.2g} ({what}), and {allowed:.2g} is rounding"
    return ""


_RESULTS = ("output", "query's gradient", "key's gradient", "value's gradient")


def _size(x: Tensor) -> float:
    """Root mean square."""
    return x.square().mean().sqrt().item()


def seconds(call: Attend, shape: Shape) -> float:
    """Seconds of a forward and backward pass over the timed row on a CUDA device, the median of some."""
    row = _Row(shape, TIMED)
    taken = []
    for _ in range(1 + ROUNDS):  # the first compiles and warms up
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(CALLS):
            row.run(call, None, shape.window)
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end) / 1000 / CALLS)
    return statistics.median(taken[1:])


class _Row:
    """Random queries, keys, values and gradients of a packed row, the same at every call."""

    def __init__(self, shape: Shape, sizes: Sequence[int]) -> None:
        self.places, self.longest = [0, *accumulate(sizes)], max(sizes)
        self.borders = torch.tensor(self.places, dtype=torch.int32, device=shape.device)
        draw = torch.Generator(shape.device).manual_seed(7)  # of its own: training's random numbers stay as they are

        def some(heads: int, width: int) -> Tensor:
            numbers = torch.randn(
                self.places[-1], heads, width, generator=draw, dtype=torch.float32, device=shape.device
            )
            return numbers.to(shape.dtype)

        q, k = some(shape.heads, shape.head_dim), some(shape.kv_heads, shape.head_dim)
        v, self.slope = some(shape.kv_heads, shape.value_dim), some(shape.heads, shape.value_dim)
        self.inputs = tuple(x.requires_grad_() for x in (q, k, v))

    def run(self, call: Attend, scale: float | None, window: int | None) -> tuple[Tensor, ...]:
        """The output and the gradients of query, key and value, (T, heads, width) each."""
        q, k, v = self.inputs
        out = call(q, k, v, self.borders, self.longest, scale, window)
        return out.detach(), *torch.autograd.grad(out, self.inputs, self.slope)

    def reference(self, start: int, end: int, scale: float, window: int | None) -> tuple[Tensor, ...]:
        """The same of one sample alone, in float32."""
        q, k, v = (x[start:end].detach().float().requires_grad_() for x in self.inputs)
        groups = q.shape[1] // k.shape[1]
        back = torch.arange(end - start, device=q.device)[:, None] - torch.arange(end - start, device=q.device)
        seen = (back >= 0) & (back < (window or end))
        heads = (q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1))
        queries, keys, values = (x.transpose(0, 1)[None] for x in heads)
        out = scaled_dot_product_attention(queries, keys, values, attn_mask=seen, scale=scale)[0].transpose(0, 1)
        return out.detach(), *torch.autograd.grad(out, (q, k, v), self.slope[start:end].float())


@contextmanager
def _apart(device: torch.device) -> Iterator[None]:
    """Gradients on, autocast and the hooks of gradient checkpointing off; memory is given back afterwards."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x))
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            stack.callback(torch.cuda.empty_cache)
        yield

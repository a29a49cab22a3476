"""How a model runs the samples of a packed row: side by side where that is proven to change nothing, else apart.

Proven means: in a small copy of the architecture (`shrunk`), a sample gives the same hidden states to rounding beside
two different neighbours of equal shape as alone, before and behind them, short and long, past its attention window, its
chunks and the length from which its rotary embedding changes. The model itself is then tried on a few tokens, with the
kernels that it will use.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ringlite_cli.c3po import attention as packed_kernel
from ringlite_cli.c3po.kernel_choice import in_use
from ringlite_cli.c3po.packing import backbone, base_causal_lm, evaluating
from ringlite_cli.c3po.shrunk import shrunk
from ringlite_cli.c3po.unpacked import Way, unpack
from ringlite_cli.c3po.varlen_kernels import forced
from ringlite_cli.errors import UserError

log = logging.getLogger(__name__)

Packing = Literal["auto", "none"]
SHORT, BELOW, ABOVE, LONG = 11, 22, 27, 70
"""Tokens of the check's samples: on both sides of every threshold of a shrunk model, two of them close together."""
ROUNDING = 1e-3
"""Change of hidden states that counts as rounding in float32, as a share of their spread."""
_HALF_ROUNDING = 0.1
"""The same in the number format of training, as a share of what a full leak changes."""
_PATH = "_ringlite_row_path"


@dataclass(frozen=True)
class RowPath:
    """way: how samples are run. attention: the implementation in use. why: what ruled out packing; '' if nothing."""

    way: Way
    attention: str
    why: str = ""

    def __str__(self) -> str:
        if self.way == "packed":
            return f"packed rows ({self.attention})"
        how = "in padded batches" if self.way == "padded" else "one by one"
        return f"packing: none, samples {how}, slower ({self.why})"

    def in_words(self) -> str:
        """Return how rows were run, with the attention kernels that this process used on CUDA."""
        kernels = in_use()
        return f"{self}, attention kernel {kernels}" if kernels and self.way == "packed" else str(self)


def choose_path(
    model: nn.Module,
    *,
    packing: Packing = "auto",
    keep_attention: bool = False,
    one_batch: bool = False,
    stand_in: nn.Module | None = None,
) -> RowPath:
    """Set how the model runs packed rows from now on, and return it.

    stand_in: `small_copy` of the model, which is tried in place of this one, for it cannot be run yet.

    packing: "none" keeps samples apart whatever the check says. keep_attention: the user chose the implementation.
    one_batch: weights are sharded, and all ranks must make the same passes. Raises UserError for a model that sees
    tokens ahead, or that can only run samples one by one where ranks must make the same passes, and for an attention
    kernel that the environment names and that is not there.
    """
    forced()
    lm = base_causal_lm(model)
    if lm.base_model is lm and isinstance(getattr(lm, "model", None), nn.Module):
        lm.base_model_prefix = "model"  # some classes name a part that only their siblings with images have
    found = _known_path(lm, packing) or _proven(lm, packing, keep_attention, one_batch, stand_in)
    if found.way == "alone" and one_batch:
        raise UserError(
            f"{type(lm).__name__} can only run samples one by one ({found.why}), which sharded weights do not allow",
            where="packing",
            hint="train it without FSDP2, or use another architecture",
        )
    if str(lm.config._attn_implementation) != found.attention:
        lm.set_attn_implementation(found.attention)
    unpack(backbone(model), found.way, one_batch=one_batch)
    if found.way != "packed" and _known_path(lm, packing) is None:
        log.warning("%s: %s", type(lm).__name__, found)
    setattr(lm, _PATH, (packing, found))
    return found


def small_copy(model: nn.Module, device: torch.device | str = "cpu") -> nn.Module | None:
    """Return the architecture of a model in small on a device, with plain attention where its own is a kernel.

    model: may be on torch's meta device. None where the architecture cannot be made in small.
    """
    lm = base_causal_lm(model)
    own = str(lm.config._attn_implementation)
    return shrunk(lm, "sdpa" if "flash" in own or own == packed_kernel.NAME else own, device)


def foreseen_path(lm: Any, packing: Packing = "auto") -> RowPath | None:
    """Return the path that `choose_path` will most likely find, from the architecture in small alone.

    lm: may be on torch's meta device. None where the architecture cannot be made in small. Raises UserError as there.
    """
    small = small_copy(lm)
    if small is None:
        return None
    check = _PackingCheck(small, ROUNDING)
    check.check_causal(type(lm).__name__)
    why = "as the recipe says"
    for attention in (packed_kernel.register(), check.own) if packing == "auto" else ():
        if not (why := check.fault("packed", attention)):
            return RowPath("packed", attention)
    return RowPath("alone" if check.fault("padded", check.own) else "padded", check.own, why)


def take_path(model: nn.Module, path: RowPath, *, one_batch: bool = False) -> None:
    """Let another copy of a model (a reference) run rows as the first one does."""
    lm = base_causal_lm(model)
    if str(lm.config._attn_implementation) != path.attention:
        lm.set_attn_implementation(path.attention)
    unpack(backbone(model), path.way, one_batch=one_batch)


@contextmanager
def row_path_in_use(model: nn.Module) -> Iterator[RowPath]:
    """`choose_path` for a while; the model's own attention and decoder are put back."""
    lm = base_causal_lm(model)
    own = lm.config._attn_implementation
    path = choose_path(model)
    try:
        yield path
    finally:
        unpack(backbone(model), "packed")
        if lm.config._attn_implementation != own:
            lm.set_attn_implementation(own)


def _known_path(lm: Any, packing: Packing) -> RowPath | None:
    asked, path = getattr(lm, _PATH, (None, None))
    return path if asked == packing else None


def _proven(
    lm: Any, packing: Packing, keep_attention: bool, one_batch: bool, stand_in: nn.Module | None = None
) -> RowPath:
    own = str(lm.config._attn_implementation)
    tried = lm if stand_in is None else base_causal_lm(stand_in)
    small = tried if stand_in is not None else small_copy(lm)
    check = _PackingCheck(small, ROUNDING, one_batch=one_batch) if small is not None else None
    if check:
        check.check_causal(type(lm).__name__)
    real = _PackingCheck(tried, None, one_batch=one_batch)
    why = "as the recipe says"
    if packing == "auto":
        attentions = [own] if keep_attention or own == packed_kernel.NAME else [packed_kernel.register(), own]
        for attention in attentions:
            if why := _fault("packed", attention, check, real):
                continue
            return RowPath("packed", attention)
    padded = _fault("padded", own, check, real)
    return RowPath("alone" if padded else "padded", own, why)


def _fault(way: Way, attention: str, check: "_PackingCheck | None", real: "_PackingCheck") -> str:
    """Return what shows that samples are not held apart this way; '' where nothing does."""
    on_cpu = packed_kernel.register() if "flash" in attention else attention  # the same borders, in float32
    if check is not None and (fault := check.fault(way, on_cpu)):
        return fault
    return real.fault(way, attention)


class _PackingCheck:
    """Samples alone and beside neighbours, in one model. rounding: None measures it by what a full leak changes."""

    def __init__(self, lm: Any, rounding: float | None, *, one_batch: bool = False) -> None:
        self.lm, self.rounding = lm, rounding
        self.own = str(lm.config._attn_implementation)
        vocabulary = lm.config.get_text_config().vocab_size
        device = next(lm.parameters()).device
        draw = torch.Generator().manual_seed(5)

        def some(size: int) -> Tensor:
            return torch.randint(2, vocabulary, (1, size), generator=draw).to(device)

        self.one_batch = one_batch
        sizes = (SHORT, BELOW, ABOVE, LONG) if rounding else (SHORT, SHORT + 2)
        self.samples = [some(size) for size in sizes]
        self.short, self.long = self.samples[0], self.samples[-1]
        self.neighbours = [[some(size), some(size)] for size in sizes]
        self._alone: dict[int, Tensor] = {}

    def rows(self) -> Iterator[tuple[list[Tensor], int]]:
        """The samples of each row that is tried, and which of them is watched."""
        last = len(self.samples) - 1
        middle = [(1, 2), (2, 1)] if last > 1 else []
        for mine, others in [(0, last), (last, 0), (last, last), *middle]:
            watched, (first, second) = self.samples[mine], self.neighbours[others]
            yield [first, watched], 1
            yield [second, watched], 1
            yield [watched, second], 0

    def fault(self, way: Way, attention: str) -> str:
        try:
            change = 0.0
            for row, watched in self.rows():
                change = max(change, self._change(row, watched, way, attention))
                if change > self.allowed:
                    break
        except (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError, AssertionError) as error:
            return f"{attention} attention cannot run it: {' '.join(str(error).split())[:120]}"
        finally:
            unpack(backbone(self.lm), "packed")
            if str(self.lm.config._attn_implementation) != self.own:
                self.lm.set_attn_implementation(self.own)
        if change <= self.allowed:
            return ""
        return f"a sample's hidden states change by {change:.2g} beside others, and {self.allowed:.1g} is rounding"

    @property
    def allowed(self) -> float:
        """Mean change of hidden states that is rounding."""
        alone = self.alone(self.short)
        if self.rounding is not None:
            return self.rounding * alone.std().item()
        joined = _hidden(self.lm, torch.cat([self.long, self.short], 1))[:, self.long.shape[1] :]
        return max(_HALF_ROUNDING * _mean(joined, alone), 1e-6)

    def alone(self, sample: Tensor) -> Tensor:
        """Hidden states of a sample by itself, with the model's own attention."""
        if id(sample) not in self._alone:
            self._alone[id(sample)] = _hidden(self.lm, sample)
        return self._alone[id(sample)]

    def _change(self, row: Sequence[Tensor], watched: int, way: Way, attention: str) -> float:
        expected = self.alone(row[watched])
        if str(self.lm.config._attn_implementation) != attention:
            self.lm.set_attn_implementation(attention)
        unpack(backbone(self.lm), way, one_batch=self.one_batch)
        sizes = [sample.shape[1] for sample in row]
        start = sum(sizes[:watched])
        got = _hidden(self.lm, torch.cat(list(row), 1), sizes)[:, start : start + sizes[watched]]
        unpack(backbone(self.lm), "packed")
        if attention != self.own:
            self.lm.set_attn_implementation(self.own)
        return _mean(got, expected)

    def check_causal(self, name: str) -> None:
        """Raise UserError where a token's hidden state depends on tokens behind it."""
        other = self.long.clone()
        other[:, -1] = 3 + (other[:, -1] == 3).long()
        change = _mean(_hidden(self.lm, other)[:, :-1], self.alone(self.long)[:, :-1])
        if change > self.allowed:
            raise UserError(
                f"{name} is not causal: its output for a token depends on later tokens",
                where="model",
                hint="give a decoder, or set is_decoder: true in its config.json",
            )


def _hidden(lm: Any, tokens: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """(1, T, H) last hidden states in float32; `sizes` of the samples where the tokens are a packed row."""
    inputs: dict[str, Any] = {"input_ids": tokens}
    if sizes is not None:
        inputs["position_ids"] = torch.cat([torch.arange(size) for size in sizes])[None].to(tokens.device)
        if packed_kernel.takes_borders(lm):
            borders = [0, *torch.tensor(sizes).cumsum(0).tolist()]
            inputs |= packed_kernel.packed_inputs(borders, tokens.device)
    decoder: Callable[..., Any] = backbone(lm)
    with evaluating(lm):
        hidden: Tensor = decoder(**inputs, use_cache=False).last_hidden_state
    return hidden.float()


def _mean(one: Tensor, other: Tensor) -> float:
    change = (one - other).abs().mean().item()
    return change if change == change else float("inf")

"""The header of a GGUF file: its architecture, and whether the file is as long as its tensors say.

The package gguf reads a header in seconds, by an array for each of a tokenizer's tokens; a check at the start of a run
has not so long. Layout: the page on GGUF of https://github.com/ggml-org/ggml
"""

import mmap
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError

AGAIN = "copy or download the file again; an interrupted copy leaves such files"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Number types of a value: their letter in `struct`."""
_TEXT, _ARRAY = 8, 9
_ALIGNMENT = 32


@dataclass(frozen=True)
class GgufHeader:
    """values: the metadata, without arrays. bytes: what the file must have, by its tensors. tensors: how many."""

    values: dict[str, Any]
    bytes: int
    tensors: int


def check_gguf(file: Path) -> None:
    """Raise UserError where a GGUF file cannot be read: no package for it, damaged, cut short, or another model's."""
    if not find_spec("gguf"):
        raise UserError("reading GGUF needs the package gguf", where=str(file), hint="pip install 'ringlite[gguf]'")
    header = read_gguf_header(file)
    if file.stat().st_size < header.bytes:
        raise UserError(
            f"the file is cut short: its {header.tensors} tensors need {header.bytes:,} bytes, and it has "
            f"{file.stat().st_size:,}",
            where=str(file),
            hint=AGAIN,
        )
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    kind = str(header.values.get("general.architecture"))
    if _plain(kind) not in map(_plain, GGUF_SUPPORTED_ARCHITECTURES):
        hint = f"it reads {', '.join(sorted(GGUF_SUPPORTED_ARCHITECTURES))}"
        raise UserError(f"transformers reads no GGUF file of architecture {kind!r}", where=str(file), hint=hint)


def _plain(architecture: str) -> str:
    """The name without the signs that GGUF and transformers set differently (qwen2moe, qwen2_moe)."""
    return architecture.replace("_", "").replace("-", "")


def read_gguf_header(file: Path) -> GgufHeader:
    """Return what the header says. Raises UserError where it is damaged."""
    try:
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(content).header()
    except (ValueError, struct.error, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise UserError(f"no GGUF file, or damaged ({error})", where=str(file), hint=AGAIN) from None


class _Reader:
    """Reads a header from front to back."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._place = content, 0

    def header(self) -> GgufHeader:
        if self._content[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._place = 4
        version, tensors, values = self._numbers("IQQ")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        found = dict(self._value() for _ in range(values))
        ends = [self._end_of_tensor() for _ in range(tensors)]
        step = int(found.get("general.alignment") or _ALIGNMENT)
        return GgufHeader(found, -(-self._place // step) * step + max(ends, default=0), tensors)

    def _numbers(self, letters: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + letters, self._content, self._place)
        self._place += struct.calcsize("<" + letters)
        return found

    def _text(self) -> str:
        (length,) = self._numbers("Q")
        start, self._place = self._place, self._place + length
        if self._place > len(self._content):
            raise ValueError("it ends inside its header")
        return self._content[start : self._place].decode("utf-8", "replace")

    def _value(self) -> tuple[str, Any]:
        name, (kind,) = self._text(), self._numbers("I")
        return name, self._of_kind(kind)

    def _of_kind(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            inner, length = self._numbers("IQ")
            if inner in _NUMBERS:
                self._place += length * struct.calcsize("<" + _NUMBERS[inner])
            else:
                for _ in range(length):
                    self._of_kind(inner)
            return None
        return self._numbers(_NUMBERS[kind])[0]

    def _end_of_tensor(self) -> int:
        """The place behind a tensor's last byte, from the place of the first tensor."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        self._text()
        (dimensions,) = self._numbers("I")
        shape = self._numbers(f"{dimensions}Q")
        kind, offset = self._numbers("IQ")
        in_block, bytes_of_block = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        return int(offset + prod(shape) // in_block * bytes_of_block)

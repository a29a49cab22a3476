"""Files as streams of bytes in UTF-8, whatever they are compressed by and, where that is known, encoded in.

Compression is told by the first bytes: gzip, zstd, bzip2, xz. Of encodings, UTF-16 and UTF-32 are told by their byte
order marks; any other than UTF-8 must be named.
"""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
"""Endings of the names of compressed files."""
BROKEN = (gzip.BadGzipFile, zlib.error, EOFError, lzma.LZMAError)
"""What reading raises where compressed bytes break off or are none."""

_BOMS = (  # the longer first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 16


def open_bytes(path: Path, encoding: str | None = None) -> IO[bytes]:
    """Open a file for reading: its bytes, unpacked, as UTF-8.

    encoding: what the text is written in, where it is neither UTF-8 nor has the mark of UTF-16 or UTF-32. Bytes that it
    does not know stay as they are. Reading raises one of `BROKEN` where compressed bytes break off.
    """
    file = _unpacked(path)
    start = cast("Any", file).peek(4)[:4]
    encoding = next((name for mark, name in _BOMS if start.startswith(mark)), encoding)
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        return file
    return cast("IO[bytes]", io.BufferedReader(_Recoded(file, encoding)))


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(6)
    by_magic = next((open_ for magic, open_ in _OPENERS.values() if head.startswith(magic)), None)
    by_name = _OPENERS.get(path.suffix.lower())
    opener = by_magic or (by_name[1] if by_name and head else None)
    return cast("IO[bytes]", opener(path)) if opener else path.open("rb")


class _Zstd(io.RawIOBase):
    """The bytes of a zstd file, by pyarrow."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._stream = pa.input_stream(str(path), compression="zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            raise EOFError(str(error)) from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _Recoded(io.RawIOBase):
    """The text of a stream in UTF-8; bytes that its encoding does not know as they are."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file, self._decoder = (
            file,
            codecs.getincrementaldecoder(encoding)(
                "replace" if encoding.lower().startswith("utf") else "surrogateescape"
            ),
        )
        self._left = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._ended:
            data = self._file.read(_CHUNK)
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended)
            self._left = text.encode("utf-8", "surrogateescape")
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


_OPENERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {  # what a name ends in -> first bytes, opener
    ".gz": (b"\x1f\x8b", gzip.GzipFile),
    ".zst": (b"\x28\xb5\x2f\xfd", lambda path: io.BufferedReader(_Zstd(path))),
    ".bz2": (b"BZh", bz2.BZ2File),
    ".xz": (b"\xfd7zXZ\x00", lzma.LZMAFile),
}

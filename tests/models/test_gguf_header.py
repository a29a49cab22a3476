"""A GGUF file that is no such file, cut short or of an unknown architecture is told by its header."""

from pathlib import Path

import numpy as np
import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.models.gguf_header import check_gguf, read_gguf_header

gguf = pytest.importorskip("gguf")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "model.gguf", "llama")


def written(path: Path, architecture: str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_token_list(["a", "of", "the"])
    writer.add_token_scores([0.5, 1.5, 2.5])
    writer.add_tensor("token_embd.weight", np.ones((3, 64), dtype=np.float32))
    writer.add_tensor("output.weight", np.ones((3, 64), dtype=np.float16))
    quantised = gguf.quants.quantize(np.ones((3, 64), dtype=np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("ffn.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_header_says_what_the_packages_reader_reads(file: Path) -> None:
    header, reader = read_gguf_header(file), gguf.GGUFReader(file)
    assert header.tensors == len(reader.tensors) == 3
    assert header.values["general.architecture"] == "llama"
    assert header.values["llama.block_count"] == 2
    assert header.bytes == max(tensor.data_offset + tensor.n_bytes for tensor in reader.tensors)
    check_gguf(file)


def test_a_file_that_is_cut_anywhere_is_refused(file: Path) -> None:
    whole, needed = file.read_bytes(), read_gguf_header(file).bytes
    for length in range(0, needed, 7):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut short|damaged"):
            check_gguf(file)


def test_another_file_and_another_architecture(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(UserError, match="does not begin with GGUF"):
        check_gguf(tmp_path / "x.gguf")
    with pytest.raises(UserError, match="no GGUF file of architecture 'clip'"):
        check_gguf(written(tmp_path / "clip.gguf", "clip"))
    check_gguf(written(tmp_path / "moe.gguf", "qwen3moe"))

"""What vLLM needs of this machine: a version that TRL's trainer can drive, and settings made before it is imported."""

import copy
import hashlib
import importlib.metadata
import os
import random
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError

OLDEST, NEWEST = (0, 22), (0, 32)
"""First and last minor version of vLLM that go with TRL 1.16; it names 0.22 to 0.31, and 0.32 was run with it."""

INSTALL = "`pip install 'ringlite[vllm]'` (in a checkout, `make setup-vllm`) installs a version that fits"


def vllm_version() -> str | None:
    """The installed version of vLLM or of its CPU build; None where there is neither."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def requirement(package: str = "vllm") -> str:
    """Return what pip is asked for: `vllm>=0.22,<0.33`."""
    return f"{package}>={_dotted(OLDEST)},<{_dotted((NEWEST[0], NEWEST[1] + 1))}"


def fault_of(version: str | None) -> str:
    """Return what is wrong with a version of vLLM for ringlite; empty where nothing is."""
    if version is None:
        return "vLLM is not installed"
    found = re.match(r"(\d+)\.(\d+)", version)
    minor = (int(found[1]), int(found[2])) if found else (0, 0)
    if OLDEST <= minor <= NEWEST:
        return ""
    side = "old" if minor < OLDEST else "new"
    return f"vLLM {version} is too {side} for TRL 1.16, which drives {_dotted(OLDEST)} to {_dotted(NEWEST)}"


def check_vllm(where: str, *, instead: str) -> None:
    """Raise UserError where vLLM is missing, too old or too new. instead: what the user may do without it."""
    if fault := fault_of(vllm_version()):
        raise UserError(fault, where=where, hint=f"{INSTALL}, or {instead}")


def head_dtype_fault() -> str:
    """Return why the installed vLLM cannot compute a head in a number format of its own; '' where it can."""
    found = find_spec("vllm")
    folder = Path(found.origin).parent if found and found.origin else Path()
    processor = folder / "model_executor" / "layers" / "logits_processor.py"
    if not processor.is_file() or "head_dtype" not in processor.read_text(encoding="utf-8"):
        return f"vLLM {vllm_version()} computes a head in the model's number format alone"
    return ""


def prepare_environment(*, cuda: bool, batch_invariant: bool = False) -> None:
    """Settings that vLLM reads when it is imported, each left alone where the user has set it.

    The engine runs in this process: a killed run then leaves no worker behind. On a CPU its threads are not bound to
    cores, which others may use, its cache is small, and nothing is compiled: that takes longer than it saves.
    """
    settings = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if not cuda:
        settings |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "TORCH_COMPILE_DISABLE": "1"}
    elif find_spec("flashinfer") is None:
        settings["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    if batch_invariant:
        settings["VLLM_BATCH_INVARIANT"] = "1"
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if not cuda:
        import torch._dynamo

        torch._dynamo.config.disable = os.environ["TORCH_COMPILE_DISABLE"] == "1"  # read once, perhaps before now


def graph_settings(max_num_seqs: int) -> dict[str, Any]:
    """Return the settings of a vLLM engine that decodes `max_num_seqs` responses at once by CUDA graphs.

    vLLM's own choice, of which this is never less, ends at 512: the kernels of a larger batch are launched one by one,
    for which a small model waits longer than for the kernels.
    """
    return {"max_cudagraph_capture_size": max(min(2 * max_num_seqs, 512), min(max_num_seqs, 1024))}


def batched_tokens(responses: int) -> int:
    """Return the tokens that an engine in this process takes in a step. responses: under way at a time, at most.

    TRL's number, whatever the engine draws for: without seeds of their own responses follow from what is in a step
    together. vLLM refuses less than a token for each response; past 16,384, its own largest number, it may.
    """
    return max(4096, min(responses, 16384))


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let engines that start in this block use what was compiled for other weights of the same architecture.

    vLLM keeps compiled code below VLLM_CACHE_ROOT, under a digest of all that it depends on and of the model's folder,
    of which it does not: every policy of a run would be compiled anew, which is most of an engine's start.
    """
    from vllm.config import ModelConfig

    plain = ModelConfig.compute_hash

    def without_folder(config: Any) -> str:
        nameless = copy.copy(config)
        nameless.model = ""
        return str(plain(nameless))

    ModelConfig.compute_hash = without_folder
    try:
        yield
    finally:
        ModelConfig.compute_hash = plain


def engine_seed(seed: int, group: int = 0) -> int:
    """Return the seed of an engine that draws for a recipe's seed. group: which of several engines."""
    digest = hashlib.blake2b(f"engine\x1f{seed}\x1f{group}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_draws(seed: int) -> None:
    """Have this process draw as an engine that has just been started with this seed.

    A start draws random numbers too, and so does every response without a seed of its own: a policy's responses would
    else depend on what was drawn before it.
    """
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def run_requests(
    engine: Any,
    requests: Mapping[str, tuple[Any, Any]],
    more: Callable[[int], Mapping[str, tuple[Any, Any]]] | None = None,
) -> Generator[list[Any], None, None]:
    """Finished outputs, as they come, of requests {id: (prompt, SamplingParams)} to a vLLM engine in this process.

    more: asked before every step for further requests, with the number of those under way. It ends when none is under
    way and none comes. A caller that stops early, or is stopped, leaves none of them to the next one: it closes the
    generator.
    """
    open_ids: set[str] = set()

    def add(new: Mapping[str, tuple[Any, Any]]) -> None:
        for name, (prompt, params) in new.items():
            open_ids.add(name)
            engine.add_request(name, prompt, params)

    try:
        add(requests)
        while True:
            if more is not None:
                add(more(len(open_ids)))
            if not engine.has_unfinished_requests():
                return
            if ended := [output for output in engine.step() if output.finished]:
                open_ids -= {output.request_id for output in ended}
                yield ended
    finally:
        if open_ids:
            engine.abort_request(list(open_ids), internal=False)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def reload_on_cpu(llm: Any, folder: str | Path) -> None:
    """Put a folder's weights into an engine that runs on a CPU, which has repacked its own for speed.

    vLLM's reloading leaves the packed copy of a head that is tied to the embedding as it was; it is packed again. The
    experts of a mixture are not: their copies stay those of the first load, without an error.
    """

    def pack_heads(worker: Any) -> None:
        from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

        for module in worker.get_model().modules():
            if isinstance(module, VocabParallelEmbedding):
                module.quant_method.process_weights_after_loading(module)

    llm.llm_engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
    llm.llm_engine.collective_rpc(pack_heads)


def forget_graphs() -> None:
    """Have the next engine of this process capture its CUDA graphs into memory of its own.

    vLLM gives all engines of a process one pool for their graphs. Once those of an ended engine are gone, torch (2.11)
    refuses the pool with an internal error, and no engine of a later stage can start.
    """
    from vllm.platforms import current_platform

    platform: Any = type(current_platform)
    if hasattr(platform, "_global_graph_pool"):
        platform._global_graph_pool = None

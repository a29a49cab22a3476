"""What vLLM needs of this machine: a version that TRL's trainer can drive, and settings made before it is imported."""

import importlib.metadata
import os
import re
from collections.abc import Generator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError

OLDEST, NEWEST = (0, 22), (0, 32)
"""First and last minor version of vLLM that go with TRL 1.16; it names 0.22 to 0.31, and 0.32 was run with it."""


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
    """What is wrong with a version of vLLM for ringlite; empty where nothing is."""
    if version is None:
        return "vLLM is not installed"
    found = re.match(r"(\d+)\.(\d+)", version)
    minor = (int(found[1]), int(found[2])) if found else (0, 0)
    if OLDEST <= minor <= NEWEST:
        return ""
    side = "old" if minor < OLDEST else "new"
    return f"vLLM {version} is too {side} for TRL 1.16, which drives {_dotted(OLDEST)} to {_dotted(NEWEST)}"


def check_vllm(where: str, *, instead: str) -> None:
    """Raises UserError where vLLM is missing, too old or too new. instead: what the user may do without it."""
    if fault := fault_of(vllm_version()):
        raise UserError(fault, where=where, hint=f"`make setup-vllm` installs a version that fits, or {instead}")


def prepare_environment(*, cuda: bool) -> None:
    """Settings that vLLM reads when it is imported, each left alone where the user has set it.

    The engine runs in this process: a killed run then leaves no worker behind. On a CPU its threads are not bound to
    cores, which others may use, its cache is small, and nothing is compiled: that takes longer than it saves.
    """
    settings = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if not cuda:
        settings |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "TORCH_COMPILE_DISABLE": "1"}
    elif find_spec("flashinfer") is None:
        settings["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
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


def run_requests(engine: Any, requests: Mapping[str, tuple[Any, Any]]) -> Generator[list[Any], None, None]:
    """Finished outputs, as they come, of requests {id: (prompt, SamplingParams)} to a vLLM engine in this process.

    A caller that stops early, or is stopped, leaves none of them to the next one: it closes the generator.
    """
    open_ids = set(requests)
    try:
        for name, (prompt, params) in requests.items():
            engine.add_request(name, prompt, params)
        while engine.has_unfinished_requests():
            if ended := [output for output in engine.step() if output.finished]:
                open_ids -= {output.request_id for output in ended}
                yield ended
    finally:
        if open_ids:
            engine.abort_request(list(open_ids), internal=False)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def reload_on_cpu(llm: Any, folder: str | Path) -> None:
    """Puts a folder's weights into an engine that runs on a CPU, which has repacked its own for speed.

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

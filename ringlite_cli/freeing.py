"""Memory that has had its time: kept by nobody, and given back before the next stage measures what is free."""

import gc
import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType


def give_back() -> None:
    """Free host and GPU memory that nothing refers to any more, without importing anything for it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def import_apart(name: str) -> ModuleType:
    """Import a module in a thread of its own. Raises what the import raises.

    A library may keep the traceback of an import that failed (vLLM does, for a package that it can do without), and
    with it every frame down to whoever asked: a trainer in one of their variables would never be freed.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(importlib.import_module, name).result()

"""The policies of a run, drawn from by an OpenAI-compatible server that has them loaded (`vllm serve FOLDER`)."""

import os
import threading
from pathlib import Path
from typing import Any

from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import prompt_end
from ringlite_cli.errors import UserError
from ringlite_cli.http_client import NoAnswer, Refused, get_json
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.schema import Responder
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling.endpoint import EndpointSampler
from ringlite_cli.sampling.load import load_model, load_tokenizer

EXTRAS = {
    "return_token_ids": True,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""vLLM's: the tokens of each response, and none of the defaults that a model's generation_config.json would set."""


class ServerSampler(EndpointSampler):
    """One policy, which has to be among those that the server serves. Tokens come where the server gives their ids.

    `model` and `tokenizer` are loaded here when asked for: the server gives no distribution.
    """

    def __init__(self, path: Path | str, *, settings: SamplingSettings, engine: Engine, dtype: str | None) -> None:
        name = served_name(engine, path)
        super().__init__(
            Responder(endpoint=engine.url, **{**engine.endpoint_keys(), "model": name}),
            settings,
            extras=EXTRAS,
        )
        self._path, self._dtype = path, dtype
        self._model: Any = None
        self._tokenizer: Any = None
        self._prompt_end: str | None = None
        self._lock = threading.Lock()

    @property
    def model(self) -> Any:
        if self._model is None:
            self._model = load_model(self._path, dtype=self._dtype)
        return self._model

    @property
    def tokenizer(self) -> Any:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._path)
        return self._tokenizer

    def prompt_ids(self, request: Request) -> list[int]:
        return prompt_ids(self.tokenizer, request.messages)

    def prompt_end(self, request: Request) -> str:
        """Return the end of the rendered prompt, the same for all; "" where the policy's tokenizer is not at hand."""
        with self._lock:
            if self._prompt_end is None:
                try:
                    self._prompt_end = prompt_end(self.tokenizer, self.prompt_ids(request))
                except UserError:
                    self._prompt_end = ""
        return self._prompt_end

    def close(self) -> None:
        """Free what was loaded here; the server keeps its own."""
        self._model = None


def served_name(engine: Engine, path: Path | str) -> str:
    """The name that the server knows a policy by: `engine.model`, else the one served from the policy's folder or id.

    Raises UserError where the server cannot be asked, or serves another policy.
    """
    url = f"{str(engine.url).rstrip('/')}/models"
    served = _models(url, engine)
    wanted = {str(path), os.path.realpath(path)}
    for model in served:
        name, root = str(model.get("id")), str(model.get("root") or "")
        if engine.model in (None, name) and (engine.model or wanted & {name, root, os.path.realpath(root or name)}):
            return name
    have = ", ".join(str(model.get("id")) for model in served) or "nothing"
    raise UserError(
        f"the server serves {have}, not {engine.model or path}",
        where=url,
        hint=f"start one with `vllm serve {path}`" + ("" if engine.model else ", or name it by engine.model"),
    )


def _models(url: str, engine: Engine) -> list[dict[str, Any]]:
    try:
        found = get_json(url, key=os.environ.get(engine.api_key_env, ""), timeout=30)["data"]
        return [model for model in found if isinstance(model, dict)]
    except Refused as error:
        hint = f"put its key into {engine.api_key_env}" if error.code in (401, 403) else "engine.url ends in /v1"
        raise UserError(f"the server says HTTP {error.code}", where=url, hint=hint) from None
    except (NoAnswer, KeyError, TypeError) as error:
        raise UserError(
            f"no OpenAI-compatible server answers there ({error})", where=url, hint="start it, or mend engine.url"
        ) from None

"""A vLLM server that RL generates through: whether it answers, and whether it serves the policy's architecture."""

import json
import time
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.http_client import NoAnswer, get_json

_PAUSE = 2.0
_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
COMMAND = (
    'VLLM_SERVER_DEV_MODE=1 vllm serve {policy} --weight-transfer-config \'{{"backend": "nccl"}}\' '
    "--logprobs-mode processed_logprobs"
)


def check_server(args: Any, policy: Path) -> None:
    """Wait for the server, at most args.vllm_server_timeout seconds.

    Raises UserError where there is none by then, or where it serves a model that the policy's weights do not fit.
    """
    url = args.vllm_server_base_url or f"http://{args.vllm_server_host}:{args.vllm_server_port}"
    start_it = f"start it with `{COMMAND.format(policy=policy)}`"
    served = _served(url, args.vllm_server_timeout, start_it)
    if not fits(served, policy):
        raise UserError(
            f"the server serves {served['id']!r}, whose weights are not the shape of {policy}",
            where=url,
            hint=start_it,
        )


def fits(served: dict[str, Any], policy: Path) -> bool:
    """Whether a row of /v1/models is the policy's own folder, or a folder seen from here with a model of its shape."""
    root = Path(str(served.get("root") or served["id"]))
    if root.absolute() == policy.absolute():
        return True
    mine, theirs = (_shape(folder / "config.json") for folder in (policy, root))
    return mine is not None and mine == theirs


def _shape(config: Path) -> list[Any] | None:
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return [fields.get(name) for name in _SHAPE]


def _served(url: str, seconds: float, start_it: str) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while True:
        try:
            found: dict[str, Any] = get_json(f"{url.rstrip('/')}/v1/models", timeout=10)["data"][0]
            return found
        except (NoAnswer, LookupError, TypeError) as error:
            if time.monotonic() + _PAUSE > until:
                raise UserError(
                    f"no vLLM server answers there ({error})",
                    where=f"trl.vllm_server_base_url: {url}",
                    hint=f"{start_it}, or set vllm_mode: colocate",
                ) from None
        time.sleep(_PAUSE)

"""`ringlite serve RUN:POLICY`: the `vllm serve` line of a policy, or the server itself."""

import shlex
import subprocess
import sys
from collections.abc import Sequence

from ringlite_cli.console import Console
from ringlite_cli.engine import check_vllm
from ringlite_cli.errors import WorkFailed
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.stages.commands.policies.find import Policy, find_policy


def serve_line(policy: Policy, *, host: str, port: int, longest: int | None, name: str) -> list[str]:
    """Return the command that serves a policy, under a short name and under its folder's."""
    folder = str(policy.folder.resolve()) if policy.folder.is_dir() else policy.path
    short = name or (f"{policy.run.resolve().name}.{policy.name}" if policy.run else "")
    names = [short, folder] if short else [folder]
    line = ["vllm", "serve", folder, "--host", host, "--port", str(port), "--served-model-name", *names]
    dtype = (policy.recipe.get("model") or {}).get("dtype")
    if dtype in ("float32", "bfloat16"):
        line += ["--dtype", str(dtype)]
    return line + (["--max-model-len", str(longest)] if longest else [])


def serve(text: str, console: Console, *, host: str, port: int, longest: int | None, name: str, run: bool) -> None:
    """Print the line, or with `run` start the server and wait for its end.

    Raises UserError where there is no policy, or no vLLM that fits; WorkFailed where the server fails.
    """
    policy = find_policy(text)
    line = serve_line(policy, host=host, port=port, longest=longest, name=name)
    if run:
        check_vllm("--run", instead="run the line that `ringlite serve` prints where there is one")
    with engine_folder(line[2]) as folder:
        if not run:
            console.say(shlex.join(line))
            if folder != line[2]:
                console.warn("vLLM refuses this model's multi-token layer; `ringlite serve --run` serves it without")
            return
        console.say(f"serving {text} at http://{host}:{port}/v1; Ctrl-C ends it")
        code = run_server([*line[:2], folder, *line[3:]])
    if code:
        raise WorkFailed(f"the server ended with exit code {code}; its own lines above say why")


def run_server(line: Sequence[str]) -> int:
    """Run the server in a process of its own; return its exit code, 0 where Ctrl-C ended it."""
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", *line[1:]]
    with subprocess.Popen(command) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:  # which the terminal sends to both
            server.wait()
            return 0

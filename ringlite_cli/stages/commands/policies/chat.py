"""`ringlite chat RUN[:POLICY]`: a conversation with a policy in the terminal, its words shown as they come."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.samples import SEED, SamplingSettings
from ringlite_cli.stages.commands.policies.find import find_policy
from ringlite_cli.stages.commands.policies.talkers import Talker, open_talker
from ringlite_cli.thoughts import answer_part, opened_thought, with_thought

HELP = "/exit ends it, /reset forgets what was said; Ctrl-C stops a response"


@dataclass
class Conversation:
    """What was said so far, as the policy is asked with it.

    system: a system prompt, or "". suffix: text behind each of the user's turns, as the run's prompts had it.
    """

    system: str = ""
    suffix: str = ""
    turns: list[dict[str, str]] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, str]]:
        head = [{"role": "system", "content": self.system}] if self.system else []
        return [*head, *self.turns]

    def ask(self, text: str) -> None:
        self.turns.append({"role": "user", "content": f"{text}\n{self.suffix}" if self.suffix else text})

    def answer(self, text: str) -> None:
        """Keep a response without its thought, as chat templates ask on."""
        self.turns.append({"role": "assistant", "content": answer_part(text).strip()})

    def take_back(self) -> None:
        """Forget the last turn, which was not answered."""
        self.turns.pop()

    def reset(self) -> None:
        self.turns.clear()


def chat(
    text: str,
    console: Console,
    *,
    engine: str = "transformers",
    domain: str | None = None,
    system: str = "",
    settings: SamplingSettings | None = None,
    read: Callable[[], Iterator[str]] | None = None,
) -> None:
    """Talk to a policy until /exit or the end of the input.

    engine: transformers or vllm. domain: ask with the run's suffix of that domain's prompts. read: the user's lines.
    Raises UserError where there is no policy, or the engine can't be started.
    """
    if engine not in ("transformers", "vllm"):
        raise UserError(f"{engine!r} is not transformers or vllm", where="--engine")
    policy = find_policy(text)
    conversation = Conversation(system, policy.suffix(domain) if domain else "")
    dtype = str((policy.recipe.get("model") or {}).get("dtype") or "auto")
    with open_talker(policy.path, engine, settings or SamplingSettings(1024, seed=SEED), dtype) as talker:
        console.say(f"{policy.name or policy.path}: {HELP}")
        for line in (read or _lines)():
            if line == "/exit":
                return
            if line == "/reset":
                conversation.reset()
                console.say("(forgotten)")
            elif line.startswith("/"):
                console.say(f"no command {line}; {HELP}")
            elif line:
                _respond(conversation, line, talker, console)


def _respond(conversation: Conversation, line: str, talker: Talker, console: Console) -> None:
    conversation.ask(line)
    prompt = talker.prompt(conversation.messages)
    if talker.room(prompt) <= 0:
        conversation.take_back()
        console.warn("the conversation fills the model's context; /reset begins a new one")
        return
    said: list[str] = []
    opened = opened_thought(talker.prompt_end(prompt))
    if opened:
        show(f"{opened}\n")
    try:
        for piece in talker.respond(prompt):
            said.append(piece)
            show(piece)
    except KeyboardInterrupt:
        show(" (stopped)")
    show("\n")
    if talker.cut:
        console.say(f"(cut at the limit of {talker.room(prompt):,} tokens)")
    response = with_thought("".join(said), opened)
    if answer_part(response).strip():
        conversation.answer(response)
    else:
        conversation.take_back()
        console.say("(no answer behind the thought; it is not kept)" if said else "(an empty response; it is not kept)")


def show(text: str) -> None:
    """Write a piece of a response at once; control characters are shown, never sent."""
    from ringlite_cli.model_text import shown

    sys.stdout.write(shown(text))
    sys.stdout.flush()


def _lines() -> Iterator[str]:
    """The lines that a user types, or that come by a pipe; Ctrl-C at an empty prompt ends them."""
    mark = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(mark).strip()
        except (EOFError, KeyboardInterrupt):
            show("\n" if mark else "")
            return

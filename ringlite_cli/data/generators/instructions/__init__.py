"""General: prompts with one to three instructions that a program can check, under IFEval's names.

Each reply is built to follow its instructions; bounds from above are set from the reply. Careful: what is asked, and
the reply's lines with their words counted. Terse: what is asked, and then the reply at once. Wordings are this
project's own, none of IFEval's. A request (what is asked about which subject) stands in one split alone, whatever its
instructions.
"""

import json
import random
from dataclasses import dataclass

from ringlite_cli.data.generators.base import Draft, Generator, Options
from ringlite_cli.data.generators.instructions.bank import LONG, SHORT, Scale, requests, subjects, with_article
from ringlite_cli.data.generators.instructions.kinds import KINDS, Arguments, clashes, wording
from ringlite_cli.data.generators.instructions.reply import Reply, word_count
from ringlite_cli.errors import UserError, near

_CONSTRAINED = "detectable_format:constrained_response"


@dataclass(frozen=True)
class InstructionOptions(Options):
    """instructions: in a prompt at most. kinds: names to draw from, whole or after their colon; none are all.

    short: prompts and replies of a few words, which a very small model can learn.
    """

    instructions: int = 3
    kinds: tuple[str, ...] = ()
    short: bool = False

    def check(self, where: str) -> None:
        """Raise UserError for a kind that there is not."""
        for name in self.kinds:
            if name not in _NAMES:
                hint = near(name, _NAMES, f"there are {', '.join(KINDS)}")
                raise UserError(f"no instruction {name!r}", where=f"{where}.kinds", hint=hint)


_NAMES = {name: name for name in KINDS} | {name.partition(":")[2]: name for name in KINDS}


def draw(rng: random.Random, options: InstructionOptions) -> Draft:
    """One prompt, for example `Describe a fox. No comma. At least 6 words.`"""
    scale = SHORT if options.short else LONG
    names = _choose(rng, options)
    bank = requests()["question"] if _CONSTRAINED in names else requests()
    form, noun = rng.choice(bank[scale.name]), rng.choice(subjects(options.short))
    request = form.format(a=with_article(noun))
    reply, wanted = _follow(rng, names, noun, request, scale)
    asked = [wording(rng, scale, KINDS[name], wanted[name]) for name in names]
    answer = {"instruction_id_list": names, "kwargs": [wanted[name] for name in names]}
    written = json.dumps(answer, ensure_ascii=False)
    return Draft(
        key=f"{request}/{written}",
        part=request,
        prompt=_prompt(rng, request, asked, scale),
        answer=written,
        careful=_counted(asked, reply),
        terse=f"Asked: {' '.join(asked)}\n",
        final=reply,
        verifier="instructions",
        labels={"instructions": len(names)},
    )


def _choose(rng: random.Random, options: InstructionOptions) -> list[str]:
    """Up to so many instructions that go together, in the order in which a prompt names them."""
    left = [_NAMES[name] for name in options.kinds] or list(KINDS)
    wanted, chosen = rng.randint(1, options.instructions), list[str]()
    while left and len(chosen) < wanted:
        chosen.append(rng.choice(left))
        left = [name for name in left if name != chosen[-1] and not clashes(name, chosen[-1])]
    return chosen


def _follow(
    rng: random.Random, names: list[str], noun: str, request: str, scale: Scale
) -> tuple[str, dict[str, Arguments]]:
    """A reply that follows the instructions, and what they ask for exactly."""
    reply = Reply(rng, noun, request, scale)
    wanted: dict[str, Arguments] = {name: {} for name in KINDS if name in names}
    for name, arguments in wanted.items():
        KINDS[name].make(reply, arguments)
    text = reply.text()
    for name, arguments in wanted.items():
        if measure := KINDS[name].measure:
            measure(reply, text, arguments)
    return text, wanted


def _prompt(rng: random.Random, request: str, asked: list[str], scale: Scale) -> str:
    if scale is SHORT or rng.random() < 0.6:
        return " ".join([request, *asked])
    joint = rng.choice(("\n", "\n- "))
    return joint.join([request, *asked])


def _counted(asked: list[str], reply: str) -> str:
    """The careful thought: what is asked, then a draft line by line with its words."""
    lines, total = [], 0
    for line in filter(None, reply.split("\n")):
        total += word_count(line)
        lines.append(f"{line} ({word_count(line)}; {total})\n")
    return f"Asked: {' '.join(asked)}\nDraft, words counted:\n{''.join(lines)}"


INSTRUCTIONS = Generator(
    "instructions", "general", "prompts with instructions that a program can check", draw, InstructionOptions
)

"""The chat template that a run's policies carry: the recipe's own or the model's, with the recipe's arguments in it.

Arguments are written into the template as defaults. Whatever renders it then asks alike: training, both engines, a
server that was started from the policy's folder, and lm-evaluation-harness.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.chat.rendering import prompt_text, special_ids
from ringlite_cli.chat.thinking import Thinking
from ringlite_cli.errors import UserError, near

log = logging.getLogger(__name__)

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESPONSE = "response"
_ASKED = {"role": "user", "content": "1 + 1 = ?"}


def template_text(value: str) -> str:
    """Return a template from what a recipe says: the text itself, or the file that it names. Raises UserError."""
    if "{" in value:
        return value
    path = Path(value).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(
            f"the chat template can't be read ({why})",
            where=f"chat_template: {value}",
            hint="give a file, or the text of a template, with its {{ }}",
        ) from None


def template_fault(text: str) -> str:
    """Return what is wrong with a template's grammar, or ""."""
    from jinja2 import TemplateSyntaxError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 (jinja2's own form): transformers' mark of what a model writes

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    try:
        ImmutableSandboxedEnvironment(extensions=[loopcontrols, Generation]).parse(text)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    return ""


def with_defaults(template: str, arguments: Mapping[str, Any]) -> str:
    """Return a template in which arguments have other defaults; a caller's own still count.

    Raises UserError for an argument that the template does not read.
    """
    words = set(_WORD.findall(template))
    for name in arguments:
        if name not in words:
            raise UserError(
                f"the chat template uses no variable {name!r}",
                where="chat_template_kwargs",
                hint=near(name, words, "remove it, or give a `chat_template` that does"),
            )
    made = (
        "{%- if NAME is not defined -%}{%- set NAME = VALUE -%}{%- endif -%}{{ '' }}".replace("NAME", name).replace(
            "VALUE", _literal(value)
        )
        for name, value in arguments.items()
    )
    return "".join(made) + template


def _literal(value: Any) -> str:
    """A value of YAML in Jinja's notation."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else repr(str(value))


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How a recipe asks its model, as its head says.

    template: the chat template, text or a file; "" keeps the model's. arguments: `chat_template_kwargs`.
    end_token: what ends a response; "" takes what the template writes. thinking: see `ringlite_cli.chat.thinking`.
    """

    template: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    end_token: str = ""
    thinking: Thinking = "auto"


def settle(tokenizer: Any, where: str, options: ChatOptions, ends: Sequence[str] = ()) -> None:
    """Give a tokenizer the template and the end token that all stages of a run will use.

    ends: the tokens that the model's generation settings end at. Raises UserError where there is no template, it cannot
    work, or nothing would end a response.
    """
    _settle_template(tokenizer, where, options)
    _settle_end(tokenizer, where, options, ends)


def _settle_end(tokenizer: Any, where: str, options: ChatOptions, ends: Sequence[str]) -> None:
    """Make the token that the chat template ends a response with the tokenizer's end token, and say so.

    A policy learns to write the template's; where another one ends a response (a base model's tokenizer, or one read
    from a GGUF file by transformers 5.17), every response would run into its length limit.
    """
    token = options.end_token or end_in_template(tokenizer, ends)
    if options.end_token and options.end_token not in tokenizer.get_vocab():
        raise UserError(
            f"{options.end_token!r} is not in the model's vocabulary",
            where="end_token",
            hint=f"its own end token is {tokenizer.eos_token!r}",
        )
    if token is None:
        raise UserError(
            "the chat template never writes a token that ends a response",
            where=where,
            hint=f"write `end_token: {tokenizer.eos_token or '<token>'!r}` at the recipe's head, or give a "
            "`chat_template` that ends the assistant's turns",
        )
    if token != tokenizer.eos_token:
        log.warning(
            "%s: the chat template ends a response with %s, and the tokenizer's end token is %s: %s is taken",
            *(where, token, tokenizer.eos_token, token),
        )
        tokenizer.eos_token = token


def _settle_template(tokenizer: Any, where: str, options: ChatOptions) -> None:
    template = options.template
    text = template_text(template) if template else default_template(tokenizer)
    if not text:
        raise UserError(
            "the tokenizer has no chat template",
            where=where,
            hint="use the model's instruct version, or give `chat_template` (text or a file) at the recipe's head",
        )
    if template and (fault := template_fault(text)):
        raise UserError(f"not a Jinja template ({fault})", where="chat_template")
    words = set(_WORD.findall(text))
    absent = {} if tokenizer.bos_token or "bos_token" not in words else {"bos_token": ""}
    if template or options.arguments or absent:
        tokenizer.chat_template = with_defaults(text, {**absent, **options.arguments})
    prompt_text(tokenizer, [_ASKED])


def default_template(tokenizer: Any) -> str:
    """Return the tokenizer's template for a plain conversation, or ""."""
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        found = found.get("default") or next(iter(found.values()), "")
    return str(found or "")


def end_in_template(tokenizer: Any, ends: Sequence[str] = ()) -> str | None:
    """Return the token that the chat template ends a response with; None where it writes none.

    It is the first special token behind a response. Some templates write none there: the next turn's opening ends a
    response (GLM). That counts where `ends`, the tokens that end generation, names it.
    """
    talk = [_ASKED, {"role": "assistant", "content": _RESPONSE}]
    if found := _first_special(tokenizer, talk, []):
        return found
    following = _first_special(tokenizer, talk, [_ASKED])
    return following if following in ends else None


def _first_special(tokenizer: Any, talk: list[dict[str, Any]], more: list[dict[str, Any]]) -> str | None:
    """The first special token behind the response in a rendered conversation, or the tokenizer's end token there."""
    for parts in (False, True):
        turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in talk + more]
        try:
            text = tokenizer.apply_chat_template(turns if parts else talk + more, tokenize=False)
        except Exception:  # a template may refuse a chat by raising anything
            continue
        _, found, tail = text.rpartition(_RESPONSE)
        if found:
            special = set(special_ids(tokenizer).values())
            return next((token for token in tokenizer.tokenize(tail) if token in special), None)
    return None


def date_argument(tokenizer: Any) -> str | None:
    """Return the argument that fixes the date which a template writes into prompts; "" for none; None: it writes none.

    A prompt of tomorrow would be another one.
    """
    text = default_template(tokenizer)
    if "strftime_now" not in text:
        return None
    return "date_string" if "date_string" in text else ""

"""A policy that writes one response at a time, piece by piece: by transformers, or by a vLLM engine in this process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ringlite_cli.samples import SamplingSettings

Messages = Sequence[Mapping[str, str]]


class Talker(Protocol):
    """A policy to talk to. cut: whether the length limit cut the last response that was written to its end."""

    cut: bool

    def prompt(self, messages: Messages) -> list[int]:
        """The tokens of a conversation, up to where the response begins."""
        ...

    def prompt_end(self, prompt: Sequence[int]) -> str:
        """The text that a prompt ends with; it may open a thought."""
        ...

    def room(self, prompt: Sequence[int]) -> int:
        """Tokens that a response may have."""
        ...

    def respond(self, prompt: Sequence[int]) -> Iterator[str]:
        """The text of a response, in pieces, without the token that ends it."""
        ...


@contextmanager
def open_talker(path: str, engine: str, settings: SamplingSettings, dtype: str) -> Iterator[Talker]:
    """Load a policy for the block. Raises UserError where it can't be loaded."""
    if engine == "vllm":
        from ringlite_cli.recipe.engine import Engine
        from ringlite_cli.sampling.vllm_sampler import VllmSampler

        sampler = VllmSampler(path, dtype=dtype, settings=settings, engine=Engine(name="vllm", max_num_seqs=1))
        try:
            yield VllmTalker(sampler)
        finally:
            sampler.close()
        return
    from ringlite_cli.sampling.transformers_sampler import TransformersSampler

    yield TransformersTalker(TransformersSampler(path, dtype=dtype, settings=settings))


class _OfSampler:
    """What both engines have in common. sampler: has a tokenizer, settings, end_ids and max_positions."""

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.tokenizer = sampler, sampler.tokenizer
        self.turn = 0
        self.cut = False

    def prompt(self, messages: Messages) -> list[int]:
        from ringlite_cli.chat.rendering import prompt_ids

        return prompt_ids(self.tokenizer, messages)

    def prompt_end(self, prompt: Sequence[int]) -> str:
        from ringlite_cli.chat.responses import prompt_end

        return prompt_end(self.tokenizer, prompt)

    def room(self, prompt: Sequence[int]) -> int:
        return min(self.sampler.settings.max_completion_length, self.sampler.max_positions - len(prompt))

    def _seed(self) -> int:
        """Another seed for each turn: the same question twice gives two responses."""
        from ringlite_cli.samples import sample_seed

        self.turn += 1
        return sample_seed(self.sampler.settings.seed, "chat", self.turn)

    def _ends(self) -> list[str]:
        return list(self.tokenizer.convert_ids_to_tokens(self.sampler.end_ids))


class TransformersTalker(_OfSampler):
    """By `generate`, in a thread of its own; what it writes comes through transformers' own streamer."""

    def respond(self, prompt: Sequence[int]) -> Iterator[str]:
        import threading

        import torch
        from transformers import StoppingCriteria, TextIteratorStreamer

        from ringlite_cli.sampling.draw import SeededDraw

        settings, model = self.sampler.settings, self.sampler.model
        self.cut = False
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=False)
        stopped = threading.Event()
        failed: list[BaseException] = []

        class Stopped(StoppingCriteria):
            def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
                return torch.full((len(input_ids),), stopped.is_set(), device=input_ids.device)

        def work() -> None:
            try:
                ids = torch.tensor([list(prompt)], device=model.device)
                seeds = torch.tensor([self._seed()], device=model.device)
                with torch.inference_mode():
                    written = model.generate(
                        input_ids=ids,
                        attention_mask=torch.ones_like(ids),
                        max_new_tokens=self.room(prompt),
                        logits_processor=[SeededDraw(seeds, settings.temperature, settings.top_p, first_step=0)],
                        stopping_criteria=[Stopped()],
                        streamer=streamer,
                    )
                whole = written.shape[1] == len(prompt) + self.room(prompt)
                self.cut = whole and int(written[0, -1]) not in self.sampler.end_ids
            except BaseException as error:  # said where the response is read
                failed.append(error)
                streamer.end()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield from without_end(streamer, self._ends())
        finally:
            stopped.set()
            thread.join()
        if failed:
            raise failed[0]


class VllmTalker(_OfSampler):
    """By the engine's own steps; vLLM turns tokens into text."""

    def respond(self, prompt: Sequence[int]) -> Iterator[str]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        settings, engine = self.sampler.settings, self.sampler.llm.llm_engine
        params = SamplingParams(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=self.room(prompt),
            stop_token_ids=self.sampler.end_ids,
            seed=self._seed(),
            skip_special_tokens=False,
            output_kind=RequestOutputKind.DELTA,
        )
        name, self.cut = f"chat-{self.turn}", False
        engine.add_request(name, {"prompt_token_ids": list(prompt)}, params)
        try:
            yield from without_end(self._pieces(engine), self._ends())
        finally:
            if engine.has_unfinished_requests():
                engine.abort_request([name], internal=False)

    def _pieces(self, engine: Any) -> Iterator[str]:
        while engine.has_unfinished_requests():
            for output in engine.step():
                self.cut = output.outputs[0].finish_reason == "length"
                yield output.outputs[0].text


def without_end(pieces: Iterator[str], ends: Sequence[str]) -> Iterator[str]:
    """Yield the pieces of a text without the end token that its last ones may spell, however it is cut up."""
    longest = max(map(len, ends), default=0)
    held = ""
    for piece in pieces:
        held += piece
        if len(held) > longest:
            yield held[: len(held) - longest]
            held = held[len(held) - longest :]
    for end in ends:
        held = held.removesuffix(end)
    if held:
        yield held

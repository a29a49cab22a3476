"""One vLLM engine for several policies: it draws what a fresh one would, and never with another policy's weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sweeps import sample_of
from tiny_lm import save_policy, tiny_tokenizer

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling import vllm_engines
from ringlite_cli.sampling.held_weights import unequal_tensor
from ringlite_cli.sampling.vllm_engines import Engines
from ringlite_cli.sampling.vllm_sampler import VllmSampler

FAULT = fault_of(vllm_version())
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")]

VLLM = Engine(name="vllm", max_model_length=128, max_num_seqs=8)
SETTINGS = {
    "greedy": (VLLM, SamplingSettings(max_completion_length=16, temperature=0)),
    "sampled": (VLLM, SamplingSettings(max_completion_length=16, seed=3)),
    "seeded": (VLLM.model_copy(update={"seeded": True}), SamplingSettings(max_completion_length=16, seed=3)),
}
Tokens = list[list[tuple[int, ...]]]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two policies of one shape and one of another."""
    root = tmp_path_factory.mktemp("policies")
    wide = {"hidden_size": 64}
    return {
        "first": save_policy(root / "first", "llama", head_dim=32, seed=0),
        "second": save_policy(root / "second", "llama", head_dim=32, seed=1),
        "wide": save_policy(root / "wide", "llama", head_dim=32, seed=2, **wide),
    }


def draw(policy: Path, engines: Engines, kind: str) -> Tokens:
    engine, settings = SETTINGS[kind]
    sampler = VllmSampler(policy, settings=settings, engine=engine, engines=engines, dtype="float32")
    asked = [Request(f"p{i}", [{"role": "user", "content": f"w{i} w{i + 7} w3"}], 5) for i in range(3)]
    try:
        return [[sample.token_ids for sample in group] for group in sampler.sample(asked)]
    finally:
        sampler.close()


@pytest.fixture(scope="module")
def fresh(policies: dict[str, Path]) -> Callable[[str, str], Tokens]:
    """What an engine of its own draws from a policy."""
    known: dict[tuple[str, str], Tokens] = {}

    def tokens(name: str, kind: str) -> Tokens:
        if (name, kind) not in known:
            with Engines() as engines:
                known[name, kind] = draw(policies[name], engines, kind)
        return known[name, kind]

    return tokens


@pytest.mark.parametrize("kind", sample_of(SETTINGS, "sampled"))
def test_a_kept_engine_draws_what_a_fresh_one_does(
    policies: dict[str, Path], fresh: Callable[[str, str], Tokens], kind: str
) -> None:
    """Also where responses have no seeds of their own: nothing follows from what was drawn before."""
    assert fresh("first", kind) != fresh("second", kind), "else nothing is shown"
    with Engines() as engines:
        assert draw(policies["first"], engines, kind) == fresh("first", kind)
        assert draw(policies["second"], engines, kind) == fresh("second", kind)
        assert draw(policies["first"], engines, kind) == fresh("first", kind)
        assert (engines.started, engines.kept) == (1, 2)
        assert draw(policies["wide"], engines, kind) == fresh("wide", kind)
        assert (engines.started, engines.kept) == (2, 2)


def test_an_engine_that_holds_other_weights_is_not_used(
    policies: dict[str, Path],
    fresh: Callable[[str, str], Tokens],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A load that leaves the old weights where they are would give a policy another one's score."""
    monkeypatch.setattr(vllm_engines, "load_weights", lambda llm, folder: None)
    with Engines() as engines:
        draw(policies["first"], engines, "greedy")
        assert draw(policies["second"], engines, "greedy") == fresh("second", "greedy")
        assert (engines.started, engines.kept) == (2, 0)
        assert "does not hold the folder's weights (log-probabilities differ by" in capsys.readouterr().err
        monkeypatch.undo()
        assert draw(policies["first"], engines, "greedy") == fresh("first", "greedy")
        assert engines.started == 3, "a shape that failed once is not tried again"


@pytest.fixture
def sizes() -> dict[str, Engine]:
    """Engines that take more or less at a time, and cut responses of 200 tokens at other lengths."""
    large = VLLM.model_copy(update={"max_model_length": 256, "max_num_seqs": 16})
    return {"large": large, "small": large.model_copy(update={"max_model_length": 64, "max_num_seqs": 4})}


def test_an_engine_is_held_to_what_is_asked_of_it_and_never_asked_for_more(
    policies: dict[str, Path],
    sizes: dict[str, Engine],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Responses without seeds of their own follow from what is drawn together, and all from where they are cut."""
    for name, engine in sizes.items():
        monkeypatch.setitem(SETTINGS, name, (engine, SamplingSettings(200, temperature=1, top_p=0.95, seed=3)))
    alone = {}
    for name in sizes:
        with Engines() as engines:
            alone[name] = draw(policies["first"], engines, name)
    assert alone["large"] != alone["small"]
    with Engines() as engines:
        for name in ("large", "small", "large"):
            assert draw(policies["first"], engines, name) == alone[name]
        assert (engines.started, engines.kept) == (1, 2)
    with Engines() as engines:
        for name in ("small", "large"):
            assert draw(policies["first"], engines, name) == alone[name]
        assert (engines.started, engines.kept) == (2, 0)
    assert "engine not kept: it takes 64 tokens, and 256 are asked for" in capsys.readouterr().err


def _with_other_ends(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [56, 3]}')


def _with_another_word(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)


def _with_another_field(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 0.01'))


@pytest.mark.parametrize(
    ("change", "words"),
    sample_of(
        [
            (_with_other_ends, "end tokens"),
            (_with_another_word, "a vocabulary"),
            (_with_another_field, "fields of the config (rms_norm_eps)"),
        ],
        (_with_another_field, "fields of the config (rms_norm_eps)"),
    ),
)
def test_a_policy_that_needs_another_engine_gets_one(
    policies: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    words: str,
) -> None:
    other = save_policy(tmp_path / "other", "llama", head_dim=32, seed=1)
    change(other)
    with Engines() as alone:
        expected = draw(other, alone, "greedy")
    with Engines() as engines:
        draw(policies["first"], engines, "greedy")
        assert draw(other, engines, "greedy") == expected
        assert engines.started == 2
    assert f"engine not kept: the next policy has other {words}" in capsys.readouterr().err


def test_an_engine_that_has_ended_leaves_its_pool_of_graphs_to_none(policies: dict[str, Path]) -> None:
    """On a GPU the pool is refused once the graphs in it are gone: the next engine could not start."""
    from vllm.platforms import current_platform

    type(current_platform)._global_graph_pool = object()
    with Engines() as engines:
        draw(policies["first"], engines, "greedy")
    assert type(current_platform)._global_graph_pool is None


def _held(folder: Path) -> dict[str, Any]:
    """A folder's tensors as vLLM's llama stores them: some as one, the embedding with rows that no word has."""
    held = load_file(folder / "model.safetensors")
    for whole, parts in {"qkv_proj": "qkv", "gate_up_proj": ("gate", "up")}.items():
        for name in [name for name in held if f".{parts[0]}_proj." in name]:
            names = [name.replace(f".{parts[0]}_proj.", f".{part}_proj.") for part in parts]
            held[name.replace(f".{parts[0]}_proj.", f".{whole}.")] = torch.cat([held.pop(each) for each in names])
    embedding = held["model.embed_tokens.weight"]
    held["model.embed_tokens.weight"] = torch.cat([embedding, torch.zeros(8, embedding.shape[1])])
    return held


def _unequal(folder: Path, held: dict[str, Any]) -> str:
    return unequal_tensor(held, folder, torch.float32, held)


def test_every_element_of_every_tensor_is_compared(policies: dict[str, Path]) -> None:
    folder = policies["first"]
    assert _unequal(folder, _held(folder)) == ""
    for name, tensor in _held(folder).items():
        for place in (0, tensor.numel() - 1 - (8 * tensor.shape[1] if "embed" in name else 0)):
            held = _held(folder)
            held[name].view(-1)[place] += 1e-3
            assert name in _unequal(folder, held)


def test_tensors_that_only_one_side_has_are_found(policies: dict[str, Path], tmp_path: Path) -> None:
    folder = policies["first"]
    held = _held(folder)
    assert "model.norm.weight is not found" in _unequal(
        folder, {n: t for n, t in held.items() if n != "model.norm.weight"}
    )
    less = load_file(folder / "model.safetensors")
    del less["model.layers.1.self_attn.v_proj.weight"]
    save_file(less, tmp_path / "model.safetensors")
    assert "qkv_proj.weight is not in the folder" in _unequal(tmp_path, held)

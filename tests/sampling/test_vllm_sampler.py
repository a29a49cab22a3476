"""The vLLM engine on real tiny models, a dense one and a mixture: the policy's own tokens, also of the next one."""

from pathlib import Path

import pytest
from tiny_lm import EOS, save_policy

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.samples import Progress, Request, SamplingSettings
from ringlite_cli.sampling.score import sampled_entropy
from ringlite_cli.sampling.transformers_sampler import TransformersSampler
from ringlite_cli.sampling.vllm_engines import Engines
from ringlite_cli.sampling.vllm_sampler import VllmSampler

FAULT = fault_of(vllm_version())
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")]

SHAPES = {"llama": {"head_dim": 32}, "qwen2_moe": {"hidden_size": 128}}  # heads of 32: a size that its CPU build takes
VLLM = Engine(name="vllm", max_model_length=128)
GREEDY = SamplingSettings(max_completion_length=16, temperature=0)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two policies of each shape."""
    root = tmp_path_factory.mktemp("policies")
    return {
        shape: [save_policy(root / f"{shape}-{seed}", shape, seed=seed, **fields) for seed in (0, 1)]
        for shape, fields in SHAPES.items()
    }


def requests(count: int = 3, k: int = 1) -> list[Request]:
    return [Request(f"p{i}", [{"role": "user", "content": f"w{i} w{i + 7} w3"}], k) for i in range(count)]


def tokens(sampler: TransformersSampler | VllmSampler, asked: list[Request]) -> list[list[tuple[int, ...]]]:
    return [[sample.token_ids for sample in group] for group in sampler.sample(asked)]


def expected(policy: Path) -> list[list[tuple[int, ...]]]:
    return tokens(TransformersSampler(policy, settings=GREEDY, device="cpu"), requests())


@pytest.mark.parametrize(("shape", "starts"), [("llama", 1), ("qwen2_moe", 2)])
def test_greedy_tokens_are_those_of_transformers_also_for_the_next_policy(
    policies: dict[str, list[Path]], shape: str, starts: int
) -> None:
    """A dense engine takes the next policy's weights; a mixture's experts would be corrupted, so it starts again."""
    first, second = policies[shape]
    assert expected(first) != expected(second)
    with Engines() as engines:
        for policy in (first, second):
            sampler = VllmSampler(policy, settings=GREEDY, engines=engines, engine=VLLM, dtype="float32")
            assert tokens(sampler, requests()) == expected(policy)
            sampler.close()
        assert engines.started == starts


def test_samples_entropy_ends_and_bounds(policies: dict[str, list[Path]]) -> None:
    policy = policies["llama"][0]
    settings = SamplingSettings(max_completion_length=64, seed=3)
    sampler = VllmSampler(policy, settings=settings, engine=VLLM, dtype="float32")
    done: list[str] = []
    told: list[Progress] = []
    asked = requests(4, k=8)
    groups = sampler.sample(asked, on_done=lambda request, _: done.append(request.problem_id), progress=told.append)

    assert sorted(done) == [request.problem_id for request in asked]
    assert [[sample.index for sample in group] for group in groups] == [list(range(8))] * 4
    flat = [sample for group in groups for sample in group]
    assert len({sample.token_ids for sample in flat}) > 24
    assert (told[-1].done, told[-1].tokens) == (32, sum(len(sample.token_ids) for sample in flat))
    assert {sample.truncated for sample in flat} == {True, False}
    for sample in flat:
        assert sample.truncated == (EOS not in sample.token_ids)
        assert sample.truncated == (len(sample.token_ids) == 64)
        assert sample.text.split() == [f"w{i}" for i in sample.token_ids if i < EOS] or max(sample.token_ids) > EOS

    pairs = [(request, sample) for request, group in zip(asked, groups, strict=True) for sample in group]
    plain = TransformersSampler(policy, settings=settings, device="cpu")
    assert sampled_entropy(sampler, pairs) == pytest.approx(sampled_entropy(plain, pairs))

    with pytest.raises(UserError, match="128 positions"):
        sampler.sample([Request("long", [{"role": "user", "content": "w1 " * 128}], 1)])
    assert tokens(sampler, requests(1))[0][0], "an engine that refused a prompt still works"
    sampler.close()


def test_seeded_samples_do_not_depend_on_their_batch(policies: dict[str, list[Path]]) -> None:
    engine = VLLM.model_copy(update={"seeded": True})
    settings = SamplingSettings(max_completion_length=16, seed=3)
    sampler = VllmSampler(policies["llama"][0], settings=settings, engine=engine, dtype="float32")
    whole = tokens(sampler, requests(3, k=4))
    assert [tokens(sampler, [request])[0] for request in requests(3, k=4)] == whole
    sampler.close()


def test_settings_that_vllm_refuses_are_a_user_error(policies: dict[str, list[Path]]) -> None:
    refused = VLLM.model_copy(update={"max_num_seqs": 10**6})
    with pytest.raises(UserError, match="vLLM does not start"):
        VllmSampler(policies["llama"][0], settings=GREEDY, engine=refused, dtype="float32")

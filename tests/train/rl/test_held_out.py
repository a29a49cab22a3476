"""Held-out problems: which are asked, what is measured of them, and that training comes out the same without them."""

from dataclasses import replace

import pytest
import torch
from rl_runs import PROBLEMS, rl, verify, weights
from tiny_lm import save_policy

from ringlite_cli.errors import Interrupted, RecipeErrors, UserError
from ringlite_cli.evals.metrics import paired_difference
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.graph import needed_outputs, parents
from ringlite_cli.recipe.guard import Guard, HeldOut
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.runs.catalogue import timed
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.guard.history import Paused
from ringlite_cli.train.rl.held_out import HeldOutSet, chosen, held_out_of

SETTINGS = HeldOut(data="curate.eval", every=2, problems=4)
FRESH = [Problem(f"h{i}", "math" if i % 2 else "code", f"w{i} w{i + 9}", answer="1") for i in range(10)]


def test_a_few_are_drawn_once_in_the_set_s_order():
    drawn = chosen(FRESH, PROBLEMS, SETTINGS, 17)
    assert drawn == chosen(FRESH, PROBLEMS, SETTINGS, 17)
    assert len(drawn) == 4
    assert drawn == [problem for problem in FRESH if problem in drawn]
    assert drawn != chosen(FRESH, PROBLEMS, SETTINGS, 18)
    assert chosen(FRESH[:3], PROBLEMS, SETTINGS, 17) == FRESH[:3]


def test_what_is_trained_on_or_scored_by_an_opinion_is_left_out_with_a_word(caplog):
    same_text = replace(FRESH[0], id="other", prompt=PROBLEMS[3].prompt.upper().replace(" ", "  "))
    opinion = replace(FRESH[1], verifier="judge")
    assert chosen([PROBLEMS[0], same_text, opinion, FRESH[2]], PROBLEMS, SETTINGS, 17) == [FRESH[2]]
    assert "of 4 problems 2 are trained on and 1 are scored by an opinion; they are left out" in caplog.text


def test_a_set_of_which_nothing_is_held_out_is_refused():
    with pytest.raises(UserError, match="nothing is held out: of the set's 30 problems 30 are trained on") as caught:
        chosen(PROBLEMS, PROBLEMS, SETTINGS, 17)
    assert (caught.value.where, caught.value.exit_code) == ("guard.held_out.data", 2)


def test_a_policy_that_is_shared_out_is_not_asked(monkeypatch):
    held, settings = HeldOutSet(FRESH, paired), RlSettings(guard=Guard(held_out=SETTINGS))
    assert held_out_of(None, PROBLEMS, settings, 17, list) is None
    assert held_out_of(held, PROBLEMS, RlSettings(guard=None), 17, list) is None
    found = held_out_of(held, PROBLEMS, settings, 17, list)
    assert (found.problems, found.every) == (chosen(FRESH, PROBLEMS, SETTINGS, 17), 2)
    monkeypatch.setattr("ringlite_cli.train.rl.held_out.launched_sharded", lambda: True)
    with pytest.raises(UserError, match="FSDP shares out over the ranks"):
        held_out_of(held, PROBLEMS, settings, 17, list)


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ("held_out: {data: curate.eval}", "guard.held_out.every: this key is needed"),
        ("held_out: {data: curate.evil, every: 2}", "'curate' makes no set 'evil'; did you mean 'eval'?"),
        ("held_out: {data: sft, every: 2}", "'sft' is an sft stage; this key takes curate"),
        ("held_out: {data: curate.eval, every: 0}", "guard.held_out.every: input should be greater than 0"),
        ("reward_gap: {action: pause}", "reward_gap has nothing to look at; give held_out"),
        ("reward_gap: {confidence: 1.5}", "guard.reward_gap.confidence: input should be less than 1"),
    ],
)
def test_a_slip_is_named_before_anything_runs(guard, message):
    with pytest.raises(RecipeErrors) as caught:
        load_recipe("toy", [f"stages.rl-math.guard={{{guard}}}"])
    assert message in "\n".join(caught.value.faults)


def test_the_set_is_made_before_and_is_an_input_only_where_the_guard_rolls_back_by_it():
    held = "stages.rl-math.guard.held_out={data: curate.eval, every: 2}"
    log = load_recipe("toy", [held])
    back = load_recipe("toy", [held, "stages.rl-math.guard.reward_gap={action: rollback}"])
    assert "curate" in parents(log, "rl-math")
    assert "eval" not in {needed.artifact for needed in needed_outputs(log.stages["rl-math"])}
    assert "eval" in {needed.artifact for needed in needed_outputs(back.stages["rl-math"])}
    plain = load_recipe("toy").stages["rl-math"].objective()["guard"]
    assert log.stages["rl-math"].objective()["guard"] == plain
    assert back.stages["rl-math"].objective()["guard"]["held_out"]["every"] == 2


def paired(before, after, level):
    return paired_difference(before, after, level=level)


def watched(policy, out, verifier=verify, **options):
    guard = Guard(window=2, held_out=SETTINGS)
    held = HeldOutSet(FRESH, paired)
    return rl(policy, out, verifier, steps=6, guard=guard, held_out=held, **options)


def without(rows):
    return [{k: v for k, v in row.items() if k not in timed("rl") and "held_out" not in k} for row in rows]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("policy"), "ernie4_5_moe")


@pytest.fixture(scope="module")
def measured(policy, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured") / "rl"
    watched(policy, out)
    return out


@pytest.mark.slow
def test_training_comes_out_bit_for_bit_the_same_with_and_without(policy, measured, tmp_path):
    rl(policy, tmp_path / "plain", steps=6, guard=Guard(window=2))
    a, b = weights(measured / "policy"), weights(tmp_path / "plain" / "policy")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert (measured / "rollouts.jsonl").read_bytes() == (tmp_path / "plain" / "rollouts.jsonl").read_bytes()
    rows = read_jsonl(measured / "metrics.jsonl")
    assert without(rows) == without(read_jsonl(tmp_path / "plain" / "metrics.jsonl"))
    assert [row["step"] for row in rows if "held_out_by_domain" in row] == [1, 2, 4, 6]
    assert [row["step"] for row in rows if "held_out_seconds" in row] == [1, 2, 4, 6]


@pytest.mark.slow
def test_the_score_is_that_of_the_likeliest_responses_of_the_policy_after_the_step(policy, measured):
    """Drawn here by the written policy, one problem at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ringlite_cli.chat.rendering import prompt_ids

    model = AutoModelForCausalLM.from_pretrained(measured / "policy", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(measured / "policy")
    found: dict[str, list[float]] = {}
    for problem in chosen(FRESH, PROBLEMS, SETTINGS, 17):
        ids = prompt_ids(tokenizer, [{"role": "user", "content": problem.prompt}])
        out = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :]
        text = tokenizer.decode(out, skip_special_tokens=True)
        found.setdefault(problem.domain, []).append(verify([(problem, text)])[0].reward)
    means = {domain: sum(rewards) / len(rewards) for domain, rewards in sorted(found.items())}
    assert read_jsonl(measured / "metrics.jsonl")[-1]["held_out_by_domain"] == means


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(policy, measured, tmp_path):
    calls = 0

    def stops(pairs):
        nonlocal calls
        calls += 1
        if calls == 9:  # five rollouts and three measurements are over
            raise Interrupted("stopped")
        return verify(pairs)

    with pytest.raises(Interrupted):
        watched(policy, tmp_path / "rl", stops)
    watched(policy, tmp_path / "rl")
    a, b = weights(measured / "policy"), weights(tmp_path / "rl" / "policy")
    assert all(torch.equal(a[key], b[key]) for key in a)
    one, two = (read_jsonl(folder / "metrics.jsonl") for folder in (measured, tmp_path / "rl"))
    assert without(one) == without(two)
    assert [row.get("held_out_by_domain") for row in one] == [row.get("held_out_by_domain") for row in two]


@pytest.mark.slow
def test_a_hacked_reward_pauses_the_run_and_stands_in_guard_jsonl(policy, tmp_path):
    """Of what is trained the reward rises call by call; of what is held out it falls to nothing after step 2."""
    calls = {"trained": 0, "held": 0}

    def hacked(pairs):
        held = pairs[0][0].id.startswith("h")
        calls["held" if held else "trained"] += 1
        if held:
            return [Verdict("x", float(calls["held"] <= 2)) for _ in pairs]
        return [Verdict("x", calls["trained"] + i % 2) for i in range(len(pairs))]

    many = [Problem(f"h{i}", "math" if i % 2 else "code", f"w{i} w{i + 9}", answer="1") for i in range(24)]
    settings = SETTINGS.model_copy(update={"problems": 24})
    guard = Guard.model_validate({"window": 2, "held_out": settings.model_dump(), "reward_gap": {"action": "pause"}})
    with pytest.raises(Paused, match=r"the held-out score of code has fallen from 1\.000 to 0\.000"):
        rl(policy, tmp_path / "rl", hacked, steps=6, guard=guard, held_out=HeldOutSet(many, paired))
    (event, *_more) = read_jsonl(tmp_path / "rl" / "guard.jsonl")
    assert (event["rule"], event["step"], event["action"]) == ("reward_gap", 4, "pause")

"""The rows of a reward model's training hold what its steps were, in however many batches."""

import torch
from reward_models import make_tokenizer
from tiny_lm import save_policy
from transformers import LlamaForSequenceClassification

from ringlite_cli.train.reward_model.run import run_reward_model
from ringlite_cli.train.reward_model.samples import pair_samples

ASKED = [{"role": "user", "content": "why ?"}]
PAIRS = [(ASKED, "good " * n + "fine", "bad " * n + "poor") for n in range(1, 6)]


def test_scores_are_those_of_all_texts_of_a_step(tmp_path, monkeypatch) -> None:
    """Three batches, of two pairs, of two and of one: TRL takes the mean of their means, and of their extremes."""
    plain, scores = LlamaForSequenceClassification.forward, []

    def noting(self, *given, **more):
        out = plain(self, *given, **more)
        scores.append(out.logits.detach().flatten().chunk(2))
        return out

    monkeypatch.setattr(LlamaForSequenceClassification, "forward", noting)
    base = save_policy(tmp_path / "base", "llama")
    make_tokenizer().save_pretrained(base)
    samples = pair_samples(make_tokenizer(), PAIRS, 64, truncate=False)
    trl = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3, "num_train_epochs": 1}
    rows: list[dict] = []
    run_reward_model(base, samples, tmp_path / "out", trl=trl, on_step=rows.append)
    (row,) = rows
    better, worse = ([score for batch in scores for score in batch[side].tolist()] for side in (0, 1))
    assert [len(batch[0]) for batch in scores] == [2, 2, 1]
    assert abs(row["min_reward"] - min(better + worse)) < 1e-6
    assert abs(row["max_reward"] - max(better + worse)) < 1e-6
    assert abs(row["mean_reward"] - sum(better + worse) / 10) < 1e-6
    assert row["accuracy"] == sum(a > b for a, b in zip(better, worse, strict=True)) / 5
    assert abs(row["margin"] - (sum(better) - sum(worse)) / 5) < 1e-6
    apart = torch.tensor(better) - torch.tensor(worse)
    centred = 0.01 * (torch.tensor(better) + torch.tensor(worse)) ** 2
    assert abs(row["loss"] - float((centred - torch.nn.functional.logsigmoid(apart)).mean())) < 1e-6

"""Rows grouped by length: an epoch's order is the seed's and the epoch's, whatever was drawn before."""

import pytest
import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

from ringlite_cli.train.epoch_order import OrderedByEpoch
from ringlite_cli.train.reward_model.trainer import trainer_class
from ringlite_cli.train.sft.run import _counting_trainer

LENGTHS = [(7 * place) % 50 + 1 for place in range(300)]


class Asked:
    """A Trainer as far as its sampler goes."""

    class args:
        seed = 3

    def _get_train_sampler(self, _):
        return LengthGroupedSampler(4, lengths=LENGTHS)


class Ordered(OrderedByEpoch, Asked):
    pass


def order(trainer, epoch, drawn_before):
    torch.manual_seed(drawn_before)
    sampler = trainer._get_train_sampler(None)
    if epoch:
        sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_s_order_is_its_own():
    first, second = (order(Ordered(), epoch, 0) for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(300))
    assert order(Ordered(), 1, drawn_before=8) == second
    assert order(Asked(), 0, drawn_before=8) != order(Asked(), 0, drawn_before=0)  # what transformers gives by itself


@pytest.mark.parametrize("made", [_counting_trainer, trainer_class], ids=["sft", "reward model"])
def test_both_trainers_of_rows_have_it(made):
    assert issubclass(made(), OrderedByEpoch)

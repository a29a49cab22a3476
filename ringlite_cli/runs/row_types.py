"""What the rows of a training run are: dictionaries, named by what they hold."""

from typing import Any

MetricsRow = dict[str, Any]
"""One line of metrics.jsonl, or the numbers that will become part of one."""
RolloutRow = dict[str, Any]
"""One line of rollouts.jsonl: a response with its reward."""
PromptRow = dict[str, Any]
"""A prompt as TRL's data set holds it, with its problem's id, domain and answer."""
PackedRow = dict[str, Any]
"""The tensors of a packed row, (1, T) each, as `pack_row` makes them."""

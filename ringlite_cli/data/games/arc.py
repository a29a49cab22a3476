"""ARC in one dimension: the rule in words, then the blocks of the test grid before and after it.

A block is told as `signs at place`, from 1. The rules are those of reasoning-gym 0.1.25; a grid of another rule gets no
worked solution.
"""

import random
import re
from collections.abc import Sequence

from ringlite_cli.data.games.base import Difficulty, Game, Row, Unworked, Worked, gold

_MOVE = re.compile(r"move_(\d)pix_(solid|colorful)_(wrapped_)?(left|right)")
_TOUCH = re.compile(r"block_touch_dot_(\d)pix")
_RULES = {
    "gravity": "all that is not 0 falls to the {near} end, in its order",
    "gravity_counting": "count what is not 0, and write as many 1s at the {near} end",
    "gravity_antigravity": "the 2s go to the {near} end, the 1s to the {far} end",
    "gravity_one_step": "from the {near} end on, what is not 0 moves one place to the {near} where a 0 is",
    "gravity_weighted_colors": "the 2s go to the {near} end, the 1s next to them",
    "block_touch_dot": "the block moves until it touches the dot, which is 1",
    "block_scale_to_dot": "the block grows up to the dot, which is 2, and covers it",
    "block_and_noise_remove": "the longest block stays, single cells beside it become 0",
    "block_and_noise_remove_inside": "all of the block gets its commonest number",
    "move_block_by_own_size": "the block moves to the right by its own length",
    "two_points_and_fill": "the cells between the two equal ones are filled with their number",
    "two_points_and_fill_inv": "of the block only the two ends stay",
    "copy_block_to_dots": "the first block is copied to each dot, the dot in its middle",
    "copy_block_to_dots_colors": "the first block is copied to each dot, the dot in its middle, in the dot's number",
    "repeat_pattern_full": "the pattern is repeated to the end",
    "reflect_block_with_border_pixel": "the block is turned round",
    "reflect_block_random": "the block is turned round",
    "reflect_block_around_dot": "the block is mirrored at the dot, which is 2",
    "paint_biggest_block": "the longest block becomes 1",
    "recolor_blocks_by_size": "the longer block becomes 1, the shorter 2",
    "change_to_five": "all that is not 0 becomes 5",
    "recolor_blocks_from_palette": "the blocks of 5 get, in order, the numbers at the start",
    "color_left_half_blocks": "the left half of each block, rounded down, becomes 8",
    "sort_blocks_by_size": "the blocks are sorted by length, the shortest first, from the start, with one 0 between",
    "sort_complete_sequence": "the blocks are sorted by length, the shortest first, from the start, with one 0 between",
    "duplicate_block_from_seeds": "each single cell beside the block becomes blocks of its number and the block's"
    " length, away from the block to the end, with one 0 between",
    "fill_from_pixel": "the odd cell at the block's end fills all up to the end of the grid",
    "fill_until_collision": "each cell fills the 0s between it and the next one on the side of the 5 at the end",
    "mark_size_two_blocks": "each block of two gets a 3 on both sides",
}


def rule_of(name: str) -> str:
    """Return a rule of reasoning-gym in words. Raises Unworked for a name that is not known."""
    if move := _MOVE.fullmatch(name):
        steps, _, wrapped, side = move.groups()
        return f"all that is not 0 moves {steps} to the {side}" + (", and round to the other end" if wrapped else "")
    if touch := _TOUCH.fullmatch(name):
        return f"the block moves {touch[1]} towards the dot, which is 2, and no further than up to it"
    if name in _RULES:
        return _RULES[name]
    stem, _, side = name.rpartition("_")
    if stem in _RULES and side in ("left", "right"):
        # the game's own rules of gravity pull to the left, and it calls them `right`
        near, far = ("left", "right") if side == "right" else ("right", "left")
        return _RULES[stem].format(near=near, far=far)
    raise Unworked(f"no words for the rule {name}")


def blocks(grid: Sequence[int]) -> str:
    """Return the runs of a grid that are not 0: `8396 at 5, 7 at 12`."""
    signs = "".join("0" if n == 0 else str(n) for n in grid)
    return ", ".join(f"{m[0]} at {m.start() + 1}" for m in re.finditer(r"[1-9]+", signs)) or "none"


def work(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """The rule, what it does to each example, and to the test grid."""
    known = row["metadata"]
    lines = [f"{blocks(each['input'])} becomes {blocks(each['output'])}\n" for each in known["train_examples"]]
    test = known["test_example"]
    lines.append(f"rule: {rule_of(known['task_name'])}\n")
    lines.append(f"{blocks(test['input'])} becomes {blocks(test['output'])}\n")
    return Worked("".join(lines), gold(row))


def short(row: Row) -> str:
    known = row["metadata"]
    shown = [f"{_joined(each['input'])} > {_joined(each['output'])}" for each in known["train_examples"]]
    return "Find the rule:\n" + "\n".join(shown) + f"\n{_joined(known['test_example']['input'])} > ?"


def _joined(grid: Sequence[int]) -> str:
    return " ".join(map(str, grid))


ARC_1D = Game("arc_1d", work, short)

"""What share of a step's tokens would be saved if a packed row carried each group's prompt once.

    python benchmarks/shared_prompts.py

Response lengths are lognormal (sigma 0.9), cut at the longest. Rows are those that ringlite packs, or groups side by
side.
"""

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence

from ringlite_cli.c3po.packing import balance_rows

SIGMA = 0.9
SHAPES = {
    "Ring-lite on 8 GPUs, prompts of 1,024": (1024, 12_800, 23_552, 16, 2, 25_856),
    "the same, rows of 131,072": (1024, 12_800, 23_552, 16, 2, 131_072),
    "the same, prompts of 128": (128, 12_800, 23_552, 16, 2, 25_856),
    "prompts of 120, responses of 1,351": (120, 1351, 8192, 16, 4, 50_000),
    "prompts of 300, responses of 200": (300, 200, 1024, 16, 16, 50_000),
}
"""name -> tokens of a prompt, of a response on average and at most; responses of a group; groups of a rank; row."""


def main() -> None:
    print("| shape | at most | rows as they are packed | groups side by side |\n|---|---:|---:|---:|")
    for name, (prompt, mean, longest, group, groups, row) in SHAPES.items():
        lengths = _lengths(mean, longest, group * groups)
        sizes = [prompt + length for length in lengths]
        rows = math.ceil(sum(sizes) / row)
        packed = _saved(balance_rows(sizes, rows), group)
        beside = _saved(_in_order(sizes, row), group)
        most = prompt * (1 - 1 / group) / statistics.fmean(sizes)
        shares = (prompt * saved / sum(sizes) for saved in (packed, beside))
        print(f"| {name} | {most:.1%} | {' | '.join(f'{share:.1%}' for share in shares)} |")


def _lengths(mean: float, longest: int, count: int) -> list[int]:
    """Lengths of that mean, whose cut at the longest is made up for by the others."""
    drawn = random.Random(1)
    shapes = [math.exp(SIGMA * drawn.gauss(0, 1)) for _ in range(count)]
    low, high = 1.0, 4.0 * longest
    for _ in range(40):
        middle = (low + high) / 2
        below = statistics.fmean(min(longest, middle * shape) for shape in shapes) < mean
        low, high = (middle, high) if below else (low, middle)
    return [max(8, int(min(longest, low * shape))) for shape in shapes]


def _in_order(sizes: Sequence[int], row: int) -> list[list[int]]:
    rows: list[list[int]] = [[]]
    for place, size in enumerate(sizes):
        if rows[-1] and sum(sizes[i] for i in rows[-1]) + size > row:
            rows.append([])
        rows[-1].append(place)
    return rows


def _saved(rows: Sequence[Sequence[int]], group: int) -> int:
    """Prompts that need not be carried: of each group in a row all but one."""
    return sum(count - 1 for row in rows for count in Counter(place // group for place in row).values())


if __name__ == "__main__":
    main()

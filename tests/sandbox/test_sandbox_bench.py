"""The benchmark's numbers are those of real runs."""

import importlib.util
import os

import pytest

from ringlite_cli.sandbox import SandboxSettings
from ringlite_cli.sandbox.bench import bench


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
def test_bench_accepts_every_run():
    numbers = bench(SandboxSettings(workers=1, isolation="none"), seconds=0.3)
    assert numbers["accepted"] == numbers["verdicts"] > 0
    assert numbers["ratio_to_subprocess"] == pytest.approx(numbers["per_second"] / numbers["subprocess_per_second"])
    assert 0 < numbers["p50_ms"] <= numbers["p99_ms"]
    if importlib.util.find_spec("reasoning_gym"):
        assert numbers["scored_per_second"] > 0

"""What verification may take where nothing else is given: the defaults of the recipe, the library and the sandbox."""

WORKERS = 2
"""Processes that verify, of each kind."""
MATH_SECONDS = 5.0
"""Wall time of a comparison of two answers."""
MATH_MB = 2048
"""Memory of a process that compares answers, MiB."""
CODE_SECONDS = 4.0
"""CPU time of one test of a program."""
CODE_MB = 512
"""Memory of a process of a program, MiB."""
JUDGE_SECONDS = 60.0
JUDGE_REQUESTS = 8
JUDGE_RETRIES = 4
JUDGE_FAILURES = 0.5
"""Wall time of a judge, a reward model or a reward of the user's own."""
SCIENCE_TOLERANCE = 0.01
"""Relative error of a numeric answer in science."""
LEVELS = ("none", "partial", "full")
"""How isolated programs are, the least first."""
ISOLATION = "full"
"""The level below which no program is run."""
PACKAGES = ("sortedcontainers", "numpy")
"""Installed packages that programs may import; they are left out where they are not installed."""

"""Whose fault it is when a run has no verdict: the program's, unless a known-good program fails too."""

from typing import Any

from ringlite_cli.sandbox.languages import CPP, JAVA, PYTHON, language_of
from ringlite_cli.sandbox.model import SandboxVerdict, Submission

_GOOD = {
    PYTHON: "print(int(input()) * 2)\n",
    CPP: "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << 2 * n << std::endl; }\n",
    JAVA: "import java.util.Scanner; public class Main { public static void main(String[] none) {"
    " System.out.println(2 * new Scanner(System.in).nextInt()); } }\n",
}
_SECONDS = 10.0


class Suspected(Exception):
    """A run failed in a way that may be the program's doing or ours. `verdict` is due if it is the program's."""

    def __init__(self, verdict: SandboxVerdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


def control(tests: Any) -> Submission:
    """A known-good program in the language of `tests`, with tests that it passes."""
    language = language_of(tests.get("language")) or PYTHON
    cases = [{"input": "21\n", "output": "42\n"}]
    return Submission(_GOOD[language], {"mode": "stdin", "language": language, "cases": cases}, _SECONDS)

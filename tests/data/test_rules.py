"""What each rule catches, and what stands close to it and must pass."""

import pytest
from curation_helpers import problem, row

from ringlite_cli.data.cleansing import cleanse
from ringlite_cli.data.rules import ANSWERS, CODE, LANGUAGE, PROMPTS, RULES, TRACES
from ringlite_cli.data.rules.language import language_of

PROMPT_CASES = [
    ("Find \ufffd the value of x.", "invalid_characters"),
    ("Find \x07 the value of x.", "invalid_characters"),
    ("Find the value of cafÃ©â‚¬ bills.", "mojibake"),
    ("Find the naïve “mean” of 3 and 5 − 2.", None),
    ("Compute", "prompt_too_short"),
    ("Compute 1+1.", None),
    ("x" * 12_001, "prompt_too_long"),
    ("求所有满足条件的整数的和是多少", "other_language"),
    ("Find the angle α between two vectors.", None),
    ("As shown in the figure below, find x.", "image_needed"),
    ("See the figures below, and find x.", "image_needed"),
    ("Find x. [asy] draw((0,0)--(1,1)); [/asy]", "image_needed"),
    (
        'Find the area of triangle ABC with AB = 3. [asy] label("$A$", (0,0)); label("$4$", (1,1)); [/asy]',
        "image_needed",
    ),
    ("What is the area of the shaded part of a square of side 3? [asy] fill(unitsquare); [/asy]", "image_needed"),
    ('Circle O has radius 3. Find the angle. [asy] label("$\\theta$", (0,0)); [/asy]', "image_needed"),
    (
        'In triangle $ABC$, $AB = 3$, $BC = 4$, and the angle at $B$ is right. Find $AC$. [asy] label("$A$"); [/asy]',
        None,
    ),
    ("Two circles of radius 3 touch the sides of a square, as shown below. Find its area. [asy] draw(); [/asy]", None),
    ("In square $ABCD$, $AB = 3$. Find $AC$. [asy] dot(foot(A), (B), (C)); [/asy]", None),
    ("Find x. \\begin{tikzpicture} \\end{tikzpicture}", "image_needed"),
    ("The rows are shown in the diagram. Find the next. \\begin{array}{cc} 1 & 2 \\end{array}", None),
    ("Find ![x](a.png) the area.", "image_needed"),
    ("At how many points does the graph of $y = x^2$ meet the line?", None),
    ("How much does a picture frame of 3 m cost?", None),
    ("(a) Find the sum of 3 and 5.\n(b) Explain how you found it.", "multi_part"),
    ("Find the largest n such that (i) $n^2$ is even, and (ii) $n < 100$ holds.", None),
    ("Compute $f(a) + f(b)$ for a = 2.", None),
    ("What is 2+2? (A) 3 (B) 4 (C) 5 (D) 6", "multiple_choice"),
    ("Pick one.\nA. 3\nB. 4\nC. 5", "multiple_choice"),
    ("How many are there such that (A) the first digit is 1, and (B) the last is 2, and (C) it is even?", None),
    ('Is f(x) = x^3 even or odd? Enter "odd", "even", or "neither".', "multiple_choice"),
    ('Which conic is it? Enter "C" for circle, "P" for parabola, "E" for ellipse.', "multiple_choice"),
    (
        "Which must be true? x < 1, x > 1. Enter your answer as a list of those options that are always true.",
        "multiple_choice",
    ),
    ('Enter "undefined" if there is no such number, else the number.', None),
    ('Tom can write "TACO" or "CAT". How many words are there?', None),
    ("Triangle (A) has twice the area of triangle (B). Find the ratio.", None),
    ("True or false: 2+2 is 5.", "true_false"),
    ("Is 7 prime? Answer yes or no.", "yes_no"),
    ("Prove that the square root of 2 is irrational.", "proof"),
    ("Show that x is even, and find the value of x.", None),
    ("Discuss the causes of the war.", "open_question"),
]


@pytest.mark.parametrize(("prompt", "reason"), PROMPT_CASES)
def test_prompt_rules(prompt: str, reason: str | None) -> None:
    assert (LANGUAGE.reason(problem(prompt)) or PROMPTS.reason(problem(prompt))) == reason


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ("Find it now.", None, "missing_answer"),
        ("Find it now.", "N/A", "missing_answer"),
        ("Find it now.", "0", None),
        ("Find it now.", "x" * 301, "answer_too_long"),
        ("Which of these is prime?", "B", "multiple_choice"),
        ("Which letter comes first?", "A", None),
    ],
)
def test_answer_rules(prompt: str, answer: str | None, reason: str | None) -> None:
    assert ANSWERS.reason(problem(prompt, answer)) == reason


def test_yes_and_true_as_answers() -> None:
    assert PROMPTS.reason(problem("Is it more than 9?", "Yes")) == "yes_no"
    assert PROMPTS.reason(problem("Is it more than 9?", "\\text{No}")) == "yes_no"
    assert PROMPTS.reason(problem("The sum is 9.", "False")) == "true_false"


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        ("<think>\n2+2\n</think>\n\\boxed{4}", None),
        ("<think>\n" + "Wait, let me check that again.\n" * 20 + "</think>\n\\boxed{4}", "trace_repetitive"),
        ("<think>\n" + "a b c d e f g h " * 20 + "</think>\n\\boxed{4}", "trace_repetitive"),
        ("<think>\n" + "".join(f"take {i}, left {i + 1}\n" for i in range(60)) + "</think>\n\\boxed{4}", None),
        ("<think>\nso we get 我们得到四\n</think>\n\\boxed{4}", "trace_mixed_languages"),
        ("<think>\nso we get fo", "trace_truncated"),
        ("<think>\n\\boxed{4} is a guess, but", "trace_truncated"),
        ("<think>\nso four.\n</think>\n", "trace_no_final_answer"),
        ("We add them up and it is four.", "trace_no_final_answer"),
        ("", "trace_truncated"),
        (None, None),
    ],
)
def test_trace_rules(trace: str | None, reason: str | None) -> None:
    assert TRACES.reason(problem("Find 2+2.", trace=trace)) == reason


FUNCTION = {"mode": "function", "language": "python", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (FUNCTION, None),
        (None, "missing_tests"),
        ({**FUNCTION, "cases": []}, "missing_tests"),
        ({**FUNCTION, "mode": "magic"}, "tests_malformed"),
        ({**FUNCTION, "entry_point": ""}, "tests_malformed"),
        ({**FUNCTION, "cases": [{"args": [1]}]}, "tests_malformed"),
        ({**FUNCTION, "cases": [{"args": ["1 2 ..."], "expected": 2}]}, "tests_truncated"),
        ({"mode": "unit", "code": "assert f(1) == 2"}, None),
        ({"mode": "unit", "code": "assert f(1 == 2"}, "tests_malformed"),
        ({"mode": "unit", "code": "assert f([1, 2, ...]) == 2"}, "tests_truncated"),
        ({"mode": "stdin", "cases": [{"input": "1 2\n", "output": "3"}]}, None),
        ({"mode": "stdin", "cases": [{"input": "1 2\n", "output": "3 \n4"}]}, "tests_stray_space"),
        ({"mode": "stdin", "cases": [{"input": 12, "output": "3"}]}, "tests_malformed"),
    ],
)
def test_code_rules(tests: dict[str, object] | None, reason: str | None) -> None:
    made = problem("Write f.", None, domain="code", tests=tests, trace="```python\nf = 1\n```")
    assert CODE.reason(made) == reason


def test_code_without_solution() -> None:
    assert CODE.reason(problem("Write f.", None, domain="code", tests=FUNCTION)) == "no_accepted_solution"


def test_every_rule_says_what_it_looks_for() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) > 15
    assert all(rule.about.endswith((".", ")")) or ":" in rule.about for rule in RULES)


def test_a_bad_trace_drops_a_procedural_row_and_only_the_trace_of_another() -> None:
    broken = "We add and"
    sifted = cleanse([row("Find 2+2 now.", trace=broken, procedural=True), row("Find 3+1 now.", trace=broken)])
    assert [d.reason for d in sifted.drops] == ["trace_truncated"]
    assert [r.problem.trace for r in sifted.kept] == [None]
    assert [reason for _, reason in sifted.traces_stripped] == ["trace_truncated"]


def test_benchmarks_keep_all_that_can_be_scored() -> None:
    rows = [row("True or false: 2+2 is 5.", "False", split="eval"), row("What is it then?", None, split="eval")]
    sifted = cleanse(rows)
    assert [r.problem.answer for r in sifted.kept] == ["False"]
    assert [d.reason for d in sifted.drops] == ["missing_answer"]


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("求所有满足条件的整数的和是多少", "zh"),
        ("整数のうち条件を満たすものを求めよ", "ja"),
        ("Найдите сумму всех целых чисел", "ru"),
        ("Trouver le nombre de diviseurs de 12 dans la liste des entiers qui sont pairs.", "fr"),
        ("Bestimmen Sie die Anzahl der Teiler von 12 und die Summe, wenn das Ergebnis nicht ein Quadrat ist.", "de"),
        ("¿Cuántos enteros hay en el conjunto de los divisores de 12 que son pares con la suma?", "es"),
        ("Find the number of divisors of 12 in the list.", "en"),
        ("$\\int_0^1 x^2 \\, dx$", "en"),
        ("In the city of Los Angeles, el Camino Real is 12 miles long. How long is half of it?", "en"),
    ],
)
def test_languages(prompt: str, language: str) -> None:
    assert language_of(prompt) == language
    assert cleanse([row(prompt)], languages=[language]).drops == []
    reasons = [d.reason for d in cleanse([row(prompt)], languages=["xx"]).drops]
    assert reasons == ["other_language"]


def test_tests_at_fault_in_some_cases_lose_those_cases() -> None:
    cases = [{"input": "1 2 \r\n", "output": "3\n"}, {"input": "1 2 ...", "output": "6\n"}]
    tests = {"mode": "stdin", "language": "python", "cases": cases}
    made = row("Add the numbers.", None, domain="code", tests=tests, trace="```python\nprint(3)\n```")
    sifted = cleanse([made])
    assert [reason for _, reason in sifted.mended] == ["tests_truncated"]
    assert (made.problem.tests or {})["cases"] == [{"input": "1 2\n", "output": "3\n"}]
    all_cut = row(
        "Add the numbers.", None, domain="code", tests={**tests, "cases": cases[1:]}, trace="```python\n3\n```"
    )
    assert [d.reason for d in cleanse([all_cut]).drops] == ["tests_truncated"]


def test_pictures_that_the_source_counts() -> None:
    assert PROMPTS.reason(problem("Find the sum.", labels={"pictures": "2"})) == "image_needed"
    assert PROMPTS.reason(problem("Find the sum.", labels={"pictures": "0"})) is None


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ("设 $g(x)=2x-1$，则 $g(3)=$（ ）\n（A）$4$\n（B）$5$\n（C）$6$\n（D）$7$", "B", "multiple_choice"),
        ("下列各数中最大的是( ) A. -5 B. 2 C. 0 D. 1", "2", "multiple_choice"),
        ("如下图，三角形的面积是多少？", "6", "image_needed"),
        ("根据图2，求电流的大小。", "3", "image_needed"),
        ("已知圆的半径为3。（1）求周长；（2）求面积。", "6π", "multi_part"),
        ("求证：任意奇数的平方减一能被八整除。", "略", "proof"),
        ("请判断正误：零是自然数。", "对", "true_false"),
        ("两个偶数的和一定是偶数。", "正确", "true_false"),
        ("九是质数吗？", "不是", "yes_no"),
        ("请简述勾股定理的内容。", "见解析", "open_question"),
        ("由上题可知船上还剩几箱？", "3", "leans_on_another"),
        ("小明有12个苹果，又买了5个，现在他一共有多少个苹果？", "17", None),
        ("甲、乙两地相距360千米，汽车每小时行60千米，几小时到达？", "6", None),
        ("求函数 y = x^2 的图象与直线 y = 4 的交点个数。", "2", None),
        ("下列说法正确的是", "A", "choices_missing"),
        ("这句话是真命题还是假命题：两个奇数的和是偶数。", "真命题", "true_false"),
        ("根据（2）的结论，求数列的第五项。", "9", "leans_on_another"),
        ("观察下表，求第六个数。", "21", "image_needed"),
        ("观察下表，求 y。\n| x | 1 | 2 |\n| y | 3 | ? |", "6", None),
        ("正方体的上表面积为3，它的表面积是多少？", "18", None),
        ("x 满足（1）x>3，（2）x<5，由（1）和（2）得整数 x 是多少？", "4", None),
    ],
)
def test_rules_in_chinese(prompt: str, answer: str, reason: str | None) -> None:
    made = problem(prompt, answer)
    assert (PROMPTS.reason(made) or ANSWERS.reason(made)) == reason
    assert language_of(prompt) == "zh"


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ("Which expression equals $b+b$: (F) $b^2$ (G) $2b$ (H) $2+b$ (J) $b$ (K) $1$", "G", "multiple_choice"),
        ("Choose the best answer: half of 14 is (p) 5 (q) 6 (r) 7", "7", "multiple_choice"),
        ("Select the correct option for 2 + 2: L) 3 M) 4 N) 5", "4", "multiple_choice"),
        ("Find the correct answer, where (a) x > 2, (b) x < 4 and x is whole.", "3", None),
        ("Choose: sqrt(8) is A. 2 sqrt 2 B. 4 C. 3", "A. 2 sqrt 2", "multiple_choice"),
        ("Let ABC satisfy $\\cos(3A)+\\cos(3B)+\\cos(3C)=1.$ Find the angle.", "120", None),
        (
            "Does the series of 1/n^2 converge absolutely, conditionally, or not at all?",
            "absolutely",
            "multiple_choice",
        ),
        ("Is 12 or 15 the larger sum of the digits?", "15", None),
        ("Is the map continuous? Output 1 for yes and 0 for no.", "1", "yes_no"),
        ("Does it halt? Print 1 if it does, otherwise 0.", "0", "yes_no"),
        ("Let f(n) = 1 if n is prime and 0 otherwise. Find the sum of f(n) for n up to 10.", "4", None),
        ("Are two of the lines the same?", "Yes. Two of them coincide.", "yes_no"),
        ("How many are there?", "No solution", None),
        ("Which of the following is a prime?", "7", "choices_missing"),
        ("Which of the following is a prime: 9, 10, or 11?", "11", None),
        ("The quadratic has two roots. What is the sum of these roots?", "3", None),
        ("Let $T=TNYWR$. Find $2T$.", "6", "leans_on_another"),
        ("(Continuing from the preceding problem) How many are left?", "3", "leans_on_another"),
        ("Use Theorem 2.1 to find the limit of the series.", "3", "leans_on_another"),
        ("A ship has 9 crates more than the one above it. How many has it?", "3", None),
        ("Why can one not divide by zero?", "It has no inverse.", "open_question"),
        ("When is the ball highest?", "The ball is highest after 10 seconds.", "answer_is_prose"),
        ("Name the colours.", "red, white, blue, green, black, brown, yellow, grey, pink", None),
        ("What is the set of all x?", "all real numbers except 2", None),
    ],
)
def test_guessed_leaning_and_open_prompts(prompt: str, answer: str, reason: str | None) -> None:
    made = problem(prompt, answer)
    assert (PROMPTS.reason(made) or ANSWERS.reason(made)) == reason


@pytest.mark.parametrize(
    ("prompt", "needed"),
    [
        ("Fig. 3b shows the tone at each pitch. How long is its period?", True),
        ("Figure P7 shows a tile. How many corners has it?", True),
        ("Find the stiffness of the net of springs shown below.", True),
        ("Find the mean voltage of the curve in figure.", True),
        ("The marks are in the pie chart shown. What is their mean?", True),
        ("The lines of Figure 5-1 hold for it. At what angle does it fall?", True),
        ("See Fig. 12. What is the force on the beam?", True),
        ("Solve the equation shown below: $$x + 2 = 5$$", False),
        ("The two cycles of $$1, 2, 1, 0$$ are shown above. Find the tenth number.", False),
        ("The graph of $y = x$ meets the circle. At how many points?", False),
        ("Ann draws 9 pictures a day. How many pictures does she draw in the pictures' week?", False),
        ("In a figure skating contest 5 judges vote. How many votes are there?", False),
        ("How many three-figure numbers are even?", False),
        ("They dig on the island marked X on a map, 10 holes a day. How many in 3 days?", False),
        ("The graph of $y = g(x)$ is shown. What is $g(2)$?", True),
        ("The graph of $y = g(x)$ is shown to be symmetric about $x = 1$, and $g(0) = 3$. What is $g(2)$?", False),
        ("The graphs of $y = x$ and $y = x^2$ are drawn. Where do they meet?", False),
        ("Refer to the table below. What is the mean price?", True),
        ("Use the table below.\n| x | y |\n| 1 | 2 |\nWhat is y where x is 1?", False),
    ],
)
def test_figures_that_the_words_point_at(prompt: str, needed: bool) -> None:
    assert (PROMPTS.reason(problem(prompt)) == "image_needed") == needed


def test_a_picture_of_a_programming_task_illustrates_unless_it_stands_alone() -> None:
    told = "Given a tree with n vertices, print the number of its leaves. Input: n, then n - 1 edges.\n![](t.png)"
    tests = {"mode": "stdin", "cases": [{"input": "1\n", "output": "1\n"}]}
    assert PROMPTS.reason(problem(told, None, domain="code", tests=tests)) is None
    assert PROMPTS.reason(problem("Solve this task.\n![](t.png)", None, domain="code", tests=tests)) == "image_needed"


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("若 z=\\frac{1+2 \\mathrm{i}}{3-\\mathrm{i}}, 则 z \\cdot \\bar{z}=", "zh"),
        ("ABCD 为平行四边形, AB=3, 求 AC", "zh"),
        ("What does the sign 中 mean in this sentence?", "en"),
        ("設 x を実数とする", "ja"),
        ("Найдите x, если \\sin x = 1 и AB = CD.", "ru"),
    ],
)
def test_formulas_say_nothing_of_the_language(prompt: str, language: str) -> None:
    assert language_of(prompt) == language

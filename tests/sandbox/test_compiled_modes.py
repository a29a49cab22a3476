"""C++ and Java judged by calls and by test code: arguments by the types of the parameters, and no forged pass."""

import os
import shutil

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.sources import code_only, sources_of

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
TOOLS = {"cpp": "g++", "java": "javac"}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=5, memory_mb=256, isolation="none")) as opened:
        yield opened


def judged(sandbox, language, program, **tests):
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"no compiler for {language} here ({TOOLS[language]})")
    return sandbox.run(Submission(program, {"language": language, **tests}))


def calls(sandbox, language, program, *cases, entry="f"):
    listed = [{"args": list(args), "expected": expected} for *args, expected in cases]
    return judged(sandbox, language, program, mode="function", entry_point=entry, cases=listed)


KINDS = {
    "cpp": """
/* struct ListNode { int val; }; as LeetCode gives it */
#define int long long
#define all(x) begin(x), end(x)
class Solution {
  vector<string> kept;
public:
  map<string, double> f(vector<vector<int>> &rows, const string &name, double scale, bool twice, char sign,
                        ListNode *list, TreeNode *tree, unordered_map<int, string> names) {
    cout << "noise" << endl;
    map<string, double> made;
    for (auto &row : rows) for (int x : row) made[name] += x * scale * (twice ? 2 : 1) * (sign == '-' ? -1 : 1);
    for (; list; list = list->next) made["list"] += list->val;
    made["tree"] = tree->right->left->val + names[7].size();
    return made;
  }
};
signed main() { return 0; }
""",
    "java": """
package of.mine;
public class Solution {
  public Map<String, Double> f(long[][] rows, String name, double scale, boolean twice, char sign,
                               ListNode list, TreeNode tree, Map<Integer, String> names) {
    System.out.println("noise");
    Map<String, Double> made = new TreeMap<>();
    for (long[] row : rows) for (long x : row)
      made.merge(name, x * scale * (twice ? 2 : 1) * (sign == '-' ? -1 : 1), Double::sum);
    for (; list != null; list = list.next) made.merge("list", (double) list.val, Double::sum);
    made.put("tree", (double) tree.right.left.val + names.get(7).length());
    return made;
  }
  public static void main(String[] args) {}
}
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("language", KINDS)
def test_arguments_take_the_types_of_the_parameters(sandbox, language):
    args = [[[1, 2], [3]], 'a "name"\u00e9', 0.5, True, "-", [1, 2, 3], [1, None, 2, 9], {"7": "seven"}]
    expected = {'a "name"\u00e9': -6.0, "list": 6, "tree": 14}
    verdict = calls(sandbox, language, KINDS[language], (*args, expected))
    assert verdict.accepted, verdict
    verdict = calls(sandbox, language, KINDS[language], (*args, expected | {"list": 7}))
    assert (verdict.verdict, verdict.failed_case) == ("wrong answer", 0)


CPP_CALLS = [
    ("int f(int a, int b) { return a + b; }", "accepted"),
    ("struct Solution { long f(int a, int b) const { return a + b; } };", "accepted"),
    ("class Solution { public: static int f(int a, int b) { return a + b; } };", "accepted"),
    ("int f(int a, int b) { return a - b; }", "wrong answer"),
    ("int f(int a, int b) { if (a == 5) exit(0); return a + b; }", "runtime error"),
    ("int f(int a, int b) { throw runtime_error(\"no\"); }", "runtime error"),
    ("int f(int a, int b) { for (;;) usleep(1000); }", "time limit"),
    ("int f(int a) { return a; }", "runtime error"),
    ("int g(int a, int b) { return a + b; }", "compile error"),
    ("struct Own {}; Own f(int a, int b) { return {}; }", "compile error"),
    ("def f(a, b): return a + b", "compile error"),
    ("static int x = (puts(\"[3]\"), write(1, \"3\\n8\\n\", 4));\nint f(int a, int b) { return 0; }", "wrong answer"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("program", "verdict"), CPP_CALLS)
def test_cpp_function_mode(sandbox, program, verdict):
    assert calls(sandbox, "cpp", program, (1, 2, 3), (5, 3, 8)).verdict == verdict


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("int f(int a, int b) { return a + b; }", "accepted"),
        ("static long f(long a, Integer b) { return a + b; }", "accepted"),
        ("int f(int a) { return 0; } int f(int a, int b) { return a + b; }", "accepted"),
        ("int f(int a, int b) { return a * b; }", "wrong answer"),
        ("int f(int a, int b) { System.exit(0); return 3; }", "runtime error"),
        ("int f(int a, String b) { return 3; }", "runtime error"),
        ("Object f(int a, int b) { return new Object(); }", "runtime error"),
        ("int f(int a, int b) { return c; }", "compile error"),
    ],
)
def test_java_function_mode(sandbox, body, verdict):
    assert calls(sandbox, "java", f"class Solution {{ {body} }}", (1, 2, 3), (5, 3, 8)).verdict == verdict


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "program"),
    [
        ("cpp", "class Solution { public: void f(vector<int>& a) { sort(a.begin(), a.end()); } };"),
        ("java", "class Solution { void f(int[] a) { Arrays.sort(a); } }"),
    ],
)
def test_a_function_that_returns_nothing_answers_with_its_first_argument(sandbox, language, program):
    assert calls(sandbox, language, program, ([3, 1, 2], [1, 2, 3])).accepted
    assert not calls(sandbox, language, program, ([3, 1, 2], [3, 1, 2])).accepted


CPP_TESTS = "#undef NDEBUG\n#include <assert.h>\nint main() {\n    assert(f(vector<int>{1, 2}) == 3);\n}\n"
JAVA_TESTS = (
    "public class Main {\n    public static void main(String[] args) {\n        Solution s = new Solution();\n"
    "        List<Boolean> right = Arrays.asList(s.f(List.of(1, 2)) == 3);\n"
    "        if (right.contains(false)) throw new AssertionError();\n    }\n}\n"
)
SUM = {
    "cpp": "#include <vector>\nint f(std::vector<int> a) { int s = 0; for (int x : a) s += x; return s; }",
    "java": "import java.util.List;\n"
    "class Solution { int f(List<Integer> a) { int s = 0; for (int x : a) s += x; return s; } }",
}  # fmt: skip
STATEMENTS = {
    "cpp": "assert(f({1, 2}) == 3);\nassert(f({}) == 0);",
    "java": "assert new Solution().f(List.of(1, 2)) == 3;\nassert new Solution().f(List.of()) == 0;",
}


@pytest.mark.slow
@pytest.mark.parametrize("language", SUM)
def test_test_code_with_a_main_or_as_statements(sandbox, language):
    whole = CPP_TESTS if language == "cpp" else JAVA_TESTS
    for code in (whole, STATEMENTS[language]):
        assert judged(sandbox, language, SUM[language], mode="unit", code=code).accepted
        wrong = judged(sandbox, language, SUM[language].replace("s = 0", "s = 1"), mode="unit", code=code)
        assert wrong.verdict == "wrong answer", wrong


FORGERIES = {
    "cpp": {
        "exit before main": "static int x = (exit(0), 0); int f(vector<int> a) { return 0; }",
        "exit in the call": "int f(vector<int> a) { _exit(0); }",
        "a handler of the abort": "static auto h = signal(SIGABRT, [](int) { _exit(0); });\n"
        "int f(vector<int> a) { return 0; }",
        "assert as a macro": "#define assert(x) ((void)0)\n#include <vector>\nint f(std::vector<int> a) { return 0; }",
        "if as a macro": "#define if(x) if (true)\n#define\\\n main nothing\nint f(vector<int> a) { return 0; }",
        "another digraph": "%:define assert(x)\nint f(vector<int> a) { return 0; }",
        "an operator of its own": "vector<int> f(vector<int> a) { return {}; }\n"
        "bool operator==(const vector<int> &, int) { return true; }",
        "a driver of its own": "namespace RINGLITE { inline void failed(int, const char *) {} }\n"
        "int f(vector<int> a) { return 0; }",
        "all it was given": 'static int x = ([] { string s; getline(cin, s); cout << s << flush; exit(0); }(), 0);\n'
        "int f(vector<int> a) { return 0; }",
        "its input read again": "static int x = ([] { char b[99]; auto n = pread(0, b, 99, 0);\n"
        "for (int o = 1; o < 9; o++) write(o, b, n); _exit(0); }(), 0); int f(vector<int> a) { return 0; }",
        "its input read first": "#include <sys/syscall.h>\n__attribute__((constructor(100))) static void first() {\n"
        "char b[99]; write(1, b, pread(0, b, 99, 0)); _exit(0); }\nint f(vector<int> a) { return 0; }",
        "a read of its own": "#include <sys/syscall.h>\nextern \"C\" ssize_t read(int o, void *b, size_t n) {\n"
        "n = syscall(SYS_read, o, b, n); for (o = 1; o < 9; o++) write(o, b, n); _exit(0); }\n"
        "int f(vector<int> a) { return 0; }",
        "a main of its own": "int main() { puts(\"passed\"); exit(0); }\nint f(vector<int> a) { return 0; }",
    },
    "java": {
        "exit in the call": "class Solution { int f(List<Integer> a) { System.exit(0); return 0; } }",
        "halt in the call": "class Solution { int f(List<Integer> a) { Runtime.getRuntime().halt(0); return 0; } }",
        "exit at load": "class Solution { static { System.exit(0); } int f(List<Integer> a) { return 0; } }",
        "a list of its own": "class Arrays { static <T> List<T> asList(T... all) { return new ArrayList<>(); } }\n"
        "class Solution { int f(List<Integer> a) { return 0; } }",
        "a driver of its own": "class RingliteDriver { public static void main(String[] a) {} }\n"
        "class Solution { int f(List<Integer> a) { return 0; } }",
        "tests of its own": "class RingliteTests { public static void main(String[] a) {} }\n"
        "class Solution { int f(List<Integer> a) { return 0; } }",
        "its input read again": "import java.io.*; class Solution { int f(List<Integer> a) { try {\n"
        "FileInputStream in = new FileInputStream(FileDescriptor.in); in.getChannel().position(0);\n"
        "String all = new String(in.readAllBytes()); int at = all.lastIndexOf(\"\\\"\");\n"
        "FileOutputStream out = new FileOutputStream(FileDescriptor.out); \n"
        "out.write(all.substring(at - 32, at).getBytes());\n"
        "out.flush(); } catch (Exception e) {} Runtime.getRuntime().halt(0); return 0; } }",
        "all it was given": "class Solution { int f(List<Integer> a) { try { System.in.transferTo(new "
        "java.io.FileOutputStream(java.io.FileDescriptor.out)); } catch (Exception e) {} System.exit(0); return 0; } }",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("language", FORGERIES)
def test_no_forged_pass(sandbox, language):
    code = CPP_TESTS if language == "cpp" else JAVA_TESTS
    for name, program in FORGERIES[language].items():
        verdict = judged(sandbox, language, program, mode="unit", code=code)
        assert verdict.verdict not in ("accepted", "sandbox error"), (name, verdict)


def test_comments_and_strings_are_not_code():
    code = 'int a; // struct ListNode {\n/* class\n B */ char *s = "class C {"; char c = \'"\';'
    assert len(code_only(code)) == len(code)
    assert code_only(code).split() == ["int", "a;", "char", "*s", "=", ";", "char", "c", "=", ";"]
    sources = sources_of("cpp", "struct ListNode { int val; };", {"mode": "function", "entry_point": "f"})
    assert sources.files["main.cpp"].count("struct ListNode {") == 1

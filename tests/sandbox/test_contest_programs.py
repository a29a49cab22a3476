"""Right programs as contest archives hold them, with many ways to read, write and recurse, are accepted."""

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level
from ringlite_cli.sandbox.languages import CPP, RECIPES, code_only, has_compiler, java_class

pytestmark = pytest.mark.skipif(isolation_level().level == "none", reason=f"isolation here is {isolation_level()}")

# Every program reads a count and so many numbers, and prints their sum.
SUM = "print(sum(map(int, input().split())))"
PYTHON = {
    "lines": "input()\n" + SUM,
    "alias": "import sys\ninput = sys.stdin.readline\ninput()\n" + SUM,
    "open(0)": "n, *a = map(int, open(0).read().split())\nprint(sum(a))",
    "buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split()[1:])))",
    "os.read": "import os, io\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\ninput()\n" + SUM,
    "replaced streams": "import os, sys, atexit\nfrom io import BytesIO\nsys.stdin = BytesIO(os.read(0, 1 << 25))\n"
    "sys.stdout = BytesIO()\natexit.register(lambda: os.write(1, sys.stdout.getvalue()))\nsys.stdin.readline()\n"
    "sys.stdout.write(b'%d' % sum(map(int, sys.stdin.readline().split())))",
    "fileinput": "import fileinput\nprint(sum(int(w) for w in list(fileinput.input())[1].split()))",
    "end of file": "s = -int(input())\ntry:\n    while True: s += sum(map(int, input().split()))\n"
    "except EOFError: print(s + 3)",
    "a name for the input": "a = open('/dev/stdin').read().split()\nprint(sum(map(int, a[1:])))",
    "numpy and a name": "import numpy\nprint(numpy.loadtxt('/dev/stdin', dtype=int, skiprows=1).sum())",
    "recursion": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\ninput()\n"
    "a = list(map(int, input().split()))\ndef f(i): return i and f(i - 1)\n"
    "threading.Thread(target=lambda: print(sum(a) + f(100000))).start()",
    "decorated recursion": "import sys\nfrom functools import cache\nsys.setrecursionlimit(1 << 30)\n"
    "@cache\ndef f(i): return i and f(i - 1)\ninput()\nprint(sum(map(int, input().split())) + f(50000))",
    "finalizer": "class D:\n    def __del__(self): print(sum(self.v))\nd = D()\ninput()\n"
    "d.v = list(map(int, input().split()))\nd.itself = d",
    "finalizer of a program that exits": "import sys\nclass D:\n    def __del__(self): print(sum(self.v))\nd = D()\n"
    "input()\nd.v = list(map(int, input().split()))\nsys.exit()",
    "async": "import asyncio\nasync def main():\n    input()\n    " + SUM + "\nasyncio.run(main())",
    "pool of threads": "from concurrent.futures import ThreadPoolExecutor\ninput()\n"
    "with ThreadPoolExecutor(4) as pool: print(sum(pool.map(int, input().split())))",
    "exact": "from fractions import Fraction\nfrom decimal import Decimal\ninput()\n"
    "print(sum(map(Fraction, input().split())) + int(Decimal('1E5')) - 10**5)",
    "closed output": "import sys\ninput()\n" + SUM + "\nsys.stdout.close()",
    "blanks": "input()\nprint(sum(map(int, input().split())), end=' \\n\\n')",
    "names of the library": "size = data = list_ = 0\nместо = input()\n" + SUM,
}
READ = "int n; cin >> n; long long s = 0, x; for (int i = 0; i < n; i++) { cin >> x; s += x; }"
STD = "#include <iostream>\n#include <cstdio>\nusing namespace std;\n"
CPP_PROGRAMS = {
    "names that C++17 took": STD + f"int size, data[9]; typedef unsigned char byte; byte b;\n"
    f"int main() {{ {READ} size = data[0] = b = 0; cout << s + size; }}",
    "words that C++20 took": STD + f"int main() {{ auto [concept, requires] = pair(1, 1); {READ} cout << s; }}",
    "exception specification": STD + "int zero() throw(int) { return 0; }\n"
    f"int main() {{ {READ} cout << s + zero(); }}",
    "gets": "#include <cstdio>\n#include <cstring>\n#include <cstdlib>\nchar l[999]; int main() { gets(l); gets(l); "
    'int s = 0; for (char *p = strtok(l, " "); p; p = strtok(0, " ")) s += atoi(p); printf("%d", s); }',
    "C++23": STD + f'int main() {{ {READ} cout << s + string("a").contains("b"); }}',
    "a name for the input": STD + 'int main() { if (!freopen("/dev/stdin", "r", stdin)) return 1; '
    f"{READ} cout << s; }}",
    "pragmas, trees, registers": '#pragma GCC optimize("O3,unroll-loops")\n#pragma GCC target("avx2")\n'
    + STD
    + "#include <ext/pb_ds/assoc_container.hpp>\nusing namespace __gnu_pbds;\n"
    "tree<long long, null_type, less_equal<>, rb_tree_tag, tree_order_statistics_node_update> t;\n"
    f"int main() {{ ios::sync_with_stdio(false); cin.tie(nullptr); {READ} t.insert(s); cout << *t.begin() << endl; }}",
    "stack of a thread": STD + "#include <pthread.h>\nlong long f(int i) { volatile char c[200]; c[0] = 0; "
    "return i ? f(i - 1) + c[0] : 0; }\n"
    f"void *go(void *) {{ {READ} cout << s + f(300000); return 0; }}\n"
    "int main() { pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 256 << 20); pthread_t p; "
    "if (pthread_create(&p, &a, go, 0)) return 1; pthread_join(p, 0); }",
}
SCAN = "Scanner in = new Scanner(System.in); int n = in.nextInt(); long s = 0; while (n-- > 0) s += in.nextLong();"
MAIN = f"public static void main(String[] a) {{ {SCAN} System.out.println(s); }}"
JAVA_PROGRAMS = {
    "stack of a thread": "import java.util.*;\npublic class Main implements Runnable {\n"
    "int f(int i) { return i == 0 ? 0 : f(i - 1); }\n"
    f"public void run() {{ {SCAN} System.out.println(s + f(100000)); }}\n"
    'public static void main(String[] a) { new Thread(null, new Main(), "", 1 << 28).start(); } }',
    "text blocks": 'import java.util.*;\nclass A { String t = """\n } public class No { " {{\n """; }\n'
    f"public class Yes {{ {MAIN} }}",
    "a name for the input": "import java.util.*;\npublic class Main { public static void main(String[] a) throws "
    'Exception { Scanner in = new Scanner(new java.io.File("/dev/stdin")); int n = in.nextInt(); long s = 0; '
    "while (n-- > 0) s += in.nextLong(); System.out.println(s); } }",
    "tokens, a writer, an odd name": "import java.io.*;\npublic class _1A$ { public static void main(String[] a) "
    "throws IOException { StreamTokenizer t = new StreamTokenizer(System.in); t.nextToken(); double s = 0; "
    "while (t.nextToken() != StreamTokenizer.TT_EOF) s += t.nval; PrintWriter w = new PrintWriter(System.out); "
    "w.println((long) s); w.close(); } }",
    "records, a package, streams": "package a.b;\nimport java.util.*;\npublic class Main { record P(long v) {}\n"
    "public static void main(String... a) throws Exception { var w = new String(System.in.readAllBytes()).split"
    '("\\\\s+"); System.out.println(Arrays.stream(w).skip(1).map(t -> new P(Long.parseLong(t))).mapToLong(P::v)'
    ".sum()); System.exit(0); } }",
}


def refused(language, programs):
    tests = {"mode": "stdin", "language": language, "cases": [{"input": "3\n5 -7 9\n", "output": "7\n"}]}
    with Sandbox(SandboxSettings(workers=2)) as sandbox:
        judged = sandbox.run_many([Submission(program, tests) for program in programs.values()])
    return {name: verdict for name, verdict in zip(programs, judged, strict=True) if not verdict.accepted}


def test_python():
    assert refused("python", PYTHON) == {}


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler("cpp"), reason="no g++")
def test_cpp():
    assert refused("cpp", CPP_PROGRAMS) == {}


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler("java"), reason="no javac")
def test_java():
    assert refused("java", JAVA_PROGRAMS) == {}


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ("main.cpp:1:1: error: reference to ‘size’ is ambiguous", ["17", "14"]),
        ("main.cpp:1:1: error: expected unqualified-id before ‘concept’", ["17"]),
        ("main.cpp:1:1: error: ‘gets’ was not declared in this scope", ["11"]),
        ("main.cpp:1:1: error: ‘cuot’ was not declared in this scope", []),
        ("main.cpp:1:1: error: ‘x’ was not declared in this scope\nmain.cpp:2:1: error: expected ‘;’", ["17"]),
        ("main.cpp:1:1: fatal error: iostream.h: No such file or directory", []),
    ],
)
def test_another_version_of_cpp_is_tried_only_where_it_may_help(said, flags):
    tried = [part[-2:] for command in RECIPES[CPP].compilers(said) for part in command if part.startswith("-std=")]
    assert tried == flags


def test_what_is_code_and_what_is_text():
    assert java_class('class A { String t = """\n" public class B { """; }\npublic class C {}') == "C"
    assert "int main" in code_only('auto t = R"x(" \' /* int main )x"; int main() {}')
    assert code_only('R"(int main)"').strip() == ""
    assert code_only("int n = 1'000; char c = '{'; // }").count("{") == 0
    assert "{" not in code_only("auto c = u8'{';")

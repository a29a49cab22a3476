// Stands between a C++ program and its test code in mode unit. An assertion that fails ends the process with 98, and
// operators that the program defines for types that are not its own are hidden from the tests.
namespace RINGLITE {
[[noreturn]] static void failed(int line, const char *what) {
    fprintf(stderr, "line %d of the tests: %s\n", line, what);
    fflush(nullptr);
    _exit(98);
}
struct Hidden {};
bool operator==(Hidden, Hidden);
bool operator!=(Hidden, Hidden);
bool operator<(Hidden, Hidden);
bool operator>(Hidden, Hidden);
bool operator<=(Hidden, Hidden);
bool operator>=(Hidden, Hidden);
}  // namespace RINGLITE
#undef assert
#define assert(...) ((__VA_ARGS__) ? void() : RINGLITE::failed(__LINE__, #__VA_ARGS__))

// Stands behind a C++ program: the first thing that runs. It puts the real standard output aside (what the program
// prints goes to its error stream), reads all of standard input and leaves nothing there. RINGLITE is a name that the program cannot know.
namespace RINGLITE {
static int answers;
static char *given;
static size_t given_size;

__attribute__((constructor(101))) static void begin() {
    answers = dup(1);
    dup2(2, 1);
    size_t room = 1 << 16;
    given = static_cast<char *>(malloc(room));
    for (ssize_t more; (more = read(0, given + given_size, room - given_size)) > 0;) {
        given_size += static_cast<size_t>(more);
        if (given_size == room) given = static_cast<char *>(realloc(given, room *= 2));
    }
    if (ftruncate(0, 0) == 0) lseek(0, 0, SEEK_SET);
}

static void say(const std::string &line) {
    for (size_t done = 0; done < line.size();) {
        ssize_t more = write(answers, line.data() + done, line.size() - done);
        if (more <= 0) _exit(1);
        done += static_cast<size_t>(more);
    }
}
}  // namespace RINGLITE

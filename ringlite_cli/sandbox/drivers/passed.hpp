// Stands behind C++ test code in mode unit: the tests ran to their end, so the word that came as input is told, unless it
// is one of those (the sum of its letters is odd) with which the tests must fail.
int main() {
    RINGLITE::RINGLITE_TESTS;
    std::string word(RINGLITE::given, RINGLITE::given_size);
    if (std::accumulate(word.begin(), word.end(), 0) % 2) RINGLITE::failed(0, "the end");
    RINGLITE::say(word);
    fflush(nullptr);
    _exit(0);
}

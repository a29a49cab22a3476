// Stands behind a C++ program in mode function: reads a JSON list of argument lists, converts each argument to the
// type of the function's parameter, and writes what the function returned as a line of JSON. A function that returns
// nothing answers with its first argument.
namespace RINGLITE {
struct Json {
    enum Kind { nothing, boolean, number, text, list, object } kind = nothing;
    bool truth = false;
    std::string word;  // a number as it is written, or a text
    std::vector<Json> items;
    std::vector<std::string> keys;
};

[[noreturn]] static void refuse(const std::string &why) { throw std::invalid_argument("ringlite: " + why); }

struct Reader {
    const char *at, *end;

    void skip() {
        while (at < end && std::strchr(" \t\r\n", *at)) ++at;
    }
    char next() {
        if (at == end) refuse("the arguments end early");
        return *at++;
    }
    void expect(char wanted) {
        skip();
        if (next() != wanted) refuse("the arguments are not JSON");
    }
    static void append(std::string &word, unsigned point) {
        if (point < 0x80) {
            word += static_cast<char>(point);
            return;
        }
        int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
        word += static_cast<char>((0xFF00 >> (more + 1) & 0xFF) | point >> 6 * more);
        while (more--) word += static_cast<char>(0x80 | (point >> 6 * more & 0x3F));
    }
    unsigned hex() {
        unsigned point = 0;
        for (int digit = 0; digit < 4; ++digit) point = point * 16 + std::stoul(std::string(1, next()), nullptr, 16);
        return point;
    }
    std::string string() {
        std::string word;
        for (char c = next(); c != '"'; c = next()) {
            if (c != '\\') {
                word += c;
                continue;
            }
            c = next();
            const char *named = std::strchr("b\bf\fn\nr\rt\t", c);
            if (c == 'u') {
                unsigned point = hex();
                if (point >= 0xD800 && point < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
                    at += 2;
                    point = 0x10000 + ((point - 0xD800) << 10) + (hex() - 0xDC00);
                }
                append(word, point);
            } else {
                word += named ? named[1] : c;
            }
        }
        return word;
    }
    Json value() {
        skip();
        Json made;
        char first = next();
        if (first == '"') {
            made.kind = Json::text;
            made.word = string();
        } else if (first == '[' || first == '{') {
            made.kind = first == '[' ? Json::list : Json::object;
            char close = first == '[' ? ']' : '}';
            for (skip(); at < end && *at != close; skip()) {
                if (!made.items.empty()) expect(',');
                if (first == '{') {
                    expect('"');
                    made.keys.push_back(string());
                    expect(':');
                }
                made.items.push_back(value());
            }
            expect(close);
        } else {
            made.word = first;
            while (at < end && (std::isalnum(static_cast<unsigned char>(*at)) || std::strchr("+-.", *at))) {
                made.word += *at++;
            }
            made.kind = made.word == "null" ? Json::nothing : Json::number;
            if (made.word == "true" || made.word == "false") {
                made.kind = Json::boolean;
                made.truth = made.word == "true";
            }
        }
        return made;
    }
};

static std::string json_text(const std::string &text) {
    std::string made = "\"";
    char code[8];
    for (unsigned char c : text) {
        if (c == '"' || c == '\\') {
            made += '\\';
            made += static_cast<char>(c);
        } else if (c < 0x20) {
            std::snprintf(code, sizeof code, "\\u%04x", c);
            made += code;
        } else {
            made += static_cast<char>(c);
        }
    }
    return made + "\"";
}

// Convert<T>::read makes a T of JSON, Convert<T>::write makes JSON of a T.
template <class T, class = void>
struct Convert {
    static_assert(sizeof(T) == 0, "ringlite: a parameter or result of this type cannot be made from JSON");
};

template <class T>
struct Convert<T, std::enable_if_t<std::is_arithmetic_v<T>>> {
    static T read(const Json &json) {
        if constexpr (std::is_same_v<T, bool>) {
            return json.kind == Json::boolean ? json.truth : std::strtod(json.word.c_str(), nullptr) != 0;
        } else if constexpr (std::is_same_v<T, char>) {
            if (json.kind == Json::text) return json.word.empty() ? '\0' : json.word[0];
            return static_cast<char>(std::stoi(json.word));
        } else {
            if (json.kind == Json::boolean) return static_cast<T>(json.truth);
            if (json.kind != Json::number) refuse("an argument is not the number that its parameter asks for");
            if constexpr (std::is_floating_point_v<T>) return static_cast<T>(std::strtold(json.word.c_str(), nullptr));
            if (json.word.find_first_of(".eE") != std::string::npos) return static_cast<T>(std::stold(json.word));
            if constexpr (std::is_unsigned_v<T>) return static_cast<T>(std::stoull(json.word));
            return static_cast<T>(std::stoll(json.word));
        }
    }
    static std::string write(const T &value) {
        if constexpr (std::is_same_v<T, bool>) {
            return value ? "true" : "false";
        } else if constexpr (std::is_same_v<T, char>) {
            return json_text(std::string(1, value));
        } else if constexpr (std::is_floating_point_v<T>) {
            if (std::isnan(value)) return "NaN";
            if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
            char text[40];
            std::snprintf(text, sizeof text, "%.17g", static_cast<double>(value));
            return std::strpbrk(text, ".e") ? text : std::string(text) + ".0";
        } else {
            return std::to_string(value);
        }
    }
};

template <>
struct Convert<std::string> {
    static std::string read(const Json &json) {
        if (json.kind != Json::text) refuse("an argument is not the text that its parameter asks for");
        return json.word;
    }
    static std::string write(const std::string &value) { return json_text(value); }
};

template <>
struct Convert<const char *> {
    static std::string write(const char *value) { return json_text(value); }
};

template <class T>
static std::string write(const T &value) {
    return Convert<std::decay_t<T>>::write(value);
}

template <class Range>
static std::string write_all(const Range &range) {
    std::string made = "[";
    for (const auto &item : range) {
        if (made.size() > 1) made += ',';
        made += write(static_cast<const typename Range::value_type &>(item));
    }
    return made + "]";
}

template <class C>
struct ConvertMany {
    static C read(const Json &json) {
        if (json.kind != Json::list) refuse("an argument is not the list that its parameter asks for");
        C made;
        for (const Json &item : json.items) made.insert(made.end(), Convert<typename C::value_type>::read(item));
        return made;
    }
    static std::string write(const C &value) { return write_all(value); }
};
template <class T> struct Convert<std::vector<T>> : ConvertMany<std::vector<T>> {};
template <class T> struct Convert<std::deque<T>> : ConvertMany<std::deque<T>> {};
template <class T> struct Convert<std::list<T>> : ConvertMany<std::list<T>> {};
template <class T> struct Convert<std::set<T>> : ConvertMany<std::set<T>> {};
template <class T> struct Convert<std::multiset<T>> : ConvertMany<std::multiset<T>> {};
template <class T> struct Convert<std::unordered_set<T>> : ConvertMany<std::unordered_set<T>> {};

template <class T, size_t N>
struct Convert<std::array<T, N>> {
    static std::array<T, N> read(const Json &json) {
        if (json.kind != Json::list || json.items.size() != N) refuse("an argument is a list of another length");
        std::array<T, N> made;
        for (size_t place = 0; place < N; ++place) made[place] = Convert<T>::read(json.items[place]);
        return made;
    }
    static std::string write(const std::array<T, N> &value) { return write_all(value); }
};

template <class Tuple>
struct ConvertTuple {
    template <size_t... I>
    static Tuple make(const Json &json, std::index_sequence<I...>) {
        if (json.kind != Json::list || json.items.size() != sizeof...(I)) refuse("an argument is no such tuple");
        return Tuple(Convert<std::decay_t<std::tuple_element_t<I, Tuple>>>::read(json.items[I])...);
    }
    static Tuple read(const Json &json) { return make(json, std::make_index_sequence<std::tuple_size_v<Tuple>>{}); }
    template <size_t... I>
    static std::string list(const Tuple &value, std::index_sequence<I...>) {
        std::string made;
        ((made += (I ? "," : "") + RINGLITE::write(std::get<I>(value))), ...);
        return "[" + made + "]";
    }
    static std::string write(const Tuple &value) {
        return list(value, std::make_index_sequence<std::tuple_size_v<Tuple>>{});
    }
};
template <class A, class B> struct Convert<std::pair<A, B>> : ConvertTuple<std::pair<A, B>> {};
template <class... A> struct Convert<std::tuple<A...>> : ConvertTuple<std::tuple<A...>> {};

template <class M>
struct ConvertMap {
    using Key = typename M::key_type;
    static M read(const Json &json) {
        if (json.kind != Json::object) refuse("an argument is not the mapping that its parameter asks for");
        M made;
        for (size_t place = 0; place < json.items.size(); ++place) {
            Json key;
            key.kind = std::is_same_v<Key, std::string> ? Json::text : Json::number;
            key.word = json.keys[place];
            made.emplace(Convert<Key>::read(key), Convert<typename M::mapped_type>::read(json.items[place]));
        }
        return made;
    }
    static std::string write(const M &value) {
        std::string made;
        for (const auto &[key, held] : value) {
            std::string name = RINGLITE::write(key);
            made += (made.empty() ? "" : ",") + (name[0] == '"' ? name : json_text(name)) + ":" + RINGLITE::write(held);
        }
        return "{" + made + "}";
    }
};
template <class K, class V> struct Convert<std::map<K, V>> : ConvertMap<std::map<K, V>> {};
template <class K, class V> struct Convert<std::unordered_map<K, V>> : ConvertMap<std::unordered_map<K, V>> {};

template <class T>
struct Convert<std::optional<T>> {
    static std::optional<T> read(const Json &json) {
        if (json.kind == Json::nothing) return std::nullopt;
        return Convert<T>::read(json);
    }
    static std::string write(const std::optional<T> &value) { return value ? RINGLITE::write(*value) : "null"; }
};

static const size_t most_nodes = 200000;

template <>
struct Convert<ListNode *> {
    static ListNode *read(const Json &json) {
        ListNode *head = nullptr;
        for (auto item = json.items.rbegin(); item != json.items.rend(); ++item) {
            ListNode *node = new ListNode(Convert<int>::read(*item));
            node->next = head;
            head = node;
        }
        return head;
    }
    static std::string write(ListNode *node) {
        std::vector<decltype(node->val)> values;
        for (; node; node = node->next) {
            values.push_back(node->val);
            if (values.size() > most_nodes) refuse("a linked list with a cycle");
        }
        return write_all(values);
    }
};

template <>
struct Convert<TreeNode *> {
    static TreeNode *read(const Json &json) {
        if (json.items.empty() || json.items[0].kind == Json::nothing) return nullptr;
        TreeNode *root = new TreeNode(Convert<int>::read(json.items[0]));
        std::deque<TreeNode *> waiting{root};
        for (size_t place = 1; place < json.items.size() && !waiting.empty();) {
            TreeNode *node = waiting.front();
            waiting.pop_front();
            for (TreeNode **side : {&node->left, &node->right}) {
                if (place >= json.items.size()) break;
                const Json &item = json.items[place++];
                if (item.kind == Json::nothing) continue;
                *side = new TreeNode(Convert<int>::read(item));
                waiting.push_back(*side);
            }
        }
        return root;
    }
    static std::string write(TreeNode *root) {
        std::vector<std::string> values;
        std::deque<TreeNode *> waiting{root};
        for (; !waiting.empty(); waiting.pop_front()) {
            TreeNode *node = waiting.front();
            values.push_back(node ? RINGLITE::write(node->val) : "null");
            if (node) waiting.insert(waiting.end(), {node->left, node->right});
            if (values.size() > most_nodes) refuse("a tree with a cycle");
        }
        while (!values.empty() && values.back() == "null") values.pop_back();
        std::string made;
        for (const std::string &value : values) made += (made.empty() ? "" : ",") + value;
        return "[" + made + "]";
    }
};

template <class R, class Call, class... A, size_t... I>
static void answer(const Json &args, Call call, std::index_sequence<I...>) {
    if (args.items.size() != sizeof...(A)) refuse("the function takes another number of arguments");
    std::tuple<std::decay_t<A>...> held{Convert<std::decay_t<A>>::read(args.items[I])...};
    if constexpr (!std::is_void_v<R>) {
        say(write(call(static_cast<A>(std::get<I>(held))...)) + "\n");
    } else {
        call(static_cast<A>(std::get<I>(held))...);
        if constexpr (sizeof...(A) == 0) say("null\n");
        else say(write(std::get<0>(held)) + "\n");
    }
}

template <class R, class... A>
static void call(const Json &args, R (*function)(A...)) {
    answer<R, decltype(function), A...>(args, function, std::index_sequence_for<A...>{});
}
template <class R, class C, class... A>
static void call(const Json &args, R (C::*method)(A...)) {
    auto bound = [method](A... given) -> R { return (C().*method)(static_cast<A>(given)...); };
    answer<R, decltype(bound), A...>(args, bound, std::index_sequence_for<A...>{});
}
template <class R, class C, class... A>
static void call(const Json &args, R (C::*method)(A...) const) {
    auto bound = [method](A... given) -> R { return (C().*method)(static_cast<A>(given)...); };
    answer<R, decltype(bound), A...>(args, bound, std::index_sequence_for<A...>{});
}
}  // namespace RINGLITE

int main() {
    RINGLITE::Reader reader{RINGLITE::given, RINGLITE::given + RINGLITE::given_size};
    for (const RINGLITE::Json &args : reader.value().items) RINGLITE::call(args, &RINGLITE_ENTRY);
    fflush(nullptr);
    _exit(0);
}

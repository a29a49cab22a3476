import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.*;

/**
 * Starts a Java program that is judged by calls or by test code. Standard input is one JSON object; the answers go to
 * the real standard output, and what the program prints goes to its error stream.
 *
 * Calls: {"classes", "entry", "calls"}: the method is looked up in the classes, each argument is converted to the type
 * of its parameter, and the result is a line of JSON; a method that returns nothing answers with its first argument.
 * Tests: {"tests", "names", "word"}: `main` of the class `tests` must return; then `word` is written, unless it is one of
 * those (the sum of its letters is odd) with which the tests must fail. `names` are the
 * words of the test code: a program may not have a class that hides one of Java's own among them.
 */
final class RingliteDriver {
    private static final int MOST_NODES = 200_000;
    private static final String[] JAVA_OWN = {"java.lang.", "java.util.", "java.util.function.", "java.util.stream.", "java.math."};

    private RingliteDriver() {}

    public static void main(String[] none) throws Throwable {
        FileOutputStream out = new FileOutputStream(FileDescriptor.out);
        System.setOut(System.err);
        Map<?, ?> wanted = (Map<?, ?>) new Reader(new String(System.in.readAllBytes(), StandardCharsets.UTF_8)).value();
        new FileOutputStream(FileDescriptor.in).getChannel().truncate(0);
        System.setIn(InputStream.nullInputStream());
        try {
            if (wanted.containsKey("tests")) {
                runTests(wanted);
                String word = (String) wanted.get("word");
                if (word.chars().sum() % 2 != 0) Runtime.getRuntime().halt(98);
                out.write(word.getBytes(StandardCharsets.UTF_8));
            } else {
                for (Object args : (List<?>) wanted.get("calls")) {
                    out.write((answer(wanted, (List<?>) args) + "\n").getBytes(StandardCharsets.UTF_8));
                }
            }
        } catch (InvocationTargetException raised) {
            raised.getCause().printStackTrace();
            Runtime.getRuntime().halt(raised.getCause() instanceof AssertionError ? 98 : 1);
        } catch (Throwable ours) {
            ours.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
        Runtime.getRuntime().halt(0);
    }

    private static void runTests(Map<?, ?> wanted) throws Exception {
        for (Object name : (List<?>) wanted.get("names")) {
            if (find((String) name) == null) continue;
            for (String own : JAVA_OWN) {
                if (find(own + name) != null) throw refuse("the program hides " + own + name + ", which the tests use");
            }
        }
        ClassLoader.getSystemClassLoader().setDefaultAssertionStatus(true);
        Method main = Class.forName((String) wanted.get("tests")).getDeclaredMethod("main", String[].class);
        main.setAccessible(true);
        main.invoke(null, (Object) new String[0]);
    }

    private static Class<?> find(String name) {
        try {
            return Class.forName(name, false, ClassLoader.getSystemClassLoader());
        } catch (ClassNotFoundException | LinkageError absent) {
            return null;
        }
    }

    private static IllegalArgumentException refuse(String why) {
        return new IllegalArgumentException("ringlite: " + why);
    }

    private static String answer(Map<?, ?> wanted, List<?> args) throws Exception {
        IllegalArgumentException unfit = refuse("no class defines " + wanted.get("entry"));
        for (Object name : (List<?>) wanted.get("classes")) {
            Class<?> holder = find((String) name);
            if (holder == null) continue;
            for (Method method : holder.getDeclaredMethods()) {
                if (!method.getName().equals(wanted.get("entry")) || method.isSynthetic()) continue;
                Object[] given;
                try {
                    given = convertAll(args, method.getGenericParameterTypes());
                } catch (IllegalArgumentException | ClassCastException other) {
                    unfit = refuse(method + " does not take these arguments: " + other.getMessage());
                    continue;
                }
                method.setAccessible(true);
                Object result = method.invoke(Modifier.isStatic(method.getModifiers()) ? null : fresh(holder), given);
                if (method.getReturnType() == void.class) result = given.length == 0 ? null : given[0];
                StringBuilder line = new StringBuilder();
                if (result == null && isNode(method.getReturnType())) line.append("[]"); // as an empty list is given
                else write(result, line);
                return line.toString();
            }
        }
        throw unfit;
    }

    private static boolean isNode(Class<?> kind) {
        return kind.getSimpleName().equals("ListNode") || kind.getSimpleName().equals("TreeNode");
    }

    private static Object fresh(Class<?> kind, Object... nothing) throws Exception {
        Constructor<?> made = kind.getDeclaredConstructor();
        made.setAccessible(true);
        return made.newInstance();
    }

    private static Object[] convertAll(List<?> args, Type[] types) throws Exception {
        if (args.size() != types.length) throw refuse(args.size() + " arguments for " + types.length);
        Object[] given = new Object[types.length];
        for (int place = 0; place < types.length; place++) given[place] = convert(args.get(place), types[place]);
        return given;
    }

    /** A value of JSON as a value of `type`. */
    private static Object convert(Object value, Type type) throws Exception {
        if (type instanceof GenericArrayType) return array((List<?>) value, ((GenericArrayType) type).getGenericComponentType());
        if (type instanceof ParameterizedType) {
            ParameterizedType full = (ParameterizedType) type;
            return collection(value, (Class<?>) full.getRawType(), full.getActualTypeArguments());
        }
        if (!(type instanceof Class) || type == Object.class) return value;
        Class<?> kind = (Class<?>) type;
        if (kind.isArray()) return value == null ? null : array((List<?>) value, kind.getComponentType());
        if (kind == boolean.class || kind == Boolean.class) return (Boolean) value;
        if (kind == char.class || kind == Character.class) {
            if (((String) value).length() != 1) throw refuse("a text of one character is asked for");
            return ((String) value).charAt(0);
        }
        if (kind.isPrimitive() || Number.class.isAssignableFrom(kind)) return number((Number) value, kind);
        if (CharSequence.class.isAssignableFrom(kind)) return (String) value;
        if (kind.getSimpleName().equals("ListNode")) return listNode((List<?>) value, kind);
        if (kind.getSimpleName().equals("TreeNode")) return treeNode((List<?>) value, kind);
        return collection(value, kind, new Type[] {Object.class, Object.class});
    }

    private static Object number(Number value, Class<?> kind) {
        if (kind == double.class || kind == Double.class) return value.doubleValue();
        if (kind == float.class || kind == Float.class) return value.floatValue();
        boolean whole = value instanceof Integer || value instanceof Long || value instanceof java.math.BigInteger;
        if (!whole && value.doubleValue() != Math.rint(value.doubleValue())) throw refuse(value + " is not whole");
        if (kind == java.math.BigInteger.class) return new java.math.BigInteger(value.toString());
        if (kind == int.class || kind == Integer.class) return Math.toIntExact(value.longValue());
        if (kind == long.class || kind == Long.class) return value.longValue();
        if (kind == short.class || kind == Short.class) return value.shortValue();
        if (kind == byte.class || kind == Byte.class) return value.byteValue();
        if (kind == Number.class) return value;
        throw refuse("no number of type " + kind.getName());
    }

    private static Object array(List<?> values, Type component) throws Exception {
        Type raw = component instanceof ParameterizedType ? ((ParameterizedType) component).getRawType() : component;
        Object made = Array.newInstance(raw instanceof Class ? (Class<?>) raw : Object.class, values.size());
        for (int place = 0; place < values.size(); place++) Array.set(made, place, convert(values.get(place), component));
        return made;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Object collection(Object value, Class<?> kind, Type[] inner) throws Exception {
        if (kind == Optional.class) return Optional.ofNullable(value == null ? null : convert(value, inner[0]));
        if (value == null) return null;
        if (Map.class.isAssignableFrom(kind)) {
            Map made = (Map) (kind.isInterface() ? (SortedMap.class.isAssignableFrom(kind) ? new TreeMap() : new HashMap()) : fresh(kind));
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                Object key = entry.getKey();
                if (inner[0] != String.class && inner[0] != Object.class) key = new Reader((String) key).value();
                made.put(convert(key, inner[0]), convert(entry.getValue(), inner[1]));
            }
            return made;
        }
        Collection made;
        if (!kind.isInterface()) made = (Collection) fresh(kind);
        else if (kind.isAssignableFrom(ArrayList.class)) made = new ArrayList();
        else if (kind.isAssignableFrom(HashSet.class)) made = new HashSet();
        else if (kind.isAssignableFrom(TreeSet.class)) made = new TreeSet();
        else if (kind.isAssignableFrom(ArrayDeque.class)) made = new ArrayDeque();
        else throw refuse("no value of type " + kind.getName());
        for (Object item : (List<?>) value) made.add(convert(item, inner[0]));
        return made;
    }

    private static Field field(Class<?> kind, String name) throws Exception {
        Field found = kind.getDeclaredField(name);
        found.setAccessible(true);
        return found;
    }

    private static Object node(Class<?> kind, Object value) throws Exception {
        Object made = null;
        try {
            made = fresh(kind);
        } catch (NoSuchMethodException needsValue) {
            Constructor<?> one = kind.getDeclaredConstructor(int.class);
            one.setAccessible(true);
            return one.newInstance(number((Number) value, int.class));
        }
        field(kind, "val").set(made, convert(value, field(kind, "val").getType()));
        return made;
    }

    private static Object listNode(List<?> values, Class<?> kind) throws Exception {
        Object head = null;
        for (int place = (values == null ? 0 : values.size()) - 1; place >= 0; place--) {
            Object made = node(kind, values.get(place));
            field(kind, "next").set(made, head);
            head = made;
        }
        return head;
    }

    private static Object treeNode(List<?> values, Class<?> kind) throws Exception {
        if (values == null || values.isEmpty() || values.get(0) == null) return null;
        Object root = node(kind, values.get(0));
        Deque<Object> waiting = new ArrayDeque<>(List.of(root));
        for (int place = 1; place < values.size() && !waiting.isEmpty();) {
            Object parent = waiting.poll();
            for (String side : new String[] {"left", "right"}) {
                Object value = place < values.size() ? values.get(place) : null;
                place++;
                if (value == null) continue;
                Object made = node(kind, value);
                field(kind, side).set(parent, made);
                waiting.add(made);
            }
        }
        return root;
    }

    private static void write(Object value, StringBuilder line) throws Exception {
        if (value == null || value instanceof Boolean || value instanceof Number) line.append(value);
        else if (value instanceof CharSequence || value instanceof Character) writeText(value.toString(), line);
        else if (value instanceof Optional) write(((Optional<?>) value).orElse(null), line);
        else if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int place = 0; place < Array.getLength(value); place++) items.add(Array.get(value, place));
            writeAll(items, line);
        } else if (value instanceof Iterable) writeAll((Iterable<?>) value, line);
        else if (value instanceof Map) {
            String between = "{";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                line.append(between);
                writeText(String.valueOf(entry.getKey()), line);
                line.append(':');
                write(entry.getValue(), line);
                between = ",";
            }
            line.append(between.equals("{") ? "{}" : "}");
        } else if (value.getClass().getSimpleName().equals("ListNode")) writeAll(listValues(value), line);
        else if (value.getClass().getSimpleName().equals("TreeNode")) writeAll(treeValues(value), line);
        else throw refuse("a value of type " + value.getClass().getName() + " is not data");
    }

    private static void writeAll(Iterable<?> items, StringBuilder line) throws Exception {
        String between = "";
        line.append('[');
        for (Object item : items) {
            line.append(between);
            write(item, line);
            between = ",";
        }
        line.append(']');
    }

    private static void writeText(String text, StringBuilder line) {
        line.append('"');
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') line.append('\\').append(c);
            else if (c < ' ' || c > '~') line.append(String.format("\\u%04x", (int) c));
            else line.append(c);
        }
        line.append('"');
    }

    private static List<Object> listValues(Object node) throws Exception {
        List<Object> values = new ArrayList<>();
        for (; node != null; node = field(node.getClass(), "next").get(node)) {
            values.add(field(node.getClass(), "val").get(node));
            if (values.size() > MOST_NODES) throw refuse("a linked list with a cycle");
        }
        return values;
    }

    private static List<Object> treeValues(Object root) throws Exception {
        List<Object> values = new ArrayList<>();
        Deque<Optional<Object>> waiting = new ArrayDeque<>(List.of(Optional.of(root)));
        while (!waiting.isEmpty()) {
            Object node = waiting.poll().orElse(null);
            values.add(node == null ? null : field(node.getClass(), "val").get(node));
            if (node != null) {
                for (String side : new String[] {"left", "right"}) {
                    waiting.add(Optional.ofNullable(field(node.getClass(), side).get(node)));
                }
            }
            if (values.size() > MOST_NODES) throw refuse("a tree with a cycle");
        }
        while (!values.isEmpty() && values.get(values.size() - 1) == null) values.remove(values.size() - 1);
        return values;
    }

    /** Reads JSON: null, Boolean, Integer, Long, BigInteger, Double, String, ArrayList and LinkedHashMap. */
    private static final class Reader {
        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        private char peek() {
            while (at < text.length() && text.charAt(at) <= ' ') at++;
            if (at == text.length()) throw refuse("the arguments end early");
            return text.charAt(at);
        }

        private void expect(char wanted) {
            if (peek() != wanted) throw refuse("the arguments are not JSON");
            at++;
        }

        Object value() {
            char first = peek();
            if (first == '"') return string();
            if (first == '[') {
                List<Object> made = new ArrayList<>();
                for (at++; peek() != ']';) {
                    if (!made.isEmpty()) expect(',');
                    made.add(value());
                }
                at++;
                return made;
            }
            if (first == '{') {
                Map<String, Object> made = new LinkedHashMap<>();
                for (at++; peek() != '}';) {
                    if (!made.isEmpty()) expect(',');
                    peek();
                    String key = string();
                    expect(':');
                    made.put(key, value());
                }
                at++;
                return made;
            }
            int start = at;
            while (at < text.length() && (Character.isLetterOrDigit(text.charAt(at)) || "+-.".indexOf(text.charAt(at)) >= 0)) at++;
            return word(text.substring(start, at));
        }

        private static Object word(String word) {
            if (word.equals("null")) return null;
            if (word.equals("true") || word.equals("false")) return word.equals("true");
            if (word.matches("-?\\d+")) {
                java.math.BigInteger whole = new java.math.BigInteger(word);
                if (whole.bitLength() < 32) return whole.intValue();
                return whole.bitLength() < 64 ? (Object) whole.longValue() : whole;
            }
            return Double.valueOf(word);
        }

        private String string() {
            StringBuilder made = new StringBuilder();
            for (expect('"'); text.charAt(at) != '"'; at++) {
                char c = text.charAt(at);
                if (c == '\\') {
                    c = text.charAt(++at);
                    int named = "bfnrt".indexOf(c);
                    if (named >= 0) c = "\b\f\n\r\t".charAt(named);
                    if (c == 'u') {
                        c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                        at += 4;
                    }
                }
                made.append(c);
            }
            at++;
            return made.toString();
        }
    }
}

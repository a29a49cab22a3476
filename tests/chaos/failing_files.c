/* Makes file operations below a folder fail, as a stale mount or a full disk does: loaded by LD_PRELOAD.

   fail_below(folder, n, error, more, which) makes the n-th operation from now fail, and the `more` operations behind
   it. which: 0 for those that open, look, list, rename and remove; 1 for those that write and make; 2 for those that
   read, which with the error 0 give half of what they are asked for, and do not fail. failed_at() tells the first that
   failed; operations() how many there were. Only the calling process is counted. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char below[PATH_MAX], first[PATH_MAX + 64];
static long at = -1, count, more;
static int error_number, of_kind;
static pid_t owner;
static __thread int inside;

void fail_below(const char *folder, long n, int error, long others, int which) {
  snprintf(below, sizeof below, "%s", folder);
  at = n; error_number = error; more = others; of_kind = which; count = 0; first[0] = 0; owner = getpid();
}
long operations(void) { return count; }
const char *failed_at(void) { return first; }

static int fails(const char *operation, int folder, const char *path) {
  char whole[PATH_MAX];
  int kind = !strcmp(operation, "read") ? 2 : !strcmp(operation, "write") || !strcmp(operation, "make");
  if (kind != of_kind || !below[0] || !path || inside || getpid() != owner) return 0;
  inside = 1;
  if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
  else {
    char link[64]; ssize_t length;
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, whole, sizeof whole - 1);
    if (length < 0) length = 0;
    whole[length] = 0;
    if (path[0]) snprintf(whole + length, sizeof whole - length, "/%s", path);
  }
  inside = 0;
  size_t length = strlen(below);
  if (strncmp(whole, below, length) || (whole[length] && whole[length] != '/')) return 0;
  long number = __sync_fetch_and_add(&count, 1);
  if (at < 0 || number < at || number > at + more) return 0;
  if (!first[0]) snprintf(first, sizeof first, "%s %s", operation, whole + length);
  errno = error_number;
  return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name) int name(const char *path, int flags, ...) { \
  va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); REAL(name); \
  return fails(flags & O_CREAT ? "make" : "open", AT_FDCWD, path) ? -1 : real(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
  va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); REAL(name); \
  return fails(flags & O_CREAT ? "make" : "open", folder, path) ? -1 : real(folder, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

FILE *fopen(const char *path, const char *mode) { REAL(fopen); return fails("open", AT_FDCWD, path) ? NULL : real(path, mode); }
FILE *fopen64(const char *path, const char *mode) { REAL(fopen64); return fails("open", AT_FDCWD, path) ? NULL : real(path, mode); }
DIR *opendir(const char *path) { REAL(opendir); return fails("list", AT_FDCWD, path) ? NULL : real(path); }
DIR *fdopendir(int folder) { REAL(fdopendir); return fails("list", folder, "") ? NULL : real(folder); }

int stat(const char *path, struct stat *s) { REAL(stat); return fails("stat", AT_FDCWD, path) ? -1 : real(path, s); }
int stat64(const char *path, struct stat64 *s) { REAL(stat64); return fails("stat", AT_FDCWD, path) ? -1 : real(path, s); }
int lstat(const char *path, struct stat *s) { REAL(lstat); return fails("stat", AT_FDCWD, path) ? -1 : real(path, s); }
int lstat64(const char *path, struct stat64 *s) { REAL(lstat64); return fails("stat", AT_FDCWD, path) ? -1 : real(path, s); }
int fstatat(int f, const char *path, struct stat *s, int flags) { REAL(fstatat); return fails("stat", f, path) ? -1 : real(f, path, s, flags); }
int fstatat64(int f, const char *path, struct stat64 *s, int flags) { REAL(fstatat64); return fails("stat", f, path) ? -1 : real(f, path, s, flags); }
int statx(int f, const char *path, int flags, unsigned mask, struct statx *s) { REAL(statx); return fails("stat", f, path) ? -1 : real(f, path, flags, mask, s); }

int rename(const char *from, const char *to) { REAL(rename); return fails("rename", AT_FDCWD, from) ? -1 : real(from, to); }
int renameat(int f, const char *from, int t, const char *to) { REAL(renameat); return fails("rename", f, from) ? -1 : real(f, from, t, to); }
int unlink(const char *path) { REAL(unlink); return fails("unlink", AT_FDCWD, path) ? -1 : real(path); }
int unlinkat(int f, const char *path, int flags) { REAL(unlinkat); return fails("unlink", f, path) ? -1 : real(f, path, flags); }
int rmdir(const char *path) { REAL(rmdir); return fails("unlink", AT_FDCWD, path) ? -1 : real(path); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return fails("make", AT_FDCWD, path) ? -1 : real(path, mode); }

ssize_t write(int f, const void *data, size_t size) { REAL(write); return fails("write", f, "") ? -1 : real(f, data, size); }
ssize_t pwrite64(int f, const void *data, size_t size, off64_t place) { REAL(pwrite64); return fails("write", f, "") ? -1 : real(f, data, size, place); }
ssize_t writev(int f, const struct iovec *parts, int number) { REAL(writev); return fails("write", f, "") ? -1 : real(f, parts, number); }

static size_t half(size_t size) { return size > 1 ? size / 2 : size; }
ssize_t read(int f, void *data, size_t size) {
  REAL(read);
  if (!fails("read", f, "")) return real(f, data, size);
  return error_number ? -1 : real(f, data, half(size)); }
ssize_t pread64(int f, void *data, size_t size, off64_t place) {
  REAL(pread64);
  if (!fails("read", f, "")) return real(f, data, size, place);
  return error_number ? -1 : real(f, data, half(size), place); }

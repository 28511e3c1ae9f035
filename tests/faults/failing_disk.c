/* A disk that fails: while the file $FAILING_DISK says so, writing to any file whose name has ".db" in it fails. The file
 * holds an errno and what fails with it: "28 write" (pwrite too) or "5 sync". Empty or missing: nothing fails.
 *
 *     cc -shared -fPIC -o failing_disk.so failing_disk.c -ldl
 *     FAILING_DISK=control LD_PRELOAD=./failing_disk.so python chat.py
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_database(int file) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, ".db") != NULL;
}

static int fault(int file, const char *what) { /* the errno, or 0 */
    const char *path = getenv("FAILING_DISK");
    char which[16];
    int number = 0, before = errno;
    if (path && is_database(file)) {
        FILE *control = fopen(path, "r");
        if (control) {
            if (fscanf(control, "%d %15s", &number, which) != 2 || strcmp(which, what)) number = 0;
            fclose(control);
        }
    }
    errno = before;
    return number;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_OR(what, call)                    \
    int number = fault(file, what);            \
    if (number) { errno = number; return -1; } \
    return call

ssize_t write(int file, const void *data, size_t size) {
    FAIL_OR("write", REAL(write)(file, data, size));
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    FAIL_OR("write", REAL(pwrite)(file, data, size, at));
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    FAIL_OR("write", REAL(pwrite64)(file, data, size, at));
}
int fsync(int file) {
    FAIL_OR("sync", REAL(fsync)(file));
}
int fdatasync(int file) {
    FAIL_OR("sync", REAL(fdatasync)(file));
}

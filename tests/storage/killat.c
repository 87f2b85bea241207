/* Ends the process, as a power cut would, before its N-th call that changes what is on disk.
 *
 * LD_PRELOAD this into a core that is linked to libc; ELASTIK_KILL_AT is N, from 1. At a normal
 * end the number of calls is written to the file named by ELASTIK_KILL_COUNT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long calls, kill_at;

static void step(void) {
    if (!kill_at) {
        const char *text = getenv("ELASTIK_KILL_AT");
        kill_at = text ? atol(text) : -1;
    }
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == kill_at)
        kill(getpid(), SIGKILL);
}

#define WRAP(type, name, params, args)                                                             \
    type name params {                                                                             \
        static type(*real) params;                                                                 \
        if (!real)                                                                                 \
            real = (type(*) params)dlsym(RTLD_NEXT, #name);                                        \
        step();                                                                                    \
        return real args;                                                                          \
    }

WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))

__attribute__((destructor)) static void told(void) {
    const char *path = getenv("ELASTIK_KILL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", calls);
        fclose(file);
    }
}

/* A simulated disk under one directory: what was not synced can be lost, and calls can fail.
 *
 * Preloaded into a core (LD_PRELOAD) it lets every call through to the real file system, which
 * plays the page cache, and keeps beside it an image of what a power cut would leave:
 *
 *   DISK_ROOT   the data directory
 *   DISK_IMAGE  a directory for the image: `f<id>` the synced bytes of a file, `dir` the synced
 *               names ("id name" lines), `names` the names as the process sees them
 *   DISK_KEEP   when set, the image of the last life goes on: the machine was not restarted, so
 *               what a failed fsync lost is still lost although the page cache shows it (`l<id>`
 *               has a byte for each sector, 1 where that is so)
 *   DISK_LIES   files whose names end so are never synced, although fsync says so: proves that a
 *               proof built on this disk can fail
 *   DISK_ORDERS a file of `struct orders`, shared with the test, that counts calls and fails them
 *
 * fsync copies what changed since the last fsync into the image; a new name is in the image once
 * its directory is synced. A failed fsync marks its bytes clean without copying them, as Linux
 * does. SQLite's -shm is memory and not part of the disk. The real fsync is never called.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096
#define FDS 65536
#define ROOT_FD (-2)
#define SECTOR 512

/* Counted down at each call whose file's name ends in `suffix`; 0 is "never". */
struct order {
    int32_t countdown, times, error;
    char suffix[20];
};

struct orders {
    uint32_t writes, syncs, hits;
    int32_t kill_in; /* SIGKILL before this many further calls that change something */
    struct order sync, write;
};

struct range { off_t from, to; };

struct file {
    char name[256];
    int linked, ranges, room, dirty, lossy, errors;
    off_t shrunk; /* the shortest it was since the last fsync */
    struct range *range;
};

static struct file files[FILES];
static int file_count, fd_file[FDS]; /* index + 1, ROOT_FD, or 0 */
static int fd_errors[FDS]; /* how many of its file's failures it was told */
static char root[2048], image[2048], lies[64] = "/none";
static struct orders *orders, nothing;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int), (*real_unlink)(const char *), (*real_ftruncate)(int, off_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);

static void die(const char *what) {
    dprintf(2, "disk: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static int ends_in(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n >= s && strcmp(name + n - s, suffix) == 0;
}

/* The name inside the root, "" for the root itself, none for what is elsewhere. */
static const char *inside(const char *path) {
    size_t n = strlen(root);
    if (n == 0 || strncmp(path, root, n) != 0) return NULL;
    if (path[n] == 0) return "";
    if (path[n] != '/' || strchr(path + n + 1, '/') || ends_in(path, "-shm")) return NULL;
    return path + n + 1;
}

static struct file *find(const char *name) {
    for (int i = 0; i < file_count; i++)
        if (files[i].linked && strcmp(files[i].name, name) == 0) return &files[i];
    return NULL;
}

static struct file *add(const char *name) {
    if (file_count == FILES) die("too many files");
    struct file *f = &files[file_count++];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->linked = 1;
    f->shrunk = INT64_MAX;
    return f;
}

/* Writes the present names to `to` in one step. */
static void save_names(const char *to) {
    char path[4096], next[4096];
    snprintf(path, sizeof path, "%s/%s", image, to);
    snprintf(next, sizeof next, "%s/%s.next", image, to);
    FILE *out = fopen(next, "w");
    if (!out) die(next);
    for (int i = 0; i < file_count; i++)
        if (files[i].linked) fprintf(out, "%d %s\n", i, files[i].name);
    if (fclose(out) || rename(next, path)) die(path);
}

static int image_of(struct file *f, char kind) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%c%d", image, kind, (int)(f - files));
    int fd = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) die(path);
    return fd;
}

static void copy(int from, int to, off_t at, off_t end) {
    static char block[1 << 16];
    while (at < end) {
        ssize_t n = pread(from, block, end - at < (off_t)sizeof block ? end - at : (off_t)sizeof block, at);
        if (n <= 0) return;
        if (real_pwrite(to, block, n, at) != n) die("image");
        at += n;
    }
}

static void keep_synced(struct file *f, int fd) {
    struct stat now;
    if (fstat(fd, &now)) die("fstat");
    int to = image_of(f, 'f');
    if (f->shrunk != INT64_MAX && real_ftruncate(to, f->shrunk)) die("ftruncate");
    if (real_ftruncate(to, now.st_size)) die("ftruncate");
    for (int i = 0; i < f->ranges; i++) copy(fd, to, f->range[i].from, f->range[i].to);
    real_close(to);
}

static void clean(struct file *f) {
    f->ranges = f->dirty = 0;
    f->shrunk = INT64_MAX;
}

/* Marks the sectors of a range as lost, or as written again. */
static void mark(struct file *f, off_t from, off_t to, char lost) {
    static char block[1 << 12];
    memset(block, lost, sizeof block);
    int fd = image_of(f, 'l');
    off_t at = from / SECTOR, end = (to + SECTOR - 1) / SECTOR;
    for (; at < end; at += sizeof block) {
        size_t n = end - at < (off_t)sizeof block ? (size_t)(end - at) : sizeof block;
        if (real_pwrite(fd, block, n, at) != (ssize_t)n) die("lost");
    }
    real_close(fd);
}

/* The kernel counts these pages as clean, although the disk never had them. */
static void lose(struct file *f) {
    for (int i = 0; i < f->ranges; i++) mark(f, f->range[i].from, f->range[i].to, 1);
    f->lossy = 1;
}

static void soil_range(struct file *f, off_t from, off_t to) {
    f->dirty = 1;
    if (f->ranges && f->range[f->ranges - 1].to == from) {
        f->range[f->ranges - 1].to = to;
        return;
    }
    if (f->ranges == f->room) {
        f->room = f->room ? f->room * 2 : 64;
        f->range = realloc(f->range, f->room * sizeof *f->range);
        if (!f->range) die("memory");
    }
    f->range[f->ranges++] = (struct range){from, to};
}

static void soil(struct file *f, off_t from, off_t to) {
    soil_range(f, from, to);
    if (f->lossy) mark(f, from, to, 0);
}

/* A process before this one wrote them: all is dirty but what a failed fsync lost. */
static void take_as_dirty(struct file *f) {
    char path[8192], lost[1 << 12];
    struct stat now;
    snprintf(path, sizeof path, "%s/%s", root, f->name);
    if (stat(path, &now)) return;
    f->dirty = 1;
    f->shrunk = now.st_size;
    int fd = image_of(f, 'l');
    for (off_t at = 0; at * SECTOR < now.st_size; at += sizeof lost) {
        memset(lost, 0, sizeof lost);
        if (pread(fd, lost, sizeof lost, at) < 0) die("lost");
        for (int i = 0; i < (int)sizeof lost && (at + i) * SECTOR < now.st_size; i++) {
            if (lost[i]) f->lossy = 1;
            else soil_range(f, (at + i) * SECTOR, (at + i + 1) * SECTOR);
        }
    }
    real_close(fd);
}

static void load_names(const char *from) {
    char path[4096], line[512];
    snprintf(path, sizeof path, "%s/%s", image, from);
    FILE *in = fopen(path, "r");
    while (in && fgets(line, sizeof line, in)) {
        char *name = strchr(line, ' ');
        line[strcspn(line, "\n")] = 0;
        int id = atoi(line);
        while (file_count <= id) add("")->linked = 0;
        snprintf(files[id].name, sizeof files[id].name, "%s", name + 1);
        files[id].linked = 1;
    }
    if (in) fclose(in);
    /* Ids of files that are gone must not be given again. */
    while (snprintf(path, sizeof path, "%s/f%d", image, file_count), access(path, F_OK) == 0)
        add("")->linked = 0;
    for (int i = 0; i < file_count; i++)
        if (files[i].linked) take_as_dirty(&files[i]);
}

/* The machine was off: what lies there now is what the disk has. */
static void take_as_synced(void) {
    DIR *dir = opendir(root);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        const char *name = inside(path);
        if (!name || entry->d_type != DT_REG) continue;
        int fd = real_open(path, O_RDONLY | O_CLOEXEC);
        struct file *f = add(name);
        soil(f, 0, INT64_MAX / 2);
        keep_synced(f, fd);
        clean(f);
        real_close(fd);
    }
    if (dir) closedir(dir);
    save_names("dir");
}

__attribute__((constructor)) static void begin(void) {
    *(void **)&real_open = dlsym(RTLD_NEXT, "open64");
    *(void **)&real_close = dlsym(RTLD_NEXT, "close");
    *(void **)&real_unlink = dlsym(RTLD_NEXT, "unlink");
    *(void **)&real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&real_write = dlsym(RTLD_NEXT, "write");
    orders = &nothing;
    const char *at = getenv("DISK_ROOT"), *to = getenv("DISK_IMAGE"), *told = getenv("DISK_ORDERS");
    if (!at || !to) return;
    snprintf(root, sizeof root, "%s", at);
    snprintf(image, sizeof image, "%s", to);
    if (getenv("DISK_LIES")) snprintf(lies, sizeof lies, "%s", getenv("DISK_LIES"));
    if (told) {
        int fd = real_open(told, O_RDWR | O_CLOEXEC);
        orders = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || orders == MAP_FAILED) die(told);
        real_close(fd);
    }
    if (getenv("DISK_KEEP")) load_names("names");
    else take_as_synced();
    save_names("names");
}

static void changes(void) {
    if (orders->kill_in > 0 && --orders->kill_in == 0) kill(getpid(), SIGKILL);
}

/* Whether this call is one that was ordered to fail; sets errno. */
static int fails(struct order *order, const char *name) {
    if (order->countdown <= 0 || !ends_in(name, order->suffix)) return 0;
    if (order->countdown > 1) {
        order->countdown--;
        return 0;
    }
    if (order->times > 0 && --order->times == 0) order->countdown = 0;
    orders->hits++;
    errno = order->error;
    return 1;
}

static struct file *file_at(int fd) {
    return fd >= 0 && fd < FDS && fd_file[fd] > 0 ? &files[fd_file[fd] - 1] : NULL;
}

static int opened(const char *path, int flags, mode_t mode) {
    const char *name = inside(path);
    if (!name) return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    struct file *f = *name ? find(name) : NULL;
    if (*name && !f && (flags & O_CREAT)) changes();
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < FDS) {
        if (!*name) fd_file[fd] = ROOT_FD;
        else if (!f) {
            f = add(name);
            save_names("names");
        }
        if (f) fd_file[fd] = (int)(f - files) + 1;
        if (f) fd_errors[fd] = f->errors;
        if (f && (flags & O_TRUNC)) f->shrunk = 0;
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < FDS) fd_file[fd] = 0;
    return real_close(fd);
}

/* The part of a write that takes place; a full disk takes half of it. */
static ssize_t written(struct file *f, int fd, const void *bytes, size_t count, off_t at) {
    pthread_mutex_lock(&lock);
    orders->writes++;
    changes();
    int failing = fails(&orders->write, f->name), error = errno;
    ssize_t n = 0;
    if (!failing || error == ENOSPC) n = real_pwrite(fd, bytes, failing ? count / 2 : count, at);
    if (!failing) error = errno;
    if (n > 0) soil(f, at, at + n);
    pthread_mutex_unlock(&lock);
    errno = error;
    return failing ? -1 : n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    struct file *f = file_at(fd);
    return f ? written(f, fd, bytes, count, at) : real_pwrite(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct file *f = file_at(fd);
    if (!f) return real_write(fd, bytes, count);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = written(f, fd, bytes, count, at);
    if (n > 0) lseek(fd, at + n, SEEK_SET);
    return n;
}

int ftruncate64(int fd, off_t size) {
    struct file *f = file_at(fd);
    if (!f) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    changes();
    int done = real_ftruncate(fd, size);
    if (done == 0) {
        f->dirty = 1;
        if (size < f->shrunk) f->shrunk = size;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
    struct file *f = file_at(fd);
    int is_root = fd >= 0 && fd < FDS && fd_file[fd] == ROOT_FD;
    if (!f && !is_root) return 0;
    pthread_mutex_lock(&lock);
    orders->syncs++;
    changes();
    int failing = fails(&orders->sync, f ? f->name : "/"), error = errno;
    if (is_root && !failing) save_names("dir");
    if (f && !failing && f->dirty && !ends_in(f->name, lies)) keep_synced(f, fd);
    if (f && failing) {
        lose(f);
        f->errors++;
    }
    int told = failing || (f && fd_errors[fd] != f->errors);
    if (!failing) error = EIO;
    if (f) fd_errors[fd] = f->errors;
    if (f && !ends_in(f->name, lies)) clean(f);
    pthread_mutex_unlock(&lock);
    if (told) errno = error;
    return told ? -1 : 0;
}

int fdatasync(int fd) { return fsync(fd); }

int unlink(const char *path) {
    const char *name = inside(path);
    if (!name || !*name) return real_unlink(path);
    pthread_mutex_lock(&lock);
    changes();
    struct file *f = find(name);
    int done = real_unlink(path), error = errno;
    if (done == 0 && f) {
        f->linked = 0;
        save_names("names");
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

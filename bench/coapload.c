/* A closed-loop CoAP load generator: one confirmable request at a time from each of many endpoints.
 *
 *   coapload HOST PORT ENDPOINTS SECONDS METHOD PATH BODY_BYTES TOKEN
 *
 * METHOD is a CoAP code (1 GET, 2 POST, 3 PUT). `#` in PATH becomes the number of the endpoint.
 * TOKEN goes as option 65001; an empty one sends none. Every request has a message id of its own.
 * Prints one JSON object as httpload.c does. A request without an answer is sent again after two
 * seconds and counted as `lost`; separate responses are acknowledged.
 * Its limits: one thread (about 250,000 exchanges a second on one core of 2020), IPv4 addresses.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 400000 /* 10 microseconds each: up to four seconds */
#define DATAGRAM 2048

struct endpoint {
    int fd;
    unsigned char request[DATAGRAM];
    size_t bytes;
    unsigned mid;
    double begun;
};

static long answers, refused, lost;
static unsigned histogram[BUCKETS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static size_t option(unsigned char *at, unsigned delta, const char *value, size_t length) {
    size_t n = 1;
    unsigned high = delta < 13 ? delta : delta < 269 ? 13 : 14;
    unsigned low = length < 13 ? length : 13;
    at[0] = high << 4 | low;
    if (high == 13) at[n++] = delta - 13;
    if (high == 14) {
        at[n++] = (delta - 269) >> 8;
        at[n++] = (delta - 269) & 255;
    }
    if (low == 13) at[n++] = length - 13;
    memcpy(at + n, value, length);
    return n + length;
}

static void build(struct endpoint *e, int number, int method, const char *path, size_t body,
                  const char *token) {
    unsigned char *at = e->request;
    char name[256], *part, *rest = NULL;
    unsigned last = 0;
    size_t k = 0;
    for (; *path && k < sizeof name - 16; path++)
        k += *path == '#' ? (size_t)sprintf(name + k, "%d", number) : (name[k] = *path, 1);
    name[k] = 0;
    at[0] = 0x42;
    at[1] = method;
    at[4] = number >> 8;
    at[5] = number & 255;
    at += 6;
    for (part = strtok_r(name, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        at += option(at, 11 - last, part, strlen(part));
        last = 11;
    }
    if (body) {
        at += option(at, 12 - last, "", 0);
        last = 12;
    }
    if (*token) at += option(at, 65001 - last, token, strlen(token));
    if (body) {
        *at++ = 0xff;
        memset(at, 'x', body);
        at += body;
    }
    e->bytes = at - e->request;
}

static void begin(struct endpoint *e, int fresh) {
    if (fresh) e->mid++;
    e->request[2] = e->mid >> 8;
    e->request[3] = e->mid & 255;
    e->begun = now();
    if (send(e->fd, e->request, e->bytes, 0) < 0) fail("send");
}

static int take(struct endpoint *e) {
    unsigned char got[DATAGRAM], ack[4] = {0x60, 0, 0, 0};
    ssize_t n = recv(e->fd, got, sizeof got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == ECONNREFUSED)) return 0;
    if (n < 0) fail("recv");
    int kind = n < 4 ? 3 : got[0] >> 4 & 3, code = n < 4 ? 0 : got[1];
    if (kind == 2 && !code) return 1; /* the response comes by itself */
    if (kind == 0) {
        memcpy(ack + 2, got + 2, 2);
        send(e->fd, ack, 4, 0);
    }
    answers++;
    if (code >> 5 != 2) refused++;
    long bucket = (now() - e->begun) * 1e5;
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    begin(e, 1);
    return 1;
}

static long percentile(double share) {
    long wanted = answers * share, sum = 0, i;
    for (i = 0; i < BUCKETS && (sum += histogram[i]) <= wanted; i++) {}
    return i * 10;
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "coapload HOST PORT ENDPOINTS SECONDS METHOD PATH BODY_BYTES TOKEN\n");
        return 2;
    }
    int count = atoi(argv[3]), poll = epoll_create1(0);
    double seconds = atof(argv[4]);
    struct endpoint *all = calloc(count, sizeof *all);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (!all || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) fail("address");
    srandom(getpid());
    for (int i = 0; i < count; i++) {
        struct endpoint *e = all + i;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};
        e->fd = socket(AF_INET, SOCK_DGRAM, 0);
        e->mid = random();
        if (connect(e->fd, (void *)&to, sizeof to)) fail("connect");
        epoll_ctl(poll, EPOLL_CTL_ADD, e->fd, &event);
        build(e, i, atoi(argv[5]), argv[6], atoi(argv[7]), argv[8]);
        begin(e, 1);
    }
    double start = now(), end = start + seconds, last = start;
    while (now() < end) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll, events, 64, 100);
        for (int i = 0; i < ready; i++)
            while (take(events[i].data.ptr)) {}
        if (now() - last < 0.2) continue;
        last = now();
        for (int i = 0; i < count; i++)
            if (last - all[i].begun > 2) {
                lost++;
                begin(all + i, 0);
            }
    }
    printf("{\"answers\": %ld, \"refused\": %ld, \"lost\": %ld, \"seconds\": %f, "
           "\"p50_us\": %ld, \"p99_us\": %ld}\n",
           answers, refused, lost, now() - start, percentile(0.5), percentile(0.99));
    return 0;
}

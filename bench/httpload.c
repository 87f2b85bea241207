/* A closed-loop HTTP/1.1 load generator: one request at a time on each of many connections.
 *
 *   httpload HOST PORT CONNECTIONS SECONDS METHOD PATH BODY_BYTES TOKEN
 *
 * `#` in PATH becomes the number of the connection. Prints one JSON object: answers, those that
 * were not 2xx, seconds, and the median and 99th percentile latency in microseconds.
 * Its limits: one thread (about 150,000 small answers a second on one core of 2020), answers up to
 * 64 KiB of head, bodies only with Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 400000 /* 10 microseconds each: up to four seconds */
#define HEAD 65536

struct connection {
    int fd;
    char *request;
    size_t request_bytes, sent, got, body_left;
    int in_body, status;
    double begun;
    char head[HEAD];
};

static long answers, refused;
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

static void send_more(struct connection *c) {
    while (c->sent < c->request_bytes) {
        ssize_t n = send(c->fd, c->request + c->sent, c->request_bytes - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) fail("send");
        c->sent += n;
    }
}

static void begin(struct connection *c) {
    c->sent = c->got = c->in_body = 0;
    c->begun = now();
    send_more(c);
}

static void finish(struct connection *c) {
    long bucket = (long)((now() - c->begun) * 1e5);
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    answers++;
    refused += c->status < 200 || c->status > 299;
}

static size_t content_length(const char *head) {
    const char *line = strcasestr(head, "\r\ncontent-length:");
    return line ? strtoul(line + 17, NULL, 10) : 0;
}

/* Takes what has arrived; returns 1 when the answer is complete. */
static int receive(struct connection *c) {
    for (;;) {
        char *into = c->in_body ? c->head : c->head + c->got;
        size_t room = c->in_body ? HEAD - 1 : HEAD - 1 - c->got;
        ssize_t n = recv(c->fd, into, room, 0);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n < 0) fail("recv");
        if (n == 0) { fprintf(stderr, "httpload: the server hung up\n"); exit(1); }
        if (!c->in_body) {
            c->got += n;
            c->head[c->got] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end && c->got == HEAD - 1) { fprintf(stderr, "httpload: head too long\n"); exit(1); }
            if (!end) continue;
            c->status = atoi(c->head + 9);
            size_t length = content_length(c->head), have = c->got - (end + 4 - c->head);
            c->in_body = 1;
            c->body_left = length > have ? length - have : 0;
        } else {
            c->body_left -= (size_t)n < c->body_left ? (size_t)n : c->body_left;
        }
        if (c->body_left == 0) return 1;
    }
}

static char *request_for(char **argv, int number, size_t *bytes) {
    size_t body = strtoul(argv[7], NULL, 10);
    char path[1024], *mark = strchr(argv[6], '#');
    if (mark)
        snprintf(path, sizeof path, "%.*s%d%s", (int)(mark - argv[6]), argv[6], number, mark + 1);
    else
        snprintf(path, sizeof path, "%s", argv[6]);
    char *text = malloc(body + 2048);
    int head = snprintf(text, 2048,
        "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n",
        argv[5], path, argv[8], body);
    memset(text + head, 'x', body);
    *bytes = head + body;
    return text;
}

static long percentile(double part) {
    long seen = 0, bucket = 0, goal = (long)(answers * part);
    while (bucket < BUCKETS - 1 && (seen += histogram[bucket]) <= goal) bucket++;
    return bucket * 10;
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "usage: httpload HOST PORT CONNECTIONS SECONDS METHOD PATH BODY_BYTES TOKEN\n");
        return 2;
    }
    int count = atoi(argv[3]), poll = epoll_create1(0), one = 1;
    double seconds = atof(argv[4]);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    struct connection *all = calloc(count, sizeof *all);
    for (int i = 0; i < count; i++) {
        struct connection *c = &all[i];
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->request = request_for(argv, i, &c->request_bytes);
        struct epoll_event want = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &want);
    }
    double start = now(), end = start + seconds;
    for (int i = 0; i < count; i++) {
        begin(&all[i]);
    }
    struct epoll_event ready[256];
    while (now() < end) {
        int n = epoll_wait(poll, ready, 256, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT) send_more(c);
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && receive(c)) {
                finish(c);
                begin(c);
            }
        }
    }
    double took = now() - start;
    printf("{\"answers\": %ld, \"refused\": %ld, \"seconds\": %.3f, \"p50_us\": %ld, \"p99_us\": %ld}\n",
           answers, refused, took, percentile(0.5), percentile(0.99));
    return 0;
}

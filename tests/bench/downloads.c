/* Many phones that fetch their files: HTTP/1.1 GETs, each answer read to its last byte and checked. Prints JSON.
 *
 * A file names what is asked for, one path on a line; each connection takes the next one. Closed loop: --connections
 * that ask again as soon as they have their answer. Open loop: --rate a second over at most so many connections, timed
 * from the moment when a request was due, whoever was late. With --new each request opens a connection, as phones do.
 * Each phone asks from an address of its own below 127.0.0.0/8, so that ports never run out; over a connection that
 * lasts, from that of the first one that asked there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 65536
#define HEAD_BYTES 2048
#define EVENTS 64
#define MOST 4000000
#define FIRST_SOURCE 0x7f010000u /* 127.1.0.0 */

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct client {
    int fd, busy;
    double due;
    long got, length; /* of the head and the body; length is 0 until the head is there */
    char head[HEAD_BYTES];
};

static char **paths;
static long path_count, next_path, asked, all, done, failed, refused;
static struct client *clients;
static int connections = 64, each_new, port, loop;
static double seconds = 5, rate, warm = 0.5;
static struct in_addr server;
static double *waits, begun, last;
static long wait_count;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void read_paths(const char *name)
{
    FILE *file = fopen(name, "r");
    char line[1024];
    if (!file)
        fail(name);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        paths = realloc(paths, (path_count + 1) * sizeof *paths);
        paths[path_count++] = strdup(line);
    }
    fclose(file);
}

static void dial(struct client *c)
{
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(FIRST_SOURCE + next_path % path_count);
    to.sin_addr = server;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&from, sizeof from))
        fail("bind");
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("connect");
    struct epoll_event wish = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &wish))
        fail("epoll_ctl");
}

/* On loopback a connection stands as soon as connect returns, unless the queue of the listener is full. */
static void ask(struct client *c, double due)
{
    char text[1400];
    int fresh = c->fd < 0;
    if (fresh)
        dial(c);
    int length = snprintf(text, sizeof text,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Grandstream Model HW GXP1628 SW 1.0.4.152 DevId 000b82000000"
        "\r\nAccept: */*\r\n%s\r\n", paths[next_path++ % path_count], each_new ? "Connection: close\r\n" : "");
    c->busy = 1, c->due = due, c->got = c->length = 0;
    asked++;
    while (send(c->fd, text, length, MSG_NOSIGNAL) != length) {
        struct timespec pause = {0, 200000};
        if (errno != EAGAIN && errno != ENOTCONN) {
            failed++;
            c->busy = 0;
            close(c->fd);
            c->fd = -1;
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static void end(struct client *c, int good)
{
    double at = now();
    c->busy = 0;
    if (!good)
        failed++;
    else
        all++;
    if (good && c->due - begun >= warm) {
        done++;
        last = at;
        if (wait_count < MOST)
            waits[wait_count++] = 1000 * (at - c->due);
    }
    if (each_new || !good) {
        close(c->fd);
        c->fd = -1;
    }
}

static void take(struct client *c)
{
    static char data[READ_BYTES];
    long got = recv(c->fd, data, sizeof data, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        if (c->busy)
            end(c, 0);
        else {
            close(c->fd);
            c->fd = -1;
        }
        return;
    }
    if (!c->length && c->got < HEAD_BYTES - 1) {
        long room = HEAD_BYTES - 1 - c->got, part = got < room ? got : room;
        memcpy(c->head + c->got, data, part);
        c->head[c->got + part] = 0;
    }
    c->got += got;
    char *stop = c->length ? NULL : strstr(c->head, "\r\n\r\n");
    if (stop) {
        char *field = strcasestr(c->head, "content-length:");
        if (strncmp(c->head, "HTTP/1.1 200", 12) || !field || field > stop) {
            refused++;
            end(c, 0);
            return;
        }
        c->length = stop + 4 - c->head + atol(field + 15);
    }
    if (c->length && c->got >= c->length)
        end(c, c->got == c->length);
}

static void work(void)
{
    struct epoll_event events[EVENTS];
    long free_one = 0;
    begun = now();
    double at;
    long in_hand = 0;
    while ((at = now()) - begun < seconds + 2) {
        int over = at - begun >= seconds;
        long due = rate > 0 ? (long)((at - begun) * rate) : 0;
        for (int i = 0; i < connections && !over; i++) {
            struct client *c = &clients[free_one++ % connections];
            if (rate > 0 && asked >= due)
                break;
            if (!c->busy)
                ask(c, rate > 0 ? begun + asked / rate : now());
        }
        in_hand = 0;
        int wait = rate > 0 ? 0 : 20, count = epoll_wait(loop, events, EVENTS, wait);
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (c->fd >= 0)
                take(c);
            if (rate == 0 && !c->busy && now() - begun < seconds)
                ask(c, now());
        }
        if (rate > 0 && !count) {
            struct timespec pause = {0, 50000};
            nanosleep(&pause, NULL);
        }
        if (over) {
            for (int i = 0; i < connections; i++)
                in_hand += clients[i].busy;
            if (!in_hand)
                break;
        }
    }
    failed += in_hand; /* still without an answer two seconds after the end */
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words)
{
    static const struct option OPTIONS[] = {
        {"paths", 1, 0, 'f'}, {"server", 1, 0, 'a'}, {"port", 1, 0, 'p'}, {"connections", 1, 0, 'c'},
        {"seconds", 1, 0, 's'}, {"rate", 1, 0, 'r'}, {"new", 0, 0, 'n'}, {0, 0, 0, 0}};
    inet_pton(AF_INET, "127.0.0.1", &server);
    for (int option; (option = getopt_long(count, words, "", OPTIONS, NULL)) != -1;)
        switch (option) {
        case 'f': read_paths(optarg); break;
        case 'a': inet_pton(AF_INET, optarg, &server); break;
        case 'p': port = atoi(optarg); break;
        case 'c': connections = atoi(optarg); break;
        case 's': seconds = strtod(optarg, NULL); break;
        case 'r': rate = strtod(optarg, NULL); break;
        case 'n': each_new = 1; break;
        default: return 2;
        }
    if (!path_count || !port || connections < 1)
        return 2;
    clients = calloc(connections, sizeof *clients);
    waits = malloc(MOST * sizeof *waits);
    for (int i = 0; i < connections; i++)
        clients[i].fd = -1;
    loop = epoll_create1(0);
    work();
    qsort(waits, wait_count, sizeof *waits, by_size);
    double span = last - begun - warm;
    printf("{\"all\": %ld, \"done\": %ld, \"failed\": %ld, \"refused\": %ld, \"per_second\": %.1f, ", all, done, failed, refused,
        span > 0 ? done / span : 0.0);
    printf("\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}\n", wait_count ? waits[wait_count / 2] : 0.0,
        wait_count ? waits[(long)(wait_count * 0.99)] : 0.0, wait_count ? waits[wait_count - 1] : 0.0);
    return 0;
}

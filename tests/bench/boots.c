/* Phones that start up at once, each in a network namespace of its own: SUBSCRIBE to the group (resent like a phone),
 * the 200, with --notified the NOTIFY (answered at once), then its configuration over a TCP connection of its own, from
 * the URL of the NOTIFY or by the path that it keeps (--paths, one on a line). Prints what happened as JSON.
 *
 * One process, which opens a socket of each kind in each namespace before the first SUBSCRIBE. Times are those of this
 * process, from the first SUBSCRIBE of all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stddef.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "phone_messages.h"

#define SENDS 5
#define EVENTS 64
#define URL_BYTES 512
#define HEAD_BYTES 4096
#define WAIT_MS 20

static const double RESEND_AFTER[SENDS + 1] = {0, 0.5, 1.5, 3.5, 7.5, 11.5}; /* RFC 3261 17.1.2.2, timer E */

struct phone {
    int sip, http, sends;
    double due, sent, answered, notified, fetched;
    char url[URL_BYTES]; /* host:port/path */
    char head[HEAD_BYTES + 1];
    size_t got;
    long length; /* of the whole answer; 0 while its head is not complete */
};

static struct fleet fleet = {.group = "224.0.1.75", .port = 5060, .phones = 1};
static struct phone *phones;
static const char *names_file, *paths_file, *server = "";
static double spread, limit_seconds = 60;
static int notified_first, ready;
static unsigned long resent, wrong, failed, body_bytes, fetched_phones;

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

static void watch(int socket, int what, unsigned number, int is_http, int change)
{
    struct epoll_event event = {.events = what, .data.u64 = number * 2ull + is_http};
    if (epoll_ctl(ready, change, socket, &event))
        fail("epoll_ctl");
}

/* Both sockets of a phone, in its namespace. */
static void open_phone(unsigned number, const char *namespace)
{
    char place[320], host[INET_ADDRSTRLEN];
    struct phone *p = &phones[number];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(fleet.port)};
    snprintf(place, sizeof place, "/run/netns/%s", namespace);
    int there = open(place, O_RDONLY | O_CLOEXEC);
    if (there < 0 || setns(there, CLONE_NEWNET))
        fail(place);
    close(there);
    host_text(&fleet, number, host);
    inet_pton(AF_INET, host, &here.sin_addr);
    p->sip = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    p->http = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(p->sip, (struct sockaddr *)&here, sizeof here) ||
        setsockopt(p->sip, IPPROTO_IP, IP_MULTICAST_IF, &here.sin_addr, sizeof here.sin_addr))
        fail(host);
    watch(p->sip, EPOLLIN, number, 0, EPOLL_CTL_ADD);
}

static void open_all(void)
{
    char name[256], path[URL_BYTES];
    FILE *names = fopen(names_file, "r"), *paths = paths_file ? fopen(paths_file, "r") : NULL;
    if (names == NULL || (paths_file && paths == NULL))
        fail("files");
    for (unsigned i = 0; i < fleet.phones; i++) {
        if (fscanf(names, "%255s", name) != 1)
            fail("too few namespaces");
        open_phone(i, name);
        if (paths == NULL)
            continue;
        if (fscanf(paths, "%300s", path) != 1)
            fail("too few paths");
        snprintf(phones[i].url, URL_BYTES, "%s%s", server, path);
    }
}

static void send_subscribe(unsigned number, double at)
{
    char text[TEXT_BYTES];
    struct phone *p = &phones[number];
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(fleet.port)};
    inet_pton(AF_INET, fleet.group, &group.sin_addr);
    int length = subscribe(&fleet, number, text);
    if (p->sends == 0)
        p->sent = at;
    else
        resent++;
    p->sends++;
    p->due = p->sent + RESEND_AFTER[p->sends];
    sendto(p->sip, text, length, 0, (struct sockaddr *)&group, sizeof group);
}

static void fetch(unsigned number)
{
    struct phone *p = &phones[number];
    char host[64];
    int port = 80;
    struct sockaddr_in there = {.sin_family = AF_INET};
    if (sscanf(p->url, "%63[^:/]:%d", host, &port) < 1 || inet_pton(AF_INET, host, &there.sin_addr) != 1) {
        wrong++;
        return;
    }
    there.sin_port = htons(port);
    if (connect(p->http, (struct sockaddr *)&there, sizeof there) && errno != EINPROGRESS)
        failed++;
    watch(p->http, EPOLLOUT, number, 1, EPOLL_CTL_ADD);
}

static void take_notify(unsigned number, const char *text, const struct sockaddr_in *from)
{
    char answer[TEXT_BYTES];
    struct phone *p = &phones[number];
    int size = answer_request(text, number, answer);
    const char *body = strstr(text, "\r\n\r\n");
    if (size == 0 || !names_mac(&fleet, number, text) || strncmp(body + 4, "http://", 7) != 0) {
        wrong++;
        return;
    }
    sendto(p->sip, answer, size, 0, (const struct sockaddr *)from, sizeof *from);
    if (p->notified)
        return; /* again */
    p->notified = now();
    sscanf(body + 11, "%511[^ \r\n]", p->url);
    fetch(number);
}

static void take_datagrams(unsigned number)
{
    char text[TEXT_BYTES + 1];
    struct phone *p = &phones[number];
    struct sockaddr_in from;
    for (;;) {
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(p->sip, text, TEXT_BYTES, 0, (struct sockaddr *)&from, &size);
        if (got <= 0)
            return;
        text[got] = '\0';
        if (strncmp(text, "SIP/2.0 200 ", 12) == 0 && number_of(&fleet, text) == (long)number) {
            if (p->answered)
                continue;
            p->answered = now();
            if (!notified_first)
                fetch(number);
        } else if (strncmp(text, "NOTIFY ", 7) == 0) {
            if (notified_first)
                take_notify(number, text, &from);
            else
                wrong++;
        } else if (strncmp(text, "OPTIONS ", 8) == 0) {
            char answer[TEXT_BYTES];
            int length = answer_request(text, number, answer);
            sendto(p->sip, answer, length, 0, (struct sockaddr *)&from, size);
        } else
            wrong++;
    }
}

static void ask(unsigned number)
{
    struct phone *p = &phones[number];
    char text[URL_BYTES + 256];
    const char *path = strchr(p->url, '/');
    int length = snprintf(text, sizeof text,
        "GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: Grandstream Model HW " MODEL " SW " FIRMWARE
        " DevId " OUI "%06X\r\nConnection: close\r\n\r\n",
        path, (int)(path - p->url), p->url, fleet.first_mac + number);
    if (send(p->http, text, length, MSG_NOSIGNAL) != length)
        failed++;
    watch(p->http, EPOLLIN, number, 1, EPOLL_CTL_MOD);
}

/* Read on; the download is complete with its last byte. */
static void take_file(unsigned number)
{
    static char rest[65536];
    struct phone *p = &phones[number];
    for (;;) {
        size_t room = p->got < HEAD_BYTES ? HEAD_BYTES - p->got : 0;
        ssize_t got = recv(p->http, room ? p->head + p->got : rest, room ? room : sizeof rest, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            failed++;
            break;
        }
        p->got += got;
        if (p->length == 0) {
            size_t size;
            p->head[p->got < HEAD_BYTES ? p->got : HEAD_BYTES] = '\0';
            const char *end = strstr(p->head, "\r\n\r\n"), *length = header(p->head, "Content-Length", &size);
            if (end == NULL)
                continue;
            if (length == NULL || strncmp(p->head, "HTTP/1.1 200 ", 13) != 0) {
                failed++;
                break;
            }
            long bytes = strtol(length, NULL, 10);
            body_bytes += bytes;
            p->length = end + 4 - p->head + bytes;
        }
        if ((long)p->got >= p->length) {
            p->fetched = now();
            fetched_phones++;
            break;
        }
    }
    close(p->http);
}

static void work(void)
{
    double begun = now(), at;
    for (unsigned i = 0; i < fleet.phones; i++)
        phones[i].due = begun + spread * i / fleet.phones;
    while ((at = now()) - begun < limit_seconds && fetched_phones + failed < fleet.phones) {
        struct epoll_event events[EVENTS];
        int sent = 0;
        double next = at + WAIT_MS / 1e3;
        for (unsigned i = 0; i < fleet.phones; i++) {
            struct phone *p = &phones[i];
            if (p->answered || p->sends >= SENDS)
                continue;
            if (p->due <= at && sent < EVENTS)
                send_subscribe(i, now()), sent++;
            if (p->due < next)
                next = p->due;
        }
        int wait = next > at ? (int)((next - at) * 1e3) : 0;
        int count = epoll_wait(ready, events, EVENTS, wait);
        for (int i = 0; i < count; i++) {
            unsigned number = events[i].data.u64 / 2;
            if (events[i].data.u64 % 2 == 0)
                take_datagrams(number);
            else if (events[i].events & EPOLLOUT)
                ask(number);
            else
                take_file(number);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many came to this, and when the first, the middle and the last of them did, in ms after the first SUBSCRIBE. */
static void print_step(const char *name, size_t member, double first)
{
    double *times = calloc(fleet.phones, sizeof *times);
    unsigned known = 0;
    for (unsigned i = 0; i < fleet.phones; i++) {
        double at = *(double *)((char *)&phones[i] + member);
        if (at > 0)
            times[known++] = 1000 * (at - first);
    }
    qsort(times, known, sizeof *times, by_size);
    printf(", \"%s\": {\"phones\": %u, \"first\": %.3f, \"p50\": %.3f, \"last\": %.3f}", name, known,
        known ? times[0] : 0, known ? times[known / 2] : 0, known ? times[known - 1] : 0);
    free(times);
}

static int read_options(int count, char **words)
{
    static const struct option OPTIONS[] = {
        {"phones", 1, 0, 'n'}, {"first-host", 1, 0, 'a'}, {"first-mac", 1, 0, 'm'}, {"namespaces", 1, 0, 'e'},
        {"paths", 1, 0, 'p'}, {"server", 1, 0, 's'}, {"notified", 0, 0, 'y'}, {"spread", 1, 0, 'd'},
        {"limit", 1, 0, 'l'}, {0, 0, 0, 0}};
    struct in_addr address = {0};
    for (int option; (option = getopt_long(count, words, "", OPTIONS, NULL)) != -1;)
        switch (option) {
        case 'n': fleet.phones = strtoul(optarg, NULL, 10); break;
        case 'a': inet_pton(AF_INET, optarg, &address); fleet.first_host = ntohl(address.s_addr); break;
        case 'm': fleet.first_mac = strtoul(optarg, NULL, 16); break;
        case 'e': names_file = optarg; break;
        case 'p': paths_file = optarg; break;
        case 's': server = optarg; break;
        case 'y': notified_first = 1; break;
        case 'd': spread = strtod(optarg, NULL); break;
        case 'l': limit_seconds = strtod(optarg, NULL); break;
        default: return 0;
        }
    return fleet.phones > 0 && names_file != NULL && (notified_first || paths_file != NULL);
}

int main(int count, char **words)
{
    if (!read_options(count, words))
        return 2;
    fleet.nonce = (unsigned)time(NULL) ^ ((unsigned)getpid() << 16);
    phones = calloc(fleet.phones, sizeof *phones);
    ready = epoll_create1(0);
    open_all();
    work();
    double first = phones[0].sent;
    printf("{\"resent\": %lu, \"wrong\": %lu, \"failed\": %lu, \"body_bytes\": %lu", resent, wrong, failed, body_bytes);
    print_step("sent", offsetof(struct phone, sent), first);
    print_step("answered", offsetof(struct phone, answered), first);
    print_step("notified", offsetof(struct phone, notified), first);
    print_step("fetched", offsetof(struct phone, fetched), first);
    puts("}");
    return 0;
}

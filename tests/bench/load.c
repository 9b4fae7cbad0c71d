/* Many phones at once: each has its own MAC and address, sends its SUBSCRIBE, resends it like a phone (T1 500 ms, five
 * sends), checks every 200 and answers every NOTIFY at once. Prints what happened as JSON.
 *
 * Closed loop (--window requests without an answer at a time), open loop (--rate a second, in clumps of --clump), or
 * both. Further phones may be there that only answer (--silent). Times are those of the kernel, on the wall clock, so
 * that they can be laid beside the rows of a database. With --each the times of every request stand in a file that
 * others may map while this runs: sent, answered, notified (seconds, 0 = not yet).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <net/if.h>
#include <poll.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load_result.h"

#define BATCH 32
#define SOCKET_BYTES 32000000
#define LONG_SECONDS 0.05

static const double GIVE_UP_AFTER = 11.5;

static unsigned rounds = 1, window, notifies, clump = 1, silent;
static const char *each; /* a file for the times of every request */
static double rate, limit_seconds = 60, quiet_seconds;
static unsigned long total, open_requests, queue[SENDS + 1];
static double begun;
static int wire, interface_index;
static struct sockaddr_in to_group;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void open_wire(const char *interface)
{
    int on = 1, size = SOCKET_BYTES;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(fleet.port)};
    interface_index = if_nametoindex(interface);
    wire = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(wire, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(wire, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(wire, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(wire, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (!interface_index || bind(wire, (struct sockaddr *)&any, sizeof any))
        fail("cannot open the phones' port");
    to_group = any;
    if (inet_pton(AF_INET, fleet.group, &to_group.sin_addr) != 1)
        fail("group");
}

/* Send one datagram from a phone's own address. */
static int say(unsigned phone, const char *text, int length, struct sockaddr_in *where)
{
    char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct iovec data = {(void *)text, length};
    struct msghdr message = {where, sizeof *where, &data, 1, control, sizeof control, 0};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = IPPROTO_IP, c->cmsg_type = IP_PKTINFO, c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo *from = (struct in_pktinfo *)CMSG_DATA(c);
    from->ipi_ifindex = interface_index;
    from->ipi_spec_dst.s_addr = htonl(fleet.first_host + phone);
    if (sendmsg(wire, &message, 0) == length)
        return 1;
    send_errors++;
    return 0;
}

static void send_request(unsigned number)
{
    char text[TEXT_BYTES];
    int length = subscribe(&fleet, number, text);
    if (times[number].sent == 0)
        times[number].sent = now();
    states[number].sends++;
    say(number % fleet.phones, text, length, &to_group);
}

/* As many new requests as window and rate allow now; how many that were. */
static int send_new(void)
{
    int sent = 0;
    unsigned long allowed = rate > 0 ? clump * (1 + (unsigned long)((now() - begun) * rate / clump)) : total;
    for (; sent < BATCH && next_number < total && next_number < allowed; sent++) {
        if (window && open_requests >= window)
            break;
        open_requests++;
        send_request(next_number++);
    }
    if (rate > 0 && next_number < total && allowed > next_number && allowed - next_number > behind)
        behind = allowed - next_number;
    return sent;
}

/* Every request passes six queues in the order of its first send: five sends, then the end of its patience. */
static void send_again(void)
{
    double at = now();
    for (int turn = 1; turn <= SENDS; turn++) {
        double after = turn < SENDS ? RESEND_AFTER[turn] : GIVE_UP_AFTER;
        for (; queue[turn] < next_number && times[queue[turn]].sent + after <= at; queue[turn]++) {
            unsigned number = queue[turn];
            if (states[number].answers)
                continue;
            if (turn < SENDS) {
                resent++;
                send_request(number);
            } else {
                states[number].given_up = 1;
                open_requests--;
            }
        }
    }
}

static void take_answer(const char *text, uint32_t at, double when)
{
    long number = number_of(&fleet, text);
    if (number < 0 || number >= (long)next_number) {
        strays++;
        return;
    }
    counts[check_answer(&fleet, number, text, at)]++;
    if (states[number].answers++ || states[number].given_up)
        return;
    times[number].answered = when;
    last_answer = fmax(last_answer, when);
    open_requests--;
}

static void take_notify(const char *text, uint32_t at, double when, struct sockaddr_in *from)
{
    char answer[TEXT_BYTES];
    unsigned phone = at - fleet.first_host;
    size_t length = 0;
    const char *call_id = header(text, "Call-ID", &length);
    int size = phone < fleet.phones + silent ? answer_request(text, phone, answer) : 0;
    if (size == 0 || call_id == NULL || !names_mac(&fleet, phone, text)) {
        wrong_notifies++;
        return;
    }
    say(phone, answer, size, from);
    if (phone >= fleet.phones)
        return;
    uint32_t call = 2166136261u;
    for (size_t i = 0; i < length; i++)
        call = (call ^ (uint8_t)call_id[i]) * 16777619u;
    if (told[phone].copies++ == 0) {
        notified_phones++;
        times[phone].notified = when;
        last_notify = when;
    }
    if (told[phone].last_call != call)
        told[phone].calls++;
    told[phone].last_call = call;
}

static void take_options(const char *text, uint32_t at, struct sockaddr_in *from)
{
    char answer[TEXT_BYTES];
    unsigned phone = at - fleet.first_host;
    int size = phone < fleet.phones + silent ? answer_request(text, phone, answer) : 0;
    options++;
    if (size)
        say(phone, answer, size, from);
}

static int take_in(void)
{
    static char text[BATCH][TEXT_BYTES + 1], control[BATCH][128];
    static struct sockaddr_in from[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec data[BATCH];
    for (int i = 0; i < BATCH; i++) {
        data[i] = (struct iovec){text[i], TEXT_BYTES};
        messages[i].msg_hdr = (struct msghdr){&from[i], sizeof from[i], &data[i], 1, control[i], sizeof control[i], 0};
    }
    int got = recvmmsg(wire, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++) {
        uint32_t at = 0;
        double when = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c; c = CMSG_NXTHDR(&messages[i].msg_hdr, c))
            if (c->cmsg_level == SOL_SOCKET) {
                struct timespec *t = (struct timespec *)CMSG_DATA(c);
                when = t->tv_sec + t->tv_nsec / 1e9;
            } else
                at = ntohl(((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr.s_addr);
        text[i][messages[i].msg_len] = '\0';
        if (strncmp(text[i], "NOTIFY ", 7) == 0)
            take_notify(text[i], at, when, &from[i]);
        else if (strncmp(text[i], "OPTIONS ", 8) == 0)
            take_options(text[i], at, &from[i]);
        else
            take_answer(text[i], at, when);
    }
    return got > 0 ? got : 0;
}

static void work(void)
{
    double quiet_since = 0, at;
    begun = now();
    while ((at = now()) - begun < limit_seconds) {
        int busy = send_new() + take_in();
        send_again();
        int done = next_number == total && open_requests == 0 && notified_phones >= notifies;
        quiet_since = !done ? 0 : quiet_since ? quiet_since : at;
        if (done && at - quiet_since >= quiet_seconds)
            return;
        if (busy)
            continue;
        double wait = LONG_SECONDS;
        if (rate > 0 && next_number < total)
            wait = fmin(fmax(begun + next_number / clump * clump / rate - now(), 0), LONG_SECONDS);
        struct timespec pause = {0, (long)(wait * 1e9)};
        struct pollfd readable = {wire, POLLIN, 0};
        ppoll(&readable, 1, &pause, NULL);
    }
}

static void *shared(const char *path, size_t size)
{
    int file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    if (path && (file < 0 || ftruncate(file, size)))
        fail(path);
    void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0);
    if (place == MAP_FAILED)
        fail("mmap");
    return place;
}

/* Returns 0 for words that nobody knows. */
static int read_options(int count, char **words)
{
    static const struct option OPTIONS[] = {
        {"phones", 1, 0, 'n'}, {"rounds", 1, 0, 'o'}, {"first-host", 1, 0, 'a'}, {"first-mac", 1, 0, 'm'},
        {"window", 1, 0, 'w'}, {"rate", 1, 0, 'r'}, {"clump", 1, 0, 'c'}, {"silent", 1, 0, 's'},
        {"notifies", 1, 0, 'y'}, {"limit", 1, 0, 'l'}, {"quiet", 1, 0, 'q'}, {"each", 1, 0, 'e'}, {0, 0, 0, 0}};
    struct in_addr address = {0};
    for (int option; (option = getopt_long(count, words, "", OPTIONS, NULL)) != -1;)
        switch (option) {
        case 'n': fleet.phones = strtoul(optarg, NULL, 10); break;
        case 'o': rounds = strtoul(optarg, NULL, 10); break;
        case 'a': inet_pton(AF_INET, optarg, &address); fleet.first_host = ntohl(address.s_addr); break;
        case 'm': fleet.first_mac = strtoul(optarg, NULL, 16); break;
        case 'w': window = strtoul(optarg, NULL, 10); break;
        case 'r': rate = strtod(optarg, NULL); break;
        case 'c': clump = strtoul(optarg, NULL, 10); break;
        case 's': silent = strtoul(optarg, NULL, 10); break;
        case 'y': notifies = strtoul(optarg, NULL, 10); break;
        case 'l': limit_seconds = strtod(optarg, NULL); break;
        case 'q': quiet_seconds = strtod(optarg, NULL); break;
        case 'e': each = optarg; break;
        default: return 0;
        }
    return fleet.phones > 0 && rounds > 0 && clump > 0;
}

int main(int count, char **words)
{
    if (!read_options(count, words))
        return 2;
    total = (unsigned long)fleet.phones * rounds;
    fleet.nonce = (unsigned)(now() * 1000) ^ ((unsigned)getpid() << 16);
    times = shared(each, total * sizeof *times);
    states = shared(NULL, total * sizeof *states);
    told = shared(NULL, fleet.phones * sizeof *told);
    open_wire("eth0");
    work();
    print_result();
    return 0;
}

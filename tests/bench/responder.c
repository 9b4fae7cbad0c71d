/* The floor of the benchmark: joins the group and answers every datagram with a bare 200, as fast as two system calls
 * allow. It copies Via, From, To, Call-ID and CSeq and adds nothing: no To tag, no received, no memory of what it saw.
 *
 * responder GROUP PORT OUR-ADDRESS [URL]; prints "ready" when it listens. With a URL each request with a MAC in it is also
 * told, by a NOTIFY from a port of its own, that its file is at URL/cfg<MAC>; nobody reads what is answered to that.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define DATAGRAM_BYTES 65536
#define RECEIVE_BUFFER_BYTES 4000000
#define NOTIFY_BYTES 2048

static const char *COPIED[] = {"Via:", "From:", "To:", "Call-ID:", "CSeq:"};

static int is_copied(const char *line)
{
    for (size_t i = 0; i < sizeof COPIED / sizeof *COPIED; i++)
        if (strncasecmp(line, COPIED[i], strlen(COPIED[i])) == 0)
            return 1;
    return 0;
}

/* The 200 to a request that ends in NUL; its length. */
static size_t answer(const char *request, char *out)
{
    static const char STATUS[] = "SIP/2.0 200 OK\r\n", END[] = "Content-Length: 0\r\n\r\n";
    char *to = out;
    memcpy(to, STATUS, sizeof STATUS - 1);
    to += sizeof STATUS - 1;
    for (const char *line = strstr(request, "\r\n"); line != NULL && line[2] != '\r' && line[2] != '\0';) {
        line += 2;
        const char *end = strstr(line, "\r\n");
        if (end == NULL)
            break;
        if (is_copied(line)) {
            memcpy(to, line, end + 2 - line);
            to += end + 2 - line;
        }
        line = end;
    }
    memcpy(to, END, sizeof END - 1);
    return to + sizeof END - 1 - out;
}

static int open_group(const char *group, int port, const char *here)
{
    int on = 1, size = RECEIVE_BUFFER_BYTES, heard = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct ip_mreq membership;
    if (inet_pton(AF_INET, group, &place.sin_addr) != 1 || inet_pton(AF_INET, here, &membership.imr_interface) != 1)
        return -1;
    membership.imr_multiaddr = place.sin_addr;
    setsockopt(heard, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(heard, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(heard, (struct sockaddr *)&place, sizeof place) ||
        setsockopt(heard, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership))
        return -1;
    return heard;
}

/* The NOTIFY to whoever sent this request; its length, 0 if there is no MAC in it. */
static size_t notify(const char *request, const struct sockaddr_in *to, const char *here, const char *url, char *out)
{
    static unsigned long number;
    char host[INET_ADDRSTRLEN], body[512];
    const char *mac = strstr(request, "MAC%3A");
    inet_ntop(AF_INET, &to->sin_addr, host, sizeof host);
    if (mac == NULL)
        return 0;
    number++;
    int size = snprintf(body, sizeof body, "%s/cfg%.12s", url, mac + 6);
    return snprintf(out, NOTIFY_BYTES,
        "NOTIFY sip:%s:%d SIP/2.0\r\nVia: SIP/2.0/UDP %s:6060;branch=z9hG4bK%lu;rport\r\nFrom: <sip:%s>;tag=%lu\r\n"
        "To: <sip:%s>\r\nCall-ID: %lu@%s\r\nCSeq: 1 NOTIFY\r\nContact: <sip:%s:6060>\r\nMax-Forwards: 70\r\n"
        "Event: ua-profile\r\nSubscription-State: terminated;reason=timeout\r\nContent-Type: application/url\r\n"
        "Content-Length: %d\r\n\r\n%s",
        host, ntohs(to->sin_port), here, number, here, number, host, number, here, here, size, body);
}

int main(int count, char **words)
{
    static char told[NOTIFY_BYTES], request[DATAGRAM_BYTES + 1], response[DATAGRAM_BYTES + 64];
    int heard = count == 4 || count == 5 ? open_group(words[1], atoi(words[2]), words[3]) : -1;
    if (heard < 0) {
        perror("responder GROUP PORT OUR-ADDRESS [URL]");
        return 2;
    }
    int telling = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(6060)};
    inet_pton(AF_INET, words[3], &here.sin_addr);
    if (bind(telling, (struct sockaddr *)&here, sizeof here)) {
        perror("port 6060");
        return 2;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in source;
        socklen_t length = sizeof source;
        ssize_t got = recvfrom(heard, request, DATAGRAM_BYTES, 0, (struct sockaddr *)&source, &length);
        if (got <= 0)
            continue;
        request[got] = '\0';
        sendto(heard, response, answer(request, response), 0, (struct sockaddr *)&source, length);
        size_t size = count == 5 ? notify(request, &source, words[3], words[4], told) : 0;
        if (size)
            sendto(telling, told, size, 0, (struct sockaddr *)&source, length);
    }
}

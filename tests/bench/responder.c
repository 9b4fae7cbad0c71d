/* The floor of the benchmark: joins the group and answers every datagram with a bare 200, as fast as two system calls
 * allow. It copies Via, From, To, Call-ID and CSeq and adds nothing: no To tag, no received, no memory of what it saw.
 *
 * responder GROUP PORT OUR-ADDRESS; prints "ready" when it listens.
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

int main(int count, char **words)
{
    static char request[DATAGRAM_BYTES + 1], response[DATAGRAM_BYTES + 64];
    int heard = count == 4 ? open_group(words[1], atoi(words[2]), words[3]) : -1;
    if (heard < 0) {
        perror("responder GROUP PORT OUR-ADDRESS");
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
    }
}

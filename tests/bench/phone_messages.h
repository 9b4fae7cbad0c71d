/* What the phones of the load generator say, and what they expect to hear: the guide's SUBSCRIBE, one phone per number.
 *
 * A phone has its own MAC and its own address; a request's number stands in its Call-ID and branch, so that every
 * answer finds its request without a table.
 */
#ifndef PHONE_MESSAGES_H
#define PHONE_MESSAGES_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 2048
#define OUI "000B82"
#define MODEL "GXP1628"
#define FIRMWARE "1.0.4.88"

struct fleet {
    const char *group;
    int port;           /* of the group, and of every phone */
    uint32_t first_host; /* address of phone 0, in host order */
    unsigned first_mac;  /* last three bytes of phone 0's MAC */
    unsigned phones;
    unsigned nonce;      /* makes branches and Call-IDs of this run its own */
};

/* What is wrong with an answer; the names stand in the same order in load_result.h. */
enum fault { FINE, OTHER_STATUS, OTHER_VIA, OTHER_FROM, OTHER_TO, NO_TO_TAG, OTHER_CSEQ, OTHER_PLACE, FAULTS };

static inline void host_text(const struct fleet *f, unsigned phone, char *out)
{
    struct in_addr address = {htonl(f->first_host + phone)};
    inet_ntop(AF_INET, &address, out, INET_ADDRSTRLEN);
}

static inline int subscribe(const struct fleet *f, unsigned number, char *out)
{
    unsigned phone = number % f->phones, mac = f->first_mac + phone;
    char host[INET_ADDRSTRLEN];
    host_text(f, phone, host);
    return snprintf(out, TEXT_BYTES,
        "SUBSCRIBE sip:MAC%%3A" OUI "%06X@%s SIP/2.0\r\n"
        "Via: SIP/2.0/UDP %s:%d;branch=z9hG4bK%08x%08x;rport\r\n"
        "From: <sip:MAC%%3A" OUI "%06X@%s>;tag=%u\r\n"
        "To: <sip:MAC%%3A" OUI "%06X@%s>\r\n"
        "Call-ID: %08x-%08x-1@%s\r\nCSeq: 20000 SUBSCRIBE\r\nContact: <sip:%s:%d>\r\nX-Grandstream-PBX: true\r\n"
        "Max-Forwards: 70\r\nUser-Agent: Grandstream " MODEL " " FIRMWARE "\r\nExpires: 0\r\n"
        "Supported: replaces, path, timer\r\n"
        "Event: ua-profile;profile-type=\"device\";vendor=\"Grandstream\";"
        "model=\"" MODEL "\";version=\"" FIRMWARE "\"\r\n"
        "Accept: application/url\r\n"
        "Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE\r\n"
        "Content-Length: 0\r\n\r\n",
        mac, f->group, host, f->port, number, f->nonce, mac, f->group, number + 1000000000u, mac, f->group,
        number, f->nonce, host, host, f->port);
}

/* The value of a header, up to its line end; its length in `length`. NULL if it is not there. */
static inline const char *header(const char *message, const char *name, size_t *length)
{
    size_t size = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line != NULL && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, size) != 0 || line[2 + size] != ':')
            continue;
        const char *value = line + 3 + size;
        value += strspn(value, " ");
        const char *end = strstr(value, "\r\n");
        *length = end == NULL ? strlen(value) : (size_t)(end - value);
        return value;
    }
    return NULL;
}

/* The number of the request that this answer belongs to; -1 if it is of another run, or no answer. */
static inline long number_of(const struct fleet *f, const char *message)
{
    size_t length = 0;
    unsigned number, nonce;
    const char *call_id = header(message, "Call-ID", &length);
    if (call_id == NULL || sscanf(call_id, "%8x-%8x-1@", &number, &nonce) != 2 || nonce != f->nonce)
        return -1;
    return number;
}

static inline int begins(const char *message, const char *name, const char *wanted, int whole)
{
    size_t length, size = strlen(wanted);
    const char *value = header(message, name, &length);
    return value != NULL && length >= size && strncmp(value, wanted, size) == 0 && (!whole || length == size);
}

/* Does this 200 say what the request's sender must hear (RFC 3261 8.2.6, 18.2.1)? `at` is where it arrived. */
static inline enum fault check_answer(const struct fleet *f, unsigned number, const char *message, uint32_t at)
{
    unsigned phone = number % f->phones;
    char host[INET_ADDRSTRLEN], wanted[256];
    size_t length = 0;
    host_text(f, phone, host);
    if (strncmp(message, "SIP/2.0 200 ", 12) != 0)
        return OTHER_STATUS;
    snprintf(wanted, sizeof wanted, "SIP/2.0/UDP %s:%d;branch=z9hG4bK%08x%08x;", host, f->port, number, f->nonce);
    if (!begins(message, "Via", wanted, 0))
        return OTHER_VIA;
    snprintf(wanted, sizeof wanted, "<sip:MAC%%3A" OUI "%06X@%s>;tag=%u", f->first_mac + phone, f->group,
        number + 1000000000u);
    if (!begins(message, "From", wanted, 1))
        return OTHER_FROM;
    *strchr(wanted, ';') = '\0';
    if (!begins(message, "To", wanted, 0))
        return OTHER_TO;
    if (!begins(message, "CSeq", "20000 SUBSCRIBE", 1))
        return OTHER_CSEQ;
    if (at != f->first_host + phone)
        return OTHER_PLACE;
    const char *to = header(message, "To", &length);
    const char *tag = strstr(to, ";tag=");
    return tag != NULL && tag + 5 < to + length ? FINE : NO_TO_TAG;
}

/* The phone's 200 to a NOTIFY or OPTIONS: Via, From, To, Call-ID and CSeq as they came; 0 if one of them is missing. */
static inline int answer_request(const char *request, unsigned phone, char *out)
{
    static const char *COPIED[] = {"Via", "From", "To", "Call-ID", "CSeq"};
    char *to = out + sprintf(out, "SIP/2.0 200 OK\r\n");
    for (int i = 0; i < 5; i++) {
        size_t length = 0;
        const char *value = header(request, COPIED[i], &length);
        if (value == NULL || length > 300)
            return 0;
        to += sprintf(to, "%s: %.*s", COPIED[i], (int)length, value);
        to += sprintf(to, i == 2 ? ";tag=%u\r\n" : "\r\n", phone + 1);
    }
    to += sprintf(to, "User-Agent: Grandstream " MODEL " " FIRMWARE "\r\nContent-Length: 0\r\n\r\n");
    return to - out;
}

/* Is this NOTIFY for this phone: does its URL name the phone's MAC? */
static inline int names_mac(const struct fleet *f, unsigned phone, const char *notify)
{
    char wanted[32];
    const char *body = strstr(notify, "\r\n\r\n");
    snprintf(wanted, sizeof wanted, "/cfg" OUI "%06X", f->first_mac + phone);
    return body != NULL && strstr(body, wanted) != NULL;
}

#endif

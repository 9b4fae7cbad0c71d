/* What the load generator has seen: times of each request, and its JSON. Part of load.c. */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "phone_messages.h"

#define SENDS 5

struct times { double sent, answered, notified; };
struct state { uint8_t sends, answers, given_up; };
struct told { uint32_t last_call; uint16_t copies, calls; };

static const double RESEND_AFTER[SENDS] = {0, 0.5, 1.5, 3.5, 7.5}; /* RFC 3261 17.1.2.2, timer E */
static const char *FAULT_NAMES[FAULTS] = {
    "fine", "other_status", "other_via", "other_from", "other_to", "no_to_tag", "other_cseq", "other_place"};

static struct fleet fleet = {.group = "224.0.1.75", .port = 5060, .phones = 1};
static struct times *times;   /* by request */
static struct state *states;  /* by request */
static struct told *told;     /* by phone */
static unsigned long next_number, counts[FAULTS], resent, strays, options, wrong_notifies, notified_phones, send_errors;
static unsigned long behind;  /* requests that an open loop was late with, at worst */
static double last_answer, last_notify;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_waits(const char *name, unsigned long count, size_t member)
{
    double *waits = malloc((count + 1) * sizeof *waits);
    unsigned long known = 0;
    for (unsigned long i = 0; i < count; i++) {
        double end = *(double *)((char *)&times[i] + member);
        if (end > 0)
            waits[known++] = 1000 * (end - times[i].sent);
    }
    qsort(waits, known, sizeof *waits, by_size);
    if (known)
        printf(", \"%s\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}", name, waits[known / 2],
            waits[(unsigned long)(known * 0.99)], waits[known - 1]);
    free(waits);
}

static void print_result(void)
{
    unsigned long answered = 0, first_try = 0, doubled = 0, copies = 0, calls = 0;
    for (unsigned long i = 0; i < next_number; i++) {
        answered += times[i].answered > 0;
        first_try += times[i].answered > 0 && times[i].answered - times[i].sent < RESEND_AFTER[1];
        doubled += states[i].answers > states[i].sends;
    }
    for (unsigned i = 0; i < fleet.phones; i++)
        copies += told[i].copies, calls += told[i].calls;
    printf("{\"sent\": %lu, \"resent\": %lu, \"answered\": %lu, \"first_try\": %lu, \"unanswered\": %lu, ",
        next_number, resent, answered, first_try, next_number - answered);
    printf("\"doubled\": %lu, \"strays\": %lu, \"options\": %lu, \"send_errors\": %lu, \"behind\": %lu, ",
        doubled, strays, options, send_errors, behind);
    printf("\"first_sent_at\": %.6f, \"answer_seconds\": %.6f, \"notify_seconds\": %.6f, ", times[0].sent,
        last_answer ? last_answer - times[0].sent : 0, last_notify ? last_notify - times[0].sent : 0);
    printf("\"notified\": %lu, \"notify_copies\": %lu, \"notify_transactions\": %lu, \"wrong_notifies\": %lu, ",
        notified_phones, copies, calls, wrong_notifies);
    printf("\"faults\": {");
    for (int i = 1; i < FAULTS; i++)
        printf("%s\"%s\": %lu", i > 1 ? ", " : "", FAULT_NAMES[i], counts[i]);
    printf("}");
    print_waits("answer_ms", next_number, offsetof(struct times, answered));
    print_waits("notify_ms", fleet.phones < next_number ? fleet.phones : next_number, offsetof(struct times, notified));
    puts("}");
}

#endif

/* attach.c: see attach.h. */
#include "evaluator/attach.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/hello.h"
#include "proto/memory.h"
#include "proto/process.h"
#include "proto/request.h"
#include "proto/socket.h"
#include "trainer/spread.h"
#include "trainer/status.h"

#define HELLO_MS 250
#define ANSWER_NS 3000000000ull /* a trainer that somebody started without a supervisor answers in less */
#define LOOK_MS 3000            /* a supervisor, too */

/* True unless the run has ended, or nobody is left who could go on with it. */
static bool goes_on(const char *run_dir)
{
    sb_status status;
    sb_request_state now;
    if ((sb_status_read(run_dir, &status) == 0 && strcmp(status.phase, "training") != 0) ||
        sb_request_look(run_dir, LOOK_MS, &now) != 0)
        return false;
    const bool waits = strcmp(now.phase, "waiting") == 0, silent = now.silent >= SB_SILENT_S;
    if (waits || silent)
        sb_note("the trainer of %s %s: it is not waited for", run_dir,
                waits ? "waits for memory" : "is stopped, or hangs");
    return !waits && !silent;
}

typedef struct {
    const char *run_dir;
    uint64_t end; /* of the time in which any trainer answers */
} patience;

static bool has_patience(void *context)
{
    const patience *p = context;
    return sb_now() < p->end || goes_on(p->run_dir);
}

/* 1, 0, -1 as sb_attach. */
static int ask(sb_socket *socket, const char *run_dir, sb_message *welcome)
{
    patience p = { .run_dir = run_dir, .end = sb_now() + ANSWER_NS };
    int rc = sb_hello(socket, SB_ROLE_EVALUATOR, "the trainer", HELLO_MS, has_patience, &p, welcome);
    if (rc == 1 && welcome->welcome.segment_count != 2)
        return sb_fail("the trainer offers %u broadcasts, expected embeddings and weights",
                       welcome->welcome.segment_count);
    return rc;
}

/* 1; 0: the trainer that has answered is gone; -1. */
static int join(sb_attachment *a, const sb_message *m)
{
    const sb_process trainer = { .pid = m->welcome.pid, .start = m->welcome.start };
    a->trainer = sb_process_open(&trainer);
    if (a->trainer < 0)
        return 0;
    if (sb_broadcast_join(&a->embeddings, SB_SEGMENT_EMBEDDINGS, &m->welcome.segments[0]) != 0 ||
        sb_broadcast_join(&a->weights, SB_SEGMENT_WEIGHTS, &m->welcome.segments[1]) != 0)
        return sb_process_gone(a->trainer) ? 0 : -1;
    size_t bytes = a->embeddings.record_bytes, count = a->embeddings.count;
    a->next_embedding = sb_broadcast_next(&a->embeddings); /* what lies there was for those who came before */
    if (a->weights.record_bytes < sizeof(sb_snapshot_head) || bytes <= sizeof(sb_embedding_head) ||
        bytes % sizeof(int64_t) != 0)
        return sb_fail("records of %zu and %zu bytes are too short", bytes, a->weights.record_bytes);
    a->snapshot = sb_zeroed(a->weights.record_bytes, 1, "a snapshot of the weights");
    a->record_memory = sb_zeroed(count, bytes, "the embeddings of the trainer");
    a->record = sb_zeroed(count, sizeof *a->record, "the list of embeddings");
    a->vectors = sb_zeroed(count, bytes, "the vectors of embeddings");
    return a->snapshot && a->record_memory && a->record && a->vectors ? 1 : -1;
}

static const sb_attachment detached = { .embeddings = { .segment = { .fd = -1 } },
                                        .weights = { .segment = { .fd = -1 } },
                                        .trainer = -1 };

int sb_attach(sb_attachment *a, const char *run_dir, const char *config_text)
{
    sb_socket socket;
    sb_message welcome;
    *a = detached;
    if (sb_socket_connect(&socket, run_dir, "trainer") != 0)
        return -1;
    int rc;
    while ((rc = ask(&socket, run_dir, &welcome)) == 1 && (rc = join(a, &welcome)) == 0)
        sb_detach(a);
    sb_socket_close(&socket);
    a->config_text = config_text;
    if (rc != 1)
        sb_detach(a);
    return rc;
}

void sb_detach(sb_attachment *a)
{
    sb_broadcast_close(&a->embeddings);
    sb_broadcast_close(&a->weights);
    if (a->trainer >= 0)
        close(a->trainer);
    free(a->snapshot);
    free(a->record_memory);
    free(a->record);
    free(a->vectors);
    *a = detached;
}

bool sb_attachment_ended(const sb_attachment *a) { return sb_process_gone(a->trainer); }

/* A snapshot comes from another process: nothing in it is believed before it is looked at. */
static int check_snapshot(const sb_attachment *a)
{
    const sb_snapshot_head *h = a->snapshot;
    size_t room = (a->weights.record_bytes - sizeof *h) / sizeof(float);
    if (memchr(h->config, '\0', sizeof h->config) == NULL || h->step < 0 || h->weight_floats > room ||
        h->statistic_floats != room - h->weight_floats)
        return sb_fail(
            "the weights snapshot is not sound (step %lld, %llu weights and %llu statistics in room for %zu)",
            (long long)h->step, (unsigned long long)h->weight_floats, (unsigned long long)h->statistic_floats,
            room);
    if (strcmp(h->config, a->config_text) != 0)
        return sb_fail("the live trainer has another configuration than config.yaml: was the file edited?");
    return 0;
}

int sb_attachment_weights(sb_attachment *a, const sb_snapshot_head **head, const float **weight,
                          const float **running)
{
    for (int tries = 0; tries < 5; tries++) {
        uint64_t next = sb_broadcast_next(&a->weights);
        if (next <= a->next_snapshot)
            return 0;
        int rc = sb_broadcast_read(&a->weights, next - 1, a->snapshot);
        if (rc == -1 || (rc == 1 && check_snapshot(a) != 0))
            return -1;
        if (rc != 1)
            continue; /* overtaken: the next one is there */
        a->next_snapshot = next;
        *head = a->snapshot;
        *weight = (const float *)(a->snapshot + 1);
        *running = *weight + a->snapshot->weight_floats;
        return 1;
    }
    return 0;
}

/* Copies what the ring still holds of the records since the last time; returns how many. */
static int collect(sb_attachment *a, uint32_t *missed)
{
    uint64_t next = sb_broadcast_next(&a->embeddings), first = a->next_embedding;
    size_t bytes = a->embeddings.record_bytes;
    if (next > first + a->embeddings.count)
        first = next - a->embeddings.count;
    int found = 0;
    for (uint64_t n = first; n < next; n++) {
        sb_embedding_head *record = (sb_embedding_head *)(a->record_memory + (size_t)found * bytes);
        int rc = sb_broadcast_read(&a->embeddings, n, record);
        if (rc == -1)
            return -1;
        if (rc != 1)
            continue;
        if (record->width != (bytes - sizeof *record) / sizeof(float))
            return sb_fail("an embedding of width %u in a record for %zu", record->width,
                           (bytes - sizeof *record) / sizeof(float));
        a->record[found++] = record;
    }
    uint64_t lost = next - a->next_embedding - (uint64_t)found;
    *missed = lost > UINT32_MAX ? UINT32_MAX : (uint32_t)lost;
    a->next_embedding = next;
    return found;
}

int sb_attachment_measure(sb_attachment *a, sb_stream_measures *m)
{
    const uint64_t before = a->next_embedding;
    *m = (sb_stream_measures){ 0 };
    int count = collect(a, &m->missed), pairs = 0;
    if (count < 0)
        return -1;
    if (count < 2) { /* of a batch that is just being written: the next call has all of it */
        a->next_embedding = before;
        m->missed = 0;
        return 0;
    }
    int width = (int)a->record[0]->width;
    size_t bytes = (size_t)width * sizeof(float);
    for (int i = 0; i < count; i++)
        memcpy(a->vectors + (size_t)i * (size_t)width, a->record[i] + 1, bytes);
    sb_spread_unit(a->vectors, (size_t)count, width);
    double squares = 0;
    for (int i = 0; i < count; i++) { /* a sample's other views follow its first within the step */
        const sb_embedding_head *first = a->record[i];
        for (int j = i + 1; first->view == 0 && j < count && a->record[j]->step == first->step; j++) {
            if (a->record[j]->position != first->position || a->record[j]->epoch != first->epoch)
                continue;
            squares += sb_metric_squared_distance(a->vectors + (size_t)i * (size_t)width,
                                                  a->vectors + (size_t)j * (size_t)width, 1, width);
            pairs++;
        }
    }
    m->count = (uint32_t)count;
    m->alignment = pairs ? squares / pairs : 0;
    m->uniformity = sb_metric_evenness(a->vectors, count, width);
    m->deviation = sb_spread_deviation(a->vectors, count, width);
    m->rank = sb_spread_rank(a->vectors, count, width);
    if (m->rank < 0)
        return -1;
    return 0;
}

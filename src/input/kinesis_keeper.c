/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_keeper.h. */
#include "input/kinesis_keeper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/xalloc.h"
#include "core/backoff.h"
#include "input/kinesis_list.h"
#include "input/kinesis_reply.h"

enum {
    REPLY_MAX = 8 << 20, /* of ListShards: 1000 shards a page, half a kilobyte each */
    BODY_MAX = 64 << 10,
    LIST_CALL_MS = 10000,
    LIST_EVERY_MS = 60000, /* when nobody asks for it */
    LIST_AGAIN_MS = 3000,  /* while an end waits for the list to show the children */
    SUMMARY_EVERY_MS = 3600000,
    OWNER_MAX = 256,
};

/* How `peek` sees a stream: the last minutes of all shards. */
enum { LOOK_BACK_MS = 10 * 60 * 1000 };

enum seat_state {
    SEAT_FREE,   /* not ours, or not to be read yet */
    SEAT_TAKEN,  /* a worker reads it */
    SEAT_AT_END, /* read to its end and handed out */
};

struct seat {
    struct kinesis_seat seat;
    enum seat_state state;
    int worker;
    bool was_lost; /* since the store was last asked: what it says may be older than that */
};

struct kinesis_shared {
    pthread_mutex_t lock; /* over all that is below, but where it says otherwise */
    int users;
    const struct kinesis_conf *conf;
    int workers;
    bool look_only;

    struct aws_session *session;
    struct aws_target target, table_target;
    const struct kinesis_store_type *store_type; /* NULL: none (peek) */
    void *store;
    int lock_fd; /* of the file with positions; -1 */
    char owner[OWNER_MAX];
    struct job *job;

    /* The job's own. */
    struct aws_client *client;
    struct kinesis_shards shards;
    struct kinesis_claim *claims;
    int64_t listed_ms, summary_ms; /* monotonic; 0: never */
    int64_t list_every_ms;
    struct backoff backoff;
    char said[sizeof(((struct err *)0)->text)]; /* what went wrong last, not to be said again */
    int64_t look_from_ms;

    size_t seat_count;
    struct seat *seats; /* sorted by shard id, as the list is */
    uint64_t tenures;

    atomic_uint version;
    atomic_bool list_wanted;
    atomic_llong retention_ms;
};

struct kinesis_shared *kinesis_shared_make(void) {
    struct kinesis_shared *shared = xcalloc(1, sizeof(*shared));
    pthread_mutex_init(&shared->lock, NULL);
    shared->lock_fd = -1;
    return shared;
}

void kinesis_shared_free(struct kinesis_shared *shared) {
    if (shared) {
        pthread_mutex_destroy(&shared->lock);
        free(shared);
    }
}

/* ---- listing ---- */

/* What went wrong is said when it is not what was said last, but for the request's number. */
static void say(struct kinesis_shared *shared, const char *text) {
    const char *request = strstr(text, " (HTTP ");
    size_t len = request ? (size_t)(request - text) : strlen(text) + 1;
    if (strncmp(shared->said, text, len) != 0) {
        snprintf(shared->said, sizeof(shared->said), "%s", text);
        log_warning("kinesis %s: %s; it is tried again", shared->conf->name, text);
    }
}

static void say_fine(struct kinesis_shared *shared) {
    if (shared->said[0]) {
        log_info("kinesis %s: the stream's shards are known again", shared->conf->name);
        shared->said[0] = '\0';
    }
}

static bool is_due(const struct kinesis_shared *shared, int64_t now_ms) {
    return shared->listed_ms == 0 || atomic_load(&shared->list_wanted) ||
           now_ms - shared->listed_ms >= shared->list_every_ms;
}

/* 1: a fresh list is there, 0: the old one will do, -1: it could not be fetched. */
static int list(struct kinesis_shared *shared, const atomic_bool *stopping, struct err *err) {
    int64_t now_ms = clock_monotonic_ms();
    if (!is_due(shared, now_ms)) {
        return 0;
    }
    struct kinesis_shards fresh = {0};
    atomic_store(&shared->list_wanted, false);
    if (kinesis_list_shards(shared->conf, shared->client, stopping, &fresh, err) != 0) {
        kinesis_shards_done(&fresh);
        atomic_store(&shared->list_wanted, true);
        return -1;
    }
    kinesis_shards_done(&shared->shards);
    shared->shards = fresh;
    shared->claims = xreallocarray(shared->claims, fresh.count + 1, sizeof(*shared->claims));
    shared->listed_ms = now_ms;
    return 1;
}

/* The retention, for statistics alone: without the permission they lack it. */
static void summarize(struct kinesis_shared *shared, const atomic_bool *stopping) {
    int64_t now_ms = clock_monotonic_ms();
    if (shared->summary_ms != 0 && now_ms - shared->summary_ms < SUMMARY_EVERY_MS) {
        return;
    }
    char memory[BODY_MAX];
    struct buf body;
    struct err err;
    struct kinesis_summary summary;
    const struct aws_reply *reply;
    buf_over(&body, memory, sizeof(memory));
    buf_char(&body, '{');
    kinesis_conf_put_stream(shared->conf, &body);
    buf_char(&body, '}');
    shared->summary_ms = now_ms;
    if (aws_client_call(shared->client, "DescribeStreamSummary", buf_span(&body), LIST_CALL_MS,
                        stopping, &reply, &err) == 0 &&
        kinesis_summary_parse(reply->body, reply->len, &summary, &err) == 0) {
        atomic_store(&shared->retention_ms, summary.retention_hours * 3600 * 1000);
    } else {
        log_info("kinesis %s: how long records are kept is not known: %s", shared->conf->name,
                 err.text);
    }
}

/* ---- seats ---- */

static int compare_seat(const void *id, const void *seat) {
    return strcmp(id, ((const struct seat *)seat)->seat.shard.id);
}

static struct seat *find_seat(struct kinesis_shared *shared, const char *id) {
    return shared->seat_count == 0 ? NULL
                                   : bsearch(id, shared->seats, shared->seat_count,
                                             sizeof(*shared->seats), compare_seat);
}

static int least_busy(const struct kinesis_shared *shared) {
    int best = 0, fewest = INT32_MAX;
    for (int worker = 0; worker < shared->workers; worker++) {
        int count = 0;
        for (size_t i = 0; i < shared->seat_count; i++) {
            count += shared->seats[i].state == SEAT_TAKEN && shared->seats[i].worker == worker;
        }
        if (count < fewest) {
            best = worker;
            fewest = count;
        }
    }
    return best;
}

/* A parent that is not listed any more is past its retention: nobody waits for it. */
static bool is_parent_done(struct kinesis_shared *shared, const char *id) {
    const struct kinesis_shard *parent = id[0] ? kinesis_shards_find(&shared->shards, id) : NULL;
    if (!parent) {
        return true;
    }
    const struct kinesis_claim *claim = &shared->claims[parent - shared->shards.items];
    const struct seat *seat = find_seat(shared, id);
    bool is_read = seat && seat->state == SEAT_AT_END;
    return claim->position.kind == POSITION_SHARD_END ||
           (is_read && !(shared->store_type && shared->store_type->waits_for_stored_parents));
}

static void take(struct kinesis_shared *shared, struct seat *seat,
                 const struct kinesis_claim *claim) {
    seat->worker = least_busy(shared);
    seat->state = SEAT_TAKEN;
    seat->seat.position = claim->position;
    seat->seat.tenure = ++shared->tenures;
}

static bool may_begin(struct kinesis_shared *shared, const struct kinesis_shard *shard,
                      const struct kinesis_claim *claim) {
    return claim->is_ours && claim->position.kind != POSITION_SHARD_END &&
           is_parent_done(shared, shard->parent) && is_parent_done(shared, shard->adjacent);
}

/* One seat for each shard of the list, in its order; what is known of them stays. Whether any that
   a worker has is gone. */
static bool lay_seats(struct kinesis_shared *shared) {
    const struct kinesis_shards *shards = &shared->shards;
    bool is_gone = false;
    for (size_t i = 0; i < shared->seat_count; i++) {
        is_gone |= shared->seats[i].state == SEAT_TAKEN &&
                   !kinesis_shards_find(shards, shared->seats[i].seat.shard.id);
    }
    struct seat *laid = xcalloc(shards->count + 1, sizeof(*laid));
    for (size_t i = 0; i < shards->count; i++) {
        const struct seat *known = find_seat(shared, shards->items[i].id);
        if (known) {
            laid[i] = *known;
        }
        laid[i].seat.shard = shards->items[i];
    }
    free(shared->seats);
    shared->seats = laid;
    shared->seat_count = shards->count;
    return is_gone;
}

/* A shard that was read to its end and whose end is not stored: a list that came too early to show
   its children may be what it waits for. Under the lock, with claims for the seats that there are. */
static bool has_open_end(const struct kinesis_shared *shared) {
    bool found = false;
    for (size_t i = 0; i < shared->seat_count && !found; i++) {
        found = shared->seats[i].state == SEAT_AT_END &&
                shared->claims[i].position.kind != POSITION_SHARD_END;
    }
    return found;
}

/* Takes the store's word. In order of ids, which is that of time: parents stand before children. */
static void assign(struct kinesis_shared *shared) {
    pthread_mutex_lock(&shared->lock);
    bool is_changed = lay_seats(shared);
    for (size_t i = 0; i < shared->seat_count; i++) {
        struct seat *seat = &shared->seats[i];
        const struct kinesis_claim *claim = &shared->claims[i];
        enum seat_state before = seat->state;
        if (seat->state != SEAT_FREE && !claim->is_ours) {
            seat->state = SEAT_FREE;
        } else if (seat->state == SEAT_FREE && !seat->was_lost &&
                   may_begin(shared, &seat->seat.shard, claim)) {
            take(shared, seat, claim);
        }
        is_changed |= seat->state != before;
    }
    atomic_fetch_add(&shared->version, is_changed);
    shared->list_every_ms = has_open_end(shared) ? LIST_AGAIN_MS : LIST_EVERY_MS;
    pthread_mutex_unlock(&shared->lock);
}

/* The store's threads say that a shard is another's. */
static void lose(void *context, const char *shard_id) {
    struct kinesis_shared *shared = context;
    pthread_mutex_lock(&shared->lock);
    struct seat *seat = find_seat(shared, shard_id);
    bool was_ours = seat && seat->state != SEAT_FREE;
    if (seat) {
        seat->was_lost = true;
        seat->state = SEAT_FREE;
    }
    if (was_ours) {
        atomic_fetch_add(&shared->version, 1);
    }
    pthread_mutex_unlock(&shared->lock);
    if (was_ours) {
        log_info("kinesis %s: %s is ours no longer", shared->conf->name, shard_id);
    }
}

/* ---- the job ---- */

/* What is lost from here on, the store's next word does not know of. */
static void forget_losses(struct kinesis_shared *shared) {
    pthread_mutex_lock(&shared->lock);
    for (size_t i = 0; i < shared->seat_count; i++) {
        shared->seats[i].was_lost = false;
    }
    pthread_mutex_unlock(&shared->lock);
}

static void say_starts(const struct kinesis_shared *shared) {
    struct kinesis_position start = {.kind = POSITION_NONE};
    size_t count = 0;
    for (size_t i = 0; i < shared->shards.count; i++) {
        const struct kinesis_shard *shard = &shared->shards.items[i];
        bool goes_on = shared->claims[i].position.kind == POSITION_TRIM_HORIZON &&
                       kinesis_shards_find(&shared->shards, shard->parent);
        if (shared->claims[i].was_new && !goes_on) {
            start = shared->claims[i].position;
            count++;
        }
    }
    if (count == 0) {
        return;
    }
    struct buf text;
    buf_init(&text, 256);
    kinesis_position_format(&start, &text);
    log_info("kinesis %s: no position is stored for %zu shards: they begin at %s%s",
             shared->conf->name, count, buf_cstr(&text),
             start.kind == POSITION_TIME ? "; what came in before is not read" : "");
    buf_done(&text);
}

/* peek: every shard is ours, from a while back. */
static void look(struct kinesis_shared *shared) {
    for (size_t i = 0; i < shared->shards.count; i++) {
        shared->claims[i] = (struct kinesis_claim){
            .is_ours = true,
            .position = {.kind = POSITION_TIME, .time_ms = shared->look_from_ms},
        };
    }
}

static int64_t keep(void *context, const atomic_bool *stopping) {
    struct kinesis_shared *shared = context;
    struct err err;
    int64_t pause_ms = 1000;
    int fresh = list(shared, stopping, &err);
    forget_losses(shared);
    int result = fresh < 0 && shared->listed_ms == 0 ? -1 : 0;
    if (result == 0 && !shared->store_type) {
        look(shared);
    } else if (result == 0) {
        result = shared->store_type->sync(shared->store, &shared->shards, fresh > 0, stopping,
                                          shared->claims, &pause_ms, &err);
    }
    if (atomic_load(stopping)) {
        return 0;
    }
    if (fresh < 0 || result != 0) {
        say(shared, err.text);
        int64_t retry_ms = backoff_next(&shared->backoff, random_u32());
        pause_ms = result != 0 || retry_ms < pause_ms ? retry_ms : pause_ms;
    } else {
        backoff_reset(&shared->backoff);
        say_fine(shared);
    }
    if (result == 0) {
        say_starts(shared);
        assign(shared);
        summarize(shared, stopping);
    }
    return pause_ms < shared->list_every_ms ? pause_ms : shared->list_every_ms;
}

/* ---- opening and closing ---- */

static void make_owner(struct kinesis_shared *shared) {
    const char *given = shared->conf->checkpoint.owner;
    char machine[128] = "";
    gethostname(machine, sizeof(machine) - 1);
    if (given) {
        snprintf(shared->owner, sizeof(shared->owner), "%s", given);
    } else {
        snprintf(shared->owner, sizeof(shared->owner), "%s:%ld:%08x%08x", machine, (long)getpid(),
                 random_u32(), random_u32());
    }
}

/* Two inputs of one process, or a copy of the state, must not write the same file. */
static int lock_file(struct kinesis_shared *shared, struct err *err) {
    char *path = xasprintf("%s.lock", shared->conf->file);
    shared->lock_fd = file_lock(path, err);
    free(path);
    return shared->lock_fd < 0 ? err_wrap(err, "positions of another stream or process (give each "
                                               "stream a `checkpoint: {file: ...}` of its own)")
                               : 0;
}

static int open_store(struct kinesis_shared *shared, struct err *err) {
    const struct kinesis_conf *conf = shared->conf;
    const struct kinesis_checkpoint *checkpoint = &conf->checkpoint;
    make_owner(shared);
    struct kinesis_store_conf store_conf = {
        .stream = conf->name,
        .region = aws_session_region(shared->session),
        .path = conf->file,
        .table = checkpoint->dynamodb,
        .owner = shared->owner,
        .failover_ms = checkpoint->failover_ms,
        .start = kinesis_conf_start(conf, clock_wall_ms()),
        .credentials = aws_session_credentials(shared->session),
        .proxy = aws_session_proxy(shared->session),
        .ca_file = aws_session_ca(shared->session),
        .lost = lose,
        .context = shared,
    };
    const struct kinesis_store_type *type = &kinesis_file_store;
    if (checkpoint->dynamodb) {
        type = &kinesis_lease_store;
        store_conf.target = &shared->table_target;
        if (aws_session_target(shared->session, &aws_dynamodb, checkpoint->endpoint,
                               &shared->table_target, err) != 0) {
            return -1;
        }
        log_info("kinesis %s: positions are in table %s, where we are %s", conf->name,
                 checkpoint->dynamodb, shared->owner);
    } else {
        if (lock_file(shared, err) != 0) {
            return -1;
        }
        log_info("kinesis %s: positions are in %s, on this host alone: a second host with this "
                 "configuration would read everything again",
                 conf->name, conf->file);
    }
    if (type->open(&store_conf, &shared->store, err) != 0) {
        return -1;
    }
    shared->store_type = type;
    return 0;
}

static int open_shared(struct kinesis_shared *shared, const struct kinesis_conf *conf,
                       const struct input_place *place, struct err *err) {
    shared->conf = conf;
    shared->workers = place->workers;
    shared->look_only = place->look_only;
    shared->look_from_ms = clock_wall_ms() - LOOK_BACK_MS;
    shared->list_every_ms = LIST_EVERY_MS;
    if (aws_session_open(&conf->aws, conf->arn_region, place->jobs, &shared->session, err) != 0 ||
        aws_session_target(shared->session, &aws_kinesis, conf->aws.endpoint, &shared->target,
                           err) != 0 ||
        (!place->look_only && open_store(shared, err) != 0)) {
        return -1;
    }
    shared->client = aws_session_client(shared->session, &shared->target, REPLY_MAX);
    shared->job = jobs_add(place->jobs, keep, shared, 0);
    return 0;
}

static void close_shared(struct kinesis_shared *shared) {
    job_remove(shared->job);
    if (shared->store_type) {
        shared->store_type->close(shared->store);
    }
    if (shared->client) {
        aws_client_close(shared->client);
    }
    aws_session_close(shared->session);
    if (shared->lock_fd >= 0) {
        close(shared->lock_fd);
    }
    kinesis_shards_done(&shared->shards);
    free(shared->claims);
    free(shared->seats);
    shared->job = NULL;
    shared->store_type = NULL;
    shared->client = NULL;
    shared->session = NULL;
    shared->lock_fd = -1;
    shared->claims = NULL;
    shared->seats = NULL;
    shared->seat_count = 0;
    shared->listed_ms = shared->summary_ms = 0;
}

/* Workers are opened and closed by one thread, one after the other. */
int kinesis_keeper_join(const struct kinesis_conf *conf, const struct input_place *place,
                        struct err *err) {
    struct kinesis_shared *shared = conf->shared;
    if (shared->users == 0 && open_shared(shared, conf, place, err) != 0) {
        close_shared(shared);
        return -1;
    }
    shared->users++;
    return 0;
}

void kinesis_keeper_leave(struct kinesis_shared *shared) {
    if (--shared->users == 0) {
        close_shared(shared);
    }
}

/* ---- for workers ---- */

unsigned kinesis_keeper_version(const struct kinesis_shared *shared) {
    return atomic_load(&shared->version);
}

size_t kinesis_keeper_seats(struct kinesis_shared *shared, int worker,
                            struct kinesis_seat **seats) {
    size_t count = 0;
    pthread_mutex_lock(&shared->lock);
    *seats = xcalloc(shared->seat_count + 1, sizeof(**seats));
    for (size_t i = 0; i < shared->seat_count; i++) {
        const struct seat *seat = &shared->seats[i];
        if (seat->state == SEAT_TAKEN && seat->worker == worker) {
            (*seats)[count++] = seat->seat;
        }
    }
    pthread_mutex_unlock(&shared->lock);
    return count;
}

void kinesis_keeper_at_end(struct kinesis_shared *shared, const char *shard_id, uint64_t tenure) {
    pthread_mutex_lock(&shared->lock);
    struct seat *seat = find_seat(shared, shard_id);
    if (seat && seat->state == SEAT_TAKEN && seat->seat.tenure == tenure) {
        seat->state = SEAT_AT_END;
    }
    pthread_mutex_unlock(&shared->lock);
    kinesis_keeper_list(shared);
}

void kinesis_keeper_put(struct kinesis_shared *shared, const char *shard_id, uint64_t tenure,
                        const struct kinesis_position *position) {
    pthread_mutex_lock(&shared->lock);
    const struct seat *seat = find_seat(shared, shard_id);
    bool is_ours = seat && seat->state != SEAT_FREE && seat->seat.tenure == tenure;
    pthread_mutex_unlock(&shared->lock);
    if (is_ours && shared->store_type) {
        shared->store_type->put(shared->store, shard_id, position);
        if (position->kind == POSITION_SHARD_END) {
            kinesis_keeper_list(shared);
        }
    }
}

int kinesis_keeper_flush(struct kinesis_shared *shared, int64_t wait_ms, struct err *err) {
    return shared->store_type ? shared->store_type->flush(shared->store, wait_ms, err) : 0;
}

void kinesis_keeper_list(struct kinesis_shared *shared) {
    atomic_store(&shared->list_wanted, true);
    job_wake(shared->job);
}

bool kinesis_keeper_waits_for_ends(const struct kinesis_shared *shared) {
    return shared->store_type && shared->store_type->waits_for_stored_parents;
}

struct aws_session *kinesis_keeper_session(struct kinesis_shared *shared) {
    return shared->session;
}

struct aws_target *kinesis_keeper_target(struct kinesis_shared *shared) {
    return &shared->target;
}

const char *kinesis_keeper_owner(const struct kinesis_shared *shared) {
    return kinesis_keeper_waits_for_ends(shared) ? shared->owner : NULL;
}

int64_t kinesis_keeper_retention_ms(const struct kinesis_shared *shared) {
    return atomic_load(&shared->retention_ms);
}

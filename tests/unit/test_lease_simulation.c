/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease rules under weather: a few processes on one simulated table with conditional writes,
 * whose messages are late or lost (the write made or not), and which are paused, killed, restarted
 * and have their clocks jump, while shards split and merge. Everything follows from a seed. After
 * the weather all must be read, and the shares even. SIMULATION_SEEDS=n runs more of them,
 * SIMULATION_FIRST=n begins elsewhere, SIMULATION_TRACE=1 tells what happens.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/xalloc.h"
#include "input/lease.h"
#include "unit.h"

enum {
    STEP_MS = 50,
    FAILOVER_MS = 3000,
    GIVE_UP_MS = 700, /* a call without an answer */
    ROUND_MS = 14000, /* the longest round */
    STORM_MS = 120000,
    CALM_MS = 200000,
    PROCESSES = 4,
    SLOTS = 4, /* calls of a process's writer at a time */
    SHARDS = 24,
    RECORDS = 8192,
    MESSAGES = 128,
    SEEDS = 150,
};

struct stream_shard {
    char id[KINESIS_ID_SIZE];
    int parents[2]; /* -1: none */
    bool is_open;
    int head; /* records so far */
    int need_from;
    bool delivered[RECORDS];
    int delivered_to; /* all below were delivered by somebody */

    /* The row. */
    bool has_row, was_cleaned;
    struct lease_row row;
    int64_t counted_ms; /* when the counter last changed */
    int64_t taken_ms;   /* by its present owner */
    int64_t free_ms;    /* since when nobody's; -1: somebody's */
    int allowance;      /* intervals more, for lost races and the weather */
};

enum message_kind { MESSAGE_WRITE, MESSAGE_GET, MESSAGE_SCAN };

struct message {
    bool is_used, is_orphan, is_of_sync, is_applied, is_answered;
    enum message_kind kind;
    int process;
    struct lease_write write;
    int64_t apply_ms, reply_ms, give_up_ms;
    enum lease_outcome outcome;
    bool has_row;
    struct lease_row row;
    struct lease_row *rows; /* of a scan */
    size_t row_count;
};

struct reader {
    bool is_on, is_ended;
    int next, sent; /* read and delivered up to, exclusive */
};

enum sync_state { SYNC_IDLE, SYNC_SCANS, SYNC_CREATES, SYNC_TAKES, SYNC_CLEANS };

struct process {
    bool is_alive, is_leaving;
    int life;
    char name[32];
    int64_t offset_ms;              /* its clock minus the world's */
    int64_t paused_ms;              /* until then, world's */
    int64_t stalled_ms, cut_off_ms; /* outputs; the network */
    int64_t awake_ms;               /* since then it runs */
    int64_t born_ms;
    struct leases leases;
    int in_flight;
    enum sync_state sync;
    int64_t sync_ms, take_ms, round_ms; /* its clock */
    struct lease_writes plan;
    size_t planned;
    struct kinesis_shards list;
    struct reader readers[SHARDS];
};

struct world {
    int64_t now_ms;
    uint64_t random;
    bool is_calm;
    int shard_count;
    struct stream_shard shards[SHARDS];
    struct process processes[PROCESSES];
    struct message messages[MESSAGES];
    struct kinesis_position start;
    uint64_t seed;
};

static struct world *world;

/* ---- small things ---- */

static uint32_t roll(void) {
    world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(world->random >> 33);
}

static bool chance(unsigned in_10000) {
    return roll() % 10000 < in_10000;
}

static int64_t between(int64_t low, int64_t high) {
    return low + (int64_t)(roll() % (uint64_t)(high - low + 1));
}

__attribute__((format(printf, 1, 2))) static void trace(const char *format, ...) {
    if (getenv("SIMULATION_TRACE")) {
        va_list arguments;
        va_start(arguments, format);
        printf("%7lld ", (long long)world->now_ms);
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
}

#define must(condition, ...)                                                               \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            char said[256];                                                                \
            snprintf(said, sizeof(said), __VA_ARGS__);                                     \
            ck_abort_msg("seed %llu at %lld ms: %s (%s)", (unsigned long long)world->seed, \
                         (long long)world->now_ms, said, #condition);                      \
        }                                                                                  \
    } while (0)

static int shard_of(const char *key) {
    for (int i = 0; i < world->shard_count; i++) {
        if (strcmp(world->shards[i].id, key) == 0) {
            return i;
        }
    }
    must(false, "no shard %s", key);
    return -1;
}

static int64_t clock_of(const struct process *process) {
    return world->now_ms + process->offset_ms;
}

/* Records of the model bear their index as sequence number, plus 1. */
static int index_behind(const struct stream_shard *shard, const struct kinesis_position *position) {
    switch (position->kind) {
    case POSITION_SEQUENCE:
        return atoi(position->sequence);
    case POSITION_SHARD_END:
        return shard->head;
    case POSITION_TIME:
        return shard->need_from;
    default:
        return 0;
    }
}

/* The weather is charged to all shards that nobody has now. */
static void allow_all(int intervals) {
    for (int i = 0; i < world->shard_count; i++) {
        world->shards[i].allowance += intervals;
    }
}

/* ---- the stream ---- */

static int add_shard(int parent, int adjacent) {
    struct stream_shard *shard = &world->shards[world->shard_count];
    memset(shard, 0, sizeof(*shard));
    snprintf(shard->id, sizeof(shard->id), "shardId-%012d", world->shard_count);
    shard->parents[0] = parent;
    shard->parents[1] = adjacent;
    shard->is_open = true;
    shard->free_ms = -1;
    return world->shard_count++;
}

static int random_open_shard(void) {
    int first = (int)(roll() % (uint32_t)world->shard_count);
    for (int i = 0; i < world->shard_count; i++) {
        int at = (first + i) % world->shard_count;
        if (world->shards[at].is_open) {
            return at;
        }
    }
    return -1;
}

static void reshard(void) {
    int one = random_open_shard(), two = random_open_shard();
    if (one < 0 || world->shard_count + 2 > SHARDS) {
        return;
    }
    world->shards[one].is_open = false;
    if (one != two) {
        world->shards[two].is_open = false;
        trace("merge %d %d -> %d", one, two, world->shard_count);
        add_shard(one, two);
    } else {
        trace("split %d -> %d %d", one, world->shard_count, world->shard_count + 1);
        add_shard(one, -1);
        add_shard(one, -1);
    }
}

static void fetch_list(struct kinesis_shards *list) {
    struct err err;
    kinesis_shards_done(list);
    *list = (struct kinesis_shards){0};
    for (int i = 0; i < world->shard_count; i++) {
        const struct stream_shard *from = &world->shards[i];
        struct kinesis_shard shard = {.is_open = from->is_open};
        memcpy(shard.id, from->id, sizeof(shard.id));
        if (from->parents[0] >= 0) {
            memcpy(shard.parent, world->shards[from->parents[0]].id, sizeof(shard.parent));
        }
        if (from->parents[1] >= 0) {
            memcpy(shard.adjacent, world->shards[from->parents[1]].id, sizeof(shard.adjacent));
        }
        ck_assert_int_eq(kinesis_shards_add(list, &shard, &err), 0);
    }
    kinesis_shards_finish(list);
}

static void grow_stream(void) {
    for (int i = 0; i < world->shard_count; i++) {
        struct stream_shard *shard = &world->shards[i];
        if (shard->is_open && shard->head < RECORDS && (!world->is_calm || chance(1000))) {
            shard->head++;
        }
    }
}

/* ---- the table ---- */

static bool allows(const struct stream_shard *shard, const struct lease_write *write,
                   const char *name) {
    if (write->kind == LEASE_CREATE) {
        return !shard->has_row;
    }
    if (!shard->has_row || shard->row.counter != write->expected) {
        return false;
    }
    switch (write->kind) {
    case LEASE_RENEW:
    case LEASE_CHECKPOINT:
        return strcmp(shard->row.owner, name) == 0 && !shard->row.checkpoint_owner[0];
    case LEASE_EVICT:
        return strcmp(shard->row.owner, name) == 0;
    case LEASE_HAND_OVER:
        return strcmp(shard->row.checkpoint_owner, name) == 0;
    default:
        return true;
    }
}

static void check_end(const struct stream_shard *shard, int at) {
    must(!shard->is_open, "the end of an open shard %s", shard->id);
    for (int i = 0; i < world->shard_count; i++) {
        const struct stream_shard *child = &world->shards[i];
        bool is_child = child->parents[0] == at || child->parents[1] == at;
        must(!is_child || child->has_row || child->was_cleaned, "%s ended before %s has a row",
             shard->id, child->id);
    }
}

/* What must hold of every write of a position. */
static void check_commit(const struct stream_shard *shard, const struct lease_write *write,
                         const char *name, int at) {
    const struct kinesis_position *position = &write->row.position;
    must(write->kind == LEASE_TAKE || strcmp(shard->row.owner, name) == 0,
         "%s commits %s, which is %s's", name, shard->id, shard->row.owner);
    must(write->kind == LEASE_TAKE || kinesis_position_compare(position, &shard->row.position) >= 0,
         "the position of %s goes back", shard->id);
    int to = index_behind(shard, position);
    must(shard->delivered_to >= to || to <= shard->need_from, "%s stored %d of %s, delivered is %d",
         name, to, shard->id, shard->delivered_to);
    if (position->kind == POSITION_SHARD_END) {
        check_end(shard, at);
    }
}

static void apply_write(struct message *message) {
    const struct lease_write *write = &message->write;
    const char *name = world->processes[message->process].name;
    int at = shard_of(write->row.key);
    struct stream_shard *shard = &world->shards[at];
    message->outcome = allows(shard, write, name) ? LEASE_DONE : LEASE_REFUSED;
    if (message->outcome == LEASE_REFUSED) {
        shard->allowance += write->kind == LEASE_TAKE;
        return;
    }
    trace("%s: write %d of %s, counter %lld, position %d %s", name, write->kind, shard->id,
          (long long)write->row.counter, write->row.position.kind, write->row.position.sequence);
    if (write->kind == LEASE_DELETE) {
        must(shard->row.position.kind == POSITION_SHARD_END, "%s deleted early", shard->id);
        shard->has_row = false;
        shard->was_cleaned = true;
        return;
    }
    must(write->kind != LEASE_CREATE || !shard->was_cleaned, "%s begins again", shard->id);
    must(write->kind == LEASE_CREATE || write->row.counter == shard->row.counter + 1,
         "two writes of %s in one epoch", shard->id);
    if (write->has_position && write->kind != LEASE_CREATE) {
        check_commit(shard, write, name, at);
    }
    shard->has_row = true;
    shard->taken_ms = write->kind == LEASE_TAKE ? world->now_ms : shard->taken_ms;
    shard->row = write->row;
    shard->counted_ms = world->now_ms;
}

static void apply(struct message *message) {
    message->is_applied = true;
    if (message->kind == MESSAGE_WRITE) {
        apply_write(message);
    } else if (message->kind == MESSAGE_GET) {
        const struct stream_shard *shard = &world->shards[shard_of(message->write.row.key)];
        message->outcome = LEASE_REFUSED;
        message->has_row = shard->has_row;
        message->row = shard->row;
    } else {
        message->outcome = LEASE_DONE;
        message->rows = xcalloc((size_t)world->shard_count, sizeof(*message->rows));
        for (int i = 0; i < world->shard_count; i++) {
            if (world->shards[i].has_row) {
                message->rows[message->row_count++] = world->shards[i].row;
            }
        }
    }
}

/* Whether anybody is there to take a lease. */
static bool is_anybody_awake(void) {
    bool is_awake = false;
    for (int number = 0; number < PROCESSES; number++) {
        const struct process *process = &world->processes[number];
        is_awake |= process->is_alive && !process->is_leaving &&
                    world->now_ms >= process->paused_ms && world->now_ms >= process->cut_off_ms;
    }
    return is_awake;
}

/* Processes that slept just before a row became free, and so count wrongly or late. */
static int count_sleepers(const struct stream_shard *shard) {
    int sleepers = 0;
    for (int number = 0; number < PROCESSES; number++) {
        const struct process *process = &world->processes[number];
        sleepers += strcmp(process->name, shard->row.owner) != 0 &&
                    (process->paused_ms > world->now_ms - 4 * FAILOVER_MS ||
                     process->cut_off_ms > world->now_ms - 4 * FAILOVER_MS);
    }
    return sleepers;
}

/* How long each row is nobody's: neither renewed nor taken, while there is somebody to do it. */
static void watch_rows(void) {
    bool is_awake = is_anybody_awake();
    for (int i = 0; i < world->shard_count; i++) {
        struct stream_shard *shard = &world->shards[i];
        bool is_free = shard->has_row && shard->row.position.kind != POSITION_SHARD_END &&
                       (!shard->row.owner[0] || world->now_ms - shard->counted_ms > FAILOVER_MS);
        if (!is_free) {
            shard->free_ms = -1;
            shard->allowance = 0;
            continue;
        }
        if (shard->free_ms < 0 || !is_awake) {
            shard->allowance += shard->free_ms < 0 ? count_sleepers(shard) : 0;
            shard->free_ms = world->now_ms;
        }
        int64_t limit_ms = (2 + shard->allowance) * (int64_t)2 * (FAILOVER_MS + LEASE_EPSILON_MS);
        must(world->now_ms - shard->free_ms <= limit_ms + 2 * GIVE_UP_MS,
             "%s was nobody's for %lld ms, allowance %d", shard->id,
             (long long)(world->now_ms - shard->free_ms), shard->allowance);
    }
}

/* ---- messages ---- */

static struct message *send(int process, enum message_kind kind, bool is_of_sync) {
    for (int i = 0; i < MESSAGES; i++) {
        struct message *message = &world->messages[i];
        if (message->is_used) {
            continue;
        }
        *message = (struct message){
            .is_used = true, .process = process, .kind = kind, .is_of_sync = is_of_sync};
        message->apply_ms = world->now_ms + between(0, 150);
        message->reply_ms = message->apply_ms + between(0, 150);
        message->give_up_ms = world->now_ms + GIVE_UP_MS;
        if (!world->is_calm &&
            (chance(500) || world->now_ms < world->processes[process].cut_off_ms)) {
            unsigned how = roll() % 3;
            message->reply_ms = INT64_MAX; /* made, but the reply is lost; or made late; or not */
            message->apply_ms = how == 0   ? message->apply_ms
                                : how == 1 ? world->now_ms + between(GIVE_UP_MS, 5000)
                                           : INT64_MAX;
            allow_all(is_of_sync);
        }
        return message;
    }
    must(false, "too many messages");
    return NULL;
}

static void drop_message(struct message *message) {
    free(message->rows);
    message->rows = NULL;
    message->is_used = false;
}

/* ---- readers ---- */

static void stop_reader(struct process *process, const char *key) {
    process->readers[shard_of(key)].is_on = false;
}

static void report_lost(struct process *process) {
    char key[KINESIS_ID_SIZE];
    while (leases_next_lost(&process->leases, key)) {
        trace("%s lost %s", process->name, key);
        stop_reader(process, key);
    }
}

/* A child may not be begun before all of its parents was delivered. */
static void check_order(const struct stream_shard *shard) {
    for (int which = 0; which < 2; which++) {
        const struct stream_shard *parent =
            shard->parents[which] >= 0 ? &world->shards[shard->parents[which]] : NULL;
        must(!parent || (!parent->is_open && parent->delivered_to >= parent->head),
             "%s is read before its parent %s was", shard->id, parent->id);
    }
}

static void start_readers(struct process *process) {
    for (size_t i = 0; i < process->list.count; i++) {
        const struct kinesis_shard *listed = &process->list.items[i];
        const struct lease *lease = leases_find(&process->leases, listed->id);
        int at = shard_of(listed->id);
        struct reader *reader = &process->readers[at];
        bool may = lease && lease->is_held && !process->is_leaving &&
                   leases_may_begin(&process->leases, &process->list, listed);
        if (!may) {
            reader->is_on = false;
        } else if (!reader->is_on) {
            check_order(&world->shards[at]);
            must(lease->row.position.kind != POSITION_LATEST, "%s is read from latest", listed->id);
            int from = index_behind(&world->shards[at], &lease->row.position);
            *reader = (struct reader){.is_on = true, .next = from, .sent = from};
        }
    }
}

static void deliver(struct stream_shard *shard, struct reader *reader) {
    int lag = 10; /* records between reading and delivery */
    int to = !shard->is_open && reader->next == shard->head ? reader->next : reader->next - lag;
    for (; reader->sent < to; reader->sent++) {
        shard->delivered[reader->sent] = true;
    }
    while (shard->delivered_to < shard->head &&
           (shard->delivered_to < shard->need_from || shard->delivered[shard->delivered_to])) {
        shard->delivered_to++;
    }
}

/* Somebody whose lease was taken finds out as soon as he cannot renew it. */
static void check_overlap(const struct process *process, const struct stream_shard *shard) {
    int64_t since_ms = shard->taken_ms > process->awake_ms ? shard->taken_ms : process->awake_ms;
    must(strcmp(shard->row.owner, process->name) == 0 || !shard->row.owner[0] ||
             world->now_ms - since_ms <= FAILOVER_MS + 2 * STEP_MS,
         "%s reads %s, which is %s's", process->name, shard->id, shard->row.owner);
}

static void read_shard(struct process *process, int at) {
    struct stream_shard *shard = &world->shards[at];
    struct reader *reader = &process->readers[at];
    check_overlap(process, shard);
    int room = shard->head - reader->next;
    reader->next += room < 4 ? room : 4;
    if (world->now_ms < process->stalled_ms) {
        return;
    }
    int before = reader->sent;
    deliver(shard, reader);
    struct kinesis_position position = {.kind = POSITION_SEQUENCE};
    snprintf(position.sequence, sizeof(position.sequence), "%d", reader->sent);
    if (reader->sent > before) {
        leases_put(&process->leases, shard->id, &position);
    }
    if (!shard->is_open && reader->sent == shard->head && !reader->is_ended) {
        position.kind = POSITION_SHARD_END;
        leases_put(&process->leases, shard->id, &position);
        reader->is_ended = true;
        process->sync_ms = clock_of(process); /* have it listed soon */
    }
}

/* ---- a process ---- */

static void write_due(struct process *process, int number) {
    struct lease_write write;
    leases_expire(&process->leases, clock_of(process));
    report_lost(process);
    while (process->in_flight < SLOTS &&
           leases_next_write(&process->leases, clock_of(process), &write)) {
        struct message *message = send(number, MESSAGE_WRITE, false);
        message->write = write;
        process->in_flight++;
    }
}

static void send_planned(struct process *process, int number) {
    struct message *message = send(number, MESSAGE_WRITE, true);
    message->write = process->plan.items[process->planned++];
    message->write.begun_ms = clock_of(process);
}

static void give_up_round(struct process *process) {
    for (; process->planned < process->plan.count; process->planned++) {
        leases_written(&process->leases, &process->plan.items[process->planned], LEASE_UNKNOWN,
                       NULL, clock_of(process));
    }
    lease_writes_done(&process->plan);
    process->planned = 0;
    process->sync = SYNC_IDLE;
    process->sync_ms = clock_of(process) + 500;
}

/* The next stage of a round, once all writes of the one before are answered. */
static void go_on(struct process *process, int number) {
    while (process->planned == process->plan.count && process->sync != SYNC_IDLE) {
        int64_t now_ms = clock_of(process);
        lease_writes_done(&process->plan);
        process->planned = 0;
        if (process->sync == SYNC_SCANS) {
            process->sync = SYNC_CREATES;
            leases_plan_rows(&process->leases, &process->list, now_ms, world->now_ms,
                             &process->plan);
            process->take_ms = process->plan.count > 0 ? now_ms : process->take_ms;
        } else if (process->sync == SYNC_CREATES) {
            process->sync = SYNC_TAKES;
            if (now_ms >= process->take_ms) {
                process->take_ms = now_ms + leases_take_ms(&process->leases);
                leases_plan_taking(&process->leases, now_ms, world->now_ms, &process->plan);
            }
        } else if (process->sync == SYNC_TAKES) {
            process->sync = SYNC_CLEANS;
            leases_ready_ends(&process->leases, &process->list);
            leases_plan_cleaning(&process->leases, &process->list, now_ms, &process->plan);
        } else {
            process->sync = SYNC_IDLE;
            leases_expire(&process->leases, now_ms);
            report_lost(process);
            start_readers(process);
            process->sync_ms =
                leases_are_waiting(&process->leases) ? now_ms + 1000 : process->take_ms;
        }
    }
    if (process->sync != SYNC_IDLE && clock_of(process) - process->round_ms > ROUND_MS) {
        give_up_round(process);
    } else if (process->sync != SYNC_IDLE) {
        send_planned(process, number);
    }
}

static void begin_round(struct process *process, int number) {
    if (process->sync == SYNC_IDLE && clock_of(process) >= process->sync_ms) {
        fetch_list(&process->list);
        process->sync = SYNC_SCANS;
        process->round_ms = clock_of(process);
        send(number, MESSAGE_SCAN, true);
    }
}

static void hear_scan(struct process *process, const struct message *message) {
    leases_begin_scan(&process->leases);
    for (size_t i = 0; i < message->row_count; i++) {
        leases_see(&process->leases, &message->rows[i], clock_of(process));
    }
    leases_end_scan(&process->leases);
    report_lost(process);
    leases_see_shards(&process->leases, &process->list, true);
}

static void hear_write(struct process *process, struct message *message,
                       enum lease_outcome outcome) {
    if (outcome == LEASE_REFUSED && message->kind == MESSAGE_WRITE) {
        struct message *again = send(message->process, MESSAGE_GET, message->is_of_sync);
        again->write = message->write;
        return;
    }
    process->in_flight -= !message->is_of_sync;
    leases_written(&process->leases, &message->write, outcome,
                   message->has_row ? &message->row : NULL, clock_of(process));
    if (message->is_of_sync && outcome == LEASE_UNKNOWN) {
        give_up_round(process);
    } else if (message->is_of_sync) {
        go_on(process, message->process);
    }
}

static void hear(struct process *process, struct message *message) {
    bool is_reply = message->is_applied && world->now_ms >= message->reply_ms;
    if (message->is_orphan || message->is_answered ||
        (!is_reply && world->now_ms < message->give_up_ms)) {
        return;
    }
    message->is_answered = true;
    if (message->kind != MESSAGE_SCAN) {
        hear_write(process, message, is_reply ? message->outcome : LEASE_UNKNOWN);
    } else if (is_reply) {
        hear_scan(process, message);
        go_on(process, message->process);
    } else {
        give_up_round(process);
    }
}

static void clear_process(struct process *process) {
    leases_done(&process->leases);
    lease_writes_done(&process->plan);
    kinesis_shards_done(&process->list);
}

static void start_process(int number) {
    struct process *process = &world->processes[number];
    int life = process->life + 1;
    bool keeps_name = process->name[0] && chance(3000);
    char name[32];
    snprintf(name, sizeof(name), "%s", process->name);
    *process = (struct process){
        .is_alive = true, .life = life, .offset_ms = between(0, 1000000), .born_ms = world->now_ms};
    if (keeps_name) {
        memcpy(process->name, name, sizeof(name));
    } else {
        snprintf(process->name, sizeof(process->name), "process%d-%d", number, life);
    }
    process->sync_ms = process->take_ms = clock_of(process);
    leases_init(&process->leases, process->name, FAILOVER_MS, &world->start, roll());
    allow_all(1); /* everybody's share is another one now */
    trace("%s starts", process->name);
}

/* What it sent is still on its way, and nobody hears the answers. */
static void end_process(int number) {
    struct process *process = &world->processes[number];
    trace("%s ends", process->name);
    for (int i = 0; i < MESSAGES; i++) {
        if (world->messages[i].process == number) {
            world->messages[i].is_orphan = true;
        }
    }
    clear_process(process);
    process->is_alive = false;
    process->paused_ms = world->now_ms + between(0, 20000); /* until it starts again */
    allow_all(1);
}

static void leave(struct process *process, int number) {
    process->is_leaving = true;
    for (int i = 0; i < SHARDS; i++) {
        process->readers[i].is_on = false;
    }
    if (leases_leave(&process->leases)) {
        end_process(number);
    }
}

static void run_process(int number) {
    struct process *process = &world->processes[number];
    if (!process->is_alive) {
        if (world->now_ms >= process->paused_ms) {
            start_process(number);
        }
        return;
    }
    if (world->now_ms < process->paused_ms) {
        process->awake_ms = world->now_ms + STEP_MS;
        return;
    }
    for (int i = 0; i < MESSAGES; i++) {
        struct message *message = &world->messages[i];
        if (message->is_used && message->process == number) {
            hear(process, message);
        }
    }
    write_due(process, number);
    if (process->is_leaving) {
        leave(process, number);
        return;
    }
    begin_round(process, number);
    for (int i = 0; i < world->shard_count; i++) {
        if (process->readers[i].is_on) {
            read_shard(process, i);
        }
    }
    leases_flush(&process->leases, chance(100));
}

/* ---- weather ---- */

static void make_weather(void) {
    int number = (int)(roll() % PROCESSES);
    struct process *process = &world->processes[number];
    /* Not twice while a start at "now" is near, which takes in one generation of parents. */
    if (world->now_ms > 12000 && chance(60)) {
        reshard();
    }
    if (!process->is_alive || process->is_leaving || !chance(60)) {
        return;
    }
    int64_t length_ms = between(500, 15000);
    switch (roll() % 6) {
    case 0:
        end_process(number);
        break;
    case 4:
        process->cut_off_ms = world->now_ms + length_ms;
        allow_all(1 + (int)(length_ms / leases_take_ms(&process->leases)));
        break;
    case 1: /* SIGSTOP */
        process->paused_ms = world->now_ms + length_ms;
        allow_all(1 + (int)(length_ms / leases_take_ms(&process->leases)));
        break;
    case 2: /* a machine that sleeps, its monotonic clock with it */
        process->paused_ms = world->now_ms + length_ms;
        process->offset_ms -= length_ms;
        allow_all(1 + (int)(length_ms / leases_take_ms(&process->leases)));
        break;
    case 3:
        process->offset_ms += length_ms;
        allow_all(1);
        break;
    default:
        process->stalled_ms = world->now_ms + length_ms; /* outputs */
        break;
    }
    if (chance(3000) && process->is_alive) {
        process->is_leaving = true; /* SIGTERM */
        allow_all(1);
    }
    trace("weather at %s", process->name);
}

static void deliver_messages(void) {
    for (int i = 0; i < MESSAGES; i++) {
        struct message *message = &world->messages[i];
        if (message->is_used && !message->is_applied && world->now_ms >= message->apply_ms) {
            apply(message);
        }
        bool is_over = message->is_applied || message->apply_ms == INT64_MAX;
        if (message->is_used && is_over && (message->is_orphan || message->is_answered)) {
            drop_message(message);
        }
    }
}

/* ---- the end ---- */

static void check_balance(void) {
    int most = 0, fewest = SHARDS;
    for (int number = 0; number < PROCESSES; number++) {
        int held = 0;
        const struct process *process = &world->processes[number];
        for (size_t i = 0; i < process->leases.count; i++) {
            held += process->leases.items[i].is_held;
        }
        most = held > most ? held : most;
        fewest = held < fewest ? held : fewest;
    }
    must(most - fewest <= 1, "shares from %d to %d", fewest, most);
}

static void check_all_read(void) {
    int open = 0, rows = 0;
    for (int i = 0; i < world->shard_count; i++) {
        const struct stream_shard *shard = &world->shards[i];
        must(shard->delivered_to >= shard->head - 40, "%s was read up to %d of %d", shard->id,
             shard->delivered_to, shard->head);
        must(shard->is_open || shard->delivered_to == shard->head, "%s was not read to its end",
             shard->id);
        open += shard->is_open;
        rows += shard->has_row && shard->row.position.kind != POSITION_SHARD_END;
        int readers = 0;
        for (int number = 0; number < PROCESSES; number++) {
            readers += world->processes[number].readers[i].is_on;
        }
        must(readers == shard->is_open, "%s has %d readers", shard->id, readers);
    }
    must(open == rows, "%d open shards, %d rows", open, rows);
}

static void simulate(uint64_t seed) {
    world = xcalloc(1, sizeof(*world));
    world->seed = seed;
    world->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    world->start.kind = seed % 2 ? POSITION_TRIM_HORIZON : POSITION_TIME;
    for (int i = 0, count = 1 + (int)(roll() % 8); i < count; i++) {
        struct stream_shard *shard = &world->shards[add_shard(-1, -1)];
        shard->head = (int)(roll() % 200);
        shard->need_from = shard->delivered_to = seed % 2 ? 0 : shard->head;
    }
    for (int number = 0; number < PROCESSES; number++) {
        world->processes[number].paused_ms = number == 0 ? 0 : between(0, 60000);
    }
    while (world->now_ms < STORM_MS + CALM_MS) {
        world->is_calm = world->now_ms >= STORM_MS;
        if (!world->is_calm) {
            make_weather();
        }
        grow_stream();
        deliver_messages();
        for (int number = 0; number < PROCESSES; number++) {
            run_process(number);
        }
        watch_rows();
        world->now_ms += STEP_MS;
    }
    check_balance();
    check_all_read();
    for (int number = 0; number < PROCESSES; number++) {
        clear_process(&world->processes[number]);
    }
    for (int i = 0; i < MESSAGES; i++) {
        free(world->messages[i].rows);
    }
    free(world);
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(everything_is_read_by_one_at_a_time) {
    uint64_t first = setting("SIMULATION_FIRST", 1), seeds = setting("SIMULATION_SEEDS", SEEDS);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        simulate(seed);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lease simulation");
    TCase *weather = tcase_create("weather");
    tcase_set_timeout(weather, 600);
    tcase_add_test(weather, everything_is_read_by_one_at_a_time);
    suite_add_tcase(suite, weather);
    return run_suite(suite);
}

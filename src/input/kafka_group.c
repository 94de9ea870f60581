/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See kafka_group.h. Partitions are always assigned with a position of our own finding, never with
 * "as stored", so it is known where each begins and what a gap means. librdkafka lets us put off
 * the answer to a rebalance: it keeps the group alive meanwhile, and waits for our call.
 */
#include "input/kafka_group.h"

#include <inttypes.h>
#include <regex.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* Outputs get no turn while we wait. An answer that comes too late is lost, and brokers may be
   farther than the shortest wait: it doubles up to the longest, then begins again. */
enum { JOIN_WAIT_MIN_MS = 100, JOIN_WAIT_MAX_MS = 800, SEEK_WAIT_MS = 100 };

static bool is_cooperative(const struct kafka *kafka) {
    return kafka->conf->assignment == KAFKA_ASSIGN_COOPERATIVE;
}

static void drop_list(rd_kafka_topic_partition_list_t **list) {
    if (*list) {
        rd_kafka_topic_partition_list_destroy(*list);
        *list = NULL;
    }
}

/* What librdkafka's newer functions answer with; NULL is fine. */
static rd_kafka_resp_err_t code_of(rd_kafka_error_t *error) {
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return code;
}

static void stop_join(struct kafka *kafka) {
    drop_list(&kafka->joining);
    kafka->join = KAFKA_JOIN_NONE;
    kafka->join_wait_ms = JOIN_WAIT_MIN_MS;
}

/* What is left of this read's wait. */
static int wait_left_ms(const struct kafka *kafka) {
    int64_t left_ms = kafka->join_end_ms - clock_monotonic_ms();
    return left_ms > 1 ? (int)left_ms : 1;
}

static void start_join(struct kafka *kafka, enum kafka_join step,
                       const rd_kafka_topic_partition_list_t *parts) {
    stop_join(kafka);
    kafka->join = step;
    kafka->joining = rd_kafka_topic_partition_list_copy(parts);
}

void kafka_group_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event,
                           rd_kafka_topic_partition_list_t *parts, void *opaque) {
    struct kafka *kafka = opaque;
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !kafka->is_closing) {
        start_join(kafka, KAFKA_JOIN_STORED, parts);
        return;
    }
    stop_join(kafka);
    drop_list(&kafka->leaving);
    kafka->leaving = rd_kafka_topic_partition_list_copy(parts);
    kafka->is_lost = rd_kafka_assignment_lost(rk);
    if (kafka->is_closing) {
        kafka_group_leave(kafka);
    } else if (kafka->is_lost) {
        log_warning("kafka: %d partitions were lost to the group; what was on its way is sent "
                    "again by whoever reads them next",
                    parts->cnt);
    }
}

void kafka_group_look(struct kafka *kafka) {
    stop_join(kafka);
    kafka->joining = rd_kafka_topic_partition_list_new(16);
    kafka->join = KAFKA_JOIN_LIST;
}

static bool topic_matches(const char *pattern, const char *topic) {
    regex_t regex;
    if (pattern[0] != '^') {
        return strcmp(pattern, topic) == 0;
    }
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool matches = regexec(&regex, topic, 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}

static bool is_wanted(const struct kafka_conf *conf, const char *topic) {
    for (size_t i = 0; i < conf->topics.count; i++) {
        if (topic_matches(conf->topics.items[i], topic)) {
            return true;
        }
    }
    return false;
}

/* The partitions of all topics that are wanted, dealt out to the workers in turn. */
static rd_kafka_resp_err_t join_list(struct kafka *kafka) {
    const struct rd_kafka_metadata *all;
    rd_kafka_resp_err_t code = rd_kafka_metadata(kafka->rk, 1, NULL, &all, wait_left_ms(kafka));
    int dealt = 0;
    if (code) {
        return code;
    }
    for (int i = 0; i < all->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &all->topics[i];
        for (int j = 0; is_wanted(kafka->conf, topic->topic) && j < topic->partition_cnt; j++) {
            if (dealt++ % kafka->workers == kafka->worker) {
                rd_kafka_topic_partition_list_add(kafka->joining, topic->topic,
                                                  topic->partitions[j].id);
            }
        }
    }
    rd_kafka_metadata_destroy(all);
    if (dealt == 0) {
        return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    }
    kafka->join = KAFKA_JOIN_START;
    return 0;
}

static rd_kafka_resp_err_t first_error(const rd_kafka_topic_partition_list_t *parts) {
    for (int i = 0; i < parts->cnt; i++) {
        if (parts->elems[i].err) {
            return parts->elems[i].err;
        }
    }
    return 0;
}

static rd_kafka_resp_err_t join_stored(struct kafka *kafka) {
    rd_kafka_resp_err_t code = rd_kafka_committed(kafka->rk, kafka->joining, wait_left_ms(kafka));
    code = code ? code : first_error(kafka->joining);
    if (code == 0) {
        kafka->join = KAFKA_JOIN_START;
    }
    return code;
}

/* Asks for the offsets of a time, or of RD_KAFKA_OFFSET_END, for those in `parts`. */
static rd_kafka_resp_err_t ask_offsets(struct kafka *kafka, rd_kafka_topic_partition_list_t *parts,
                                       int64_t time) {
    for (int i = 0; i < parts->cnt; i++) {
        parts->elems[i].offset = time;
    }
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(kafka->rk, parts, wait_left_ms(kafka));
    return code ? code : first_error(parts);
}

/* Fills in the partitions of `joining` that have no offset yet from answers that have one. */
static void take_offsets(struct kafka *kafka, const rd_kafka_topic_partition_list_t *answers) {
    for (int i = 0; i < answers->cnt; i++) {
        const rd_kafka_topic_partition_t *answer = &answers->elems[i];
        rd_kafka_topic_partition_t *mine =
            rd_kafka_topic_partition_list_find(kafka->joining, answer->topic, answer->partition);
        if (mine && answer->offset >= 0) {
            mine->offset = answer->offset;
        }
    }
}

/* The partitions without an offset; NULL when there are none. */
static rd_kafka_topic_partition_list_t *without_offset(const struct kafka *kafka) {
    rd_kafka_topic_partition_list_t *found = rd_kafka_topic_partition_list_new(4);
    for (int i = 0; i < kafka->joining->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &kafka->joining->elems[i];
        if (part->offset < 0) {
            rd_kafka_topic_partition_list_add(found, part->topic, part->partition);
        }
    }
    if (found->cnt == 0) {
        drop_list(&found);
    }
    return found;
}

static rd_kafka_resp_err_t find_offsets(struct kafka *kafka, int64_t time) {
    rd_kafka_topic_partition_list_t *open = without_offset(kafka);
    rd_kafka_resp_err_t code = 0;
    if (open) {
        code = ask_offsets(kafka, open, time);
        if (code == 0) {
            take_offsets(kafka, open);
        }
        drop_list(&open);
    }
    return code;
}

/* Behind a time after the last record there is only the end. */
static rd_kafka_resp_err_t join_start(struct kafka *kafka) {
    rd_kafka_resp_err_t code = 0;
    rd_kafka_topic_partition_list_t *open = without_offset(kafka);
    bool must_store = open && kafka->conf->start != KAFKA_START_EARLIEST && !kafka->look_only;
    for (int i = 0; open && kafka->conf->start == KAFKA_START_EARLIEST && i < open->cnt; i++) {
        rd_kafka_topic_partition_list_find(kafka->joining, open->elems[i].topic,
                                           open->elems[i].partition)
            ->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    drop_list(&open);
    if (kafka->conf->start >= 0) {
        code = find_offsets(kafka, kafka->conf->start);
    }
    if (code == 0 && kafka->conf->start != KAFKA_START_EARLIEST) {
        code = find_offsets(kafka, RD_KAFKA_OFFSET_END);
    }
    if (code == 0) {
        kafka->join = must_store ? KAFKA_JOIN_STORE : KAFKA_JOIN_ASSIGN;
    }
    return code;
}

static rd_kafka_resp_err_t request_store(struct kafka *kafka,
                                         const rd_kafka_topic_partition_list_t *parts) {
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(kafka->rk, parts, kafka->replies, NULL, NULL);
    kafka->in_flight = code == 0;
    return code;
}

static rd_kafka_resp_err_t join_store(struct kafka *kafka) {
    if (kafka->in_flight) {
        return 0; /* an older request is answered first */
    }
    rd_kafka_resp_err_t code = request_store(kafka, kafka->joining);
    if (code == 0) {
        kafka->join = KAFKA_JOIN_WAIT;
    }
    return code;
}

static rd_kafka_resp_err_t join_wait(struct kafka *kafka) {
    if (kafka->in_flight) {
        return 0;
    }
    kafka->join = kafka->commit_err ? KAFKA_JOIN_STORE : KAFKA_JOIN_ASSIGN;
    return kafka->commit_err;
}

static rd_kafka_resp_err_t assign(struct kafka *kafka,
                                  const rd_kafka_topic_partition_list_t *parts) {
    bool adds = is_cooperative(kafka) && !kafka->look_only;
    return adds ? code_of(rd_kafka_incremental_assign(kafka->rk, parts))
                : rd_kafka_assign(kafka->rk, parts);
}

static rd_kafka_resp_err_t join_assign(struct kafka *kafka) {
    rd_kafka_topic_partition_list_t *parts = kafka->joining;
    rd_kafka_resp_err_t code = assign(kafka, parts);
    if (code) {
        return code;
    }
    for (int i = 0; i < parts->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &parts->elems[i];
        kafka_offsets_add(&kafka->offsets, part->topic, part->partition, part->offset,
                          part->offset);
    }
    log_info("kafka: %d partitions assigned to worker %d", parts->cnt, kafka->worker);
    if (kafka->is_paused) {
        rd_kafka_pause_partitions(kafka->rk, parts);
    }
    stop_join(kafka);
    return 0;
}

static rd_kafka_resp_err_t join_step(struct kafka *kafka) {
    switch (kafka->join) {
    case KAFKA_JOIN_NONE:
        return 0;
    case KAFKA_JOIN_LIST:
        return join_list(kafka);
    case KAFKA_JOIN_STORED:
        return join_stored(kafka);
    case KAFKA_JOIN_START:
        return join_start(kafka);
    case KAFKA_JOIN_STORE:
        return join_store(kafka);
    case KAFKA_JOIN_WAIT:
        return join_wait(kafka);
    case KAFKA_JOIN_ASSIGN:
        return join_assign(kafka);
    }
    return 0;
}

rd_kafka_resp_err_t kafka_group_join(struct kafka *kafka) {
    rd_kafka_resp_err_t code = 0;
    enum kafka_join before;
    kafka->join_end_ms = clock_monotonic_ms() + kafka->join_wait_ms;
    do {
        before = kafka->join;
        code = join_step(kafka);
    } while (code == 0 && kafka->join != before);
    if (code != RD_KAFKA_RESP_ERR__TIMED_OUT) {
        return code;
    }
    bool is_silent = kafka->join_wait_ms == JOIN_WAIT_MAX_MS;
    kafka->join_wait_ms = is_silent ? JOIN_WAIT_MIN_MS : kafka->join_wait_ms * 2;
    return is_silent ? code : 0; /* that a broker is far is not worth saying */
}

void kafka_group_drop_held(struct kafka *kafka) {
    for (size_t i = 0; i < kafka->held_count; i++) {
        rd_kafka_message_destroy(kafka->held[i]);
    }
    kafka->held_count = 0;
}

/* What is fetched before this is done lies behind a gap: it is dropped. */
rd_kafka_resp_err_t kafka_group_go_back(struct kafka *kafka) {
    rd_kafka_resp_err_t code = 0;
    if (!kafka->must_go_back) {
        return 0;
    }
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(4);
    for (size_t i = 0; i < kafka->offsets.part_count; i++) {
        const struct kafka_part *part = kafka->offsets.parts[i];
        if (part->topic) {
            rd_kafka_topic_partition_list_add(parts, part->topic, part->partition)->offset =
                part->settled;
        }
    }
    if (parts->cnt > 0) {
        code = code_of(rd_kafka_seek_partitions(kafka->rk, parts, SEEK_WAIT_MS));
        code = code ? code : first_error(parts);
    }
    drop_list(&parts);
    kafka_group_drop_held(kafka);
    kafka->must_go_back = code != 0;
    return code;
}

void kafka_group_leave(struct kafka *kafka) {
    rd_kafka_topic_partition_list_t *parts = kafka->leaving;
    if (kafka->is_paused) {
        kafka_group_pause(kafka, false); /* or they would still be paused when they come back */
    }
    if (is_cooperative(kafka)) {
        code_of(rd_kafka_incremental_unassign(kafka->rk, parts));
    } else {
        rd_kafka_assign(kafka->rk, NULL);
    }
    for (size_t i = 0; i < kafka->offsets.part_count; i++) {
        const struct kafka_part *part = kafka->offsets.parts[i];
        if (part->topic && (!is_cooperative(kafka) || rd_kafka_topic_partition_list_find(
                                                          parts, part->topic, part->partition))) {
            kafka_offsets_remove(&kafka->offsets, i);
        }
    }
    kafka_group_drop_held(kafka);
    kafka_offsets_forget(&kafka->offsets);
    drop_list(&kafka->leaving);
    kafka->must_go_back = true;
    kafka->is_lost = false;
    kafka->told_drain = false;
}

/* Partitions that we were about to take are taken, and given back by the close that follows. */
void kafka_group_close(struct kafka *kafka) {
    if (kafka->leaving) {
        kafka_group_leave(kafka);
    } else if (kafka->join != KAFKA_JOIN_NONE && !kafka->look_only) {
        assign(kafka, kafka->joining);
    }
}

/* Of partitions that went meanwhile nothing is noted: they are not found. */
static void take_answer(struct kafka *kafka, rd_kafka_event_t *event) {
    const rd_kafka_topic_partition_list_t *parts = rd_kafka_event_topic_partition_list(event);
    kafka->in_flight = false;
    kafka->commit_err = rd_kafka_event_error(event);
    for (int i = 0; parts && i < parts->cnt; i++) {
        const rd_kafka_topic_partition_t *answer = &parts->elems[i];
        int at = kafka_offsets_find(&kafka->offsets, answer->topic, answer->partition);
        bool refused = kafka->commit_err || answer->err;
        if (answer->err && !kafka->commit_err) {
            kafka->commit_err = answer->err;
        }
        if (at >= 0) {
            kafka_offsets_answer(kafka->offsets.parts[at], refused ? -1 : answer->offset);
        }
    }
}

/* Not 0: why the request was refused. That of the join is the join's own matter. */
static rd_kafka_resp_err_t wait_answer(struct kafka *kafka, int wait_ms) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(kafka->replies, wait_ms);
    if (!event) {
        return 0;
    }
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
        take_answer(kafka, event);
    }
    rd_kafka_event_destroy(event);
    return !kafka->in_flight && kafka->join != KAFKA_JOIN_WAIT ? kafka->commit_err : 0;
}

rd_kafka_resp_err_t kafka_group_answers(struct kafka *kafka) {
    return kafka->in_flight ? wait_answer(kafka, 0) : 0;
}

static int not_stored(rd_kafka_resp_err_t code, struct err *err) {
    return err_set(err, ERR_RETRY, KAFKA_NOT_STORED ": %s", rd_kafka_err2str(code));
}

/* Requests what is due. 1: sent, 0: nothing is due. */
static int send_due(struct kafka *kafka, struct err *err) {
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(4);
    for (size_t i = 0; i < kafka->offsets.part_count; i++) {
        struct kafka_part *part = kafka->offsets.parts[i];
        int64_t due = kafka_offsets_due(part);
        if (due >= 0) {
            rd_kafka_topic_partition_list_add(parts, part->topic, part->partition)->offset = due;
            part->sent = due;
        }
    }
    int count = parts->cnt;
    rd_kafka_resp_err_t code = count > 0 ? request_store(kafka, parts) : 0;
    for (int i = 0; code && i < count; i++) {
        const rd_kafka_topic_partition_t *part = &parts->elems[i];
        int at = kafka_offsets_find(&kafka->offsets, part->topic, part->partition);
        kafka_offsets_answer(kafka->offsets.parts[at], -1);
    }
    drop_list(&parts);
    return code ? not_stored(code, err) : count > 0;
}

static int wait_until(struct kafka *kafka, int64_t end_ms, struct err *err) {
    while (kafka->in_flight) {
        int64_t left = end_ms - clock_monotonic_ms();
        if (left <= 0) {
            return err_set(err, ERR_RETRY, "the broker does not confirm that positions are stored");
        }
        rd_kafka_resp_err_t code = wait_answer(kafka, (int)left);
        if (code) {
            return not_stored(code, err);
        }
    }
    return 0;
}

int kafka_group_commit(struct kafka *kafka, int wait_ms, struct err *err) {
    int64_t end_ms = clock_monotonic_ms() + wait_ms;
    struct err older;
    if (kafka->in_flight && wait_ms == 0) {
        return 0;
    }
    wait_until(kafka, end_ms, &older); /* what it refuses is due again below */
    if (kafka->in_flight) {
        return err_set(err, older.kind, "%s", older.text);
    }
    int sent = send_due(kafka, err);
    return sent > 0 && wait_ms > 0 ? wait_until(kafka, end_ms, err) : sent < 0 ? -1 : 0;
}

void kafka_group_pause(struct kafka *kafka, bool pause) {
    rd_kafka_topic_partition_list_t *parts;
    if (rd_kafka_assignment(kafka->rk, &parts) == 0) {
        if (pause) {
            rd_kafka_pause_partitions(kafka->rk, parts);
        } else {
            rd_kafka_resume_partitions(kafka->rk, parts);
        }
        drop_list(&parts);
    }
    kafka->is_paused = pause;
}

void kafka_group_drop(struct kafka *kafka) {
    stop_join(kafka);
    drop_list(&kafka->leaving);
}

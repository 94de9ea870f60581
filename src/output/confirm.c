/* SPDX-License-Identifier: Apache-2.0 */
/* See confirm.h. */
#include "output/confirm.h"

#include <assert.h>

void confirm_init(struct confirm *confirm, struct confirm_entry *entries, size_t capacity) {
    *confirm = (struct confirm){.entries = entries, .capacity = capacity};
}

static struct confirm_entry *entry_at(const struct confirm *confirm, uint64_t number) {
    return &confirm->entries[number % confirm->capacity];
}

void confirm_begin(struct confirm *confirm, uint64_t number) {
    assert(!confirm->half_closed && confirm->count < confirm->capacity);
    *entry_at(confirm, number) = (struct confirm_entry){.end = CONFIRM_OPEN};
    if (confirm->last) {
        entry_at(confirm, confirm->last)->next = number;
    } else {
        confirm->first = number;
    }
    confirm->last = number;
    if (!confirm->unacked) {
        confirm->unacked = number;
    }
    if (!confirm->open) {
        confirm->open = number;
    }
    confirm->count++;
}

void confirm_wrote(struct confirm *confirm, size_t size_bytes) {
    confirm->written += size_bytes;
}

void confirm_end(struct confirm *confirm) {
    assert(confirm->open);
    struct confirm_entry *entry = entry_at(confirm, confirm->open);
    entry->end = confirm->written;
    confirm->open = entry->next;
}

void confirm_half_close(struct confirm *confirm, int64_t now_ms) {
    assert(!confirm->open);
    confirm->half_closed = true;
    confirm->half_closed_ms = now_ms;
}

void confirm_unacknowledged(struct confirm *confirm, uint64_t bytes, int64_t now_ms) {
    if (confirm->half_closed && bytes > 0) {
        bytes--; /* our FIN */
    } else if (confirm->half_closed && !confirm->fin_acked) {
        confirm->fin_acked = true;
        confirm->fin_acked_ms = now_ms;
    }
    confirm->acked = confirm->written - (bytes < confirm->written ? bytes : confirm->written);
    while (confirm->unacked && entry_at(confirm, confirm->unacked)->end <= confirm->acked) {
        struct confirm_entry *entry = entry_at(confirm, confirm->unacked);
        entry->acked_ms = now_ms;
        confirm->unacked = entry->next;
    }
}

bool confirm_fin(struct confirm *confirm, struct confirm_peer *peer) {
    if (!confirm->fin_acked) {
        return false;
    }
    confirm->answered = true;
    *peer = (struct confirm_peer){.level = CONFIRM_READ, .answered = true};
    return true;
}

bool confirm_drop(struct confirm *confirm, uint64_t *number) {
    if (!confirm->first) {
        return false;
    }
    *number = confirm->first;
    if (confirm->unacked == confirm->first) {
        confirm->unacked = entry_at(confirm, confirm->first)->next;
    }
    if (confirm->open == confirm->first) {
        confirm->open = entry_at(confirm, confirm->first)->next;
    }
    confirm->first = entry_at(confirm, confirm->first)->next;
    if (!confirm->first) {
        confirm->last = 0;
    }
    confirm->count--;
    return true;
}

static bool is_acked(const struct confirm *confirm) {
    return confirm->first && confirm->first != confirm->unacked;
}

static bool is_delivered(const struct confirm *confirm, const struct confirm_policy *policy,
                         const struct confirm_peer *peer, int64_t now_ms) {
    const struct confirm_entry *entry = entry_at(confirm, confirm->first);
    return confirm->answered || confirm->acked - entry->end >= policy->peer_buffer_bytes ||
           (peer->level == CONFIRM_ACKNOWLEDGED &&
            now_ms - entry->acked_ms >= policy->settle_delay_ms);
}

bool confirm_take(struct confirm *confirm, const struct confirm_policy *policy,
                  const struct confirm_peer *peer, int64_t now_ms, uint64_t *number) {
    return is_acked(confirm) && is_delivered(confirm, policy, peer, now_ms) &&
           confirm_drop(confirm, number);
}

bool confirm_is_due(const struct confirm *confirm, const struct confirm_policy *policy,
                    int64_t now_ms) {
    return is_acked(confirm) &&
           now_ms - entry_at(confirm, confirm->first)->acked_ms >= policy->confirm_after_ms;
}

bool confirm_is_expecting(const struct confirm *confirm, const struct confirm_policy *policy) {
    return confirm->first && confirm->first != confirm->open && confirm->acked < confirm->written &&
           confirm->written >= entry_at(confirm, confirm->first)->end + policy->peer_buffer_bytes;
}

bool confirm_is_unanswered(const struct confirm *confirm, const struct confirm_policy *policy,
                           int64_t now_ms) {
    return confirm->fin_acked && !confirm->answered &&
           now_ms - confirm->fin_acked_ms >= policy->dead_after_ms;
}

static bool downgrade(struct confirm_peer *peer) {
    bool is_news = peer->level != CONFIRM_ACKNOWLEDGED;
    peer->level = CONFIRM_ACKNOWLEDGED;
    return is_news;
}

bool confirm_peer_silent(struct confirm_peer *peer) {
    return downgrade(peer);
}

bool confirm_peer_reset(struct confirm_peer *peer, int64_t half_closed_ms, int64_t now_ms) {
    if (peer->resets > 0 && half_closed_ms < peer->last_reset_ms) {
        return false;
    }
    peer->last_reset_ms = now_ms;
    peer->resets++;
    return !peer->answered && peer->resets >= CONFIRM_RESETS_MAX && downgrade(peer);
}

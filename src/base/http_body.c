/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See http_call.h. Bodies of replies: stored, and inflated if need be, as far as the set's ceiling
 * lets them. Inflating is done here and not by libcurl, because libcurl would go on inflating into
 * memory of its own while a call is paused.
 */
#include <stdint.h>
#include <strings.h>

#include "base/clock.h"
#include "base/http_call.h"

enum { GZIP_WINDOW_BITS = 15 + 16 /* zlib: the largest window, gzip headers */, GZIP_STEP = 32768 };

enum taken { TAKEN, NO_ROOM, BROKEN };

/* What all replies but the privileged one may take together. */
static size_t common_part(const struct http *http) {
    size_t max = http->conf.held_max;
    if (max == 0) {
        return SIZE_MAX;
    }
    return max > http->largest ? max - http->largest : 0;
}

/* Whether the call may take `want` bytes of the ceiling as things stand. */
static bool has_room(const struct http_call *call, size_t want) {
    const struct http *http = call->http;
    if (want <= call->charge || !http->privileged || http->privileged == call) {
        return true;
    }
    size_t held = http->held - http->privileged->charge, part = common_part(http);
    return held <= part && want - call->charge <= part - held;
}

/* Has the call take `want` bytes, if there is room. */
static bool take_room(struct http_call *call, size_t want) {
    struct http *http = call->http;
    if (want <= call->charge) {
        return true;
    }
    if (!has_room(call, want)) {
        call->want = want;
        return false;
    }
    size_t more = want - call->charge, part = common_part(http);
    if (!http->privileged && (http->held > part || more > part - http->held)) {
        http->privileged = call;
    }
    call->charge = want;
    http->held += more;
    return true;
}

static void give_room(struct http_call *call, size_t keep) {
    struct http *http = call->http;
    if (keep < call->charge) {
        http->held -= call->charge - keep;
        call->charge = keep;
    }
    /* The privileged one stays so while its bytes are too many for the common part. */
    const struct http_call *first = http->privileged;
    if (first && first->state != HTTP_RUNNING &&
        (first->charge == 0 || http->held <= common_part(http))) {
        http->privileged = NULL;
    }
    if (http->paused > 0) {
        http->due = true;
        http_arm(http);
    }
}

void http_body_settle(struct http_call *call) {
    give_room(call, call->body.len);
}

void http_body_drop(struct http_call *call) {
    if (call->body.cap > HTTP_BODY_KEPT) {
        buf_done(&call->body);
    }
    buf_clear(&call->body);
    give_room(call, 0);
}

static void body_pause(struct http_call *call) {
    call->paused = true;
    call->paused_ms = clock_monotonic_ms();
    call->http->paused++;
}

void http_body_resume(struct http *http) {
    for (struct http_call *call = http->first, *next; call && http->paused > 0; call = next) {
        next = call->next;
        if (!call->paused || !has_room(call, call->want)) {
            continue;
        }
        call->paused = false;
        http->paused--;
        call->deadline_ms += clock_monotonic_ms() - call->paused_ms;
        if (call->deadline_ms < http->deadline_ms) {
            http->deadline_ms = call->deadline_ms;
        }
        http->due = true;
        /* Calls http_body_write with what libcurl has kept, and tells us alone how that ended. */
        CURLcode result = curl_easy_pause(call->easy, CURLPAUSE_CONT);
        if (result != CURLE_OK) {
            http_call_end(call, result);
        }
    }
}

/* Into the buffer, which has a byte more for the NUL. */
static void make_room(struct http_call *call) {
    buf_reserve(&call->body, call->charge - call->body.len + 1);
}

static enum taken broken(struct http_call *call, enum http_break why) {
    call->broken = why;
    return BROKEN;
}

static enum taken take_plain(struct http_call *call, struct span bytes) {
    size_t want = call->body.len + bytes.len;
    if (want > call->reply_max || call->announced > call->reply_max) {
        return broken(call, HTTP_TOO_LARGE);
    }
    if (!take_room(call, want > call->announced ? want : call->announced)) {
        return NO_ROOM;
    }
    make_room(call);
    buf_add(&call->body, bytes);
    return TAKEN;
}

/* One step of inflating into the room there is; TAKEN, BROKEN. */
static enum taken inflate_step(struct http_call *call, char *out, size_t room, size_t *written) {
    z_stream *z = &call->gzip;
    if (call->gzip_ended && z->avail_in > 0) {
        inflateReset(z); /* a member more */
        call->gzip_ended = false;
    }
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)room;
    int result = call->gzip_ended ? Z_STREAM_END : inflate(z, Z_NO_FLUSH);
    *written = room - z->avail_out;
    call->gzip_ended = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) {
        return TAKEN;
    }
    return broken(call, HTTP_BAD_GZIP);
}

/* Makes sure of at least one byte of room behind the body, below reply_max. */
static enum taken gzip_room(struct http_call *call) {
    struct buf *body = &call->body;
    if (body->len < call->charge) {
        return TAKEN;
    }
    size_t left = call->reply_max - body->len;
    if (!take_room(call, body->len + (left < GZIP_STEP ? left : GZIP_STEP))) {
        return NO_ROOM;
    }
    make_room(call);
    return TAKEN;
}

static enum taken take_gzip(struct http_call *call, struct span bytes) {
    z_stream *z = &call->gzip;
    struct buf *body = &call->body;
    size_t known = call->gzip_taken < bytes.len ? call->gzip_taken : bytes.len;
    call->gzip_taken -= known;
    struct span rest = span_skip(bytes, known);
    z->next_in = (Bytef *)(uintptr_t)rest.p;
    z->avail_in = (uInt)rest.len;
    size_t written = 0, room;
    do {
        char beyond;
        if (gzip_room(call) == NO_ROOM) {
            call->gzip_taken += bytes.len - z->avail_in;
            return NO_ROOM;
        }
        /* At reply_max a byte that is not kept shows whether there is more to come. */
        room = call->charge - body->len;
        char *out = room > 0 ? body->data + body->len : &beyond;
        if (inflate_step(call, out, room > 0 ? room : 1, &written) == BROKEN) {
            return BROKEN;
        }
        if (room == 0 && written > 0) {
            return broken(call, HTTP_TOO_LARGE);
        }
        body->len += written;
    } while (z->avail_in > 0 || (!call->gzip_ended && room > 0 && written == room));
    return TAKEN;
}

static bool gzip_begin(struct http_call *call) {
    if (call->gzip_open) {
        inflateReset(&call->gzip);
    } else {
        call->gzip_open = inflateInit2(&call->gzip, GZIP_WINDOW_BITS) == Z_OK;
    }
    call->gzip_ended = false;
    call->gzip_taken = 0;
    call->coding = HTTP_GZIP;
    return call->gzip_open;
}

static bool is_text(struct span value, const char *text) {
    return value.len == strlen(text) && strncasecmp(value.p, text, value.len) == 0;
}

/* Looks into the headers before the first byte of a body. */
static bool body_begin(struct http_call *call) {
    struct span coding = http_call_header(call, "Content-Encoding");
    if (call->accept_gzip && coding.len > 0 && !is_text(coding, "identity")) {
        if (!is_text(coding, "gzip") && !is_text(coding, "x-gzip")) {
            call->broken = HTTP_BAD_CODING;
            return false;
        }
        return gzip_begin(call);
    }
    call->coding = HTTP_PLAIN;
    curl_off_t len = -1;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &len);
    call->announced = len > 0 ? (size_t)len : 0;
    return true;
}

size_t http_body_write(char *data, size_t size, size_t count, void *context) {
    struct http_call *call = context;
    struct span bytes = span_of(data, size * count);
    if (call->coding == HTTP_UNKNOWN && !body_begin(call)) {
        return 0;
    }
    enum taken taken = call->coding == HTTP_GZIP ? take_gzip(call, bytes) : take_plain(call, bytes);
    if (taken == NO_ROOM) {
        body_pause(call);
        return CURL_WRITEFUNC_PAUSE;
    }
    return taken == TAKEN ? bytes.len : 0;
}

bool http_body_complete(struct http_call *call) {
    if (call->coding == HTTP_GZIP && !call->gzip_ended) {
        call->broken = HTTP_BAD_GZIP;
    }
    return call->broken == HTTP_WHOLE;
}

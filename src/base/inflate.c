/* SPDX-License-Identifier: Apache-2.0 */
/* See inflate.h. libdeflate does not say what it had written when a member turns out to be cut
   short, so zlib unpacks such a member once more, as far as it goes. */
#include "base/inflate.h"

#include <libdeflate.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/xalloc.h"

enum {
    GZIP_WINDOW_BITS = 15 + 16, /* zlib: the largest window, gzip headers */
    INFLATE_RATIO_MAX = 1032,   /* DEFLATE cannot do better (zlib's documentation) */
    INFLATE_ROOM_MIN = 4096,
};

struct inflater {
    struct libdeflate_decompressor *whole;
    z_stream cut;
};

struct inflater *inflater_open(void) {
    struct inflater *inflater = xcalloc(1, sizeof(*inflater));
    inflater->whole = libdeflate_alloc_decompressor();
    if (!inflater->whole || inflateInit2(&inflater->cut, GZIP_WINDOW_BITS) != Z_OK) {
        abort();
    }
    return inflater;
}

void inflater_close(struct inflater *inflater) {
    if (inflater) {
        libdeflate_free_decompressor(inflater->whole);
        inflateEnd(&inflater->cut);
        free(inflater);
    }
}

/* Makes room for what the last four bytes say, as far as that can be true: the length of the last
   member, which is mostly the only one. */
static bool make_room(struct span gzip, struct buf *out) {
    size_t said = 0;
    for (size_t i = 1; i <= 4 && gzip.len >= 4; i++) {
        said = said << 8 | (uint8_t)gzip.p[gzip.len - i];
    }
    if (said > gzip.len * INFLATE_RATIO_MAX || said > out->max) {
        said = 0;
    }
    return buf_reserve(out, said > INFLATE_ROOM_MIN ? said : INFLATE_ROOM_MIN);
}

/* Twice the room behind the end, or what is left below the ceiling. */
static bool double_room(struct buf *out) {
    size_t more = out->cap - out->len + out->cap;
    size_t most = out->max - out->len;
    return out->cap < out->max && buf_reserve(out, more < most ? more : most);
}

/* A member that libdeflate refused: what zlib can read of it, when only its end is missing. */
static enum inflate_result read_cut_member(struct inflater *inflater, struct span gzip,
                                           struct buf *out) {
    size_t before = out->len;
    z_stream *z = &inflater->cut;
    inflateReset(z);
    z->next_in = (Bytef *)gzip.p;
    z->avail_in = (uInt)gzip.len;
    for (;;) {
        z->next_out = (Bytef *)out->data + out->len;
        z->avail_out = (uInt)(out->cap - out->len);
        int result = inflate(z, Z_SYNC_FLUSH);
        out->len = out->cap - z->avail_out;
        if (result != Z_OK && result != Z_BUF_ERROR) {
            out->len = before;
            return INFLATE_BAD;
        }
        if (z->avail_out > 0) {
            return INFLATE_CUT;
        }
        if (!double_room(out)) {
            return INFLATE_TOO_LARGE;
        }
    }
}

static enum inflate_result read_member(struct inflater *inflater, struct span *gzip,
                                       struct buf *out) {
    for (;;) {
        size_t taken = 0, made = 0;
        enum libdeflate_result result =
            libdeflate_gzip_decompress_ex(inflater->whole, gzip->p, gzip->len, out->data + out->len,
                                          out->cap - out->len, &taken, &made);
        if (result == LIBDEFLATE_SUCCESS) {
            out->len += made;
            *gzip = span_skip(*gzip, taken);
            return INFLATE_OK;
        }
        if (result != LIBDEFLATE_INSUFFICIENT_SPACE) {
            return read_cut_member(inflater, *gzip, out);
        }
        if (!double_room(out)) {
            return INFLATE_TOO_LARGE;
        }
    }
}

static bool is_zeros(struct span bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.p[i] != 0) {
            return false;
        }
    }
    return true;
}

enum inflate_result inflater_run(struct inflater *inflater, struct span gzip, struct buf *out) {
    buf_clear(out);
    if (!make_room(gzip, out)) {
        return INFLATE_TOO_LARGE;
    }
    do {
        enum inflate_result result = read_member(inflater, &gzip, out);
        if (result != INFLATE_OK) {
            return result;
        }
    } while (inflate_is_gzip(gzip));
    return is_zeros(gzip) ? INFLATE_OK : INFLATE_BAD;
}

void inflate_stream_init(struct inflate_stream *stream, size_t piece_bytes) {
    *stream = (struct inflate_stream){.out = xmalloc(piece_bytes), .out_size = piece_bytes};
    if (inflateInit2(&stream->zlib, GZIP_WINDOW_BITS) != Z_OK) {
        abort();
    }
}

void inflate_stream_done(struct inflate_stream *stream) {
    inflateEnd(&stream->zlib);
    free(stream->out);
    stream->out = NULL;
}

/* Between members: passes over padding, or begins the next member. False: neither. */
static bool begin_member(struct inflate_stream *stream, struct span *in) {
    while (in->len > 0 && in->p[0] == '\0') {
        stream->padding = true;
        *in = span_skip(*in, 1);
    }
    if (in->len == 0) {
        return true;
    }
    stream->in_member = true;
    return !stream->padding && inflateReset(&stream->zlib) == Z_OK;
}

/* One call of zlib. Returns its result, with *in advanced and *piece set. */
static int inflate_step(struct inflate_stream *stream, struct span *in, struct span *piece) {
    z_stream *z = &stream->zlib;
    uInt size = in->len < UINT32_MAX ? (uInt)in->len : UINT32_MAX;
    z->next_in = (Bytef *)in->p;
    z->avail_in = size;
    z->next_out = (Bytef *)stream->out;
    z->avail_out = (uInt)stream->out_size;
    int result = inflate(z, Z_NO_FLUSH);
    *in = span_skip(*in, size - z->avail_in);
    *piece = span_of(stream->out, stream->out_size - z->avail_out);
    return result;
}

int inflate_stream_feed(struct inflate_stream *stream, struct span *in, struct span *piece,
                        struct err *err) {
    for (;;) {
        if (!stream->in_member && !begin_member(stream, in)) {
            return err_set(err, ERR_DATA, "something that is not gzip stands behind the gzip data");
        }
        if (!stream->in_member) {
            return 0;
        }
        int result = inflate_step(stream, in, piece);
        if (result == Z_STREAM_END) {
            stream->in_member = false;
        } else if (result == Z_BUF_ERROR) {
            return 0; /* all was taken, and nothing is left to hand out */
        } else if (result != Z_OK) {
            return err_set(err, ERR_DATA, "the gzip data is damaged%s%s",
                           stream->zlib.msg ? ": " : "", stream->zlib.msg ? stream->zlib.msg : "");
        }
        if (piece->len > 0) {
            return 1;
        }
    }
}

int inflate_stream_end(const struct inflate_stream *stream, struct err *err) {
    if (stream->in_member) {
        return err_set(err, ERR_DATA, "the gzip data is cut short");
    }
    return 0;
}

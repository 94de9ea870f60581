/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf lookup`: the dossier of an address by the tables of a configuration, for people or as
 * JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json_write.h"
#include "base/xalloc.h"
#include "cmd/cmd.h"
#include "core/refresh.h"

enum { TEXT_MAX = 1 << 20, FLAG_VPC = 256, FLAG_INTERFACE, FLAG_AT };

static void add_name(const struct note *note, struct buf *out) {
    buf_add(out, note_kinds[note->id].name);
    if (note->name.len > 0) {
        buf_char(out, '_');
        buf_add(out, note->name);
    }
}

/* A list's members are separated by NUL bytes; people and messages get commas. */
static void add_text(struct span text, bool json, struct buf *out) {
    struct span part;
    bool first = true;
    while (span_cut(&text, '\0', &part)) {
        buf_add(out, first ? SPAN("") : SPAN(","));
        if (json) {
            json_add(out, part);
        } else {
            buf_add(out, part);
        }
        first = false;
    }
}

static void add_value(const struct note *note, bool json, struct buf *out) {
    enum note_type type = note_kinds[note->id].type;
    struct span quote = json ? SPAN("\"") : SPAN("");
    if (type == NOTE_NUMBER) {
        buf_i64(out, note->number);
    } else if (type == NOTE_TRUTH || type == NOTE_TRUE_ONLY) {
        buf_add(out, note->truth ? SPAN("true") : SPAN("false"));
    } else {
        buf_add(out, quote);
        add_text(note->text, json, out);
        buf_add(out, quote);
    }
}

static void add_json(const struct dossier *dossier, struct buf *out) {
    buf_printf(out, "{\"address\":\"%.*s\"", (int)dossier->addr_text_len, dossier->addr_text);
    for (size_t i = 0; i < dossier->note_count; i++) {
        buf_add(out, SPAN(",\""));
        add_name(&dossier->notes[i], out);
        buf_add(out, SPAN("\":"));
        add_value(&dossier->notes[i], true, out);
    }
    buf_add(out, SPAN("}\n"));
}

static void add_lines(const struct dossier *dossier, struct buf *out) {
    buf_printf(out, "%.*s\n", (int)dossier->addr_text_len, dossier->addr_text);
    for (size_t i = 0; i < dossier->note_count; i++) {
        size_t start = out->len;
        buf_add(out, SPAN("  "));
        add_name(&dossier->notes[i], out);
        while (out->len - start < 26) {
            buf_char(out, ' ');
        }
        add_value(&dossier->notes[i], false, out);
        buf_char(out, '\n');
    }
}

static void look_up(struct snapshots *snapshots, const struct ipaddr *addr, bool json) {
    struct dossier *dossier = xcalloc(1, sizeof(*dossier));
    const struct snapshot *snapshot = snapshots_acquire(snapshots);
    struct buf out;
    buf_init(&out, TEXT_MAX);
    dossier_make(dossier, SIDE_SRC, 0, addr, time(NULL), snapshot->sources, snapshot->count);
    if (json) {
        add_json(dossier, &out);
    } else {
        add_lines(dossier, &out);
    }
    fwrite(out.data, 1, out.len, stdout);
    buf_done(&out);
    snapshots_release(snapshots, snapshot);
    free(dossier);
}

static int look_up_all(const char *path, bool json, const struct ipaddr *addrs, size_t count) {
    struct settings *settings;
    struct refresh *refresh;
    struct err err;
    int result = cmd_load(path, &settings);
    if (result != EXIT_FINE) {
        return result;
    }
    if (refresh_open(settings, &refresh, NULL, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            look_up(refresh_snapshots(refresh), &addrs[i], json);
        }
        refresh_close(refresh);
    } else {
        result = cmd_fail(&cmd_lookup, &err);
    }
    settings_free(settings);
    return result;
}

static int main_lookup(int argc, char **argv) {
    static const struct args_flag flags[] = {
        {"config", 'c', true},   {"json", 'j', false},
        {"vpc", FLAG_VPC, true}, {"interface", FLAG_INTERFACE, true},
        {"at", FLAG_AT, true},   {0}};
    const char *path = CMD_DEFAULT_CONFIG, *value;
    bool json = false;
    int letter, rest;
    while ((letter = cmd_flag(&cmd_lookup, argc, argv, flags, &value, &rest)) >= 0) {
        if (letter >= FLAG_VPC) {
            return cmd_usage(&cmd_lookup, "--vpc, --interface and --at need an inventory, which "
                                          "is not in this version");
        }
        path = letter == 'c' ? value : path;
        json |= letter == 'j';
    }
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (rest == argc) {
        return cmd_usage(&cmd_lookup, "which address?");
    }
    struct ipaddr *addrs = xcalloc((size_t)(argc - rest), sizeof(*addrs));
    for (int i = rest; i < argc; i++) {
        if (!ipaddr_parse(span_str(argv[i]), &addrs[i - rest])) {
            free(addrs);
            return cmd_usage(&cmd_lookup, "\"%s\" is no IPv4 or IPv6 address", argv[i]);
        }
    }
    int result = look_up_all(path, json, addrs, (size_t)(argc - rest));
    free(addrs);
    return result;
}

const struct command cmd_lookup = {
    .name = "lookup",
    .summary = "show all that is known about an address",
    .help =
        "Usage: flowgelf lookup [-c FILE] [--json] ADDRESS...\n\n"
        "Prints the dossier of each address by the configuration's tables: internal or not, its\n"
        "name, where on earth, which threat feeds list it.\n\n"
        "  -c, --config FILE   the configuration (" CMD_DEFAULT_CONFIG ")\n"
        "  -j, --json          one JSON object per address and line\n\n"
        "--vpc ID, --interface ID and --at TIME need an inventory, which this version does not\n"
        "have.\n",
    .run = main_lookup,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an address is and whose network it belongs to, from MaxMind DB files (City, Country or
 * Enterprise for the place, ASN or ISP for the network). The files are mapped, not read: they must
 * be replaced by renaming a new one over them, never overwritten. Own addresses are not looked up.
 * A database may be damaged in places that only a look-up meets; such a part counts as lacking.
 */
#include <math.h>
#include <maxminddb.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/num.h"
#include "base/xalloc.h"
#include "enrich/enrichers.h"

struct geo_conf {
    char *city, *asn;
};

struct geo_table {
    bool has_city, has_asn;
    MMDB_s city, asn;
};

/* A string of a record and the note that it becomes. */
struct geo_text {
    const char *path[5];
    enum note_id id;
};

static const struct geo_text place_texts[] = {
    {{"country", "iso_code", NULL}, NOTE_COUNTRY_CODE},
    {{"city", "names", "en", NULL}, NOTE_CITY_NAME},
    {{"country", "names", "en", NULL}, NOTE_COUNTRY_NAME},
    {{"subdivisions", "0", "names", "en", NULL}, NOTE_REGION_NAME},
    {{"postal", "code", NULL}, NOTE_POSTAL_CODE},
};

static const char *const place_kinds[] = {"City", "Country", "Enterprise", NULL};
static const char *const network_kinds[] = {"ASN", "ISP", NULL};

static bool is_kind(const char *type, const char *const *kinds) {
    for (; *kinds; kinds++) {
        if (strstr(type, *kinds)) {
            return true;
        }
    }
    return false;
}

static void report_database(const char *name, const char *path, const MMDB_s *db,
                            struct buf *report) {
    time_t built = (time_t)db->metadata.build_epoch;
    struct tm day;
    char text[32] = "unknown day";
    if (gmtime_r(&built, &day)) {
        strftime(text, sizeof(text), "%Y-%m-%d", &day);
    }
    buf_printf(report, "geo: %s: %s of %s, %.1f MB, %s\n", name, db->metadata.database_type, text,
               (double)db->file_size / 1e6, path);
}

/* Opens a database and makes sure that it is one for `name`. */
static int open_database(const char *name, const char *path, const char *const *kinds, MMDB_s *db,
                         struct buf *report, struct err *err) {
    struct file_mark mark;
    if (file_mark(path, &mark, err) < 0) {
        return err_wrap(err, "%s", name);
    }
    int status = MMDB_open(path, MMDB_MODE_MMAP, db);
    if (status != MMDB_SUCCESS) {
        return err_set(err, ERR_CONFIG, "%s: %s is not a usable MaxMind DB: %s", name, path,
                       MMDB_strerror(status));
    }
    const char *type = db->metadata.database_type;
    if (!type || !is_kind(type, kinds)) {
        err_set(err, ERR_CONFIG, "%s: %s is a database of type \"%s\"; it must be %s%s%s%s%s", name,
                path, type ? type : "", kinds[0], kinds[2] ? ", " : " or ", kinds[1],
                kinds[2] ? " or " : "", kinds[2] ? kinds[2] : "");
        MMDB_close(db);
        return -1;
    }
    report_database(name, path, db, report);
    return 0;
}

static void geo_unload(void *memory) {
    struct geo_table *table = memory;
    if (table->has_city) {
        MMDB_close(&table->city);
    }
    if (table->has_asn) {
        MMDB_close(&table->asn);
    }
    free(table);
}

static int geo_load(const void *memory, struct buf *report, void **out, struct err *err) {
    const struct geo_conf *conf = memory;
    struct geo_table *table = xcalloc(1, sizeof(*table));
    int result = 0;
    if (conf->city) {
        result = open_database("city", conf->city, place_kinds, &table->city, report, err);
        table->has_city = result == 0;
    }
    if (conf->asn && result == 0) {
        result = open_database("asn", conf->asn, network_kinds, &table->asn, report, err);
        table->has_asn = result == 0;
    }
    if (result < 0) {
        geo_unload(table);
        return -1;
    }
    *out = table;
    return 0;
}

static const char *geo_file(const void *memory, size_t index) {
    const struct geo_conf *conf = memory;
    const char *files[] = {conf->city ? conf->city : conf->asn, conf->city ? conf->asn : NULL};
    return index < 2 ? files[index] : NULL;
}

/* The record of an address; false when there is none, or it cannot be read. */
static bool look_up(const MMDB_s *db, const struct ipaddr *addr, MMDB_entry_s *entry) {
    int status = MMDB_SUCCESS;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = addr->words[3]};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(&v6.sin6_addr, addr->bytes, sizeof(addr->bytes));
    if (addr->family == IPADDR_V6 && db->metadata.ip_version == 4) {
        return false;
    }
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(
        db, addr->family == IPADDR_V4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6,
        &status);
    *entry = found.entry;
    return status == MMDB_SUCCESS && found.found_entry;
}

static bool get_value(MMDB_entry_s *entry, const char *const *path, uint32_t type,
                      MMDB_entry_data_s *data) {
    return MMDB_aget_value(entry, data, path) == MMDB_SUCCESS && data->has_data &&
           data->type == type;
}

static bool add_text(MMDB_entry_s *entry, const struct geo_text *text, struct dossier *dossier) {
    MMDB_entry_data_s data;
    if (!get_value(entry, text->path, MMDB_DATA_TYPE_UTF8_STRING, &data)) {
        return false;
    }
    dossier_text(dossier, text->id, span_of(data.utf8_string, data.data_size));
    return data.data_size > 0;
}

/* Degrees as the database's makers wrote them: at most six decimals (10 cm), no trailing zeros, in
   any locale. */
static void add_degrees(struct buf *out, double degrees) {
    int64_t rounded = llround(degrees * 1e6);
    uint64_t size = (uint64_t)(rounded < 0 ? -rounded : rounded), rest = size % 1000000;
    if (rounded < 0) {
        buf_char(out, '-');
    }
    buf_u64(out, size / 1000000);
    for (uint64_t unit = 100000; rest > 0; rest %= unit, unit /= 10) {
        if (unit == 100000) {
            buf_char(out, '.');
        }
        buf_char(out, (char)('0' + rest / unit));
    }
}

static bool add_location(MMDB_entry_s *entry, struct dossier *dossier) {
    static const char *const latitude[] = {"location", "latitude", NULL};
    static const char *const longitude[] = {"location", "longitude", NULL};
    MMDB_entry_data_s north, east;
    if (!get_value(entry, latitude, MMDB_DATA_TYPE_DOUBLE, &north) ||
        !get_value(entry, longitude, MMDB_DATA_TYPE_DOUBLE, &east) ||
        !(fabs(north.double_value) <= 90) || !(fabs(east.double_value) <= 180)) {
        return false;
    }
    char text[4 * NUM_DIGITS_MAX];
    struct buf out;
    buf_over(&out, text, sizeof(text));
    add_degrees(&out, north.double_value);
    buf_char(&out, ',');
    add_degrees(&out, east.double_value);
    dossier_text(dossier, NOTE_GEOLOCATION, buf_span(&out));
    return true;
}

static void describe_network(MMDB_entry_s *entry, struct dossier *dossier) {
    static const char *const number[] = {"autonomous_system_number", NULL};
    static const struct geo_text organization = {{"autonomous_system_organization", NULL},
                                                 NOTE_AS_ORG};
    MMDB_entry_data_s data;
    if (get_value(entry, number, MMDB_DATA_TYPE_UINT32, &data)) {
        dossier_number(dossier, NOTE_ASN, data.uint32);
    }
    add_text(entry, &organization, dossier);
}

static void geo_describe(const void *memory, uint64_t scope, const struct ipaddr *addr,
                         int64_t time_s, struct dossier *dossier) {
    const struct geo_table *table = memory;
    MMDB_entry_s entry;
    (void)scope;
    (void)time_s;
    if (dossier->facts & FACT_INTERNAL) {
        return;
    }
    if (table->has_city && look_up(&table->city, addr, &entry)) {
        bool is_placed = add_location(&entry, dossier);
        for (size_t i = 0; i < sizeof(place_texts) / sizeof(place_texts[0]); i++) {
            is_placed |= add_text(&entry, &place_texts[i], dossier);
        }
        dossier->facts |= is_placed ? FACT_GEO : 0;
    }
    if (table->has_asn && look_up(&table->asn, addr, &entry)) {
        describe_network(&entry, dossier);
    }
}

static const struct option options[] = {
    {.name = "city",
     .type = OPTION_READ_PATH,
     .offset = offsetof(struct geo_conf, city),
     .sample = "GeoLite2-City.mmdb",
     .help = "City, Country or Enterprise database: place, country, region. Replace the file by "
             "renaming a new one over it, as geoipupdate does; it is then loaded by itself."},
    {.name = "asn",
     .type = OPTION_READ_PATH,
     .offset = offsetof(struct geo_conf, asn),
     .sample = "GeoLite2-ASN.mmdb",
     .help = "ASN or ISP database: number and organization of the network."},
    OPTION_END,
};

const struct enricher_type enrich_geo_type = {
    .name = "geo",
    .help = "Looks addresses up in MaxMind DB files: P_geolocation, P_country_code, P_city_name, "
            "P_asn, P_as_org and more. Addresses that are internal are left alone.",
    .options = options,
    .conf_size = sizeof(struct geo_conf),
    .load = geo_load,
    .unload = geo_unload,
    .file = geo_file,
    .describe = geo_describe,
};

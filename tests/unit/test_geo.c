/* SPDX-License-Identifier: Apache-2.0 */
/* enrich/geo, judged by the JSON files from which MaxMind's test databases were built, and given
   every broken database that there is. */
#include "enrich_help.h"

#include <dirent.h>
#include <jansson.h>

#include "data_file.h"
#include "prefixes.h"

static struct asked asked;

static int open_geo(const char *settings) {
    char dir[4096], *real;
    snprintf(dir, sizeof(dir), "%s/tests/data/mmdb", data_source_folder());
    real = realpath(dir, NULL);
    ck_assert_ptr_nonnull(real);
    int result = asked_open(&asked, &enrich_geo_type, settings, real);
    free(real);
    return result;
}

static void tear_down(void) {
    asked_close(&asked);
}

#define ck_is(addr, id, expected) ck_assert_str_eq(described(&asked, addr, id), expected)

START_TEST(test_known) {
    ck_assert_int_eq(open_geo("{city: maxmind-test-data/GeoLite2-City-Test.mmdb, "
                              "asn: maxmind-test-data/GeoLite2-ASN-Test.mmdb}"),
                     0);
    ck_is("2.125.160.217", NOTE_GEOLOCATION, "51.75,-1.25");
    ck_is("2.125.160.217", NOTE_COUNTRY_CODE, "GB");
    ck_is("2.125.160.217", NOTE_COUNTRY_NAME, "United Kingdom");
    ck_is("2.125.160.217", NOTE_CITY_NAME, "Boxford");
    ck_is("2.125.160.217", NOTE_REGION_NAME, "England");
    ck_is("2.125.160.217", NOTE_POSTAL_CODE, "OX1");
    ck_is("1.128.0.1", NOTE_ASN, "1221");
    ck_is("1.128.0.1", NOTE_AS_ORG, "Telstra Pty Ltd");
    ck_is("192.0.2.1", NOTE_COUNTRY_CODE, "-");
    ck_is("192.0.2.1", NOTE_ASN, "-");
    ck_assert_uint_eq(describe(&asked, "2.125.160.217", 0)->facts, FACT_GEO);
    ck_assert_uint_eq(describe(&asked, "192.0.2.1", 0)->facts, 0);
    ck_assert_uint_eq(describe(&asked, "2.125.160.217", FACT_INTERNAL)->note_count, 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&asked.report), "geo: city: GeoLite2-City of 20"));
    ck_assert_ptr_nonnull(strstr(enrich_geo_type.file(asked.conf, 1), "ASN"));
    ck_assert_ptr_null(enrich_geo_type.file(asked.conf, 2));
}
END_TEST

/* Parts that a database lacks are absent, the rest stays. */
START_TEST(test_country_only) {
    ck_assert_int_eq(open_geo("city: maxmind-test-data/GeoIP2-Country-Test.mmdb"), 0);
    ck_is("2.125.160.217", NOTE_COUNTRY_CODE, "GB");
    ck_is("2.125.160.217", NOTE_GEOLOCATION, "-");
    ck_is("2.125.160.217", NOTE_CITY_NAME, "-");
    ck_assert_ptr_null(enrich_geo_type.file(asked.conf, 1));
}
END_TEST

START_TEST(test_asn_alone) {
    ck_assert_int_eq(open_geo("asn: maxmind-test-data/GeoLite2-ASN-Test.mmdb"), 0);
    ck_is("1.0.0.1", NOTE_ASN, "15169");
    ck_is("2.125.160.217", NOTE_COUNTRY_CODE, "-");
    ck_assert_ptr_nonnull(strstr(enrich_geo_type.file(asked.conf, 0), "ASN"));
    ck_assert_ptr_null(enrich_geo_type.file(asked.conf, 1));
}
END_TEST

START_TEST(test_enterprise) {
    ck_assert_int_eq(open_geo("city: maxmind-test-data/GeoIP2-Enterprise-Test.mmdb"), 0);
    ck_is("2.125.160.217", NOTE_COUNTRY_CODE, "GB");
}
END_TEST

START_TEST(test_nothing_configured) {
    ck_assert_int_eq(open_geo(""), 0);
    ck_assert_uint_eq(describe(&asked, "2.125.160.217", 0)->note_count, 0);
    ck_assert_ptr_null(enrich_geo_type.file(asked.conf, 0));
}
END_TEST

START_TEST(test_clear_errors) {
    ck_assert_int_eq(open_geo("city: maxmind-test-data/GeoLite2-ASN-Test.mmdb"), -1);
    ck_assert_int_eq(asked.err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(asked.err.text, "\"GeoLite2-ASN\"; it must be City, Country or"));
    asked_close(&asked);
    ck_assert_int_eq(open_geo("{city: maxmind-test-data/GeoLite2-City-Test.mmdb, "
                              "asn: maxmind-test-data/GeoLite2-City-Test.mmdb}"),
                     -1);
    ck_assert_ptr_nonnull(strstr(asked.err.text, "it must be ASN or ISP"));
    asked_close(&asked);
    ck_assert_int_eq(open_geo("city: none.mmdb"), -1);
    ck_assert_int_eq(asked.err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(asked.err.text, "none.mmdb: No such file"));
    asked_close(&asked);
    ck_assert_int_eq(open_geo("city: maxmind-source-data/GeoLite2-ASN-Test.json"), -1);
    ck_assert_int_eq(asked.err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(asked.err.text, "is not a usable MaxMind DB"));
}
END_TEST

static json_t *load_source(const char *name) {
    char path[256];
    snprintf(path, sizeof(path), "mmdb/maxmind-source-data/%s", name);
    struct span text = data_read(path);
    json_t *root = json_loadb(text.p, text.len, 0, NULL);
    ck_assert(json_is_array(root));
    free((char *)text.p);
    return root;
}

/* Whether a longer prefix of the list holds the first address of `key`. */
static bool is_overlaid(json_t *root, const char *key, const struct cidr *prefix) {
    size_t index;
    json_t *entry;
    json_array_foreach(root, index, entry) {
        const char *other = json_object_iter_key(json_object_iter(entry));
        struct cidr cidr;
        if (strcmp(other, key) != 0 && cidr_parse_masked(span_str(other), &cidr) &&
            cidr.bits >= prefix->bits && prefix_holds(&cidr, &prefix->addr)) {
            return true;
        }
    }
    return false;
}

/* One coordinate as the field shows it, by other means than the program's. */
static const char *degrees(json_t *number, char *text) {
    size_t len = (size_t)sprintf(text, "%.6f", json_number_value(number));
    while (text[len - 1] == '0') {
        len--;
    }
    len -= text[len - 1] == '.';
    text[len] = '\0';
    return text;
}

static const char *text_or_none(json_t *value) {
    return json_is_string(value) ? json_string_value(value) : "-";
}

static void check_place(const char *addr, json_t *record) {
    json_t *country = json_object_get(record, "country"), *city = json_object_get(record, "city");
    json_t *location = json_object_get(record, "location");
    json_t *region = json_array_get(json_object_get(record, "subdivisions"), 0);
    char expected[64] = "-", text[2][32];
    if (json_object_get(location, "latitude")) {
        sprintf(expected, "%s,%s", degrees(json_object_get(location, "latitude"), text[0]),
                degrees(json_object_get(location, "longitude"), text[1]));
    }
    ck_is(addr, NOTE_GEOLOCATION, expected);
    ck_is(addr, NOTE_COUNTRY_CODE, text_or_none(json_object_get(country, "iso_code")));
    ck_is(addr, NOTE_COUNTRY_NAME,
          text_or_none(json_object_get(json_object_get(country, "names"), "en")));
    ck_is(addr, NOTE_CITY_NAME,
          text_or_none(json_object_get(json_object_get(city, "names"), "en")));
    ck_is(addr, NOTE_REGION_NAME,
          text_or_none(json_object_get(json_object_get(region, "names"), "en")));
    ck_is(addr, NOTE_POSTAL_CODE,
          text_or_none(json_object_get(json_object_get(record, "postal"), "code")));
}

static void check_network(const char *addr, json_t *record) {
    char expected[32] = "-";
    json_t *number = json_object_get(record, "autonomous_system_number");
    if (number) {
        sprintf(expected, "%lld", (long long)json_integer_value(number));
    }
    ck_is(addr, NOTE_ASN, expected);
    ck_is(addr, NOTE_AS_ORG,
          text_or_none(json_object_get(record, "autonomous_system_organization")));
}

/* Every record of the source, asked for by the first address of its prefix. */
static size_t check_source(const char *name, void (*check)(const char *, json_t *)) {
    json_t *root = load_source(name), *entry;
    size_t index, checked = 0;
    json_array_foreach(root, index, entry) {
        void *pair = json_object_iter(entry);
        const char *key = json_object_iter_key(pair);
        struct cidr prefix;
        char addr[IPADDR_TEXT_MAX + 1];
        if (cidr_parse_masked(span_str(key), &prefix) && !is_overlaid(root, key, &prefix)) {
            addr[ipaddr_format(&prefix.addr, addr)] = '\0';
            check(addr, json_object_iter_value(pair));
            checked++;
        }
    }
    json_decref(root);
    return checked;
}

START_TEST(test_all_places_of_the_source) {
    ck_assert_int_eq(open_geo("city: maxmind-test-data/GeoLite2-City-Test.mmdb"), 0);
    ck_assert_uint_gt(check_source("GeoLite2-City-Test.json", check_place), 200);
}
END_TEST

START_TEST(test_all_networks_of_the_source) {
    ck_assert_int_eq(open_geo("asn: maxmind-test-data/GeoLite2-ASN-Test.mmdb"), 0);
    ck_assert_uint_gt(check_source("GeoLite2-ASN-Test.json", check_network), 200);
}
END_TEST

/* Asks a database, whatever it is, for addresses all over the space. */
static void ask_around(void) {
    for (uint32_t i = 0; i < 256; i++) {
        char text[IPADDR_TEXT_MAX];
        snprintf(text, sizeof(text), "%u.%u.1.1", i, i * 37 % 256);
        describe(&asked, text, 0);
        snprintf(text, sizeof(text), "%x%02x:%x::1", i % 64, i, i * 257);
        describe(&asked, text, 0);
    }
    describe(&asked, "::", 0);
    describe(&asked, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0);
}

static int try_database(const char *dir, const char *name, const char *setting) {
    char yaml[512];
    snprintf(yaml, sizeof(yaml), "%s: \"%s/%s\"", setting, dir, name);
    int result = open_geo(yaml);
    if (result == 0) {
        ask_around();
    } else {
        ck_assert_int_eq(asked.err.kind, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(asked.err.text, name));
    }
    asked_close(&asked);
    asked = (struct asked){.type = &enrich_geo_type};
    return result;
}

/* None of them may crash, hang or be read beyond its end (the sanitizers watch). */
START_TEST(test_broken_databases) {
    static const char *const dirs[] = {"maxmind-bad-data/libmaxminddb",
                                       "maxmind-bad-data/maxminddb-golang", "maxmind-test-data"};
    int tried = 0, refused = 0;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/tests/data/mmdb/%s", data_source_folder(), dirs[i]);
        DIR *dir = opendir(path);
        ck_assert_ptr_nonnull(dir);
        for (struct dirent *file; (file = readdir(dir));) {
            if (strstr(file->d_name, ".mmdb")) {
                refused += try_database(dirs[i], file->d_name, "city") != 0;
                refused += try_database(dirs[i], file->d_name, "asn") != 0;
                tried++;
            }
        }
        closedir(dir);
    }
    ck_assert_int_gt(tried, 20);
    ck_assert_int_gt(refused, 20);
}
END_TEST

/* Real databases with damaged bytes: whatever is opened, look-ups end and stay within the file. */
START_TEST(test_damaged) {
    struct span good = data_read("mmdb/maxmind-test-data/GeoLite2-City-Test.mmdb");
    char *bad = malloc(good.len), path[] = "/tmp/flowgelf-geo-XXXXXX", yaml[64];
    int fd = mkstemp(path);
    uint64_t random = 7;
    snprintf(yaml, sizeof(yaml), "city: %s", path);
    for (int round = 0; round < 60; round++) {
        memcpy(bad, good.p, good.len);
        for (int i = 0; i < 200; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bad[(random >> 33) % (good.len - 600)] = (char)(random >> 25);
        }
        ck_assert_int_eq(pwrite(fd, bad, good.len, 0), (ssize_t)good.len);
        if (open_geo(yaml) == 0) {
            ask_around();
        }
        asked_close(&asked);
    }
    /* Cut short: the metadata at the end is gone. */
    ck_assert_int_eq(ftruncate(fd, (off_t)good.len / 2), 0);
    ck_assert_int_eq(open_geo(yaml), -1);
    asked_close(&asked);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(open_geo(yaml), -1);
    close(fd);
    unlink(path);
    free(bad);
    free((char *)good.p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("geo");
    TCase *tcase = tcase_create("geo");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, test_known);
    tcase_add_test(tcase, test_country_only);
    tcase_add_test(tcase, test_asn_alone);
    tcase_add_test(tcase, test_enterprise);
    tcase_add_test(tcase, test_nothing_configured);
    tcase_add_test(tcase, test_clear_errors);
    tcase_add_test(tcase, test_all_places_of_the_source);
    tcase_add_test(tcase, test_all_networks_of_the_source);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("broken");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_broken_databases);
    tcase_add_test(tcase, test_damaged);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}

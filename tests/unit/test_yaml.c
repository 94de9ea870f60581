/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML reader: trees with places, and errors that a person can act on. */
#include "config/yaml.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "unit.h"

static struct yaml_node *parsed(const char *text) {
    struct yaml_node *root;
    struct err err = {0};
    ck_assert_msg(yaml_parse(span_str(text), "t.yaml", &root, &err) == 0, "%s", err.text);
    return root;
}

static void assert_refused(const char *text, const char *message) {
    struct yaml_node *root;
    struct err err = {0};
    ck_assert_int_eq(yaml_parse(span_str(text), "t.yaml", &root, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, message) != NULL, "\"%s\" is not in \"%s\"", message, err.text);
    yaml_unload(root);
}

START_TEST(a_tree_knows_where_its_values_stood) {
    struct yaml_node *root =
        parsed("# head\nworkers: 2\ninputs:\n  - kafka: {brokers: [a:1, b:2]}\n"
               "  - file:\n      paths: \"x y\"\n");
    ck_assert_int_eq(root->kind, YAML_MAP);
    ck_assert_uint_eq(root->count, 2);
    const struct yaml_node *workers = yaml_get(root, "workers");
    ck_assert_str_eq(workers->text, "2");
    ck_assert_int_eq(workers->line, 2);
    ck_assert_int_eq(workers->column, 10);
    const struct yaml_node *inputs = yaml_get(root, "inputs");
    ck_assert_int_eq(inputs->kind, YAML_LIST);
    ck_assert_uint_eq(inputs->count, 2);
    const struct yaml_node *brokers = yaml_get(yaml_get(inputs->items[0], "kafka"), "brokers");
    ck_assert_str_eq(brokers->items[1]->text, "b:2");
    ck_assert_int_eq(brokers->items[1]->line, 4);
    ck_assert_int_eq(brokers->items[1]->column, 28);
    const struct yaml_node *paths = yaml_get(yaml_get(inputs->items[1], "file"), "paths");
    ck_assert_str_eq(paths->text, "x y");
    ck_assert(!paths->plain);
    ck_assert_ptr_null(yaml_get(root, "nothing"));
    ck_assert_ptr_null(yaml_get(workers, "nothing"));
    yaml_unload(root);
}
END_TEST

START_TEST(nothing_is_null_and_quotes_make_a_text) {
    struct yaml_node *root = parsed("a: ~\nb:\nc: null\nd: \"\"\ne: 'null'\nf: {}\n");
    ck_assert(yaml_is_null(NULL));
    ck_assert(yaml_is_null(yaml_get(root, "a")));
    ck_assert(yaml_is_null(yaml_get(root, "b")));
    ck_assert(yaml_is_null(yaml_get(root, "c")));
    ck_assert(!yaml_is_null(yaml_get(root, "d")));
    ck_assert(!yaml_is_null(yaml_get(root, "e")));
    ck_assert(!yaml_is_null(yaml_get(root, "f")));
    yaml_unload(root);
    root = parsed("");
    ck_assert(yaml_is_null(root));
    yaml_unload(root);
    root = parsed("# only a comment\n");
    ck_assert(yaml_is_null(root));
    yaml_unload(root);
    root = parsed("---\n...\n");
    ck_assert(yaml_is_null(root));
    yaml_unload(root);
}
END_TEST

START_TEST(text_styles_of_yaml_are_read) {
    struct yaml_node *root = parsed("%YAML 1.1\n---\na: |\n  one\n  two\nb: >\n  three\n  four\n"
                                    "\"c\\td\": '${version} ${account-id}'\n"
                                    "e: &anchor Zürich\n");
    ck_assert_str_eq(yaml_get(root, "a")->text, "one\ntwo\n");
    ck_assert_str_eq(yaml_get(root, "b")->text, "three four\n");
    ck_assert_str_eq(yaml_get(root, "c\td")->text, "${version} ${account-id}");
    ck_assert_str_eq(yaml_get(root, "e")->text, "Zürich");
    yaml_unload(root);
}
END_TEST

START_TEST(broken_yaml_is_refused_with_place_and_advice) {
    assert_refused("a: 1\n\tb: 2\n", "t.yaml:2:1: not valid YAML");
    assert_refused("a:\n\tb: 2\n", "indented with a tab");
    assert_refused("a:\n  - b\n - c\n", "t.yaml:3:2: not valid YAML");
    assert_refused("a:\n  b: 1\n c: 2\n", "indented as the ones around it");
    assert_refused("a: b: c\n", "t.yaml:1:5: not valid YAML");
    assert_refused("a: [1, 2\nb: 3\n", "not valid YAML");
    assert_refused("a: \"open\n", "closing quote");
    assert_refused("a: @b\n", "t.yaml:1:4: not valid YAML");
    assert_refused("a: 1\nb: \xff\n", "t.yaml:2:4: not valid YAML");
    assert_refused("a: \x01\n", "t.yaml:1:4: not valid YAML");
}
END_TEST

START_TEST(a_key_that_stands_twice_names_both_lines) {
    assert_refused("a: 1\nb: 2\na: 3\n",
                   "t.yaml:3:1: \"a\" is set twice: in line 1 and again in line 3");
    assert_refused("x:\n  - {n: 1, m: 2, n: 3}\n", "t.yaml:2:18: \"n\" is set twice: in line 2");
}
END_TEST

START_TEST(what_only_we_refuse_is_said_all_at_once_and_leaves_a_tree) {
    struct yaml_node *root;
    struct err err = {0};
    const char *text = "a: 1\na: 2\nb: !secret x\nc: *d\n<<: {e: 1}\n[1]: 2\nlast: 5\n";
    ck_assert_int_eq(yaml_parse(span_str(text), "t.yaml", &root, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "t.yaml:2:1: \"a\" is set twice"));
    ck_assert_ptr_nonnull(strstr(err.text, "t.yaml:3:4: YAML tags"));
    ck_assert_ptr_nonnull(strstr(err.text, "t.yaml:4:4: YAML aliases"));
    ck_assert_ptr_nonnull(strstr(err.text, "t.yaml:5:1: YAML merge keys"));
    ck_assert_ptr_nonnull(strstr(err.text, "t.yaml:6:1: the name of a setting"));
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(yaml_get(root, "last")->text, "5");
    yaml_unload(root);
}
END_TEST

START_TEST(one_document_without_nul) {
    assert_refused("a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document");
    assert_refused("a: \"x\\0y\"\n", "t.yaml:1:4: a NUL character");
}
END_TEST

START_TEST(depth_nodes_and_size_have_ceilings) {
    char deep[YAML_DEPTH_MAX + 2];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    assert_refused(deep, "t.yaml:1:33: nested deeper than 32 levels");

    struct buf text;
    buf_init(&text, 8 << 20);
    for (int i = 0; i < YAML_NODES_MAX; i++) {
        buf_add(&text, SPAN("- a\n"));
    }
    assert_refused(buf_cstr(&text), "t.yaml:100000:3: more than 100000 values");
    buf_clear(&text);
    while (text.len <= 4 << 20) {
        buf_add(&text, SPAN("# a comment that is read by nobody and only fills the file\n"));
    }
    assert_refused(buf_cstr(&text), "larger than 4 MiB");
    buf_done(&text);
}
END_TEST

START_TEST(a_map_at_its_ceiling_is_no_matter) {
    struct buf text;
    struct yaml_node *root;
    buf_init(&text, 8 << 20);
    for (int i = 0; i < 40000; i++) {
        buf_printf(&text, "k%d: v\n", i);
    }
    root = parsed(buf_cstr(&text));
    ck_assert_uint_eq(root->count, 40000);
    ck_assert_int_eq(yaml_get(root, "k39999")->line, 40000);
    yaml_unload(root);
    buf_done(&text);
}
END_TEST

START_TEST(files_are_loaded_or_said_to_be_unreadable) {
    char path[] = "/tmp/flowgelf-yaml-XXXXXX";
    struct yaml_node *root;
    struct err err = {0};
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "a: {b: c}\n", 10), 10);
    close(fd);
    ck_assert_int_eq(yaml_load(path, &root, &err), 0);
    ck_assert_str_eq(yaml_get(yaml_get(root, "a"), "b")->text, "c");
    yaml_unload(root);
    unlink(path);
    ck_assert_int_eq(yaml_load(path, &root, &err), -1);
    ck_assert_ptr_null(root);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    ck_assert_int_eq(yaml_load("/", &root, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "Is a directory"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("yaml");
    TCase *tests = tcase_create("yaml");
    tcase_add_test(tests, a_tree_knows_where_its_values_stood);
    tcase_add_test(tests, nothing_is_null_and_quotes_make_a_text);
    tcase_add_test(tests, text_styles_of_yaml_are_read);
    tcase_add_test(tests, broken_yaml_is_refused_with_place_and_advice);
    tcase_add_test(tests, a_key_that_stands_twice_names_both_lines);
    tcase_add_test(tests, what_only_we_refuse_is_said_all_at_once_and_leaves_a_tree);
    tcase_add_test(tests, one_document_without_nul);
    tcase_add_test(tests, depth_nodes_and_size_have_ceilings);
    tcase_add_test(tests, a_map_at_its_ceiling_is_no_matter);
    tcase_add_test(tests, files_are_loaded_or_said_to_be_unreadable);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

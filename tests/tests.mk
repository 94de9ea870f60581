# SPDX-License-Identifier: Apache-2.0
# What `make check` runs: unit tests, the corpora of the fuzz targets, and scripts. System tests need a real
# broker and belong to `./dev check`.

# One program each, from the source file of the same name: a new test is one new line.
UNIT_TESTS = \
	tests/unit/test_allocations \
	tests/unit/test_aws_call \
	tests/unit/test_aws_client \
	tests/unit/test_aws_endpoint \
	tests/unit/test_aws_profile \
	tests/unit/test_backoff \
	tests/unit/test_base64 \
	tests/unit/test_buf \
	tests/unit/test_chunk \
	tests/unit/test_confirm \
	tests/unit/test_credentials \
	tests/unit/test_dead_letter \
	tests/unit/test_demo_receiver \
	tests/unit/test_demo_sample \
	tests/unit/test_dossier \
	tests/unit/test_feed \
	tests/unit/test_field \
	tests/unit/test_file \
	tests/unit/test_file_cut \
	tests/unit/test_filter \
	tests/unit/test_flow_enrichers \
	tests/unit/test_format \
	tests/unit/test_gelf \
	tests/unit/test_gelf_http \
	tests/unit/test_gelf_tcp \
	tests/unit/test_gelf_udp \
	tests/unit/test_geo \
	tests/unit/test_http \
	tests/unit/test_http_ceiling \
	tests/unit/test_http_tls \
	tests/unit/test_inflate \
	tests/unit/test_input_file \
	tests/unit/test_input_kafka \
	tests/unit/test_intern \
	tests/unit/test_internal \
	tests/unit/test_ipaddr \
	tests/unit/test_jobs \
	tests/unit/test_json_read \
	tests/unit/test_json_write \
	tests/unit/test_kafka_offsets \
	tests/unit/test_kinesis_file_store \
	tests/unit/test_kinesis_reader \
	tests/unit/test_kinesis_reply \
	tests/unit/test_kinesis_steps \
	tests/unit/test_kinesis_types \
	tests/unit/test_kpl \
	tests/unit/test_lease \
	tests/unit/test_lease_simulation \
	tests/unit/test_lease_table \
	tests/unit/test_line \
	tests/unit/test_log \
	tests/unit/test_message \
	tests/unit/test_net \
	tests/unit/test_networks \
	tests/unit/test_num \
	tests/unit/test_option \
	tests/unit/test_output_file \
	tests/unit/test_output_kafka \
	tests/unit/test_outputs \
	tests/unit/test_payload \
	tests/unit/test_positions \
	tests/unit/test_prefixmap \
	tests/unit/test_query \
	tests/unit/test_settings \
	tests/unit/test_ship \
	tests/unit/test_sigv4 \
	tests/unit/test_snapshot \
	tests/unit/test_threat \
	tests/unit/test_tls \
	tests/unit/test_worker \
	tests/unit/test_xml \
	tests/unit/test_yaml

UNIT_FIXTURES = \
	tests/unit/aws_peer.h \
	tests/unit/aws_server.h \
	tests/unit/data_file.h \
	tests/unit/enrich_help.h \
	tests/unit/http_scene.h \
	tests/unit/http_server.h \
	tests/unit/message_fixture.h \
	tests/unit/parcels.h \
	tests/unit/prefixes.h \
	tests/unit/receiver.h \
	tests/unit/tls_peer.h \
	tests/unit/unit.h

# Fuzz targets, each linked with a main that feeds it tests/fuzz/corpus/<what>: a line here, a line below.
FUZZ_REPLAYS = \
	tests/fuzz/replay_envelope \
	tests/fuzz/replay_feed \
	tests/fuzz/replay_gelf \
	tests/fuzz/replay_json \
	tests/fuzz/replay_kinesis_reply \
	tests/fuzz/replay_kpl \
	tests/fuzz/replay_line \
	tests/fuzz/replay_payload \
	tests/fuzz/replay_profile \
	tests/fuzz/replay_query \
	tests/fuzz/replay_xml \
	tests/fuzz/replay_yaml

tests_fuzz_replay_envelope_SOURCES = tests/fuzz/fuzz_envelope.c tests/fuzz/replay.c
tests_fuzz_replay_feed_SOURCES = tests/fuzz/fuzz_feed.c tests/fuzz/replay.c
tests_fuzz_replay_gelf_SOURCES = tests/fuzz/fuzz_gelf.c tests/fuzz/replay.c
tests_fuzz_replay_json_SOURCES = tests/fuzz/fuzz_json.c tests/fuzz/replay.c
tests_fuzz_replay_kinesis_reply_SOURCES = tests/fuzz/fuzz_kinesis_reply.c tests/fuzz/replay.c
tests_fuzz_replay_kpl_SOURCES = tests/fuzz/fuzz_kpl.c tests/fuzz/replay.c
tests_fuzz_replay_xml_SOURCES = tests/fuzz/fuzz_xml.c tests/fuzz/replay.c
tests_fuzz_replay_profile_SOURCES = tests/fuzz/fuzz_profile.c tests/fuzz/replay.c
tests_fuzz_replay_line_SOURCES = tests/fuzz/fuzz_line.c tests/fuzz/replay.c
tests_fuzz_replay_payload_SOURCES = tests/fuzz/fuzz_payload.c tests/fuzz/replay.c
tests_fuzz_replay_query_SOURCES = tests/fuzz/fuzz_query.c tests/fuzz/replay.c
tests_fuzz_replay_yaml_SOURCES = tests/fuzz/fuzz_yaml.c tests/fuzz/replay.c

# Scripts that are run as they stand; they find the program in $FLOWGELF and the tree in $FLOWGELF_SRCDIR.
SCRIPT_TESTS = \
	tests/golden/docs \
	tests/golden/run \
	tests/golden/vectors

if HAVE_CHECK
check_PROGRAMS = $(UNIT_TESTS) $(FUZZ_REPLAYS)
TESTS = $(UNIT_TESTS) $(FUZZ_REPLAYS) $(SCRIPT_TESTS)
else
check-local:
	@echo 'make check needs the unit test framework Check, which configure did not find:' >&2
	@echo '  Debian, Ubuntu: check    Fedora, RHEL: check-devel    then run configure again' >&2
	@exit 1
endif

AM_DEFAULT_SOURCE_EXT = .c
AM_CFLAGS += $(CHECK_CFLAGS)
LDADD = libflowgelf.a $(CHECK_LIBS) $(DEPS_LIBS)
AM_TESTS_ENVIRONMENT = \
	FLOWGELF=$(abs_top_builddir)/flowgelf; export FLOWGELF; \
	FLOWGELF_SRCDIR=$(abs_top_srcdir); export FLOWGELF_SRCDIR; \
	AWS_EC2_METADATA_DISABLED=true; export AWS_EC2_METADATA_DISABLED; \
	UBSAN_OPTIONS="$${UBSAN_OPTIONS:-print_stacktrace=1}"; export UBSAN_OPTIONS;

# librdkafka starts its threads by thrd_create, which ThreadSanitizer does not know.
if SANITIZE_THREAD
flowgelf_SOURCES += tests/system/tsan_shim.c
endif

EXTRA_DIST += $(UNIT_FIXTURES) $(SCRIPT_TESTS) \
	tests/fuzz \
	tests/data \
	tests/golden \
	tests/bench \
	tests/system

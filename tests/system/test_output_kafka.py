# SPDX-License-Identifier: Apache-2.0
"""A topic of a real broker as the output: whatever happens to broker, topic or flowgelf, every flow is stored.

What a topic holds is read with kcat, after the fact. A ring is 8 MiB, so an incident repeats at most that much for each
worker; as the producer is idempotent, only an incident of flowgelf's own repeats anything.
"""

import json
import re
import time

from harness import Flowgelf, check_equal, flows, story, wait_until
from harness.broker import PASSWORD, USER

PARTITIONS = 4
PATIENT = {"workers": 2, "shutdown_grace": "2m", "revoke_grace": "1m"}


class Stored:
    """What a topic holds now, as flows.check_arrived and flows.check_duplicates look at receivers."""

    def __init__(self, broker, topic):
        self.messages = [json.loads(one) for one in broker.consume(topic)]
        self.ids = [message["_interface_id"] for message in self.messages]
        self.count = len(self.ids)
        self.distinct = len(set(self.ids))
        self.duplicates = self.count - self.distinct
        self.size_bytes = sum(len(json.dumps(message)) for message in self.messages)

    def missing(self, wanted):
        return set(wanted) - set(self.ids)


def kafka_output(broker, topic, address=None, **settings):
    return {"kafka": {"brokers": [address or broker.address], "topic": topic, **settings}}


def count_of(broker, topic):
    return sum(broker.end_offsets(topic, PARTITIONS).values())


def wait_for_count(broker, topic, count):
    wait_until(f"{count} messages are stored", lambda: count_of(broker, topic) >= count)


def program_from_file(count, output, **top):
    program = Flowgelf(flows.config(flows.files("flows.log"), output, **{"workers": 1, **top}))
    program.write("flows.log", flows.text(0, count))
    return program


@story()
def story_file_to_topic(env):
    """Given a file of 20,000 flows; when flowgelf has read it to its end; then the topic holds each once, as a JSON object
    with an event_uid of its own, in more than one partition."""
    broker, topic, count = env.broker(), env.topic(PARTITIONS), 20_000
    with program_from_file(count, kafka_output(broker, topic)) as program:
        program.wait()
        check_equal((program.counter("delivered"), program.counter("resent")), (count, 0), "delivered, resent")
    stored = Stored(broker, topic)
    flows.check_arrived(stored, flows.ids(0, count))
    check_equal(stored.duplicates, 0, "duplicates")
    check_equal(len({message["_event_uid"] for message in stored.messages}), count, "different event_uid")
    ends = broker.end_offsets(topic, PARTITIONS)
    check_equal(all(end > 0 for end in ends.values()), True, f"something in each partition, {ends},")


@story()
def story_topic_to_topic(env):
    """Given a topic of raw lines, and a listener with TLS and SASL for what is written; when flowgelf stands between; then
    every flow is stored once, the messages of an interface lie in one partition where that is the key, and the group's
    positions are the ends."""
    broker, source, target, group = env.broker(), env.topic(PARTITIONS), env.topic(PARTITIONS), env.name("group")
    count = 4000
    for part in range(PARTITIONS):
        broker.produce(source, flows.lines(part * 1000, part * 1000 + 1000), part)
    output = kafka_output(broker, target, broker.sasl_address, key="interface", tls={"ca": str(broker.authority_path)},
                          sasl={"mechanism": "SCRAM-SHA-256", "username": USER,
                                "password": f"file:{broker.password_path}"})
    with Flowgelf(flows.config(flows.kafka(broker, source, group), output, **PATIENT)) as program:
        wait_for_count(broker, target, count)
        for part in range(PARTITIONS):  # the same interfaces again
            broker.produce(source, flows.lines(part * 1000, part * 1000 + 1000), part)
        wait_for_count(broker, target, 2 * count)
        program.terminate()
        check_equal(PASSWORD in program.stderr, False, "password in the log")
    stored = Stored(broker, target)
    flows.check_arrived(stored, flows.ids(0, count))
    check_equal(stored.count, 2 * count, "messages stored")
    for part in range(PARTITIONS):
        held = [json.loads(one)["_interface_id"] for one in broker.consume(target, part)]
        check_equal(len(held), 2 * len(set(held)), f"messages of the interfaces of partition {part}")
    check_equal(broker.committed_offsets(group, source, PARTITIONS), broker.end_offsets(source, PARTITIONS),
                "positions of the group")


@story()
def story_broker_killed_in_the_middle(env):
    """Given a file of which a part is stored; when the broker dies by SIGKILL and comes back some seconds later, twice;
    then flowgelf goes on by itself and every flow is stored, none twice."""
    broker, topic, count = env.broker(), env.topic(PARTITIONS), 120_000
    slow = {"properties": {"linger.ms": "20", "batch.num.messages": "200"}}
    with program_from_file(count, kafka_output(broker, topic, **slow)) as program:
        for number in (1, 2):
            wait_for_count(broker, topic, number * 2000)
            broker.kill()
            time.sleep(2)
            broker.start()
        program.wait()
        check_equal(program.counter("delivered"), count, "delivered")
    stored = Stored(broker, topic)
    flows.check_arrived(stored, flows.ids(0, count))
    flows.check_duplicates(stored, incidents=2, peer_buffer_mib=0)


@story()
def story_stage_killed_and_shared(env):
    """Given two flowgelf of one group between two topics, flows being produced all the while; when one of them dies by
    SIGKILL and is started again, three times; then every flow is stored, and what came twice is no more than the rings
    held."""
    broker, source, target, group = env.broker(), env.topic(PARTITIONS), env.topic(PARTITIONS), env.name("group")
    kills, step, count = 3, 5000, 0
    settings = flows.config(flows.kafka(broker, source, group, properties=flows.SHORT_SESSION),
                            kafka_output(broker, target), **PATIENT)
    with Flowgelf(settings) as first, Flowgelf(settings) as second:
        for _ in range(kills):
            for part in range(PARTITIONS):
                broker.produce(source, flows.lines(count, count + step), part)
                count += step
            wait_for_count(broker, target, count // 2)
            first.kill()
            first.start()
        wait_until("all is committed", lambda: broker.has_committed_all(group, source, PARTITIONS))
        first.terminate()
        second.terminate()
    stored = Stored(broker, target)
    flows.check_arrived(stored, flows.ids(0, count))
    flows.check_duplicates(stored, kills, workers=4, peer_buffer_mib=0)


@story()
def story_topic_comes_late(env):
    """Given a topic that does not exist; then flowgelf says so, with its name, and waits; when it is created; then all
    flows are stored."""
    broker, topic, count = env.broker(), env.name("late"), 500
    with program_from_file(count, kafka_output(broker, topic)) as program:
        program.wait_for_log("create it")
        check_equal(topic in program.stderr, True, "the topic's name in the log")
        broker.create_topic(topic, PARTITIONS)
        program.wait()
    stored = Stored(broker, topic)
    flows.check_arrived(stored, flows.ids(0, count))
    check_equal(stored.duplicates, 0, "duplicates")


@story()
def story_topic_takes_only_small_batches(env):
    """Given a topic whose max.message.bytes is 3000; when batches are larger, though no message is; then flowgelf makes
    them smaller until they are taken, says so, and each flow is stored once."""
    broker, topic, count = env.broker(), env.topic(PARTITIONS, max_message_bytes=3000), 2000
    plain = {"properties": {"compression.codec": "none"}}
    with program_from_file(count, kafka_output(broker, topic, **plain)) as program:
        program.wait()
        check_equal("batches of 1000000 bytes are too large" in program.stderr, True, "said")
        check_equal(program.counter("dropped"), 0, "dropped")
    stored = Stored(broker, topic)
    flows.check_arrived(stored, flows.ids(0, count))
    check_equal(stored.duplicates, 0, "duplicates")


@story()
def story_messages_too_large_for_the_topic(env):
    """Given a topic whose max.message.bytes is 2000, and messages of 3000; then each is a dead letter, as it was to be
    sent, is counted, and flowgelf comes to its end."""
    broker, topic, count = env.broker(), env.topic(1, max_message_bytes=2000), 20
    output = kafka_output(broker, topic, properties={"compression.codec": "none"}, messages={"host": "h" * 2500})
    with program_from_file(count, output, dead_letter={"path": "dead.jsonl"}) as program:
        program.wait()
        check_equal(program.counter("dropped"), count, "dropped")
        letters = [json.loads(one) for one in (program.state / "dead.jsonl").read_text().splitlines()]
        check_equal([letter["reason"] for letter in letters], ["message_too_large"] * count, "reasons")
        check_equal("max.message.bytes" in program.stderr, True, "the remedy is said")
    check_equal(broker.end_offsets(topic), {0: 0}, "stored")


@story(threaded=False)
def story_check_asks_for_the_topic(env):
    """Given a topic of 4 partitions; then `check --online` says so; and of a topic that is none, that there is none,
    without creating it."""
    broker, topic = env.broker(), env.topic(PARTITIONS)
    source = flows.files("flows.log")
    with Flowgelf(flows.config(source, kafka_output(broker, topic))) as program:
        program.kill()
        program.write("flows.log", "")
        out, _ = Flowgelf.command("check", "--online", "-c", program.config_path)
        check_equal(bool(re.search(rf"topic {topic} has 4 partitions, 0 of them without", out)), True, out)
        absent = env.name("absent")
        program.configure(flows.config(source, kafka_output(broker, absent)))
        out, err = Flowgelf.command("check", "--online", "-c", program.config_path, code=78)
        check_equal(f"there is no topic {absent}" in out + err, True, out + err)

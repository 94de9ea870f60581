# SPDX-License-Identifier: Apache-2.0
"""A real Kafka broker as the source: whatever happens to broker, group, receiver or flowgelf, every flow arrives.

Where the receiver's socket is made small, peer_buffer is 1 MiB, so that a ring is 9 MiB and a stall is felt soon.
"""

import base64
import json
import random
import signal
import threading
import time

from harness import Flowgelf, GelfTcpReceiver, check_equal, flows, free_port, story, wait_until

PARTITIONS = 4


class Producer(threading.Thread):
    """Writes flows first to last-1 into a topic, `step` every `every_s` seconds. join() raises what went wrong."""

    def __init__(self, broker, topic, last, step=500, every_s=0.1):
        super().__init__(daemon=True, name="producer")
        self._broker, self._topic, self._last = broker, topic, last
        self._step, self._every_s = step, every_s
        self._failure = None
        self.start()

    def run(self):
        try:
            for at in range(0, self._last, self._step):
                part = at // self._step % PARTITIONS
                self._broker.produce(self._topic, flows.lines(at, min(at + self._step, self._last)), part)
                time.sleep(self._every_s)
        except Exception as failure:
            self._failure = failure

    def finish(self, timeout_s=60):
        self.join(timeout_s)
        if self._failure:
            raise self._failure


def small_receiver(**settings):
    return GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER, **settings)


def program_for(env, receiver, topic, group, **settings):
    """flowgelf with confirm_after short enough for a story; `kafka` and top-level settings by name."""
    source = flows.kafka(env.broker(), topic, group, **settings.pop("kafka", {}))
    output = flows.gelf_tcp(receiver, **flows.SMALL, confirm_after=settings.pop("confirm_after", "300ms"))
    return Flowgelf(flows.config(source, output, **{"workers": 2, **settings}))


def produce_all(broker, topic, count):
    share = count // PARTITIONS
    for part in range(PARTITIONS):
        broker.produce(topic, flows.lines(part * share, (part + 1) * share), part)


def wait_for(receiver, count, timeout_s=60):
    wait_until(f"all of {count} flows have arrived", lambda: receiver.distinct >= count, timeout_s)


def assigned(program):
    return program.stderr_now.count("partitions assigned to worker")


def wait_for_members(broker, group, count):
    wait_until(f"the group is stable with {count} members",
               lambda: broker.group_members(group) == ("Stable", count), 40)


def check_committed(broker, group, topic, partitions=PARTITIONS):
    check_equal(broker.committed_offsets(group, topic, partitions), broker.end_offsets(topic, partitions),
                "positions of the group")


@story(limit_s=60, threaded=True)
def story_topic_to_its_end(env):
    """Given two workers that share 4 partitions; when 20,000 flows come, and later TERM; then each flow arrived once,
    with defaults for the receiver, and the group's positions are the ends."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 20_000
    with GelfTcpReceiver() as receiver:
        source = flows.kafka(broker, topic, group)
        with Flowgelf(flows.config(source, flows.gelf_tcp(receiver), workers=2)) as program:
            wait_for_members(broker, group, 2)
            produce_all(broker, topic, count)
            wait_for(receiver, count)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")
    check_committed(broker, group, topic)
    wait_until("the group is left", lambda: broker.group_members(group) == ("Empty", 0), 10)


@story(limit_s=60)
def story_topics_by_pattern(env):
    """Given a regular expression that two of three topics match; then these two are read."""
    broker, prefix, group = env.broker(), env.name("flowlogs"), env.name("group")
    for number, name in enumerate((f"{prefix}-a", f"{prefix}-b", f"not-{prefix}")):
        broker.create_topic(name)
        broker.produce(name, flows.lines(number * 100, number * 100 + 100))
    with small_receiver() as receiver:
        with program_for(env, receiver, f"^{prefix}-.*", group) as program:
            wait_for(receiver, 200)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 200))


@story(limit_s=60)
def story_envelopes_of_two_hundred(env):
    """Given gzip CloudWatch envelopes of 200 events; then each event is a message with the group and the topic's
    name in it where asked for."""
    broker, topic, group = env.broker(), env.topic(), env.name("group")
    for at in range(0, 4000, 200):
        broker.produce_bytes(topic, flows.envelope(at, at + 200))
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group, messages={"fields": {"set": "all"}}) as program:
            wait_for(receiver, 4000)
            program.terminate()
            check_equal((program.counter("records"), program.counter("envelopes"), program.counter("flows")),
                        (20, 20, 4000), "records, envelopes, flows")
        flows.check_arrived(receiver, flows.ids(0, 4000))
        check_equal({(m["_aws_log_group"], m["_kafka_topic"]) for m in receiver.messages}, {("flows", topic)},
                    "where they came from")
    check_committed(broker, group, topic, 1)


@story(limit_s=90, threaded=True)
def story_group_rebalances(env):
    """Given two flowgelf in one group while flows are produced; when the second joins late, and later leaves by
    TERM; then partitions move there and back, every flow arrives, and what came twice is what was on its way."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 40_000
    with small_receiver() as receiver:
        producer = Producer(broker, topic, count)
        with program_for(env, receiver, topic, group) as first:
            wait_until("the first reads", lambda: receiver.count > 2000, 30)
            with program_for(env, receiver, topic, group) as second:
                wait_for_members(broker, group, 4)
                time.sleep(2)
                second.terminate()
                check_equal(second.counter("delivered") > 0, True, "the second had its share")
            producer.finish()
            wait_for(receiver, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 20)
            check_equal(broker.group_members(group), ("Stable", 2), "members at the end")
            first.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=2, workers=4)
    check_committed(broker, group, topic)


@story(limit_s=90)
def story_broker_restarts(env):
    """Given flows on their way; when the broker ends in good order in the middle, is away for a while and starts
    again; then flowgelf goes on by itself, and every flow arrives."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 60_000
    produce_all(broker, topic, count // 2)
    with small_receiver(bytes_a_second=6_000_000) as receiver:
        with program_for(env, receiver, topic, group) as program:
            wait_until("it is in the middle", lambda: receiver.count > 5000, 30)
            broker.restart(pause_s=1)
            share = count // 2 // PARTITIONS
            for part in range(PARTITIONS):
                at = count // 2 + part * share
                broker.produce(topic, flows.lines(at, at + share), part)
            receiver.bytes_a_second = None
            wait_for(receiver, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 20)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=1, workers=2)
    check_committed(broker, group, topic)


@story(limit_s=90)
def story_receiver_stalls_longer_than_max_poll_interval(env):
    """Given max.poll.interval.ms of 4 s; when the receiver stalls for 10 s, with the rings full; then flowgelf is
    still a member of its group, keeps its partitions, and when the receiver goes on each flow arrives once."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 60_000
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group,
                         kafka={"properties": {"max.poll.interval.ms": 4000}}) as program:
            wait_for_members(broker, group, 2)
            produce_all(broker, topic, count)
            wait_until("some has arrived", lambda: receiver.count > 1000, 30)
            before = assigned(program)
            receiver.stall()
            time.sleep(10)
            check_equal(broker.group_members(group), ("Stable", 2), "members in the stall")
            check_equal(broker.has_committed_all(group, topic, PARTITIONS), False, "all committed in the stall")
            receiver.resume()
            wait_for(receiver, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 20)
            check_equal(assigned(program), before, "assignments")
            check_equal("were lost" in program.stderr, False, "partitions lost")
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=120)
def story_killed_at_random_moments(env):
    """Given flows being produced, faster than the receiver reads, so that rings fill and are emptied by the bytes
    behind, not by half-closes; when flowgelf is killed by SIGKILL at six random moments and started again each time;
    then every flow arrives, and each time no more than the rings hold comes again."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    count, kills, dice = 80_000, 6, random.Random(19991231)
    with small_receiver(bytes_a_second=5_000_000) as receiver:
        producer = Producer(broker, topic, count, every_s=0.02)
        with program_for(env, receiver, topic, group, confirm_after="2s") as program:
            for number in range(kills):
                if number % 3:  # a life that has come to delivering; else one that perhaps has not even joined
                    target = receiver.count + dice.randrange(6000, 16_000)
                    wait_until("it delivers", lambda wanted=target: receiver.count > wanted, 30)
                time.sleep(dice.uniform(0, 1.5))
                program.kill()
                program.start()
            stored = broker.committed_offsets(group, topic, PARTITIONS).values()
            check_equal(sum(stored) > 0, True, f"lives begin where others stopped: {list(stored)}")
            producer.finish()
            receiver.bytes_a_second = None
            wait_for(receiver, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 30)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, kills, workers=2)
    check_committed(broker, group, topic)


@story(limit_s=60)
def story_start_at_latest_is_a_position_at_once(env):
    """Given start: latest and old flows in the topic; when flowgelf is killed before anything is delivered, because
    there is no receiver, and more flows came meanwhile; then its next life sends these, and none of the old."""
    broker, topic, group, port = env.broker(), env.topic(PARTITIONS), env.name("group"), free_port()
    produce_all(broker, topic, 400)
    late = type("Late", (), {"address": f"127.0.0.1:{port}"})
    with program_for(env, late, topic, group, kafka={"start": "latest"}) as program:
        wait_until("both workers have their partitions", lambda: assigned(program) >= 2, 30)
        check_equal(broker.committed_offsets(group, topic, PARTITIONS),
                    broker.end_offsets(topic, PARTITIONS), "positions before the first flow")
        broker.produce(topic, flows.lines(1000, 1300), 0)
        broker.produce(topic, flows.lines(1300, 1500), 1)
        time.sleep(1)
        program.kill()
        broker.produce(topic, flows.lines(1500, 1600), 2)
        with GelfTcpReceiver(port=port) as receiver:
            program.start()
            wait_for(receiver, 600)
            program.terminate()
            flows.check_arrived(receiver, flows.ids(1000, 1600))
            check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60)
def story_poison_records(env):
    """Given garbage, a truncated gzip envelope, an empty value and a record of 17 MiB between good ones; then the
    good ones arrive, each bad one is in the dead letter with its position, and the group goes past them."""
    broker, topic, group = env.broker(), env.topic(), env.name("group")
    garbage = random.Random(7).randbytes(3000).replace(b"\n", b"?")
    poison = {100: garbage, 101: flows.envelope(0, 200)[:-300], 102: b'{"messageType": "DATA_MESS',
              203: b"x" * (17 << 20)}
    broker.produce(topic, flows.lines(0, 100))
    for offset in (100, 101, 102):
        broker.produce_bytes(topic, poison[offset])
    broker.produce(topic, flows.lines(100, 200))
    broker.produce_bytes(topic, poison[203])
    broker.produce(topic, flows.lines(200, 300))
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group, workers=1, dead_letter={"path": "dead.jsonl"}) as program:
            wait_for(receiver, 300)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic), 20)
            program.terminate()
            dead = [json.loads(line) for line in (program.state / "dead.jsonl").read_text().splitlines()]
        flows.check_arrived(receiver, flows.ids(0, 300))
    check_committed(broker, group, topic, 1)
    check_equal({d["position"] for d in dead}, set(poison), "positions of the dead letters")
    check_equal({(d["input"], d["stream"], d["shard"]) for d in dead}, {("kafka", topic, "0")}, "their origin")
    reasons = {d["position"]: d["reason"] for d in dead}
    check_equal((reasons[101], reasons[102], reasons[203]), ("gzip", "json", "record_too_large"), "reasons")
    whole = next(d for d in dead if d["position"] == 102)
    check_equal(base64.b64decode(whole["raw"]), poison[102], "the bytes")


@story(limit_s=60)
def story_peek_takes_nothing_away(env):
    """Given a topic that a group has read in part; when `flowgelf peek` looks at it; then it prints messages and a
    summary, joins no group, and the positions stay as they were."""
    broker, topic, group = env.broker(), env.topic(), env.name("group")
    broker.produce(topic, ["this is no flow log", *flows.lines(0, 500)])
    broker.consume_as_group(group, topic, 100)
    before = broker.committed_offsets(group, topic)
    program = Flowgelf(flows.config(flows.kafka(broker, topic, group), {"gelf_tcp": {"hosts": ["127.0.0.1:9"]}}))
    try:
        out, _ = Flowgelf.command("peek", "-c", program.config_path, "--limit", "300", timeout_s=40)
    finally:
        program.close()
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    check_equal([m["_interface_id"] for m in messages], [f"eni-{n}" for n in range(300)], "messages printed")
    check_equal("Bad lines: 1" in out, True, out[-2000:])
    check_equal(broker.committed_offsets(group, topic), before, "positions")
    check_equal(broker.group_members(group), ("Empty", 0), "members")


@story(limit_s=90)
def story_group_rebalances_while_the_receiver_stalls(env):
    """Given full rings and a receiver that does not read; when a second flowgelf joins the group; then the first
    lets its partitions go after revoke_grace, though nothing was delivered; when the receiver goes on, every flow
    arrives, and the positions never ran ahead."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 60_000
    produce_all(broker, topic, count)
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group, revoke_grace="2s") as first:
            wait_until("the first reads", lambda: receiver.count > 1000, 30)
            receiver.stall()
            time.sleep(2)
            with program_for(env, receiver, topic, group, revoke_grace="2s") as second:
                wait_until("the second has partitions", lambda: assigned(second) >= 2, 30)
                receiver.resume()
                wait_for(receiver, count)
                wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 20)
                second.terminate()
            first.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=2, workers=4)


@story(limit_s=90)
def story_member_stands_still_longer_than_its_session(env):
    """Given two members; when one stands still (SIGSTOP, as a paused machine) for longer than the session, with
    flows on their way, so that the group gives its partitions to the other, and then wakes up; then every flow
    arrives, and its late commits do no harm."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 40_000
    with small_receiver() as receiver:
        producer = Producer(broker, topic, count)
        with program_for(env, receiver, topic, group) as first, program_for(env, receiver, topic, group) as second:
            wait_for_members(broker, group, 4)
            wait_until("flows come", lambda: receiver.count > 3000, 30)
            first.process.send_signal(signal.SIGSTOP)
            wait_for_members(broker, group, 2)
            time.sleep(1)
            first.process.send_signal(signal.SIGCONT)
            wait_for_members(broker, group, 4)
            producer.finish()
            wait_for(receiver, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 20)
            first.terminate()
            second.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=3, workers=4)
    check_committed(broker, group, topic)


@story(limit_s=90)
def story_two_receivers_and_one_resets(env):
    """Given two outputs; when one receiver stalls, so that the other has everything long before, and then resets,
    and flowgelf is killed in between; then both have every flow: the slower one decides what is committed."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 6_000
    produce_all(broker, topic, count)
    with small_receiver() as good, small_receiver() as bad:
        outputs = [flows.gelf_tcp(one, **flows.SMALL, confirm_after="300ms") for one in (good, bad)]
        settings = flows.config(flows.kafka(broker, topic, group), outputs[0], workers=2)
        bad.stall()
        with Flowgelf(settings.replace(json.dumps([outputs[0]]), json.dumps(outputs))) as program:
            wait_for(good, count)
            time.sleep(2)
            check_equal(set(broker.committed_offsets(group, topic, PARTITIONS).values()), {-1}, "positions")
            program.kill()
            program.start()
            wait_until("it lies unread again", lambda: bad.unread_bytes > 32 << 10, 30)
            bad.reset()
            bad.resume()
            wait_for(bad, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 20)
            program.terminate()
        flows.check_arrived(good, flows.ids(0, count))
        flows.check_arrived(bad, flows.ids(0, count))


@story(limit_s=90)
def story_broker_is_away(env):
    """Given a broker that is killed: TERM ends flowgelf in good order all the same; a start without a broker waits
    and says so; when the broker is back, what was not committed is read, and every flow arrives."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 8_000
    produce_all(broker, topic, count)
    with small_receiver(bytes_a_second=3_000_000) as receiver:
        with program_for(env, receiver, topic, group, shutdown_grace="2s") as program:
            wait_until("it is in the middle", lambda: receiver.count > 1500, 30)
            broker.kill()
            start = time.monotonic()
            program.terminate(30)
            took = time.monotonic() - start
            check_equal(took < 15, True, f"the end without a broker ({took:.1f} s)")
            program.start()
            program.wait_for_log("look at `brokers`", 20)
            receiver.bytes_a_second = None
            broker.start()
            wait_for(receiver, count)
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS), 30)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
    check_committed(broker, group, topic)


@story(limit_s=60)
def story_topic_comes_later(env):
    """Given a topic that does not exist yet; then flowgelf says so and waits; when it is made, it is read."""
    broker, topic, group = env.broker(), env.name("topic"), env.name("group")
    with small_receiver() as receiver:
        properties = {"topic.metadata.refresh.interval.ms": 500}
        with program_for(env, receiver, topic, group, kafka={"properties": properties}) as program:
            program.wait_for_log("look at `topics`", 20)
            broker.create_topic(topic)
            broker.produce(topic, flows.lines(0, 50))
            wait_for(receiver, 50, 30)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 50))

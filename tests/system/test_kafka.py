# SPDX-License-Identifier: Apache-2.0
"""A real Kafka broker as the source: whatever happens to broker, group, receiver or flowgelf, every flow arrives.

Where the receiver's socket is made small, peer_buffer is 1 MiB, so that a ring is 9 MiB and a stall is felt soon.
Partitions go, and flowgelf ends, without haste (revoke_grace, shutdown_grace): where a story says that nothing comes
twice, it says so of slow machines too.
"""

import base64
import json
import random
import re
import signal
import threading
import time

from harness import Flowgelf, GelfTcpReceiver, Together, check_equal, flows, free_port, story, wait_until
from harness.base import SLOWNESS
from harness.broker import USER
from harness.certificates import make_authority

PARTITIONS = 4
SHARES = {0: 2, 1: 2}   # partitions of two workers that have all
PATIENT = {"workers": 2, "shutdown_grace": "2m", "revoke_grace": "1m"}


class Producer(threading.Thread):
    """Writes flows 0, 1, 2 ... into a topic until finish(), so that there are always some on their way; never more than
    `lead` ahead of what `receiver` has read."""

    STEP = 500

    def __init__(self, broker, topic, receiver, lead=20_000, every_s=0.05):
        super().__init__(daemon=True, name="producer")
        self._broker, self._topic, self._receiver = broker, topic, receiver
        self._lead, self._every_s = lead, every_s
        self._stop_now = threading.Event()
        self._failure = None
        self.count = 0
        self.start()

    def run(self):
        try:
            while not self._stop_now.is_set():
                if self.count - self._receiver.count < self._lead:
                    part = self.count // self.STEP % PARTITIONS
                    self._broker.produce(self._topic, flows.lines(self.count, self.count + self.STEP), part)
                    self.count += self.STEP
                time.sleep(self._every_s)
        except Exception as failure:
            self._failure = failure

    def finish(self):
        """Returns how many flows there are."""
        self._stop_now.set()
        self.join(300)
        if self._failure:
            raise self._failure
        return self.count


def small_receiver(**settings):
    return GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER, **settings)


def config_for(env, receiver, topic, group, **settings):
    """confirm_after is short enough for a story; `kafka` and top-level settings by name."""
    source = flows.kafka(env.broker(), topic, group, **settings.pop("kafka", {}))
    output = flows.gelf_tcp(receiver, **flows.SMALL, confirm_after=settings.pop("confirm_after", "300ms"))
    return flows.config(source, output, **{**PATIENT, **settings})


def program_for(*args, **settings):
    return Flowgelf(config_for(*args, **settings))


def produce_all(broker, topic, count):
    share = count // PARTITIONS
    for part in range(PARTITIONS):
        broker.produce(topic, flows.lines(part * share, (part + 1) * share), part)


def wait_for(receiver, count):
    wait_until(f"all of {count} flows have arrived", lambda: receiver.distinct >= count)


def wait_for_more(receiver, count):
    target = receiver.count + count
    wait_until(f"{count} more are read", lambda: receiver.count >= target)


def assignments(program):
    """(worker, partitions), one by one as they were logged."""
    found = re.findall(r"(\d+) partitions assigned to worker (\d+)", program.stderr_now)
    return [(int(worker), int(count)) for count, worker in found]


def wait_for_shares(program, shares=None):
    """Until each worker has the partitions that it will keep."""
    wait_until("all workers have their share", lambda: dict(assignments(program)) == (shares or SHARES))


def wait_for_members(broker, group, count):
    wait_until(f"the group is stable with {count} members",
               lambda: broker.group_members(group) == ("Stable", count))


def wait_for_commit(broker, group, topic):
    wait_until("all is committed", lambda: broker.has_committed_all(group, topic, PARTITIONS))


def sum_of_positions(broker, group, topic):
    return sum(max(0, at) for at in broker.committed_offsets(group, topic, PARTITIONS).values())


def check_committed(broker, group, topic, partitions=PARTITIONS):
    check_equal(broker.committed_offsets(group, topic, partitions), broker.end_offsets(topic, partitions),
                "positions of the group")


@story()
def story_topic_to_its_end(env):
    """Given two workers that share 4 partitions; when 20,000 flows come, and later TERM; then each flow arrived once,
    with defaults for the receiver, and the group's positions are the ends."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 20_000
    with GelfTcpReceiver() as receiver:
        source = flows.kafka(broker, topic, group)
        with Flowgelf(flows.config(source, flows.gelf_tcp(receiver), **PATIENT)) as program:
            wait_for_members(broker, group, 2)
            produce_all(broker, topic, count)
            wait_for(receiver, count)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")
    check_committed(broker, group, topic)
    wait_until("the group is left", lambda: broker.group_members(group) == ("Empty", 0))


@story()
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


@story()
def story_envelopes_of_two_hundred(env):
    """Given gzip CloudWatch envelopes of 200 events; then each event is a message with the group and the topic's
    name in it where asked for."""
    broker, topic, group = env.broker(), env.topic(), env.name("group")
    for at in range(0, 4000, 200):
        broker.produce_bytes(topic, flows.envelope(at, at + 200))
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group, workers=1, messages={"fields": {"set": "all"}}) as program:
            wait_for(receiver, 4000)
            program.terminate()
            check_equal((program.counter("records"), program.counter("envelopes"), program.counter("flows")),
                        (20, 20, 4000), "records, envelopes, flows")
        flows.check_arrived(receiver, flows.ids(0, 4000))
        check_equal({(m["_aws_log_group"], m["_kafka_topic"]) for m in receiver.messages}, {("flows", topic)},
                    "where they came from")
    check_committed(broker, group, topic, 1)


@story()
def story_group_rebalances(env):
    """Given two flowgelf in one group while flows are produced; when the second joins late, and later leaves by
    TERM; then partitions move there and back, every flow arrives, and what came twice is what was on its way."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    with small_receiver() as of_first, small_receiver() as of_second:
        both = Together(of_first, of_second)
        producer = Producer(broker, topic, both)
        with program_for(env, of_first, topic, group) as first:
            wait_for_more(of_first, 2000)
            with program_for(env, of_second, topic, group) as second:
                wait_for_members(broker, group, 4)
                wait_for_more(of_second, 2000)
                wait_for_more(of_first, 2000)
                second.terminate()
                check_equal(second.counter("delivered") >= 2000, True, "the second had its share")
            wait_for_members(broker, group, 2)
            wait_for_more(of_first, 2000)
            count = producer.finish()
            wait_for(both, count)
            wait_for_commit(broker, group, topic)
            first.terminate()
        flows.check_arrived(both, flows.ids(0, count))
        flows.check_duplicates(both, incidents=2, workers=4)
    check_committed(broker, group, topic)


@story()
def story_broker_restarts(env):
    """Given flows on their way, which the receiver reads so slowly that they last for long; when the broker ends in
    good order in the middle, is away for a while and starts again; then flowgelf goes on by itself, and every flow
    arrives."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 60_000
    produce_all(broker, topic, count // 2)
    with small_receiver(bytes_a_second=200_000) as receiver:
        with program_for(env, receiver, topic, group) as program:
            wait_for_more(receiver, 500)
            broker.restart(pause_s=1)
            share = count // 2 // PARTITIONS
            for part in range(PARTITIONS):
                at = count // 2 + part * share
                broker.produce(topic, flows.lines(at, at + share), part)
            receiver.bytes_a_second = None
            wait_for(receiver, count)
            wait_for_commit(broker, group, topic)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=1, workers=2)
    check_committed(broker, group, topic)


@story()
def story_receiver_stalls_longer_than_max_poll_interval(env):
    """Given max.poll.interval.ms of 8 s; when the receiver stalls for 17 s, with the rings full; then flowgelf is
    still a member of its group, keeps its partitions, and when the receiver goes on each flow arrives once."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 60_000
    limits = {"properties": {"max.poll.interval.ms": 8000, "session.timeout.ms": 8000}}
    with small_receiver() as receiver:
        receiver.stall_after(1000)
        with program_for(env, receiver, topic, group, kafka=limits) as program:
            wait_for_shares(program)
            before = assignments(program)
            produce_all(broker, topic, count)
            receiver.wait_for_stalled()
            time.sleep(17)
            check_equal(broker.group_members(group), ("Stable", 2), "members in the stall")
            check_equal(broker.has_committed_all(group, topic, PARTITIONS), False, "all committed in the stall")
            receiver.resume()
            wait_for(receiver, count)
            wait_for_commit(broker, group, topic)
            check_equal(assignments(program), before, "assignments")
            check_equal("were lost" in program.stderr, False, "partitions lost")
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=600)
def story_killed_at_random_moments(env):
    """Given flows being produced, as fast as the receiver reads, so that rings fill and are emptied by the bytes
    behind, not by half-closes; when flowgelf is killed by SIGKILL at six random moments and started again each time;
    then every flow arrives, and each time no more than the rings hold comes again."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    kills, dice = 6, random.Random(19991231)
    with small_receiver(bytes_a_second=5_000_000) as receiver:
        producer = Producer(broker, topic, receiver, lead=40_000, every_s=0.02)
        with program_for(env, receiver, topic, group, confirm_after="2s",
                         kafka={"properties": flows.SHORT_SESSION}) as program:
            for number in range(kills):
                if number % 3:  # a life that has come to delivering; else one that perhaps has not even joined
                    stored = sum_of_positions(broker, group, topic)
                    wait_for_more(receiver, dice.randrange(6000, 16_000))
                    wait_until("lives begin where others stopped",
                               lambda before=stored: sum_of_positions(broker, group, topic) > before)
                time.sleep(dice.uniform(0, 1.5))
                program.kill()
                program.start()
            count = producer.finish()
            receiver.bytes_a_second = None
            wait_for(receiver, count)
            wait_for_commit(broker, group, topic)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, kills, workers=2)
    check_committed(broker, group, topic)


@story()
def story_start_at_latest(env):
    """Given start: latest and old flows in the topic; then those that come after the partitions are assigned arrive,
    once, and none of the old."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    produce_all(broker, topic, 400)
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group, kafka={"start": "latest"}) as program:
            wait_for_shares(program)
            for part in range(PARTITIONS):
                broker.produce(topic, flows.lines(1000 + 100 * part, 1100 + 100 * part), part)
            wait_for(receiver, 400)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(1000, 1400))
        check_equal(receiver.duplicates, 0, "duplicates")
    check_committed(broker, group, topic)


@story()
def story_start_at_a_time(env):
    """Given start: a time, and partitions with flows before and after it, only before, only after, and none; then those
    of before are skipped, those of after arrive, and so does what comes later into every partition; a second life
    begins at the positions of the group and not at the time again."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    start_s = int(time.time()) - 3600
    before_ms, after_ms = 1000 * start_s - 1, 1000 * start_s
    broker.produce_at(topic, 0, before_ms, flows.lines(0, 100))
    broker.produce_at(topic, 0, after_ms, flows.lines(1000, 1100))
    broker.produce_at(topic, 1, before_ms - 3_600_000, flows.lines(100, 200))
    broker.produce_at(topic, 2, after_ms + 60_000, flows.lines(1100, 1200))
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_s))
    with small_receiver() as receiver:
        with program_for(env, receiver, topic, group, kafka={"start": start}) as program:
            wait_for_shares(program)
            wait_for(receiver, 200)
            for part in range(PARTITIONS):
                broker.produce(topic, flows.lines(1200 + 100 * part, 1300 + 100 * part), part)
            wait_for(receiver, 600)
            program.terminate()
            check_committed(broker, group, topic)
            broker.produce_at(topic, 1, before_ms, flows.lines(1600, 1700))
            program.start()
            wait_for(receiver, 700)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(1000, 1700))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_tls_to_the_broker(env):
    """Given a listener with TLS, whose certificate an authority of its own has signed; when `ca` names another
    authority, then flowgelf says where to look, reads nothing and stores nothing; when it names the right one, then
    every flow arrives, once."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    produce_all(broker, topic, 2000)
    with small_receiver() as receiver:

        def config(authority):
            source = flows.kafka(broker, topic, group, broker.tls_address, tls={"ca": str(authority)})
            return flows.config(source, flows.gelf_tcp(receiver, **flows.SMALL), **PATIENT)

        program = Flowgelf(config("stranger.pem"))
        make_authority(program.folder, "stranger")
        with program:
            program.wait_for_log("look at `tls`")
            program.terminate()
            check_equal(receiver.count, 0, "messages without trust")
            check_equal(set(broker.committed_offsets(group, topic, PARTITIONS).values()), {-1}, "positions")
            program.configure(config(broker.authority_path))
            program.start()
            wait_for(receiver, 2000)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 2000))
        check_equal(receiver.duplicates, 0, "duplicates")
    check_committed(broker, group, topic)


@story()
def story_sasl_to_the_broker(env):
    """Given a listener that asks who comes; when the password is wrong, then flowgelf says where to look and reads
    nothing; when it is right, then flows arrive: half of them by SCRAM, the other half by PLAIN."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    produce_all(broker, topic, 1000)
    with small_receiver() as receiver:

        def config(mechanism, password):
            sasl = {"mechanism": mechanism, "username": USER, "password": f"file:{password}"}
            source = flows.kafka(broker, topic, group, broker.sasl_address, sasl=sasl,
                                 tls={"ca": str(broker.authority_path)})
            return flows.config(source, flows.gelf_tcp(receiver, **flows.SMALL), **PATIENT)

        program = Flowgelf("")
        wrong = program.write("wrong", "battery staple\n")
        program.configure(config("SCRAM-SHA-256", wrong))
        with program:
            program.wait_for_log("look at `sasl`")
            program.terminate()
            check_equal(receiver.count, 0, "messages without a password")
            program.configure(config("SCRAM-SHA-256", broker.password_path))
            program.start()
            wait_for(receiver, 1000)
            program.terminate()
            broker.produce(topic, flows.lines(1000, 2000), 0)
            program.configure(config("PLAIN", broker.password_path))
            program.start()
            wait_for(receiver, 2000)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 2000))
        check_equal(receiver.duplicates, 0, "duplicates")
    check_committed(broker, group, topic)


@story()
def story_start_at_latest_is_a_position_at_once(env):
    """Given start: latest and old flows in the topic; when flowgelf is killed before anything is delivered, because
    there is no receiver, and more flows came meanwhile; then its next life sends these, and none of the old."""
    broker, topic, group, port = env.broker(), env.topic(PARTITIONS), env.name("group"), free_port()
    produce_all(broker, topic, 400)
    late = type("Late", (), {"address": f"127.0.0.1:{port}"})
    short = {"start": "latest", "properties": flows.SHORT_SESSION}
    with program_for(env, late, topic, group, kafka=short) as program:
        wait_for_shares(program)
        check_equal(broker.committed_offsets(group, topic, PARTITIONS),
                    broker.end_offsets(topic, PARTITIONS), "positions before the first flow")
        broker.produce(topic, flows.lines(1000, 1300), 0)
        broker.produce(topic, flows.lines(1300, 1500), 1)
        time.sleep(1)
        program.kill()
        program.configure(config_for(env, late, topic, group, kafka={"start": "latest"}))
        broker.produce(topic, flows.lines(1500, 1600), 2)
        with GelfTcpReceiver(port=port) as receiver:
            program.start()
            wait_for(receiver, 600)
            program.terminate()
            flows.check_arrived(receiver, flows.ids(1000, 1600))
            check_equal(receiver.duplicates, 0, "duplicates")


@story()
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
            wait_until("all is committed", lambda: broker.has_committed_all(group, topic))
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


@story()
def story_peek_takes_nothing_away(env):
    """Given a topic that a group has read in part; when `flowgelf peek` looks at it; then it prints messages and a
    summary, joins no group, and the positions stay as they were."""
    broker, topic, group = env.broker(), env.topic(), env.name("group")
    broker.produce(topic, ["this is no flow log", *flows.lines(0, 500)])
    broker.consume_as_group(group, topic, 100)
    wait_until("the group is left", lambda: broker.group_members(group) == ("Empty", 0))
    before = broker.committed_offsets(group, topic)
    program = Flowgelf(flows.config(flows.kafka(broker, topic, group), {"gelf_tcp": {"hosts": ["127.0.0.1:9"]}}))
    try:
        out, _ = Flowgelf.command("peek", "-c", program.config_path, "--limit", "300")
    finally:
        program.close()
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    check_equal([m["_interface_id"] for m in messages], [f"eni-{n}" for n in range(300)], "messages printed")
    check_equal("Bad lines: 1" in out, True, out[-2000:])
    check_equal(broker.committed_offsets(group, topic), before, "positions")
    check_equal(broker.group_members(group), ("Empty", 0), "members")


@story()
def story_group_rebalances_while_the_receiver_stalls(env):
    """Given full rings and a receiver that does not read; when a second flowgelf joins the group; then the first
    lets its partitions go after revoke_grace, though nothing was delivered; when the receiver goes on, every flow
    arrives, and the positions never ran ahead."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 60_000
    produce_all(broker, topic, count)
    with small_receiver() as receiver:
        receiver.stall_after(1000, unread=32 << 10)
        with program_for(env, receiver, topic, group, revoke_grace="2s") as first:
            wait_for_shares(first)
            receiver.wait_for_stalled()
            time.sleep(2)  # the rings fill
            with program_for(env, receiver, topic, group, revoke_grace="2s") as second:
                wait_for_shares(second, {0: 1, 1: 1})
                check_equal(broker.has_committed_all(group, topic, PARTITIONS), False, "all committed in the stall")
                receiver.resume()
                wait_for(receiver, count)
                wait_for_commit(broker, group, topic)
                second.terminate()
            first.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=2, workers=4)


@story()
def story_member_stands_still_longer_than_its_session(env):
    """Given two members; when one stands still (SIGSTOP, as a paused machine) for longer than the session, with
    flows on their way, so that the group gives its partitions to the other, and then wakes up; then every flow
    arrives, and its late commits do no harm."""
    broker, topic, group = env.broker(), env.topic(PARTITIONS), env.name("group")
    kafka = {"properties": flows.SHORT_SESSION}
    with small_receiver() as of_first, small_receiver() as of_second:
        both = Together(of_first, of_second)
        producer = Producer(broker, topic, both)
        with program_for(env, of_first, topic, group, kafka=dict(kafka)) as first, \
                program_for(env, of_second, topic, group, kafka=dict(kafka)) as second:
            wait_for_members(broker, group, 4)
            wait_for_more(of_first, 2000)
            wait_for_more(of_second, 2000)
            first.process.send_signal(signal.SIGSTOP)
            wait_for_members(broker, group, 2)
            wait_for_more(of_second, 2000)
            first.process.send_signal(signal.SIGCONT)
            wait_for_members(broker, group, 4)
            wait_for_more(of_first, 2000)
            count = producer.finish()
            wait_for(both, count)
            wait_for_commit(broker, group, topic)
            first.terminate()
            second.terminate()
        flows.check_arrived(both, flows.ids(0, count))
        flows.check_duplicates(both, incidents=3, workers=4)
    check_committed(broker, group, topic)


@story()
def story_two_receivers_and_one_resets(env):
    """Given two outputs; when one receiver stalls, so that the other has everything long before, and flowgelf is killed
    in between, and then that receiver resets; then both have every flow: the slower one decides what is committed."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 6_000
    produce_all(broker, topic, count)
    with small_receiver() as good, small_receiver() as bad:
        outputs = [flows.gelf_tcp(one, **flows.SMALL, confirm_after="300ms") for one in (good, bad)]
        source = flows.kafka(broker, topic, group, properties=flows.SHORT_SESSION)
        settings = flows.config(source, outputs[0], **PATIENT)
        bad.stall_after(1, unread=32 << 10)
        with Flowgelf(settings.replace(json.dumps([outputs[0]]), json.dumps(outputs))) as program:
            wait_for(good, count)
            bad.wait_for_stalled()
            time.sleep(2)  # four times the interval of commits
            check_equal(sum_of_positions(broker, group, topic), 0, "positions")
            program.kill()
            bad.reset()
            bad.stall_after(bad.count + 1, unread=32 << 10)
            bad.resume()
            program.start()
            bad.wait_for_stalled()
            bad.reset()
            bad.resume()
            wait_for(bad, count)
            wait_for_commit(broker, group, topic)
            program.terminate()
        flows.check_arrived(good, flows.ids(0, count))
        flows.check_arrived(bad, flows.ids(0, count))


@story()
def story_broker_is_away(env):
    """Given a broker that is killed: TERM ends flowgelf in good order all the same; a start without a broker waits
    and says so; when the broker is back, what was not committed is read, and every flow arrives."""
    broker, topic, group, count = env.broker(), env.topic(PARTITIONS), env.name("group"), 8_000
    produce_all(broker, topic, count)
    with small_receiver() as receiver:
        receiver.stall_after(1500)
        with program_for(env, receiver, topic, group, shutdown_grace="2s") as program:
            receiver.wait_for_stalled()
            receiver.bytes_a_second = 100_000  # the rest takes half a minute and more
            receiver.resume()
            broker.kill()
            start = time.monotonic()
            program.terminate()
            took = time.monotonic() - start
            check_equal(took < 45 * SLOWNESS, True, f"the end without a broker ({took:.1f} s)")
            program.start()
            program.wait_for_log("look at `brokers`")
            receiver.bytes_a_second = None
            broker.start()
            wait_for(receiver, count)
            wait_for_commit(broker, group, topic)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
    check_committed(broker, group, topic)


@story()
def story_topic_comes_later(env):
    """Given a topic that does not exist yet; then flowgelf says so and waits; when it is made, it is read."""
    broker, topic, group = env.broker(), env.name("topic"), env.name("group")
    with small_receiver() as receiver:
        properties = {"topic.metadata.refresh.interval.ms": 500}
        with program_for(env, receiver, topic, group, kafka={"properties": properties}) as program:
            program.wait_for_log("look at `topics`")
            broker.create_topic(topic)
            broker.produce(topic, flows.lines(0, 50))
            wait_for(receiver, 50)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 50))

# SPDX-License-Identifier: Apache-2.0
"""Kinesis as the source, on the emulators that others wrote and on our own: every flow arrives, in order by shard.

kinesis-local stands for the real one where shards split and merge; kinesalite and moto are asked for a second and a
third opinion of the plain path; what needs an eye on each single call is shown with FakeKinesis.
"""

import json
import random
import time
from pathlib import Path

from harness import aws, check_equal, flows, free_port, kinesis, story, wait_until
from harness.aws import Keys
from harness.emulators import Kinesalite, KinesisLocal, Moto, shared
from harness.fake_kinesis import FakeKinesis

SHARDS = 4
CONFIG_EXIT = 78  # what has to be changed by a person


def emulated(env, kind, shards=SHARDS):
    """(emulator, client, name of a fresh stream on it)"""
    emulator = shared.get(kind)
    client, stream = emulator.client(), env.name("stream")
    client.create_stream(stream, shards)
    return emulator, client, stream


def plain_path(env, kind, count=4000):
    """Reads a stream to its tip, ends, starts again and reads on."""
    emulator, client, stream = emulated(env, kind)
    client.put_records(stream, [(kinesis.control_message(), 0)])
    feed = kinesis.Feed(client, stream, 0, count)
    with kinesis.Receiver() as receiver:
        with kinesis.program_for(kinesis.source(stream, emulator.endpoint), receiver) as program:
            feed.finish()
            kinesis.wait_for(receiver, count)
            program.terminate()
            check_equal((program.counter("records"), program.counter("control_messages"), program.counter("flows"),
                         program.counter("bad")), (count // 20 + 1, 1, count, 0), "records, control, flows, bad")
            again = kinesis.Feed(client, stream, count, count + 400)
            program.start()
            again.finish()
            kinesis.wait_for(receiver, count + 400)
            program.terminate()
            check_equal(program.counter("records"), 20, "records of the second life")
        flows.check_arrived(receiver, flows.ids(0, count + 400))
        check_equal(receiver.duplicates, 0, "duplicates")
        for part in (feed, again):
            kinesis.check_order(receiver, part.orders)
        check_equal(len(feed.orders), SHARDS, "shards that got records")


@story(limit_s=600)  # the first one installs
def story_kinesis_local_to_its_tip_and_on(env):
    """Given a stream of 4 shards with envelopes of real lines and a control message; when it is read to its tip, TERM
    comes, and later a second start; then each flow arrives once, in order by shard, and the second life begins where
    the first ended."""
    plain_path(env, KinesisLocal)


@story(limit_s=600, threaded=False)  # the first one installs
def story_kinesalite_to_its_tip_and_on(env):
    """The same on kinesalite."""
    plain_path(env, Kinesalite)


@story(limit_s=600, threaded=False)  # the first one installs
def story_moto_to_its_tip_and_on(env):
    """The same on moto, with its sequence numbers of one digit and iterators with a newline inside."""
    plain_path(env, Moto, 1000)


def reshard_while_reading(env, kind):
    emulator, client, stream = emulated(env, kind)
    count = 6000
    with kinesis.Receiver() as receiver:
        with kinesis.program_for(kinesis.source(stream, emulator.endpoint), receiver) as program:
            feed = kinesis.Feed(client, stream, 0, count, a_call=5, every_s=0.08)
            wait_until("flows come", lambda: receiver.count > 500)
            client.split(stream, client.open_shards(stream)[1])
            wait_until("flows come after the split", lambda at=feed.written: receiver.count > at)
            shards = client.open_shards(stream)
            client.merge(stream, shards[0], shards[1])  # one of the first ones with one that the split made
            feed.finish()
            kinesis.wait_for(receiver, count)
            program.terminate()
            check_equal((program.counter("flows"), program.counter("bad")), (count, 0), "flows, bad")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")
        kinesis.check_order(receiver, feed.orders)
        check_equal(len(feed.orders), SHARDS + 3, "shards that got records")


@story(limit_s=120)
def story_split_and_merge_while_records_flow(env):
    """Given records that keep coming; when a shard splits, and one of its children merges with a neighbour; then every
    flow arrives once, in order by shard, without a restart."""
    reshard_while_reading(env, KinesisLocal)


@story(limit_s=120, threaded=False)
def story_split_and_merge_without_child_shards(env):
    """The same on kinesalite, which ends a shard without ChildShards: the list of shards says who its children are."""
    reshard_while_reading(env, Kinesalite)


@story(limit_s=180)
def story_kinesis_killed_at_random_moments(env):
    """Given records that keep coming, faster than the receiver reads, and a split in between; when flowgelf is killed
    by SIGKILL five times and started again each time; then every flow arrives, in order by shard, and each time no
    more than the rings hold comes again."""
    emulator, client, stream = emulated(env, KinesisLocal)
    count, kills, dice = 30_000, 5, random.Random(20070717)
    with kinesis.Receiver(receive_buffer=flows.SMALL_BUFFER, bytes_a_second=2_000_000) as receiver:
        feed = kinesis.Feed(client, stream, 0, count, size=40, a_call=10, every_s=0.02)
        source = kinesis.source(stream, emulator.endpoint)
        with kinesis.program_for(source, receiver, confirm_after="2s") as program:
            for number in range(kills):
                if number % 3:  # a life that has come to delivering; else one that perhaps has not begun to read
                    target = receiver.count + dice.randrange(1500, 4000)
                    wait_until("it delivers", lambda wanted=target: receiver.count > wanted)
                time.sleep(dice.uniform(0, 1))
                program.kill()
                if number == 2:
                    client.split(stream, client.open_shards(stream)[2])
                program.start()
            feed.finish()
            receiver.bytes_a_second = None
            kinesis.wait_for(receiver, count)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, kills, workers=2)
        kinesis.check_order(receiver, feed.orders)


# What needs an eye on each call.

@story(limit_s=60)
def story_start_at_latest_is_stored_before_the_first_read(env):
    """Given start: latest and old records; when flowgelf is killed before anything is delivered, because there is no
    receiver, and more records came meanwhile; then its next life sends these, and none of the old."""
    port = free_port()
    late = type("Late", (), {"address": f"127.0.0.1:{port}"})
    with FakeKinesis() as fake:
        stream = fake.create("flows", 2)
        for number in range(2):
            kinesis.fill(stream, number, 5000 + 100 * number, 5100 + 100 * number)
        for shard in stream.shards:  # a while ago: what is as old as the start may come or not
            shard.records = [record._replace(arrival=record.arrival - 60) for record in shard.records]
        stored_before = []

        def look(exchange):
            path = Path(program.state / "flows.json")
            stored_before.append(path.exists() and path.stat().st_size > 0)
            exchange.send()

        program = kinesis.program_for(kinesis.source("flows", fake.endpoint, start="latest"), late)
        fake.fault("GetShardIterator", look, times=None)
        with program:
            wait_until("both shards are read", lambda: all(fake.calls_of("GetRecords", number) for number in (0, 1)))
            kinesis.fill(stream, 0, 0, 100)
            time.sleep(1)
            program.kill()
            check_equal(set(stored_before), {True}, "positions were on disk before the first read")
            kinesis.fill(stream, 1, 100, 200)
            with kinesis.Receiver(port=port) as receiver:
                program.start()
                kinesis.wait_for(receiver, 200)
                program.terminate()
                flows.check_arrived(receiver, flows.ids(0, 200))
                check_equal(receiver.duplicates, 0, "duplicates")
        kinds = {call.detail["ShardIteratorType"] for call in fake.calls_of("GetShardIterator")}
        check_equal(kinds, {"AT_TIMESTAMP"}, "how reading began")


@story(limit_s=60, threaded=False)
def story_start_at_a_time(env):
    """Given a time as start, and records before and behind it; then those behind it arrive, the log says what is
    skipped, and a later start with another time changes nothing, since there is a position."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows")
        moment = int(time.time()) - 3600
        for at in range(0, 200, 20):
            stream.put(0, kinesis.envelope(at, at + 20), arrival=moment - 100 + at)
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
        with kinesis.program_for(kinesis.source("flows", fake.endpoint, start=text), receiver) as program:
            kinesis.wait_for(receiver, flows.ids(100, 200))
            program.terminate()
            check_equal(program.stderr.count("no position is stored"), 1, "said once that there is no position")
            check_equal(text[:-1] in program.stderr, True, "the start is named")
            program.config_path.write_text(program.config_path.read_text().replace(text, "2020-01-01T00:00:00Z"))
            program.start()
            wait_until("it reads", lambda n=len(fake.calls_of("GetRecords")): len(fake.calls_of("GetRecords")) > n + 2)
            program.terminate()
            check_equal("no position is stored" in program.stderr_now, False, "said again")
        flows.check_arrived(receiver, flows.ids(100, 200))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60)
def story_parents_before_children(env):
    """Given two shards that were merged, and the child split, before flowgelf comes, and a list of shards in pages of
    two; then a shard is asked for only when its parents are read to their end, and every flow arrives once."""
    with FakeKinesis(page_size=2) as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 3)
        orders, at = {}, 0
        for number in range(3):
            orders[number] = kinesis.fill(stream, number, at, at + 600)
            at += 600
        merged = stream.merge(0, 1)
        orders[merged] = kinesis.fill(stream, merged, at, at + 600)
        for number in stream.split(merged):
            at += 600
            orders[number] = kinesis.fill(stream, number, at, at + 600)
        count = at + 600
        fake.fault("GetRecords", lambda exchange: (time.sleep(2), exchange.send()), shard=1)
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, count)
            program.terminate()
        check_equal(receiver.duplicates, 0, "duplicates")
        kinesis.check_order(receiver, orders)
        last_read = {number: fake.calls_of("GetRecords", number)[-1].at for number in (0, 1, merged)}
        for child, parents in ((merged, (0, 1)), (merged + 1, (merged,)), (merged + 2, (merged,))):
            first = fake.calls_of("GetRecords", child)[0].at
            check_equal([parent for parent in parents if last_read[parent] > first], [], f"parents behind {child}")


@story(limit_s=60, threaded=False)
def story_ends_of_shards_in_every_form(env):
    """Given streams whose shards end with a null iterator or none, with and without ChildShards, at once or one reply
    behind the last record; when a shard of each splits while it is read; then every flow arrives once."""
    forms = [(children, null, empty) for children in (True, False) for null in (True, False) for empty in (True, False)]
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        sources, streams = [], []
        for at, (children, null, empty) in enumerate(forms):
            stream = fake.create(f"flows-{at}")
            stream.says_children, stream.end_is_null, stream.empty_read_at_end = children, null, empty
            kinesis.fill(stream, 0, 300 * at, 300 * at + 100)
            streams.append(stream)
            sources.append(kinesis.source(stream.name, fake.endpoint))
        with kinesis.program_for(sources, receiver, workers=1) as program:
            wait_until("the parents are read", lambda: receiver.count >= 100 * len(forms))
            for at, stream in enumerate(streams):
                for number, child in enumerate(stream.split(0)):
                    first = 300 * at + 100 * (number + 1)
                    kinesis.fill(stream, child, first, first + 100)
            kinesis.wait_for(receiver, 300 * len(forms))
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 300 * len(forms)))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60, threaded=False)
def story_calls_keep_their_pace(env):
    """Given two shards with more than one reply holds each and max_calls 2; then no shard is asked more often than
    that; at the tip, no more often than poll_interval says."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 2)
        for number in range(2):
            for at in range(8):
                kinesis.fill(stream, number, 800 * number + 100 * at, 800 * number + 100 * (at + 1), 100)
        limit = fake.fault("GetRecords", _one_record_a_reply(fake), times=None)
        source = kinesis.source("flows", fake.endpoint, max_calls=2, poll_interval="1s")
        with kinesis.program_for(source, receiver) as program:
            kinesis.wait_for(receiver, 1600)
            for number in range(2):
                check_equal(fake.most_calls_in(1.9, "GetRecords", number) <= 4, True,
                            f"calls in 1.9 s: {fake.most_calls_in(1.9, 'GetRecords', number)}; at most 4")
            limit.end()
            time.sleep(1)
            before = len(fake.calls_of("GetRecords", 0))
            time.sleep(4)
            polls = len(fake.calls_of("GetRecords", 0)) - before
            check_equal(2 <= polls <= 5, True, f"{polls} polls of a shard in 4 s")
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 1600))


def _one_record_a_reply(fake):
    """Cuts replies down to their first record, as a server with larger records does."""

    def act(exchange):
        with fake.lock:
            stream, shard, index, _ = fake.parse_iterator(exchange.detail["ShardIterator"])
            exchange.body = fake.records_reply(stream, shard, index, min(index + 1, len(shard.records)))
        exchange.send()

    return act


@story(limit_s=60)
def story_two_accounts_and_regions_stay_apart(env):
    """Given one daemon with three inputs: streams of one name in two regions, and one in another account by an assumed
    role with an external id; then each flow arrives, and every call bears the keys and the region of its own input."""
    other = Keys("ASIAOTHERACCOUNT", "theSecretOfTheOtherAccount0123456789abcd", "theTokenOfTheOtherAccount")
    arn = "arn:aws:iam::999999999999:role/flow-reader"
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        fake.allow(other, "999999999999")
        fake.roles[arn] = ("the-id", other, "999999999999")
        places = [("123456789012", "eu-west-1"), ("123456789012", "us-east-1"), ("999999999999", "eu-west-1")]
        sources = []
        for at, (account, region) in enumerate(places):
            stream = fake.create("flows", region=region, account=account)
            kinesis.fill(stream, 0, 500 * at, 500 * (at + 1))
            role = {"assume_role": {"arn": arn, "external_id": "the-id", "session_name": "story"}} if at == 2 else {}
            sources.append(kinesis.source("flows", fake.endpoint, region=region, **role,
                                          checkpoint={"file": f"positions-{at}.json"}))
        environment = {**aws.environment(), "AWS_ENDPOINT_URL_STS": fake.endpoint}
        with kinesis.program_for(sources, receiver, env=environment) as program:
            kinesis.wait_for(receiver, 1500)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 1500))
        check_equal(receiver.duplicates, 0, "duplicates")
        read = {(call.access_id, call.region) for call in fake.calls_of("GetRecords")}
        check_equal(read, {(aws.KEYS.access_id, "eu-west-1"), (aws.KEYS.access_id, "us-east-1"),
                           (other.access_id, "eu-west-1")}, "keys and regions of the calls")
        check_equal({call.code for call in fake.calls_of("GetRecords")}, {""}, "errors")


@story(limit_s=60)
def story_two_inputs_never_share_a_file(env):
    """Given two inputs that would keep their positions in the same file; then flowgelf does not start, and names the
    file."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        for region in ("eu-west-1", "us-east-1"):
            fake.create("flows", region=region)
        sources = [kinesis.source("flows", fake.endpoint, region=region) for region in ("eu-west-1", "us-east-1")]
        with kinesis.program_for(sources, receiver) as program:
            program.wait(30, code=1)
            check_equal("flows.json" in program.stderr, True, f"the file is named: {program.last_words()}")


# Aggregates of the producer library.

@story(limit_s=60)
def story_aggregates_are_taken_apart_and_filtered_by_range(env):
    """Given aggregated records of the producer library in two shards, some of whose user records belong to the other
    shard by partition key or explicit hash key, as after a reshard, and broken ones; then each user record in its
    shard's range arrives once, the others not from here, and what only looks like an aggregate is a plain record."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 2)
        middle = stream.shards[1].first
        low = next(f"k{n}" for n in range(1000) if kinesis.hash_of(f"k{n}") < middle)
        high = next(f"k{n}" for n in range(1000) if kinesis.hash_of(f"k{n}") >= middle)

        def text(number):
            return kinesis.line(number).encode()

        # By partition key: of 0 to 39 the odd ones belong to the second shard; both shards hold all of them.
        mixed = kinesis.aggregate([(text(n), high if n % 2 else low, None) for n in range(40)])
        stream.put(0, mixed)
        stream.put(1, mixed)
        # By explicit hash key, against the partition key; the ends of the range belong to it.
        stream.put(0, kinesis.aggregate([(text(40), high, 0), (text(41), high, middle - 1), (text(9000), low, middle)]))
        stream.put(1, kinesis.aggregate([(text(42), low, middle), (text(43), low, (1 << 128) - 1),
                                         (text(9001), high, middle - 1)]))
        # Envelopes inside.
        stream.put(0, kinesis.aggregate([(kinesis.envelope(44, 64), low, None), (kinesis.envelope(64, 84), low, None)]))
        # No aggregates: the sum is wrong; cut off.
        whole = kinesis.aggregate([(text(9002), low, None)])
        stream.put(0, whole[:-1] + bytes([whole[-1] ^ 1]))
        stream.put(0, whole[:12])
        stream.put(0, text(84))
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, 85)
            wait_until("the tip is read", lambda: len(fake.calls_of("GetRecords", 0)) > 2)
            program.terminate()
            check_equal(program.counter("bad") > 0, True, "the broken ones are counted")
        flows.check_arrived(receiver, flows.ids(0, 85))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=90)
def story_killed_inside_an_aggregate(env):
    """Given one record that holds 60,000 user records, more than a batch and more than the rings take from a slow
    receiver; when flowgelf is killed after a part of it was delivered; then the next life goes on within the
    record: every flow arrives, and fewer come again than there are in it."""
    count = 60_000
    small = {"receive_buffer": flows.SMALL_BUFFER, "bytes_a_second": 6_000_000}
    with FakeKinesis() as fake, kinesis.Receiver(**small) as receiver:
        stream = fake.create("flows")
        stream.put(0, kinesis.aggregate([(kinesis.line(n).encode(), "key", None) for n in range(count)]))
        program = kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver, workers=1)
        with program:
            stored = program.state / "flows.json"
            wait_until("a part is stored", lambda: '"sub"' in _text(stored) and receiver.count > count // 3)
            program.kill()
            program.start()
            receiver.bytes_a_second = None
            kinesis.wait_for(receiver, count)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates < count * 9 // 10, True, f"{receiver.duplicates} of {count} came again")
        kinesis.check_order(receiver, {0: kinesis.names(0, count)})


def _text(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


# What people see.

@story(limit_s=90)
def story_secrets_are_in_no_log(env):
    """Given debug lines, keys that work, keys that are refused, a role that may not be assumed, and a proxy that cuts;
    then neither secret nor token is in the log, in the state or in what `check --online` prints."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        kinesis.fill(fake.create("flows"), 0, 0, 100)
        wrong = Keys(aws.KEYS.access_id, "aSecretThatIsWrong0123456789abcdefghijkl", "aTokenThatIsWrong0123456789")
        secrets = [aws.KEYS.secret, aws.KEYS.token, wrong.secret, wrong.token, "the-external-id"]
        plain = kinesis.source("flows", fake.endpoint)
        role = {"assume_role": {"arn": "arn:aws:iam::1:role/none", "external_id": "the-external-id"}}
        said = ""
        refused = kinesis.source("flows", fake.endpoint, **role)
        for keys, source in ((aws.KEYS, plain), (wrong, plain), (aws.KEYS, refused)):
            environment = {**aws.environment(keys), "AWS_ENDPOINT_URL_STS": fake.endpoint}
            before = len(fake.calls)
            with kinesis.program_for(source, receiver, env=environment, args=["-v"]) as program:
                wait_until("it calls", lambda at=before: len(fake.calls) > at + 1)
                if keys is aws.KEYS and source is plain:
                    kinesis.wait_for(receiver, 100)
                out, err = check_online(program, environment, code=None)
                program.terminate()
                said += program.stderr + out + err
                said += "".join(path.read_text(errors="replace") for path in program.state.rglob("*") if path.is_file())
        check_equal([secret for secret in secrets if secret in said], [], "secrets found in what was said")
        check_equal("UnrecognizedClientException" in said and "AssumeRole" in said, True, "refusals are in it")


def check_online(program, environment, code=0):
    """`flowgelf check --online` beside it, with a state of its own. code None: any."""
    path = program.folder / "check.yaml"
    path.write_text(program.config_path.read_text().replace(str(program.state), str(program.folder / "other-state")))
    (program.folder / "other-state").mkdir(exist_ok=True)
    return kinesis.run_command(environment, "check", "--online", "-c", path, code=code)


@story(limit_s=60, threaded=False)
def story_check_online_names_the_missing_permission(env):
    """Given a policy without one action; then `check --online` says which action, fails, and says who we are; with all
    of them it says that it would run; the positions' place on this host alone is said in both."""
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/flows"
    environment = {}
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        fake.create("flows")
        environment = {**aws.environment(), "AWS_ENDPOINT_URL_STS": fake.endpoint}
        program = kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver, env=environment)
        try:
            for action in ("ListShards", "GetShardIterator", "GetRecords"):
                fake.denied = {action: arn}
                said = "".join(check_online(program, environment, code=CONFIG_EXIT))
                check_equal(f"kinesis:{action}" in said, True, f"the action is named:\n{said}")
            fake.denied = {}
            said = "".join(check_online(program, environment))
            check_equal("123456789012" in said, True, f"the account is named:\n{said}")
            check_equal("host" in said and "second" in said, True, f"positions are on this host alone:\n{said}")
            check_equal((program.folder / "other-state/flows.json").exists(), False, "positions written by a check")
        finally:
            program.close()


@story(limit_s=60, threaded=False)
def story_peek_at_a_stream_takes_nothing_away(env):
    """Given a stream with fresh records; when `flowgelf peek` looks at it; then it prints messages and stores
    nothing."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        kinesis.fill(fake.create("flows"), 0, 0, 100)
        program = kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver)
        try:
            out, _ = kinesis.run_command(aws.environment(), "peek", "-c", program.config_path, "--limit", "60")
            messages = [json.loads(one) for one in out.splitlines() if one.startswith("{")]
            check_equal([m["_interface_id"] for m in messages], kinesis.names(0, 60), "messages printed")
            check_equal(list(program.state.glob("flows*")), [], "files written")
        finally:
            program.close()


@story(limit_s=60, threaded=False)
def story_origin_of_a_message_and_of_a_dead_letter(env):
    """Given a record that cannot be decoded between good ones; then the good ones arrive with stream and shard in them
    where asked for, the bad one is in the dead letter with its sequence number, and the position goes past it."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows")
        kinesis.fill(stream, 0, 0, 100)
        bad = stream.put(0, kinesis.envelope(9000, 9020)[:-200])
        kinesis.fill(stream, 0, 100, 200)
        program = kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver, workers=1,
                                      dead_letter={"path": "dead.jsonl"}, messages={"fields": {"set": "all"}})
        with program:
            kinesis.wait_for(receiver, 200)
            program.terminate()
            dead = [json.loads(one) for one in (program.state / "dead.jsonl").read_text().splitlines()]
            program.start()
            wait_until("it reads on", lambda n=len(fake.calls_of("GetRecords")): len(fake.calls_of("GetRecords")) > n)
            program.terminate()
        check_equal(receiver.duplicates, 0, "duplicates")
        check_equal([(d["input"], d["stream"], d["shard"], str(d["position"]).partition(":")[0]) for d in dead],
                    [("kinesis", "flows", "shardId-000000000000", str(bad))], "origin of the dead letter")
        check_equal({(m.get("_aws_kinesis_stream"), m.get("_kinesis_shard")) for m in receiver.messages},
                    {("flows", "shardId-000000000000")}, "where messages came from")

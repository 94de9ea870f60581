# SPDX-License-Identifier: Apache-2.0
"""A Kinesis that fails in every way that one can fail: nothing is lost, and what a person must know is said.

Most faults do not take long by themselves, but the pauses behind them do; so each shard of one stream has another
fault, and all of them go on side by side.
"""

import re
import time

from harness import StoryFailed, aws, check_equal, flows, kinesis, story, wait_until
from harness import fake_server as reply
from harness.aws import Keys
from harness.fake_kinesis import FakeKinesis

CONFIG_EXIT = 78
THROTTLED = "ProvisionedThroughputExceededException"

# What the service says of one call, and whether a person has to do something about it.
PASSING = ["ExpiredIteratorException", "KMSThrottlingException", "ThrottlingException", THROTTLED,
           "LimitExceededException", "ResourceInUseException", "InvalidArgumentException"]
LASTING = ["KMSDisabledException", "KMSInvalidStateException", "KMSAccessDeniedException", "KMSNotFoundException",
           "KMSOptInRequired", "AccessDeniedException", "ValidationException"]
SERVER = [("InternalFailureException", 500), ("InternalFailure", 500), ("ServiceUnavailable", 503),
          ("RequestTimeoutException", 408)]


def one_shard_each(fake, faults, size=200):
    """A stream with a shard, and `size` flows in it, for each fault; returns (stream, number of flows, orders)."""
    stream = fake.create("flows", len(faults))
    orders = {number: kinesis.fill(stream, number, size * number, size * (number + 1)) for number in range(len(faults))}
    return stream, size * len(faults), orders


def check_all(receiver, count, orders=None):
    flows.check_arrived(receiver, flows.ids(0, count))
    check_equal(receiver.duplicates, 0, "duplicates")
    kinesis.check_order(receiver, orders or {})


def later(stream, shards, first, size=100):
    """More flows into each shard; returns the number behind the last."""
    for number in range(shards):
        kinesis.fill(stream, number, first, first + size)
        first += size
    return first


def passing_errors_of(operation, times):
    acts = [reply.error(code) for code in PASSING] + [reply.error(code, status=status) for code, status in SERVER]
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream, count, orders = one_shard_each(fake, acts)
        faults = [fake.fault(operation, act, shard=number, times=times) for number, act in enumerate(acts)]
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, count)
            count = later(stream, len(acts), count)
            kinesis.wait_for(receiver, count)
            program.terminate()
        check_equal({fault.count for fault in faults}, {times}, "faults seen")
        check_all(receiver, count, orders)


@story(limit_s=90)
def story_every_passing_error_of_get_records(env):
    """Given 11 shards, each with another error that passes by itself on its first two GetRecords; then every flow
    arrives, once, in order by shard."""
    passing_errors_of("GetRecords", 2)


@story(limit_s=90, threaded=False)
def story_every_passing_error_of_get_shard_iterator(env):
    """The same for the first GetShardIterator."""
    passing_errors_of("GetShardIterator", 1)


@story(limit_s=120)
def story_errors_that_a_person_has_to_end(env):
    """Given eight streams, of which seven answer with an error of the key service, of permissions or of the request,
    and go on so; then each is in the log by name with its stream, is asked seldom, and delays the eighth not at all;
    when it is over, each goes on without a restart and every flow arrives once."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        streams = [fake.create(f"flows-{number}") for number in range(len(LASTING) + 1)]
        for number, stream in enumerate(streams):
            kinesis.fill(stream, 0, 100 * number, 100 * (number + 1))
        faults = [fake.fault("GetRecords", reply.error(code), stream=stream.name, times=None)
                  for code, stream in zip(LASTING, streams)]
        sources = [kinesis.source(stream.name, fake.endpoint) for stream in streams]
        with kinesis.program_for(sources, receiver, workers=1) as program:
            kinesis.wait_for(receiver, flows.ids(100 * len(LASTING), 100 * len(streams)))
            for code, stream in zip(LASTING, streams):
                wait_until(f"{code} is said of {stream.name}",
                           lambda pattern=rf"{stream.name}\b.*{code}": re.search(pattern, program.stderr))
            for fault in faults:
                fault.end()
            check_equal([fault.count for fault in faults if fault.count > 3], [], "calls in the first seconds")
            kinesis.wait_for(receiver, 100 * len(streams))
            program.terminate()
        check_all(receiver, 100 * len(streams))


@story(limit_s=90)
def story_every_broken_reply(env):
    """Given shards whose replies are cut off, reset, trickle a few bytes a second, come from a balancer in HTML, are
    empty, no JSON, or lack what a reply has; each three times; then every flow arrives once, and none of them stops the
    others."""
    acts = [reply.truncated(0.5), reply.truncated(0.0), reply.truncated(0.99), reply.reset(0.0), reply.reset(0.5),
            reply.page(500, b""), reply.page(503), reply.page(502), reply.page(504), reply.page(429),
            reply.slow(100, for_s=4),
            reply.altered(lambda body: body[:-1]), reply.altered(lambda body: b""), reply.altered(lambda body: b"null"),
            reply.altered(lambda body: b"<html></html>"), reply.altered(lambda body: b'{"Records":null}'),
            reply.altered(lambda body: body.replace(b"SequenceNumber", b"SequenceNumbre")),
            reply.altered(lambda body: body.replace(b'"Records":[', b'"Records":[{},', 1)),
            reply.altered(lambda body: b"\xff\xfe" + body), reply.altered(lambda body: body + b"x")]
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        _, count, orders = one_shard_each(fake, acts)
        faults = [fake.fault("GetRecords", act, shard=number, times=3) for number, act in enumerate(acts)]
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, count)
            program.terminate()
            check_equal("cannot be read" in program.stderr, True, "said that replies cannot be read")
        check_equal({fault.count for fault in faults}, {3}, "faults seen")
        check_all(receiver, count, orders)


@story(limit_s=90)
def story_throttling_storm(env):
    """Given four shards of which every call is throttled ten times over, and a list of shards that is refused twice;
    then flowgelf keeps its iterators, waits longer each time, and when the storm is over every flow arrives once; the
    statistics say how often it was throttled."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        _, count, orders = one_shard_each(fake, range(4))
        fake.fault("ListShards", reply.error("LimitExceededException"), times=2)
        storms = [fake.fault("GetRecords", reply.error(THROTTLED), shard=number, times=5) for number in range(4)]
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            wait_until("the storm is seen", lambda: all(storm.count >= 3 for storm in storms))
            for storm in storms:
                storm.end()
            kinesis.wait_for(receiver, count)
            program.terminate()
            counts = [int(one) for one in re.findall(r"(\d+) throttled", program.stderr)]
        check_equal(len(fake.calls_of("GetShardIterator")), 4, "iterators asked for")
        for number in range(4):
            calls = fake.calls_of("GetRecords", number)
            gaps = [after.at - before.at for before, after in zip(calls, calls[1:]) if before.code == THROTTLED]
            check_equal(min(gaps) >= 0.9, True, f"the shortest pause of a throttled call, {min(gaps):.2f} s, is 0.9 s")
            check_equal(max(gaps[1:]) > gaps[0] * 0.7, True, f"pauses grow: {gaps}")
        check_equal(sum(counts) >= 12, True, f"throttles that the statistics show: {counts}")
        check_all(receiver, count, orders)


@story(limit_s=90)
def story_replies_of_ten_megabytes(env):
    """Given a service that keeps AWS' limits (after a reply of 10 MB none for 5 s), two shards with records of 1 MiB,
    more than two replies hold, and one record of 10 MiB; then every flow arrives once, in order by shard."""
    with FakeKinesis(keeps_limits=True) as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 2)
        for at in range(44):
            stream.put(at % 2, kinesis.envelope(20 * at, 20 * at + 20, size_bytes=1 << 20))
        stream.put(0, kinesis.envelope(880, 900, size_bytes=10 << 20))
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, 900)
            program.terminate()
            check_equal(program.counter("bad"), 0, "bad")
        orders = {shard: [f"eni-{n}" for at in range(shard, 44, 2) for n in range(20 * at, 20 * at + 20)]
                  for shard in range(2)}
        check_all(receiver, 900, orders)


@story(limit_s=120)
def story_stall_longer_than_an_iterator_lives(env):
    """Given iterators that live for one second; when the receiver stalls for 6 s with full rings while records come;
    then flowgelf asks for new iterators behind the last record, and each flow arrives once."""
    count = 40_000
    with FakeKinesis(iterator_life_s=1) as fake, kinesis.Receiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        stream = fake.create("flows", 2)
        receiver.stall()
        for number in range(2):
            kinesis.fill(stream, number, 20_000 * number, 20_000 * number + 16_000, 100)
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            wait_until("it is read", lambda: fake.calls_of("GetRecords", 0) and fake.calls_of("GetRecords", 1))
            for number in range(2):
                kinesis.fill(stream, number, 20_000 * number + 16_000, 20_000 * (number + 1), 100)
            time.sleep(6)
            receiver.resume()
            kinesis.wait_for(receiver, count)
            program.terminate()
        expired = fake.calls_of("GetRecords", code="ExpiredIteratorException")
        check_equal(len(expired) > 0, True, "iterators expired")
        renewed = [call for call in fake.calls_of("GetShardIterator")
                   if call.detail["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"]
        check_equal(len(renewed) >= len({call.shard for call in expired}), True, "iterators renewed behind a record")
        check_all(receiver, count)


@story(limit_s=90)
def story_position_older_than_the_stream_keeps(env):
    """Given a stored position; when, before the next start, the stream has dropped it and more; then flowgelf says that
    records are lost, and goes on with the oldest there are."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 2)
        kinesis.fill(stream, 0, 0, 100)
        kinesis.fill(stream, 1, 100, 200)
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, 200)
            program.terminate()
            kinesis.fill(stream, 0, 200, 400)
            stream.trim(0, 10)  # 5 read, 5 never to be had
            kinesis.fill(stream, 1, 400, 500)
            program.start()
            program.wait_for_log("are lost")
            kinesis.wait_for(receiver, flows.ids(0, 200) | flows.ids(300, 500))
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 200) | flows.ids(300, 500))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=90)
def story_one_shard_of_ten_hangs(env):
    """Given ten shards of which one never answers; then the other nine are read all the while, TERM ends flowgelf in
    good order although a call hangs, and when the shard answers again nothing is lacking."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream, count, orders = one_shard_each(fake, range(10))
        hanging = fake.fault("GetRecords", reply.hang(), shard=3, times=None)
        others = flows.ids(0, count) - set(orders[3])
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, others)
            more = later(stream, 10, count)
            others |= flows.ids(count, more) - set(kinesis.names(count + 300, count + 400))
            kinesis.wait_for(receiver, others)
            check_equal(hanging.count > 0, True, "it hangs")
            start = time.monotonic()
            program.terminate()
            took = time.monotonic() - start
            check_equal(took < 15, True, f"the end with a call under way ({took:.1f} s)")
            hanging.end()
            program.start()
            kinesis.wait_for(receiver, more)
            program.terminate()
        check_all(receiver, more, orders)


@story(limit_s=90)
def story_keys_expire(env):
    """Given keys of a session, from a container's agent; when they expire and the agent has others; then flowgelf asks
    for these, says it, and each flow arrives once."""
    first = Keys("ASIAFIRST", "secretOfTheFirstSession0123456789abcdefg", "tokenOfTheFirstSession")
    second = Keys("ASIASECOND", "secretOfTheSecondSession0123456789abcdef", "tokenOfTheSecondSession")
    with FakeKinesis(first) as fake, kinesis.Receiver() as receiver:
        fake.container_keys = first
        stream, count, orders = one_shard_each(fake, range(4))
        environment = {**aws.no_environment(), "AWS_CONTAINER_CREDENTIALS_FULL_URI": fake.container_url}
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver, env=environment) as program:
            kinesis.wait_for(receiver, count)
            fake.expired.add(first.access_id)
            program.wait_for_log("ExpiredTokenException")
            fake.allow(second)
            fake.container_keys = second
            count = later(stream, 4, count)
            kinesis.wait_for(receiver, count)
            program.terminate()
            check_equal([one for one in (first, second) if one.secret in program.stderr or one.token in program.stderr],
                        [], "secrets in the log")
        check_all(receiver, count, orders)


@story(limit_s=90)
def story_keys_are_refused_until_they_are_right(env):
    """Given a secret that is wrong; then flowgelf says so and asks seldom; when the service takes it, flowgelf goes on
    without a restart."""
    wrong = aws.KEYS._replace(secret="aSecretThatIsWrong0123456789abcdefghijkl")
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        _, count, orders = one_shard_each(fake, range(4))
        source, environment = kinesis.source("flows", fake.endpoint), aws.environment(wrong)
        with kinesis.program_for(source, receiver, env=environment) as program:
            program.wait_for_log("InvalidSignatureException")
            before = len(fake.calls)
            time.sleep(3)
            asked = len(fake.calls) - before
            check_equal(asked <= 30, True, f"{asked} refused calls in 3 s, of at most 30")
            fake.allow(wrong)
            kinesis.wait_for(receiver, count)
            program.terminate()
        check_all(receiver, count, orders)


def clock_wrong_by(seconds):
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        _, count, orders = one_shard_each(fake, range(4))
        fake.clock_offset_s = seconds
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, count)
            program.terminate()
            check_equal(program.stderr.count("our clock is"), 1, "said once that the clock is wrong")
        refused = [call for call in fake.calls if call.code == "InvalidSignatureException"]
        check_equal(1 <= len(refused) <= 16, True, f"{len(refused)} calls refused before the offset was known")
        check_all(receiver, count, orders)


@story(limit_s=60)
def story_clock_is_behind(env):
    """Given a clock two hours behind the service's; then the offset is learnt from its replies and said once, and each
    flow arrives once."""
    clock_wrong_by(7200)


@story(limit_s=60, threaded=False)
def story_clock_is_ahead(env):
    """The same with a clock two hours ahead."""
    clock_wrong_by(-7200)


@story(limit_s=90)
def story_list_of_shards_fails(env):
    """Given a list of shards in pages, whose token expires in the middle, and which is refused, cut off and nonsense
    before; then it is begun again until it is whole, and every flow arrives once."""
    with FakeKinesis(page_size=3) as fake, kinesis.Receiver() as receiver:
        _, count, orders = one_shard_each(fake, range(10))
        expired = []

        def expire(exchange):
            if exchange.detail.get("NextToken") and not expired:
                expired.append(exchange)
                reply.error("ExpiredNextTokenException")(exchange)
            else:
                exchange.send()

        fake.fault("ListShards", expire, times=20)
        for act in (reply.altered(lambda body: b"{}"), reply.error("ResourceInUseException"), reply.truncated(),
                    reply.error("InternalFailure", status=500)):
            fake.fault("ListShards", act)
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, count)
            program.terminate()
        check_equal(len(expired), 1, "tokens that expired")
        check_all(receiver, count, orders)


@story(limit_s=60)
def story_stream_by_its_arn(env):
    """Given a stream that is named by its ARN, with more shards than a page of the list; then all are read, and the
    positions bear the account, so that two accounts' streams of one name stay apart."""
    with FakeKinesis(page_size=3) as fake, kinesis.Receiver() as receiver:
        stream, count, orders = one_shard_each(fake, range(10))
        source = kinesis.source("flows", fake.endpoint, arn=stream.arn)
        for name in ("stream", "region", "checkpoint"):
            del source["kinesis"][name]
        with kinesis.program_for(source, receiver) as program:
            kinesis.wait_for(receiver, count)
            program.terminate()
            files = [path.name for path in program.state.glob("kinesis-*.json")]
        check_equal(files, [f"kinesis-{stream.account}-{stream.region}-flows.json"], "files of positions")
        check_all(receiver, count, orders)


@story(limit_s=60, threaded=False)
def story_stream_comes_later(env):
    """Given a stream that does not exist yet; then flowgelf says which and waits; when it is made, it is read."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            program.wait_for_log("ResourceNotFoundException")
            kinesis.fill(fake.create("flows"), 0, 0, 100)
            kinesis.wait_for(receiver, 100)
            program.terminate()
        check_all(receiver, 100)


@story(limit_s=90)
def story_shard_is_gone(env):
    """Given a closed shard that is past the retention while it is read; then flowgelf learns from the list that it is
    gone, and reads its children."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 2)
        kinesis.fill(stream, 0, 0, 100)
        kinesis.fill(stream, 1, 100, 200)
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, 200)
            with fake.lock:
                children = stream.split(0)
                gone = stream.shards[0]
                stream.shards = stream.shards[1:]
                for shard in stream.shards:
                    shard.parents = [parent for parent in shard.parents if parent is not gone]
            for at, number in enumerate(children):
                kinesis.fill(stream, number - 1, 200 + 100 * at, 300 + 100 * at)
            kinesis.wait_for(receiver, 400)
            program.terminate()
        check_all(receiver, 400)


@story(limit_s=90)
def story_connections_are_cut_again_and_again(env):
    """Given records that keep coming; when all connections are cut ten times; then each flow arrives once."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream, count, _ = one_shard_each(fake, range(4))
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            for _ in range(10):
                count = later(stream, 4, count, 40)
                before = receiver.count
                wait_until("flows come", lambda at=before: receiver.count > at)
                fake.drop_connections()
            kinesis.wait_for(receiver, count)
            program.terminate()
        check_all(receiver, count)


@story(limit_s=90)
def story_service_is_away(env):
    """Given a service that answers 503 to everything, and then not at all; TERM ends flowgelf in good order all the
    same; and when the service is back, a start reads on."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream, count, _ = one_shard_each(fake, range(4))
        with kinesis.program_for(kinesis.source("flows", fake.endpoint), receiver) as program:
            kinesis.wait_for(receiver, count)
            for act in (reply.page(503), reply.hang()):
                away = [fake.fault(one, act, times=None) for one in ("GetRecords", "GetShardIterator", "ListShards",
                                                                     "DescribeStreamSummary")]
                count = later(stream, 4, count)
                wait_until("it asks", lambda faults=away: sum(fault.count for fault in faults) >= 1)
                start = time.monotonic()
                program.terminate()
                took = time.monotonic() - start
                check_equal(took < 15, True, f"the end without a service ({took:.1f} s)")
                program.start()
                for fault in away:
                    fault.end()
            kinesis.wait_for(receiver, count)
            program.terminate()
        check_all(receiver, count)


@story(limit_s=60, threaded=False)
def story_file_of_positions_that_is_none(env):
    """Given a file of positions that is nonsense, or of another stream; then flowgelf does not start and names the
    file; nothing is read again, nothing is skipped."""
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        for name in ("flows", "others"):
            kinesis.fill(fake.create(name), 0, 0, 20)
        checkpoint = {"file": "positions.json"}
        with kinesis.program_for(kinesis.source("flows", fake.endpoint, checkpoint=checkpoint), receiver) as program:
            kinesis.wait_for(receiver, 20)
            program.terminate()
            path = program.state / "positions.json"
            good = path.read_text()
            for text in ("{", "", good.replace("flows", "others"), "[]"):
                path.write_text(text)
                program.start()
                program.wait(code=CONFIG_EXIT)
                if "positions.json" not in program.stderr_now:
                    raise StoryFailed(f"the file is not named:\n{program.last_words()}")
                check_equal(path.read_text(), text, "the file afterwards")
            path.write_text(good)
            program.start()
            wait_until("it reads", lambda n=len(fake.calls_of("GetRecords")): len(fake.calls_of("GetRecords")) > n)
            program.terminate()
        check_equal(receiver.duplicates, 0, "duplicates")

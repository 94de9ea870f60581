# SPDX-License-Identifier: Apache-2.0
"""What the stories about Kinesis share: envelopes of real lines, configurations, feeding a stream, order by shard.

Flows are numbered as in flows.py, and recognised by `eni-17` in the place of the interface id; the other columns are
those of lines that real flow logs had (tests/data).
"""

import gzip
import hashlib
import json
import select
import subprocess
import threading
import time
from collections import defaultdict

from . import aws, flows
from .base import ROOT, SLOWNESS, StoryFailed, wait_until
from .program import SANITIZER, Flowgelf, program_path, sanitizer_environment
from .receiver import GelfTcpReceiver

DATA = ROOT / "tests/data"
HASH_KEYS = 1 << 128
QUICK = {"poll_interval": "200ms", "max_calls": 5}
KPL_MAGIC = b"\xf3\x89\x9a\xc2"


def _real_lines():
    """Lines of the default format that are sent on with defaults."""
    names = ("flowlogs-reader/v2_records.log", "small/andyakins-sample.dat", "small/slatesuraj-sample_vpc_flow_log.txt")
    rows = [row.split() for name in names for row in (DATA / "vpcflow" / name).read_text().splitlines()]
    return [row for row in rows if len(row) == 14 and row[0] == "2" and row[-1] == "OK"]


_REAL = _real_lines()


def line(number):
    row = list(_REAL[number % len(_REAL)])
    row[2] = f"eni-{number}"
    return " ".join(row)


def envelope(first, last, size_bytes=0):
    """What CloudWatch Logs writes into a stream: one gzip record with the flows first to last-1. size_bytes: a record
    as large as that, by a member that nobody knows."""
    events = [{"id": f"3560{number:052d}", "timestamp": 1000 * flows.START_SECONDS, "message": line(number)}
              for number in range(first, last)]
    members = {"messageType": "DATA_MESSAGE", "owner": "123456789010", "logGroup": "flows", "logStream": "eni-all",
               "subscriptionFilters": ["all"], "logEvents": events}
    if not size_bytes:
        return gzip.compress(json.dumps(members).encode(), 1)
    bare = len(gzip.compress(json.dumps({"padding": "", **members}).encode(), 0))
    size = size_bytes - bare - 64 - (size_bytes >> 12)  # stored blocks have heads
    return gzip.compress(json.dumps({"padding": "x" * size, **members}).encode(), 0)


def control_message():
    """What CloudWatch Logs writes when it looks whether the stream is there."""
    found = json.loads((DATA / "kinesis/streamalert/rules/classifier/cloudwatch/cloudwatch_control_message.json")
                       .read_text())
    return gzip.compress(json.dumps(found[0]["override_record"]).encode())


def names(first, last):
    return [f"eni-{number}" for number in range(first, last)]


# Configurations.

def source(stream, endpoint, **settings):
    """An input that keeps positions in a file, quick enough for stories; settings replace what is here."""
    checkpoint = settings.pop("checkpoint", {"file": f"{stream}.json"})
    return {"kinesis": {"stream": stream, "region": aws.REGION, "endpoint": endpoint, "start": "trim_horizon",
                        "checkpoint": {"interval": "200ms", **checkpoint}, **QUICK, **settings}}


def leases(table, endpoint, owner, failover="3s"):
    """checkpoint: of an input that shares its stream with others."""
    return {"dynamodb": table, "endpoint": endpoint, "owner": owner, "failover": failover}


class Program(Flowgelf):
    """One that is missed when it ends by itself while flows are waited for."""

    living = set()

    def start(self):
        super().start()
        self.living.add(self)

    def kill(self):
        self.living.discard(self)
        super().kill()

    def wait(self, *args, **settings):
        self.living.discard(self)
        return super().wait(*args, **settings)

    def close(self):
        self.living.discard(self)
        super().close()

    @classmethod
    def check_alive(cls):
        for program in cls.living:
            if not program.is_running:
                raise StoryFailed(f"flowgelf ended by itself with {program.process.returncode}:\n"
                                  f"{program.last_words()}")


def program_for(sources, receiver, env=None, args=(), **top):
    """flowgelf with this input or these, sending to the receiver; not started yet."""
    top = {"inputs": sources if isinstance(sources, list) else [sources], "workers": 2, **top}
    output = {**flows.SMALL, "confirm_after": top.pop("confirm_after", "300ms")}
    top["outputs"] = [flows.gelf_tcp(receiver, **output)]
    config = "".join(f"{key}: {json.dumps(value)}\n" for key, value in top.items())
    return Program(config, args=args, env=aws.environment() if env is None else env)


def run_command(environment, *args, code=0):
    """A command of flowgelf with these variables to its end; returns (stdout, stderr). code None: any."""
    done = subprocess.run([str(program_path()), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", timeout=120 * SLOWNESS,
                          env={**sanitizer_environment(), **environment})
    if SANITIZER.search(done.stderr) or (code is not None and done.returncode != code):
        raise StoryFailed(f"flowgelf {args[0]} ended with {done.returncode}, not {code}:\n{done.stdout}\n{done.stderr}")
    return done.stdout, done.stderr


class Receiver(GelfTcpReceiver):
    """Reads an older connection before a younger one, so that the order of arrival says in which order a worker sent,
    also where it went on over a successor."""

    def _read(self, sock):
        for older in list(self._partial):
            if older is sock:
                break
            while older in self._partial and select.select([older], [], [], 0)[0]:
                super()._read(older)
        super()._read(sock)


def wait_for(receiver, wanted, timeout_s=60):
    """Waits until all of these ids (or of flows 0 to wanted-1) have arrived."""
    wanted = flows.ids(0, wanted) if isinstance(wanted, int) else set(wanted)

    def is_all():
        Program.check_alive()
        return receiver.distinct >= len(wanted) and not receiver.missing(wanted)

    try:
        wait_until(f"all of {len(wanted)} flows have arrived", is_all, timeout_s)
    except StoryFailed as failure:
        missing = sorted(receiver.missing(wanted))
        raise StoryFailed(f"{failure}; {len(missing)} are missing: {missing[:5]} ...") from None


def check_order(receiver, orders):
    """orders: {shard: ids as they stand in it}. What arrived first of each id keeps that order."""
    place = {name: at for at, name in enumerate(receiver.ids)}
    for shard, ids in orders.items():
        for before, after in zip(ids, ids[1:]):
            if place[before] > place[after]:
                raise StoryFailed(f"{shard}: {after} arrived before {before}")


# Feeding.

def fill(stream, number, first, last, size=20):
    """Envelopes of `size` flows into a shard of FakeKinesis; returns their ids in order."""
    for at in range(first, last, size):
        stream.put(number, envelope(at, min(at + size, last)))
    return names(first, last)


class Feed(threading.Thread):
    """Writes the flows first to last-1 through the API, envelopes spread evenly over the hash keys. finish() waits for
    the end and raises what went wrong; then `orders` says what stands in which shard, in which order."""

    def __init__(self, client, stream, first, last, size=20, a_call=20, every_s=0.0):
        super().__init__(daemon=True, name="feed")
        self._client, self._stream = client, stream
        self._first, self._last, self._size, self._a_call, self._every_s = first, last, size, a_call, every_s
        self._rows = []
        self._failure = None
        self.start()

    def run(self):
        try:
            starts = range(self._first, self._last, self._size)
            for at in range(0, len(starts), self._a_call):
                self._put([(start, min(start + self._size, self._last)) for start in starts[at:at + self._a_call]])
                time.sleep(self._every_s)
        except Exception as failure:
            self._failure = failure

    def _put(self, spans):
        keys = [span[0] // self._size * 0x9E3779B97F4A7C15F39CC0605CEDC835 % HASH_KEYS for span in spans]
        records = [(envelope(*span), key) for span, key in zip(spans, keys)]
        places = self._client.put_records(self._stream, records)
        self._rows += [(shard, sequence, span) for (shard, sequence), span in zip(places, spans)]

    @property
    def written(self):
        """How many flows are in the stream by now."""
        return sum(last - first for _, _, (first, last) in list(self._rows))

    def finish(self, timeout_s=120):
        self.join(timeout_s)
        if self._failure:
            raise self._failure
        if self.is_alive():
            raise StoryFailed(f"the stream did not take all records in {timeout_s} s")

    @property
    def orders(self):
        found = defaultdict(list)
        for shard, _, span in sorted(self._rows, key=lambda row: row[1]):
            found[shard] += names(*span)
        return found


# Aggregated records of Amazon's producer library. Source: "KPL Aggregated Record Format" in its repository.

def _varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _bytes_field(field, data):
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def aggregate(records):
    """records: [(data, partition key, explicit hash key or None)]; returns the bytes of one Kinesis record."""
    keys = list(dict.fromkeys(key for _, key, _ in records))
    hashes = list(dict.fromkeys(str(number) for _, _, number in records if number is not None))
    fields = [_bytes_field(1, key.encode()) for key in keys] + [_bytes_field(2, text.encode()) for text in hashes]
    for data, key, number in records:
        record = _varint(1 << 3) + _varint(keys.index(key))
        if number is not None:
            record += _varint(2 << 3) + _varint(hashes.index(str(number)))
        fields.append(_bytes_field(3, record + _bytes_field(3, data)))
    message = b"".join(fields)
    return KPL_MAGIC + message + hashlib.md5(message).digest()


def hash_of(key):
    """Where a partition key stands among the hash keys."""
    return int.from_bytes(hashlib.md5(key.encode()).digest(), "big")

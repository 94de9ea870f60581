# SPDX-License-Identifier: Apache-2.0
"""A Kinesis of our own that does what a story asks of it: what no emulator can do, above all fail.

`with FakeKinesis() as fake:` listens on 127.0.0.1. Streams and records are made by the test (fake.create, stream.put).
Every request's signature is computed anew and refused when wrong. fake.fault() spoils replies as a story wants (ways:
fake_server.py), fake.calls says what was asked and answered, when. It also answers AssumeRole and GetCallerIdentity
(STS), and hands out keys as a container's agent does (fake.container_url). Shapes and error texts: the API reference
of Kinesis, version 2013-12-02.
"""

import base64
import bisect
import calendar
import itertools
import json
import re
import socket
import threading
import time
from collections import deque, namedtuple

from . import aws
from .fake_server import Fault, Refused, Server, time_text

ACCOUNT = "123456789012"
HASH_KEYS = 1 << 128
SEQUENCE_BASE = 49590338271490256608559692538361571095921575989136588898
SEQUENCES_A_SHARD = 10**30
REPLY_BYTES_MAX = 10 << 20  # of data in one reply of GetRecords
RECORDS_MAX = 10_000
SKEW_S = 300                # a request's date may be off by this much

Record = namedtuple("Record", "sequence arrival size text")


class Shard:
    """Records in order. `trimmed` of them are older than the retention and gone."""

    def __init__(self, number, first, last, parents=()):
        self.id = f"shardId-{number:012d}"
        self.number, self.first, self.last, self.parents = number, first, last, list(parents)
        self.created_at, self.closed_at = time.time(), None
        self.records, self.trimmed = [], 0
        self.read_calls = deque(maxlen=8)   # moments of reads granted, for the limits
        self.pause_until = 0

    @property
    def first_sequence(self):
        return SEQUENCE_BASE + self.number * SEQUENCES_A_SHARD

    def row(self):
        sequences = {"StartingSequenceNumber": str(self.first_sequence)}
        if self.closed_at:
            sequences["EndingSequenceNumber"] = str(self.first_sequence + SEQUENCES_A_SHARD - 1)
        names = dict(zip(("ParentShardId", "AdjacentParentShardId"), (parent.id for parent in self.parents)))
        return {"ShardId": self.id, **names, "HashKeyRange": self.hash_range(), "SequenceNumberRange": sequences}

    def hash_range(self):
        return {"StartingHashKey": str(self.first), "EndingHashKey": str(self.last)}

    def index_after(self, sequence, or_at=False):
        """Where reading begins behind (or at) a sequence number."""
        low = self.first_sequence
        if not low <= sequence < low + SEQUENCES_A_SHARD:
            raise Refused("InvalidArgumentException", f"sequence number {sequence} is not of {self.id}")
        if self.trimmed and sequence < self.records[self.trimmed - 1].sequence:
            raise Refused("InvalidArgumentException", f"sequence number {sequence} is older than the horizon")
        sequences = [record.sequence for record in self.records]
        found = (bisect.bisect_left if or_at else bisect.bisect_right)(sequences, sequence)
        return max(found, self.trimmed)


class Stream:
    """Shards and what tests do with them; every method may be called while the stream is read."""

    def __init__(self, fake, account, region, name, shards):
        self.fake = fake
        self.account, self.region, self.name = account, region, name
        self.arn = f"arn:aws:kinesis:{region}:{account}:stream/{name}"
        self.status, self.created_at = "ACTIVE", time.time() - 86_400
        self.says_children = True       # ChildShards at a shard's end
        self.end_is_null = True         # NextShardIterator null there; else absent
        self.empty_read_at_end = False  # the end comes one reply after the last record
        self.shards = []
        step = HASH_KEYS // shards
        for number in range(shards):
            last = HASH_KEYS - 1 if number == shards - 1 else (number + 1) * step - 1
            self.shards.append(Shard(number, number * step, last))

    def put(self, number, data, key="key", arrival=None):
        """A record into the shard of that number; returns its sequence number."""
        with self.fake.lock:
            shard = self.shards[number]
            assert not shard.closed_at, f"{shard.id} is closed"
            sequence = shard.first_sequence + 1 + len(shard.records)
            arrival = time.time() if arrival is None else arrival
            text = (b'{"SequenceNumber":"%d","ApproximateArrivalTimestamp":%.3f,"Data":"%s","PartitionKey":%s}'
                    % (sequence, arrival, base64.b64encode(data), json.dumps(key).encode()))
            shard.records.append(Record(sequence, arrival, len(data), text))
            return sequence

    def split(self, number):
        """Closes the shard; returns the numbers of its two children."""
        with self.fake.lock:
            parent = self._close(number)
            middle = (parent.first + parent.last) // 2
            return [self._add(parent.first, middle, [parent]), self._add(middle + 1, parent.last, [parent])]

    def merge(self, number, adjacent):
        """Closes both; returns the number of their child."""
        with self.fake.lock:
            low, high = sorted((self._close(number), self._close(adjacent)), key=lambda shard: shard.first)
            return self._add(low.first, high.last, [low, high])

    def trim(self, number, count):
        """The shard's first `count` records are past the retention."""
        with self.fake.lock:
            self.shards[number].trimmed = count

    def _close(self, number):
        self.shards[number].closed_at = time.time()
        return self.shards[number]

    def _add(self, first, last, parents):
        self.shards.append(Shard(len(self.shards), first, last, parents))
        return len(self.shards) - 1


class FakeKinesis:
    """The server. `lock` guards everything that requests touch."""

    def __init__(self, keys=aws.KEYS, iterator_life_s=300, page_size=1000, keeps_limits=False):
        self.lock = threading.RLock()
        self.iterator_life_s, self.page_size, self.keeps_limits = iterator_life_s, page_size, keeps_limits
        self.clock_offset_s = 0         # the service's clock minus this machine's
        self.known = {keys.access_id: (keys, ACCOUNT)}
        self.expired = set()            # access ids whose session has ended
        self.roles = {}                 # ARN: (external id, Keys, account)
        self.denied = {}                # operation: resource, as AccessDeniedException names it
        self.container_keys = None      # Keys that container_url hands out
        self.container_life_s = 3600
        self.streams, self.calls, self.faults = {}, [], []
        self._numbers = itertools.count(1)
        self._connections = set()
        self.operations = {("kinesis", "ListShards"): self.list_shards,
                           ("kinesis", "DescribeStreamSummary"): self.describe_stream_summary,
                           ("kinesis", "GetShardIterator"): self.get_shard_iterator,
                           ("kinesis", "GetRecords"): self.get_records,
                           ("sts", "AssumeRole"): self.assume_role,
                           ("sts", "GetCallerIdentity"): self.get_caller_identity}
        self._server = Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="kinesis").start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def container_url(self):
        return f"{self.endpoint}/container/keys"

    def close(self):
        for fault in self.faults:
            fault.end()
        self._server.shutdown()
        self._server.server_close()
        self.drop_connections()

    # What stories call.

    def create(self, name, shards=1, region=aws.REGION, account=ACCOUNT):
        stream = Stream(self, account, region, name, shards)
        with self.lock:
            self.streams[account, region, name] = stream
        return stream

    def allow(self, keys, account=ACCOUNT):
        with self.lock:
            self.known[keys.access_id] = (keys, account)

    def fault(self, operation, act, shard=None, times=1, stream=None):
        """shard: a number or an id. The fault made last goes first."""
        if isinstance(shard, int):
            shard = f"shardId-{shard:012d}"
        fault = Fault(operation, act, shard, times, stream)
        with self.lock:
            self.faults.insert(0, fault)
        return fault

    def drop_connections(self):
        with self.lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def calls_of(self, operation, shard=None, code=None, stream=None):
        """The calls so far; code "" for those that were fine, None for all."""
        if isinstance(shard, int):
            shard = f"shardId-{shard:012d}"
        with self.lock:
            return [call for call in self.calls if call.operation == operation
                    and shard in (None, call.shard) and code in (None, call.code) and stream in (None, call.stream)]

    def most_calls_in(self, window_s, operation, shard):
        """The largest number of calls within any window of that length."""
        moments, most, first = [call.at for call in self.calls_of(operation, shard)], 0, 0
        for last, moment in enumerate(moments):
            while moment - moments[first] > window_s:
                first += 1
            most = max(most, last - first + 1)
        return most

    # What the server calls, with the lock held.

    def now(self):
        return time.time() + self.clock_offset_s

    def register(self, connection):
        with self.lock:
            self._connections.add(connection)

    def forget(self, connection):
        with self.lock:
            self._connections.discard(connection)

    def check_signature(self, service, method, target, headers, body):
        """Returns (access id, account, region), or raises Refused as AWS does."""
        claim = aws.parse_authorization(headers)
        if claim is None:
            raise Refused("IncompleteSignature", "Authorization header requires existing Credential", 403)
        if claim.access_id not in self.known:
            raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
        keys, account = self.known[claim.access_id]
        if claim.access_id in self.expired:
            raise Refused("ExpiredTokenException", "The security token included in the request is expired", 403)
        token = dict((name.lower(), value) for name, value in headers).get("x-amz-security-token", "")
        if token != keys.token:
            raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
        region = self._check_scope(claim, service, headers)
        self._check_date(claim)
        if aws.recompute(keys.secret, claim, method, target, headers, body) != claim.signature:
            raise Refused("InvalidSignatureException", "The request signature we calculated does not match the "
                          "signature you provided. Check your AWS Secret Access Key and signing method.", 403)
        return claim.access_id, account, region

    @staticmethod
    def _check_scope(claim, service, headers):
        date, region, found, end = (claim.scope.split("/") + [""] * 4)[:4]
        if (date, found, end) != (claim.amz_date[:8], service, "aws4_request"):
            raise Refused("InvalidSignatureException", f"Credential should be scoped to {service}, not {claim.scope}",
                          403)
        sent = {name.lower() for name, _ in headers}
        needed = {"host", "x-amz-date", "x-amz-target", "x-amz-security-token"} & sent
        if not needed <= set(claim.names):
            raise Refused("InvalidSignatureException", f"not signed: {sorted(needed - set(claim.names))}", 403)
        return region

    def _check_date(self, claim):
        seconds = calendar.timegm(time.strptime(claim.amz_date, "%Y%m%dT%H%M%SZ"))
        if abs(seconds - self.now()) > SKEW_S:
            text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now()))
            late = seconds < self.now()
            raise Refused("InvalidSignatureException", f"Signature expired: {claim.amz_date} is now earlier than {text}"
                          if late else f"Signature not yet current: {claim.amz_date} is still later than {text}", 403)

    def find_fault(self, operation, stream, shard):
        with self.lock:
            return next((fault for fault in self.faults if fault.takes(operation, stream, shard)), None)

    def stream_of(self, place, members):
        """place: (account, region) of the caller."""
        name = members.get("StreamName")
        if members.get("StreamARN"):
            found = re.fullmatch(r"arn:[\w-]+:kinesis:([\w-]+):(\d{12}):stream/(.+)", members["StreamARN"])
            if not found:
                raise Refused("ValidationException", "StreamARN is malformed")
            place, name = (found[2], found[1]), found[3]
        if (*place, name) not in self.streams:
            raise Refused("ResourceNotFoundException", f"Stream {name} under account {place[0]} not found.")
        return self.streams[(*place, name)]

    def shard_of(self, stream, shard_id):
        found = next((shard for shard in stream.shards if shard.id == shard_id), None)
        if not found:
            raise Refused("ResourceNotFoundException", f"Shard {shard_id} in stream {stream.name} under account "
                          f"{stream.account} does not exist")
        return found

    # The operations: of (caller's place, members) they make a reply, as members or as JSON text; STS: as XML.

    def describe_stream_summary(self, place, members):
        stream = self.stream_of(place, members)
        return {"StreamDescriptionSummary": {
            "StreamName": stream.name, "StreamARN": stream.arn, "StreamStatus": stream.status,
            "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": round(stream.created_at, 3), "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE", "OpenShardCount": sum(not shard.closed_at for shard in stream.shards),
            "ConsumerCount": 0, "MaxRecordSizeInKiB": 10240}}

    def list_shards(self, place, members):
        if members.get("NextToken"):
            for other in ("StreamName", "StreamARN"):
                if members.get(other):
                    raise Refused("InvalidArgumentException", f"NextToken and {other} cannot be provided together.")
            account, region, name, ids = json.loads(base64.b64decode(members["NextToken"]))
            stream = self.stream_of((account, region), {"StreamName": name})
            shards = [self.shard_of(stream, one) for one in ids]
        else:
            stream = self.stream_of(place, members)
            shards = self._filter(stream, members)
        size = min(self.page_size, members.get("MaxResults", 1000))
        reply = {"Shards": [shard.row() for shard in shards[:size]]}
        if shards[size:]:
            token = [stream.account, stream.region, stream.name, [shard.id for shard in shards[size:]]]
            reply["NextToken"] = base64.b64encode(json.dumps(token).encode()).decode()
        return reply

    @staticmethod
    def _filter(stream, members):
        wanted = members.get("ShardFilter") or {}
        moment = wanted.get("Timestamp", 0)
        after = wanted.get("ShardId") or members.get("ExclusiveStartShardId") or ""
        rules = {
            "AT_LATEST": lambda shard: not shard.closed_at,
            "AT_TRIM_HORIZON": lambda shard: not shard.parents,
            "AT_TIMESTAMP": lambda shard: (shard.created_at <= moment or not shard.parents)
            and (not shard.closed_at or shard.closed_at > moment),
            "FROM_TIMESTAMP": lambda shard: not shard.closed_at or shard.closed_at > moment,
        }
        rule = rules.get(wanted.get("Type"), lambda shard: shard.id > after)
        return [shard for shard in stream.shards if rule(shard)]

    def get_shard_iterator(self, place, members):
        stream = self.stream_of(place, members)
        shard = self.shard_of(stream, members["ShardId"])
        kind = members["ShardIteratorType"]
        if kind in ("AFTER_SEQUENCE_NUMBER", "AT_SEQUENCE_NUMBER"):
            index = shard.index_after(int(members["StartingSequenceNumber"]), kind.startswith("AT"))
        elif kind == "AT_TIMESTAMP":
            index = next((at for at, record in enumerate(shard.records) if record.arrival >= members["Timestamp"]),
                         len(shard.records))
        else:
            index = {"TRIM_HORIZON": 0, "LATEST": len(shard.records)}[kind]
        return {"ShardIterator": self._iterator(stream, shard, max(index, shard.trimmed))}

    def _iterator(self, stream, shard, index):
        parts = [stream.account, stream.region, stream.name, shard.id, index, self.now(), next(self._numbers), "?>" * 8]
        return base64.b64encode(json.dumps(parts).encode()).decode()

    def parse_iterator(self, text):
        """(stream, shard, index, moment made)"""
        try:
            account, region, name, shard_id, index, made, _, _ = json.loads(base64.b64decode(text, validate=True))
        except (ValueError, TypeError):
            raise Refused("InvalidArgumentException", "Invalid ShardIterator.") from None
        stream = self.stream_of((account, region), {"StreamName": name})
        return stream, self.shard_of(stream, shard_id), index, made

    def get_records(self, place, members):
        stream, shard, index, made = self.parse_iterator(members["ShardIterator"])
        if (stream.account, stream.region) != place:
            raise Refused("AccessDeniedException", "the iterator is of another account or region")
        if self.now() - made > self.iterator_life_s:
            raise Refused("ExpiredIteratorException", "Iterator expired: it is older than the tolerated delay.")
        self._check_limits(shard)
        index = max(index, shard.trimmed)
        last = self._last_of_reply(shard, index, min(RECORDS_MAX, members.get("Limit", RECORDS_MAX)))
        if self.keeps_limits and sum(record.size for record in shard.records[index:last]) >= 9 << 20:
            shard.pause_until = time.monotonic() + 5
        return self.records_reply(stream, shard, index, last)

    def _check_limits(self, shard):
        now = time.monotonic()
        recent = [moment for moment in shard.read_calls if now - moment < 1]
        if self.keeps_limits and (len(recent) >= 5 or now < shard.pause_until):
            raise Refused("ProvisionedThroughputExceededException", f"Rate exceeded for shard {shard.id}")
        shard.read_calls.append(now)

    @staticmethod
    def _last_of_reply(shard, index, count):
        size, last = 0, index
        for record in shard.records[index:index + count]:
            size += record.size
            if last > index and size > REPLY_BYTES_MAX:
                break
            last += 1
        return last

    def records_reply(self, stream, shard, index, last):
        """A reply of GetRecords with the records index to last-1."""
        at_end = bool(shard.closed_at) and last == len(shard.records) and not (
            stream.empty_read_at_end and last > index)
        behind = max(0, self.now() - shard.records[last].arrival) if last < len(shard.records) else 0
        tail = {"MillisBehindLatest": int(1000 * behind)}
        if not at_end:
            tail["NextShardIterator"] = self._iterator(stream, shard, last)
        elif stream.end_is_null:
            tail["NextShardIterator"] = None
        if at_end and stream.says_children:
            tail["ChildShards"] = [
                {"ShardId": child.id, "ParentShards": [parent.id for parent in child.parents],
                 "HashKeyRange": child.hash_range()} for child in stream.shards if shard in child.parents]
        records = b",".join(record.text for record in shard.records[index:last])
        return b'{"Records":[%s],%s' % (records, json.dumps(tail).encode()[1:])

    # STS.

    def assume_role(self, _, members):
        external_id, keys, _ = self.roles.get(members["RoleArn"], (None, None, None))
        if keys is None or external_id != members.get("ExternalId"):
            text = f"not authorized to perform: sts:AssumeRole on resource: {members['RoleArn']}"
            raise Refused("AccessDenied", text, 403)
        return (f"<Credentials><AccessKeyId>{keys.access_id}</AccessKeyId><SecretAccessKey>{keys.secret}"
                f"</SecretAccessKey><SessionToken>{keys.token}</SessionToken>"
                f"<Expiration>{time_text(time.time() + 3600)}</Expiration></Credentials>"
                f"<AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>{members['RoleArn']}/x</Arn>"
                "</AssumedRoleUser>")

    def get_caller_identity(self, place, _):
        return (f"<Arn>arn:aws:iam::{place[0]}:user/flowgelf</Arn><UserId>AIDAEXAMPLE</UserId>"
                f"<Account>{place[0]}</Account>")

# SPDX-License-Identifier: Apache-2.0
"""A small client for AWS' JSON APIs, and Signature Version 4 as the specification has it, for both ends of a wire.

authorize() signs a request; recompute() says what the signature of a received request has to be, from nothing but
that request and the secret. Source: "Create a signed AWS API request" of AWS' IAM user guide.
"""

import base64
import hashlib
import hmac
import http.client
import json
import re
import time
from collections import namedtuple
from urllib.parse import quote, unquote, urlsplit

from .base import StoryFailed, wait_until

ALGORITHM = "AWS4-HMAC-SHA256"
REGION = "eu-west-1"
PUT_RECORDS_MAX = 500
PUT_BYTES_MAX = 4 << 20

Keys = namedtuple("Keys", "access_id secret token", defaults=("",))

# Of nobody. The id has twelve digits because kinesis-local takes the account from them.
KEYS = Keys("123456789010", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjEXAMPLESESSIONTOKEN0123456789")


class AwsError(Exception):
    """The service answered, and refused."""

    def __init__(self, operation, status, code, text):
        super().__init__(f"{operation}: {code or 'no code'} (HTTP {status}): {text}")
        self.status, self.code = status, code


def environment(keys=KEYS):
    """The variables that give keys to a program; anything else that could give them is switched off."""
    return {"AWS_ACCESS_KEY_ID": keys.access_id, "AWS_SECRET_ACCESS_KEY": keys.secret,
            "AWS_SESSION_TOKEN": keys.token, **no_environment()}


def no_environment():
    """No file of this machine's user and no metadata service is looked at."""
    return {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


# Signature Version 4.

def _encode(text):
    return quote(text, safe="-_.~")


def _canonical_query(query):
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    return "&".join(f"{name}={value}" for name, value in
                    sorted((_encode(unquote(name)), _encode(unquote(value))) for name, value in pairs))


def canonical_request(method, target, headers, names, body):
    """headers: [(name, value)] as sent; names: lower-case names of those that are signed."""
    path, _, query = target.partition("?")
    lines = []
    for name in sorted(names):
        values = [re.sub(" +", " ", value.strip()) for key, value in headers if key.lower() == name]
        lines.append(f"{name}:{','.join(values)}\n")
    return "\n".join([method, quote(path or "/", safe="/-_.~"), _canonical_query(query), "".join(lines),
                      ";".join(sorted(names)), hashlib.sha256(body).hexdigest()])


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _signature(secret, amz_date, scope, canonical):
    """scope: "20260131/eu-west-1/kinesis/aws4_request"."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    text = "\n".join([ALGORITHM, amz_date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return _hmac(key, text).hex()


def authorize(keys, region, service, method, target, headers, body, now=None):
    """The headers with those added that sign the request."""
    amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = [*headers, ("X-Amz-Date", amz_date)]
    if keys.token:
        headers.append(("X-Amz-Security-Token", keys.token))
    names = sorted({name.lower() for name, _ in headers})
    scope = f"{amz_date[:8]}/{region}/{service}/aws4_request"
    signature = _signature(keys.secret, amz_date, scope, canonical_request(method, target, headers, names, body))
    return [*headers, ("Authorization", f"{ALGORITHM} Credential={keys.access_id}/{scope}, "
                                        f"SignedHeaders={';'.join(names)}, Signature={signature}")]


Claim = namedtuple("Claim", "access_id scope names signature amz_date")


def parse_authorization(headers):
    """What a received request says of its signature, or None when it does not say it in full. headers: [(name,
    value)]."""
    values = {name.lower(): value for name, value in headers}
    found = re.fullmatch(ALGORITHM + r"\s+Credential=([^/,\s]+)/([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*"
                         r"Signature=([0-9a-f]{64})", values.get("authorization", ""))
    if not found or not re.fullmatch(r"\d{8}T\d{6}Z", values.get("x-amz-date", "")):
        return None
    return Claim(found[1], found[2], found[3].split(";"), found[4], values["x-amz-date"])


def recompute(secret, claim, method, target, headers, body):
    """The signature that the received request has to carry."""
    canonical = canonical_request(method, target, headers, claim.names, body)
    return _signature(secret, claim.amz_date, claim.scope, canonical)


# Clients.

class Client:
    """Signed calls of one API; a connection each, so that an emulator's restart needs no mending here."""

    service = version = protocol = ""

    def __init__(self, endpoint, region=REGION, keys=KEYS, timeout_s=30):
        self.region, self.keys = region, keys
        self._address, self._timeout_s = urlsplit(endpoint), timeout_s

    def call(self, operation, **members):
        body = json.dumps(members).encode()
        headers = [("Host", self._address.netloc), ("Content-Type", f"application/x-amz-json-{self.protocol}"),
                   ("X-Amz-Target", f"{self.version}.{operation}")]
        headers = authorize(self.keys, self.region, self.service, "POST", "/", headers, body)
        connection = http.client.HTTPConnection(self._address.hostname, self._address.port, timeout=self._timeout_s)
        try:
            connection.request("POST", "/", body, dict(headers))
            reply = connection.getresponse()
            text = reply.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{operation}: {error!r}") from None
        finally:
            connection.close()
        return self._read(operation, reply.status, text)

    @staticmethod
    def _read(operation, status, text):
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            found = {"message": text[:200].decode(errors="replace")}
        if status == 200:
            return found
        code = (found.get("__type") or "").split("#")[-1].split(":")[0]
        raise AwsError(operation, status, code, found.get("message") or found.get("Message"))


class Kinesis(Client):
    service, version, protocol = "kinesis", "Kinesis_20131202", "1.1"

    def ping(self):
        self.call("ListStreams")

    def create_stream(self, stream, shards):
        self.call("CreateStream", StreamName=stream, ShardCount=shards)
        self.wait_active(stream)

    def describe(self, stream):
        return self.call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]

    def wait_active(self, stream):
        wait_until(f"stream {stream} is ACTIVE", lambda: self.describe(stream)["StreamStatus"] == "ACTIVE")

    def list_shards(self, stream):
        """All shards, closed ones too, as the API names their members."""
        page = self.call("ListShards", StreamName=stream)
        shards = page["Shards"]
        while page.get("NextToken"):
            page = self.call("ListShards", NextToken=page["NextToken"])
            shards += page["Shards"]
        return shards

    def open_shards(self, stream):
        """Those nobody descends from, by their first hash key."""
        shards = self.list_shards(stream)
        parents = {shard.get(key) for shard in shards for key in ("ParentShardId", "AdjacentParentShardId")}
        return sorted((shard for shard in shards if shard["ShardId"] not in parents),
                      key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self, stream, shard):
        """shard: an item of list_shards. Cut in the middle."""
        ends = shard["HashKeyRange"]
        middle = (int(ends["StartingHashKey"]) + int(ends["EndingHashKey"]) + 1) // 2
        self.call("SplitShard", StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
        self.wait_active(stream)

    def merge(self, stream, shard, adjacent):
        self.call("MergeShards", StreamName=stream, ShardToMerge=shard["ShardId"],
                  AdjacentShardToMerge=adjacent["ShardId"])
        self.wait_active(stream)

    def put_records(self, stream, records):
        """records: [(data, hash key)]; returns [(shard id, sequence number)] in their order. Records that the
        service throttles are sent again, so their sequence may differ from the order here."""
        results, left = [None] * len(records), list(range(len(records)))
        for _ in range(100):
            if not left:
                return results
            chosen = self._some(records, left)
            reply = self.call("PutRecords", StreamName=stream, Records=[
                {"Data": base64.b64encode(records[at][0]).decode(), "PartitionKey": f"key-{at}",
                 "ExplicitHashKey": str(records[at][1])} for at in chosen])
            for at, row in zip(chosen, reply["Records"]):
                if not row.get("ErrorCode"):
                    results[at] = (row["ShardId"], int(row["SequenceNumber"]))
            left = [at for at in left if results[at] is None]
        raise StoryFailed(f"{stream} took {len(records) - len(left)} of {len(records)} records")

    @staticmethod
    def _some(records, left):
        chosen, size = [], 0
        for at in left[:PUT_RECORDS_MAX]:
            size += len(records[at][0])
            if chosen and size > PUT_BYTES_MAX:
                break
            chosen.append(at)
        return chosen


class DynamoDb(Client):
    service, version, protocol = "dynamodb", "DynamoDB_20120810", "1.0"

    def ping(self):
        self.call("ListTables")

    def create_table(self, table, key="leaseKey"):
        self.call("CreateTable", TableName=table, BillingMode="PAY_PER_REQUEST",
                  AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                  KeySchema=[{"AttributeName": key, "KeyType": "HASH"}])
        wait_until(f"table {table} is ACTIVE", lambda: self.describe(table)["TableStatus"] == "ACTIVE")

    def describe(self, table):
        return self.call("DescribeTable", TableName=table)["Table"]

    def scan(self, table):
        """{lease key: item}, typed as on the wire; empty when there is no such table."""
        items, start = [], {}
        while True:
            try:
                page = self.call("Scan", TableName=table, ConsistentRead=True, **start)
            except AwsError as error:
                if error.code == "ResourceNotFoundException":
                    return {}
                raise
            items += page["Items"]
            if not page.get("LastEvaluatedKey"):
                return {item["leaseKey"]["S"]: item for item in items}
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def get(self, table, key):
        return self.call("GetItem", TableName=table, Key={"leaseKey": {"S": key}}, ConsistentRead=True).get("Item")

    def put(self, table, item):
        self.call("PutItem", TableName=table, Item=item)

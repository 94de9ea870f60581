# SPDX-License-Identifier: Apache-2.0
"""The few requests of the Kafka protocol that the stories need and kcat does not offer.

Each in an old version with plain fields (the guide: https://kafka.apache.org/protocol); one connection a
request, so that nothing here needs mending after a broker's restart.
"""

import socket
import struct
import zlib

PRODUCE, LIST_OFFSETS, OFFSET_FETCH, FIND_COORDINATOR, DESCRIBE_GROUPS, CREATE_TOPICS, DELETE_TOPICS = (
    0, 2, 9, 10, 15, 19, 20)


class KafkaError(Exception):
    """The broker answered with an error code."""


def _string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def _array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        values = struct.unpack_from(">" + fmt, self.data, self.at)
        self.at += struct.calcsize(">" + fmt)
        return values[0] if len(values) == 1 else values

    def text(self):
        size = self.take("h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def array(self, read):
        return [read() for _ in range(max(0, self.take("i")))]


def _receive(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return data


def _call(address, api, version, body, timeout_s=60):
    head = struct.pack(">hhi", api, version, 1) + _string("stories")
    with socket.create_connection(address, timeout_s) as sock:
        sock.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        size = struct.unpack(">i", _receive(sock, 4))[0]
        reply = _Reader(_receive(sock, size))
    reply.take("i")  # the correlation id
    return reply


def _check(code, what):
    if code != 0:
        raise KafkaError(f"{what}: broker says error {code}")


def is_ready(address):
    """Whether a broker behind the address serves consumer groups (which makes it create their topic)."""
    try:
        found = _call(address, FIND_COORDINATOR, 0, _string("ready"), 20).take("h") == 0
        asked = _string("ready") + _array([])
        return found and _call(address, OFFSET_FETCH, 2, asked, 20).take("ih")[1] == 0
    except (OSError, struct.error):
        return False


def create_topic(address, topic, partitions, configs=None):
    settings = [_string(key) + _string(str(value)) for key, value in (configs or {}).items()]
    wanted = _string(topic) + struct.pack(">ih", partitions, 1) + _array([]) + _array(settings)
    reply = _call(address, CREATE_TOPICS, 0, _array([wanted]) + struct.pack(">i", 15000))
    for name, code in reply.array(lambda: (reply.text(), reply.take("h"))):
        _check(code, f"creating {name}")


def delete_topic(address, topic):
    reply = _call(address, DELETE_TOPICS, 0, _array([_string(topic)]) + struct.pack(">i", 15000))
    for name, code in reply.array(lambda: (reply.text(), reply.take("h"))):
        _check(code, f"deleting {name}")


def _message(value, timestamp_ms):
    """In the format of version 1, which brokers up to 3.x still take."""
    body = struct.pack(">bbqii", 1, 0, timestamp_ms, -1, len(value)) + value
    return struct.pack(">qiI", 0, len(body) + 4, zlib.crc32(body)) + body


def produce(address, topic, partition, timestamp_ms, values):
    messages = b"".join(_message(value, timestamp_ms) for value in values)
    where = struct.pack(">ii", partition, len(messages)) + messages
    reply = _call(address, PRODUCE, 2, struct.pack(">hi", -1, 15000) + _array([_string(topic) + _array([where])]))
    for _, parts in reply.array(lambda: (reply.text(), reply.array(lambda: reply.take("ihqq")))):
        for _, code, _, _ in parts:
            _check(code, f"producing to {topic}/{partition}")


def end_offsets(address, topic, partitions):
    """The offset behind the last message, per partition."""
    asked = [struct.pack(">iq", partition, -1) for partition in range(partitions)]
    reply = _call(address, LIST_OFFSETS, 1,
                  struct.pack(">i", -1) + _array([_string(topic) + _array(asked)]))
    found = {}

    def read_partition():
        partition, code, _, offset = reply.take("ihqq")
        _check(code, f"end of {topic}/{partition}")
        found[partition] = offset

    reply.array(lambda: (reply.text(), reply.array(read_partition)))
    return found


def committed_offsets(address, group, topic, partitions):
    """What the group has committed, per partition; -1 where nothing."""
    asked = [struct.pack(">i", partition) for partition in range(partitions)]
    reply = _call(address, OFFSET_FETCH, 1,
                  _string(group) + _array([_string(topic) + _array(asked)]))
    found = {}

    def read_partition():
        partition, offset = reply.take("iq")
        reply.text()  # metadata
        _check(reply.take("h"), f"offsets of {group}")
        found[partition] = offset

    reply.array(lambda: (reply.text(), reply.array(read_partition)))
    return found


def group_members(address, group):
    """(state, number of members) of a consumer group."""
    reply = _call(address, DESCRIBE_GROUPS, 0, _array([_string(group)]))
    reply.take("i")
    _check(reply.take("h"), f"describing {group}")
    reply.text()
    state = reply.text()
    reply.text(), reply.text()
    return state, reply.take("i")

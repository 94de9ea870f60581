# SPDX-License-Identifier: Apache-2.0
"""Flow logs in which every line has an interface id of its own, configurations as text, and the check of what came.

Stories number their flows: flow 17 of a story is the line with interface `eni-17`, and its message is recognised
by that wherever it arrives.
"""

import gzip
import json

from .base import StoryFailed

MIB = 1 << 20
RING_MIB = 8                # beside peer_buffer, per worker and output
START_SECONDS = 1767225600  # of flow 0

# Receivers with a small buffer of the kernel's, and the peer_buffer that is safe for them: the kernel doubles
# SO_RCVBUF and may overshoot by one segment, so no more than about 200 KiB lie unread. With it a ring is 9 MiB.
SMALL_BUFFER = 64 << 10
SMALL = {"peer_buffer": "1MiB"}


def line(number):
    """A line of the default format, version 2."""
    start = START_SECONDS + number // 100
    return (f"2 123456789010 eni-{number} 172.31.{number // 250 % 250}.{number % 250 + 1} 203.0.113.{number % 200 + 1} "
            f"{1024 + number % 60000} 443 6 {number % 90 + 1} {number % 9000 + 40} {start} {start + 60} ACCEPT OK")


def lines(first, last):
    return [line(number) for number in range(first, last)]


def text(first, last):
    """The lines as a file holds them."""
    return "".join(f"{one}\n" for one in lines(first, last))


def ids(first, last):
    return {f"eni-{number}" for number in range(first, last)}


def envelope(first, last):
    """The flows as CloudWatch Logs hands them on: one gzip record."""
    events = [{"id": str(number), "timestamp": 1000 * START_SECONDS, "message": line(number)}
              for number in range(first, last)]
    return gzip.compress(json.dumps({
        "messageType": "DATA_MESSAGE", "owner": "123456789010", "logGroup": "flows", "logStream": "all",
        "subscriptionFilters": ["all"], "logEvents": events}).encode(), 1)


def gelf_tcp(receiver, **settings):
    return {"gelf_tcp": {"hosts": [receiver.address], **settings}}


# A group that forgets a member soon after it was killed, for stories that kill; and else one that keeps a member which
# a loaded machine leaves without a turn for seconds.
SHORT_SESSION = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}
LONG_SESSION = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 1000}


def kafka(broker, topic, group, address=None, **settings):
    own = {**LONG_SESSION, "reconnect.backoff.max.ms": 1000, **settings.pop("properties", {})}
    return {"kafka": {"brokers": [address or broker.address], "topics": [topic], "group": group,
                      "commit_interval": "500ms",
                      "properties": {key: str(value) for key, value in own.items()}, **settings}}


def files(*paths, **settings):
    return {"file": {"paths": [str(path) for path in paths], **settings}}


def config(source, output, **top):
    """YAML of one input and one output; what is behind them goes to the top level."""
    keys = {"inputs": [source], "outputs": [output], **top}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())


def check_arrived(receiver, wanted):
    """Each flow produced has arrived, and none that nobody produced."""
    missing, extra = receiver.missing(wanted), set(receiver.ids) - set(wanted)
    if missing or extra:
        raise StoryFailed(f"{len(missing)} of {len(wanted)} flows did not arrive: {sorted(missing)[:5]} ...; "
                          f"{len(extra)} came that nobody sent: {sorted(extra)[:5]} ...")


def check_duplicates(receiver, incidents, workers=1, peer_buffer_mib=1):
    """An incident (a lost connection, a killed process) repeats no more than all rings hold."""
    mean = receiver.size_bytes / max(1, receiver.count)
    found = receiver.duplicates * mean
    bound = incidents * workers * (peer_buffer_mib + RING_MIB) * MIB
    if found > bound:
        raise StoryFailed(f"{receiver.duplicates} duplicates, about {found / MIB:.1f} MiB, of {incidents} incidents; "
                          f"documented are {bound / MIB:.1f} MiB at most")

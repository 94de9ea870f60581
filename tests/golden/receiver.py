# SPDX-License-Identifier: Apache-2.0
"""What Graylog's GELF input and Logstash's both take, as a judge of single messages.

Written from their behaviour, not from ours: whatever one of them would drop, change, store under
another type or refuse is a complaint.
"""

import json
import re

KEY = re.compile(r"_[A-Za-z0-9_]+\Z")
TOP_LEVEL = {"version", "host", "short_message", "full_message", "timestamp", "level"}
# After the underscore is stripped these mean something else to Graylog, or are kept for itself.
RESERVED = {"id", "source", "message", "timestamp", "level", "full_message", "host", "version",
            "index", "type", "score", "ttl", "all", "facility", "short_message"}
STRING_BYTES = 32766      # a longer keyword makes Elasticsearch refuse the whole document
FRAME_BYTES = 2 << 20     # Graylog's limit for a frame over TCP
WHITE = " \t\r\n\v\f\0"


class Number(str):
    """A JSON number as it is written."""


def parse(raw):
    """The message as a list of (key, value) pairs; raises ValueError."""
    text = raw.decode("utf-8")
    pairs = json.loads(text, object_pairs_hook=lambda found: found, parse_int=Number,
                       parse_float=Number, parse_constant=lambda word: 1 / 0)
    if not isinstance(pairs, list) or not text.startswith("{"):
        raise ValueError("no JSON object")
    return pairs


class Judge:
    """Looks at messages one by one; remembers the type of each field over all of them."""

    def __init__(self):
        self.types = {}

    def complaints(self, raw, booleans=False, lists=False):
        """What a receiver would not take of one message (bytes, without its end)."""
        found = []
        if any(byte < 0x20 for byte in raw):
            found.append("a control character as it is")
        if len(raw) >= FRAME_BYTES:
            found.append("longer than a frame may be")
        try:
            pairs = parse(raw)
        except (ValueError, ZeroDivisionError) as error:
            return found + [f"not JSON: {error}"]
        keys = [key for key, _ in pairs]
        if len(keys) != len(set(keys)):
            found.append("a key twice")
        found += self._envelope(dict(pairs))
        for key, value in pairs:
            if key not in TOP_LEVEL:
                found += [f"{key}: {what}" for what in self._field(key, value, booleans, lists)]
        return found

    @staticmethod
    def _envelope(message):
        if message.get("version") != "1.1" or isinstance(message.get("version"), Number):
            yield "version is not the string 1.1"
        for key in ("host", "short_message"):
            value = message.get(key)
            if not isinstance(value, str) or isinstance(value, Number) or not value.strip(WHITE):
                yield f"{key} is not a string with something in it"
        stamp = message.get("timestamp")
        if not isinstance(stamp, Number) or not re.fullmatch(r"[0-9]+\.[0-9]{3}", stamp):
            yield "timestamp is not a number of seconds with three decimals"
        elif not 0 < float(stamp) < 1e11:
            yield "timestamp is not in seconds"
        level = message.get("level")
        if level is not None and not (isinstance(level, Number) and re.fullmatch("[0-7]", level)):
            yield "level is not a number from 0 to 7"
        full = message.get("full_message", "x")
        if not isinstance(full, str) or isinstance(full, Number) or not full:
            yield "full_message is not a string with something in it"

    def _field(self, key, value, booleans, lists):
        if not KEY.match(key):
            yield "not a clean key"
        if key[1:] in RESERVED or key.startswith(("__", "_gl2_")):
            yield "a key that receivers keep for themselves"
        if isinstance(value, bool):
            kind = "truth"
            if not booleans:
                yield "a JSON boolean"
        elif isinstance(value, Number):
            kind = "number"
            if not re.fullmatch(r"-?(0|[1-9][0-9]*)", value):
                yield f"not an integer: {value}"
            elif not -(1 << 63) <= int(value) < 1 << 63:
                yield "beyond 64 bits"
        elif isinstance(value, str):
            kind = "string"
            yield from self._string(value)
        elif isinstance(value, list) and lists and all(type(item) is str for item in value):
            kind = "list"
            if not value:
                yield "an empty list"
            for item in value:
                yield from self._string(item)
        else:
            yield f"neither a string nor a number: {value!r}"
            return
        # Native truth values and lists go to other receivers than the usual ones.
        known = self.types.setdefault((key, booleans, lists), kind)
        if known != kind:
            yield f"once a {known}, now a {kind}"

    @staticmethod
    def _string(value):
        if not value.strip(WHITE):
            yield "an empty string"
        elif value != value.strip(WHITE):
            yield "blanks around a value, which Graylog takes off"
        if value == "-":
            yield "a lone -, which means absent"
        if len(value.encode("utf-8", "surrogatepass")) >= STRING_BYTES:
            yield "a string too long for a keyword"
        if any(0xD800 <= ord(letter) < 0xE000 for letter in value):
            yield "half of a surrogate pair"

# SPDX-License-Identifier: Apache-2.0
"""The wire side of FakeKinesis: HTTP/1.1 on 127.0.0.1, connections kept, replies sent as they are or spoilt as a story
wants (error, page, truncated, reset, slow, hang, altered).

Calls of a JSON API (X-Amz-Target) and of a Query API (STS) go to the fake's operations; GET hands out keys as a
container's agent does. Every request is logged in fake.calls.
"""

import email.utils
import json
import os
import socket
import struct
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

# at: monotonic seconds; code: "" fine, an error's name, or what was done to the reply; detail: the request's members.
Call = namedtuple("Call", "at operation stream shard code access_id region detail")


class Refused(Exception):
    """An error reply."""

    def __init__(self, code, text="", status=400):
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


# What a fault does with a reply that was made (Exchange); each returns such a function.

def error(code, text="", status=400):
    """An error of the service in place of the reply."""

    def act(exchange):
        exchange.become_error(Refused(code, text or f"{code} by the test", status))
        exchange.send()

    return act


def page(status, body=b"<html><body>Service Unavailable</body></html>"):
    """No JSON, as a balancer or a proxy answers."""

    def act(exchange):
        exchange.become(status, body, "text/html", f"HTTP {status}")
        exchange.send()

    return act


def truncated(share=0.5):
    """Content-Length says more than comes; then FIN."""

    def act(exchange):
        exchange.code = "truncated"
        exchange.send(share)

    return act


def reset(share=0.5):
    """A part of the reply, then a reset."""

    def act(exchange):
        exchange.code = "reset"
        exchange.send(share, by_reset=True)

    return act


def slow(bytes_a_second, for_s=3600):
    """A few bytes a second, and the rest at once after for_s seconds."""

    def act(exchange):
        exchange.code = "slow"
        exchange.send(bytes_a_second=bytes_a_second, for_s=for_s)

    return act


def hang():
    """No reply, until the fault is ended; then the connection is closed."""

    def act(exchange):
        exchange.code = "hang"
        exchange.log()
        exchange.fault.ended.wait()
        exchange.drop()

    return act


def altered(change):
    """change(body) gives other bytes."""

    def act(exchange):
        exchange.body, exchange.code = change(exchange.body), "altered"
        exchange.send()

    return act


class Fault:
    """Applies to replies of an operation, of one shard or all, `times` times or (None) until end()."""

    def __init__(self, operation, act, shard=None, times=1, stream=None):
        self.operation, self.act, self.shard, self.stream = operation, act, shard, stream
        self.left = times
        self.count = 0
        self.ended = threading.Event()

    def end(self):
        self.left = 0
        self.ended.set()

    def takes(self, operation, stream, shard):
        if self.left == 0 or operation != self.operation or self.ended.is_set():
            return False
        if (self.shard and shard != self.shard) or (self.stream and stream != self.stream):
            return False
        self.count += 1
        if self.left is not None:
            self.left -= 1
        return True


def time_text(moment):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, fake):
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request, client_address):
        """A peer that went away is nothing to report; anything else is a mistake of this file and shows as a reply
        that is lacking."""


class Exchange:
    """One request and its reply on the way out."""

    def __init__(self, handler, operation):
        self.handler, self.operation = handler, operation
        self.fault = None
        self.stream = self.shard = self.access_id = self.region = None
        self.detail = {}
        self.status, self.body, self.content_type, self.code = 200, b"{}", "application/x-amz-json-1.1", ""
        self._is_logged = False

    def become(self, status, body, content_type, code):
        self.status, self.body, self.content_type, self.code = status, body, content_type, code

    def become_error(self, refused):
        if self.handler.is_query:
            text = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{refused.code}</Code><Message>{refused.text}"
                    "</Message></Error><RequestId>fake</RequestId></ErrorResponse>")
            self.become(refused.status, text.encode(), "text/xml", refused.code)
        else:
            text = json.dumps({"__type": refused.code, "message": refused.text})
            self.become(refused.status, text.encode(), self.content_type, refused.code)

    def log(self):
        if not self._is_logged:
            self._is_logged = True
            fake = self.handler.server.fake
            with fake.lock:
                fake.calls.append(Call(time.monotonic(), self.operation, self.stream, self.shard, self.code,
                                       self.access_id, self.region, self.detail))

    def send(self, share=1.0, by_reset=False, bytes_a_second=None, for_s=0):
        self.log()
        handler = self.handler
        handler.send_response(self.status)
        handler.send_header("Content-Type", self.content_type)
        handler.send_header("x-amzn-RequestId", f"fake-{time.monotonic_ns():x}")
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        part = self.body[:int(len(self.body) * share)]
        if bytes_a_second:
            self._trickle(part, bytes_a_second, for_s)
        else:
            handler.wfile.write(part)
        if share < 1 or by_reset:
            self.drop(by_reset)

    def _trickle(self, part, bytes_a_second, for_s):
        at, end = 0, time.monotonic() + for_s
        while at < len(part) and time.monotonic() < end:
            if self.fault.ended.wait(0.5):
                break
            step = max(1, bytes_a_second // 2)
            self.handler.wfile.write(part[at:at + step])
            at += step
        self.handler.wfile.write(part[at:])

    def drop(self, by_reset=False):
        connection = self.handler.connection
        if by_reset:  # and no shutdown before, as the server does it: that would be a FIN
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.handler.server.fake.forget(connection)
            os.close(connection.detach())
        self.handler.close_connection = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    is_query = False

    def setup(self):
        super().setup()
        self.server.fake.register(self.connection)

    def finish(self):
        self.server.fake.forget(self.connection)
        super().finish()

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(self.server.fake.now(), usegmt=True)

    def do_GET(self):
        exchange = Exchange(self, f"GET {self.path}")
        fake = self.server.fake
        if self.path == "/container/keys" and fake.container_keys:
            keys = fake.container_keys
            text = json.dumps({"AccessKeyId": keys.access_id, "SecretAccessKey": keys.secret, "Token": keys.token,
                               "Expiration": time_text(time.time() + fake.container_life_s)})
            exchange.become(200, text.encode(), "application/json", "")
        else:
            exchange.become(404, b"", "text/plain", "404")
        exchange.send()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        self.is_query = not target
        members = ({name: values[0] for name, values in parse_qs(body.decode()).items()} if self.is_query
                   else json.loads(body or b"{}"))
        operation = members.pop("Action", "") if self.is_query else target.partition(".")[2]
        exchange = Exchange(self, operation)
        exchange.detail = members
        fake = self.server.fake
        with fake.lock:
            self._name(exchange, members)
            exchange.fault = fake.find_fault(operation, exchange.stream, exchange.shard)
            try:
                self._answer(exchange, members, body)
            except Refused as refused:
                exchange.become_error(refused)
        if exchange.fault:
            exchange.fault.act(exchange)
        else:
            exchange.send()

    def _name(self, exchange, members):
        """Which stream and shard it is about, as far as it says so."""
        exchange.stream, exchange.shard = members.get("StreamName"), members.get("ShardId")
        if members.get("ShardIterator"):
            try:
                stream, shard, _, _ = self.server.fake.parse_iterator(members["ShardIterator"])
                exchange.stream, exchange.shard = stream.name, shard.id
            except Refused:
                pass

    def _answer(self, exchange, members, body):
        fake = self.server.fake
        service = "sts" if self.is_query else "kinesis"
        access_id, account, region = fake.check_signature(service, "POST", self.path, self.headers.items(), body)
        exchange.access_id, exchange.region = access_id, region
        if exchange.operation in fake.denied:
            raise Refused("AccessDeniedException", f"User: arn:aws:iam::{account}:user/flowgelf is not authorized to "
                          f"perform: {service}:{exchange.operation} on resource: {fake.denied[exchange.operation]} "
                          "because no identity-based policy allows it")
        operation = fake.operations.get((service, exchange.operation))
        if operation is None:
            raise Refused("UnknownOperationException", "", 404)
        reply = operation((account, region), members)
        if self.is_query:
            name = exchange.operation
            reply = (f'<{name}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{name}Result>{reply}</{name}'
                     f"Result><ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></{name}Response>")
            exchange.become(200, reply.encode(), "text/xml", "")
        else:
            exchange.body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()

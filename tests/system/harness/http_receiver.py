# SPDX-License-Identifier: Apache-2.0
"""A receiver of GELF over HTTP that keeps to the rules of Graylog's input, and breaks them when a story wants it.

Rules: POST to /gelf alone (404, 405, OPTIONS 200), a limit for bodies before gzip (413), the value of Authorization
(401), 202 before anything is decoded; without `bulk` only the first message of a body is kept, and nobody is told.
"""

import ssl
import struct
import socket
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .base import free_port, wait_until
from .receiver import Collected

RESET = "reset"     # the request is read and kept, and its connection reset in place of the answer
CUT = "cut"         # the head of the request is read, then its connection reset


class GelfHttpReceiver(Collected):
    """Listens at once. poison: bytes that no body may have (400). seconds: for each request.

    certificate: a file with key and certificate, for TLS; clients: the authority of those who are let in.
    """

    def __init__(self, bulk=False, body_max=65_536, authorization=None, poison=None, seconds=0, certificate=None,
                 clients=None, keep=1000):
        super().__init__(keep=keep)
        self.port = free_port()
        self.bulk, self.body_max, self.authorization, self.poison = bulk, body_max, authorization, poison
        self.seconds = seconds
        self.answers = Counter()    # by status, RESET and CUT
        self.codings = Counter()    # Content-Encoding of the bodies that were read
        self.largest_body = 0       # inflated
        self.connections = 0
        self.is_stopped = threading.Event()     # by stop_after
        self.tls = self._make_tls(certificate, clients) if certificate else None
        self._state = threading.Lock()
        self._faults = []           # [from which count on, act, how many requests]
        self._stop_after = None
        self._sockets = set()
        self._server = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/gelf"

    @property
    def requests(self):
        with self._state:
            return sum(self.answers.values())

    # What stories call.

    def spoil(self, act, times, after=0):
        """As soon as `after` messages are kept, the next `times` requests are answered by a status, or by RESET or
        CUT. Said before flowgelf starts."""
        with self._state:
            self._faults.append([after, act, times])

    def stop_after(self, count):
        """Stops as soon as `count` messages are kept: the port refuses connections, and those there are reset, some
        of them with requests read and not answered."""
        with self._state:
            self._stop_after = count

    def wait_for_stopped(self):
        wait_until(f"the receiver has stopped, with {self.count} messages", self.is_stopped.is_set)

    def stop(self):
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
            self._reset_all()

    def start(self):
        self.is_stopped.clear()
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="http-receiver").start()

    # The rest is for the server.

    @staticmethod
    def _make_tls(certificate, clients):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def register(self, sock):
        with self._state:
            self._sockets.add(sock)
            self.connections += 1

    def forget(self, sock):
        with self._state:
            self._sockets.discard(sock)

    def _reset_all(self):
        with self._state:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            reset(sock)

    def find_fault(self):
        with self._state:
            for fault in self._faults:
                if fault[2] > 0 and self._total >= fault[0]:
                    fault[2] -= 1
                    return fault[1]
        return None

    def judge(self, method, path, headers, body):
        """The status for a request, by the rules."""
        if self.authorization and headers.get("Authorization") != self.authorization:
            return 401
        if method == "OPTIONS":
            return 200
        if method != "POST":
            return 405
        if path != "/gelf":
            return 404
        if len(body) > self.body_max:
            return 413
        return 400 if self.poison and self.poison in body else 202

    def keep(self, body):
        messages = [one for one in body.split(b"\n") if one]
        self.add(messages if self.bulk else messages[:1])
        with self._state:
            is_time = self._stop_after is not None and self._total >= self._stop_after
            if is_time:
                self._stop_after = None
        if is_time:
            threading.Thread(target=self._stop_by_itself, daemon=True).start()
        return is_time

    def _stop_by_itself(self):
        self.stop()
        self.is_stopped.set()

    def note(self, answer, size=0, coding=None):
        with self._state:
            self.answers[answer] += 1
            self.largest_body = max(self.largest_body, size)
            self.codings[coding or "none"] += 1


def reset(sock):
    """Its thread, which may be reading, comes to its end as well."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.shutdown(sock, socket.SHUT_RD)
        socket.socket.close(sock)
    except OSError:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, receiver):
        self.receiver = receiver
        super().__init__(("127.0.0.1", receiver.port), _Handler)

    def get_request(self):
        sock, address = super().get_request()
        if self.receiver.tls:
            sock = self.receiver.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def shutdown_request(self, request):
        try:
            request.close()
        except OSError:
            pass

    def handle_error(self, request, client_address):
        """A connection that we have reset, or a handshake that failed; a mistake of this file shows as an answer that
        is lacking."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.receiver.register(self.connection)

    def finish(self):
        self.server.receiver.forget(self.connection)
        super().finish()

    def log_message(self, *_):
        pass

    def _drop(self, act):
        self.server.receiver.note(act)
        self.close_connection = True
        self.server.receiver.forget(self.connection)
        reset(self.connection)

    def _answer(self):
        receiver = self.server.receiver
        act = receiver.find_fault()
        if act == CUT:
            self._drop(CUT)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        coding = self.headers.get("Content-Encoding")
        if coding == "gzip":
            body = zlib.decompress(body, 31)
        if receiver.seconds:
            time.sleep(receiver.seconds)
        status = act if isinstance(act, int) else receiver.judge(self.command, self.path, self.headers, body)
        is_last = status == 202 and receiver.keep(body)
        if act == RESET or is_last:
            self._drop(RESET)
            return
        receiver.note(status, len(body), coding)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_OPTIONS = _answer

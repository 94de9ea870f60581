# SPDX-License-Identifier: Apache-2.0
"""GELF receivers that speak TLS, and the certificates for them.

GelfTlsReceiver is a GelfTcpReceiver whose bytes go through TLS; TlsReceiverProcess runs one in a process of its own.
What lies in a socket is what was sent over the wire, so thresholds of unread bytes hold as they do without TLS.
"""

import json
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import certificates, receiver
from .base import StoryFailed
from .certificates import NEW_KEY
from .receiver import GelfTcpReceiver, ReceiverProcess

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def make_certificate(folder, authority, name="server", days=30, names="IP:127.0.0.1, DNS:localhost"):
    """A certificate signed by `authority` (negative days: expired); returns the path of a file with it and its key."""
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    extensions = folder / f"{name}.names"
    extensions.write_text(f"subjectAltName = {names}\nbasicConstraints = CA:FALSE\n")
    certificates._openssl("req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    certificates._openssl("x509", "-req", "-days", days, "-in", request, "-CA", authority, "-CAkey",
                          authority.with_suffix(".key"), "-CAcreateserial", "-extfile", extensions, "-out", certificate)
    together = folder / f"{name}.pem"
    together.write_text(key.read_text() + certificate.read_text())
    return together


class GelfTlsReceiver(GelfTcpReceiver):
    """certificate: a file with key and certificate; clients: the authority of those who are let in (None: anybody);
    says_end=False answers a half-close with the FIN alone; mute=True lets handshakes stall until let_talk()."""

    def __init__(self, certificate, clients=None, version=None, says_end=True, mute=False, **settings):
        self.resumed = 0        # handshakes that a ticket made shorter
        self.refused = 0        # handshakes that failed
        self.versions = set()   # spoken
        self.says_end = says_end
        self._version = version
        self._mute = threading.Event()
        self._channels = {}     # socket -> (SSLObject, from the wire, to the wire)
        self._present(certificate, clients)
        if mute:
            self._mute.set()
        super().__init__(**settings)

    def present(self, certificate, clients=None):
        """Connections from now on meet another certificate."""
        self._do(lambda: self._present(certificate, clients))

    def let_talk(self):
        """Handshakes go on."""
        self._mute.clear()

    def _present(self, certificate, clients):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        if self._version:
            self._context.minimum_version = self._context.maximum_version = VERSIONS[self._version]
        if clients:
            self._context.load_verify_locations(clients)
            self._context.verify_mode = ssl.CERT_REQUIRED

    def _read(self, sock):
        if self._mute.is_set():
            time.sleep(0.005)
            return
        try:
            data = sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self._drop(sock)
            return
        if not data:
            self._at_fin(sock)
            return
        text = self._decrypt(sock, data)
        if text is None:
            self._drop(sock)
            return
        *payloads, self._partial[sock] = (self._partial[sock] + text).split(b"\0")
        ids = self.add(payloads)
        if self._on_ids:
            self._on_ids(ids)
        if self.bytes_a_second:
            time.sleep(len(data) / self.bytes_a_second)

    def _decrypt(self, sock, data):
        """The text in what came over the wire; None: the peer is not let in, or talks nonsense."""
        channel, incoming, outgoing = self._channel(sock)
        incoming.write(data)
        texts = []
        try:
            if channel.version() is None:
                self._shake_hands(channel)
            while True:
                text = channel.read(1 << 18)
                if not text:
                    break
                texts.append(text)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError:
            self.refused += 1
            self._send(sock, outgoing)
            return None
        self._send(sock, outgoing)
        return b"".join(texts)

    def _channel(self, sock):
        if sock not in self._channels:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            channel = self._context.wrap_bio(incoming, outgoing, server_side=True)
            self._channels[sock] = (channel, incoming, outgoing)
        return self._channels[sock]

    def _shake_hands(self, channel):
        channel.do_handshake()
        self.resumed += channel.session_reused
        self.versions.add(channel.version())

    def _send(self, sock, outgoing):
        """What TLS has to say is little, and fits the socket."""
        data = outgoing.read()
        if data:
            try:
                sock.sendall(data)
            except OSError:
                pass

    def _at_fin(self, sock):
        if self.says_end and self.answer_half_close and sock in self._channels:
            channel, _, outgoing = self._channels[sock]
            try:
                channel.unwrap()
            except ssl.SSLError:
                pass
            self._send(sock, outgoing)
        super()._at_fin(sock)

    def _drop(self, sock, reset=False):
        self._channels.pop(sock, None)
        super()._drop(sock, reset)


class TlsReceiverProcess(ReceiverProcess):
    """A ReceiverProcess that speaks TLS with a certificate."""

    def __init__(self, certificate, **settings):
        self._certificate = certificate
        super().__init__(**settings)

    def start(self, hang_after=None):
        code = "from harness.tls import serve; serve()"
        settings = {**self._settings, "certificate": str(self._certificate)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(settings), str(self._ids_path), json.dumps(hang_after)],
            cwd=Path(__file__).resolve().parents[1], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"ready\n":
            raise StoryFailed("the receiver's process did not start")


def serve():
    """The main of TlsReceiverProcess: that of ReceiverProcess, with another receiver."""
    receiver.GelfTcpReceiver = GelfTlsReceiver
    receiver.serve()

# SPDX-License-Identifier: Apache-2.0
"""GELF receivers that do what a story asks of them: read, stall, reset, hang, die, come back.

GelfTcpReceiver and GelfUdpReceiver run as threads of the test; ReceiverProcess runs a GelfTcpReceiver in a process of
its own, so that it can be killed with unread bytes in its socket. What a receiver has read it keeps as counts by
an id: the value of one field of the message (`id_field`), as text. `messages` holds the first `keep` in full.

A story is never quicker than flowgelf by luck: what is to happen in the middle of a stream is told to the receiver
beforehand (stall_after, hang_after), and the thread that reads obeys.
"""

import fcntl
import gzip
import json
import os
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

from .base import SLOWNESS, StoryFailed, free_port, stop_process, wait_until

DEFAULT_ID = "_interface_id"
SO_RCVBUFFORCE = 33     # of Linux; Python has no name for it

# So many datagrams, of any size up to 1420 bytes, find room in the kernel (net.core.rmem_max as it is everywhere) even
# when nobody reads: stories that must get all send no more at a time.
UDP_FITS = 150


def unread_bytes(port):
    """Bytes that the kernel has acknowledged on connections to a loopback port and no program has read."""
    wanted, unread = f":{port:04X}", 0
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        cells = row.split()
        if cells[1].endswith(wanted) and cells[3] != "0A":  # 0A: the listener
            unread += int(cells[4].partition(":")[2], 16)
    return unread


def waiting_bytes(sock):
    """Bytes that can be read from the socket now."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]


class Collected:
    """Counts of ids, shared by all kinds of receivers; its methods may be called from any thread."""

    def __init__(self, id_field=DEFAULT_ID, keep=1000):
        self._pattern = re.compile(rb'"%s":\s*(?:"((?:[^"\\]|\\.)*)"|([^,}\s]+))' % id_field.encode())
        self._keep = keep
        self._lock = threading.Lock()
        self.ids = Counter()
        self._total = 0
        self.size_bytes = 0     # of all messages read, without what is around them
        self.messages = []
        self.nonsense = []

    def add(self, payloads):
        """Takes raw messages; returns their ids, in order."""
        ids = []
        for payload in payloads:
            found = self._pattern.search(payload)
            if len(self.messages) < self._keep:
                self._keep_message(payload)
            ids.append((found[1] or found[2]).decode() if found else "")
        with self._lock:
            self.ids.update(ids)
            self._total += len(ids)
            self.size_bytes += sum(map(len, payloads))
        return ids

    def _keep_message(self, payload):
        try:
            self.messages.append(json.loads(payload))
        except ValueError:
            self.nonsense.append(payload[:200])

    @property
    def count(self):
        """How many messages were read, copies included."""
        with self._lock:
            return self._total

    @property
    def distinct(self):
        with self._lock:
            return len(self.ids)

    @property
    def duplicates(self):
        with self._lock:
            return self._total - len(self.ids)

    def ids_now(self):
        with self._lock:
            return Counter(self.ids)

    def missing(self, wanted):
        with self._lock:
            return set(wanted) - set(self.ids)


class Threshold:
    """When a receiver is to stall: `count` messages are read, and behind them at least `unread` bytes lie in each
    of `connections` sockets."""

    STANDSTILL_S = 0.3

    def __init__(self, count, unread=0, connections=1):
        self.count, self.unread, self.connections = count, unread, connections
        self._most, self._since = -1, 0.0

    def is_reached(self, sockets):
        return self.unread == 0 or sum(waiting_bytes(s) >= self.unread for s in sockets) >= self.connections

    def is_hopeless(self, sockets):
        """No more comes: the kernel widens the window of a connection only while somebody reads it."""
        total, now = sum(map(waiting_bytes, sockets)), time.monotonic()
        if total != self._most:
            self._most, self._since = total, now
        return now - self._since > self.STANDSTILL_S


class GelfTcpReceiver(Collected):
    """Listens at once. Every method that changes behaviour holds for the connections there are and for later ones.

    bytes_a_second slows reading down; receive_buffer sets SO_RCVBUF (before listen, as the kernel asks);
    answer_half_close=False keeps a connection open after the peer's FIN.
    """

    def __init__(self, port=None, id_field=DEFAULT_ID, keep=1000, receive_buffer=None,
                 answer_half_close=True, bytes_a_second=None, on_ids=None, on_stall=None):
        super().__init__(id_field, keep)
        self.port = port or free_port()
        self.receive_buffer = receive_buffer
        self.answer_half_close = answer_half_close
        self.bytes_a_second = bytes_a_second
        self.connections = 0    # accepted since the start
        self.half_closes = 0    # FINs read
        self.half_open = []     # hung on purpose after a FIN
        self._on_ids, self._on_stall = on_ids, on_stall
        self._stalled = threading.Event()
        self._threshold = None  # a Threshold not yet reached
        self._todo = []         # callables for the thread, which alone touches sockets
        self._wake_r, self._wake_w = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._partial = {}      # socket -> bytes of a message not yet complete
        self._listener = None
        self._closed = False
        self._listen()
        self._thread = threading.Thread(target=self._run, daemon=True, name="gelf-receiver")
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def unread_bytes(self):
        return unread_bytes(self.port)

    @property
    def open_connections(self):
        return len(self._partial)

    # What stories call.

    def stall(self):
        """Stops reading and accepting; bytes pile up in the kernel."""
        self._stalled.set()
        self._do(lambda: None)

    def stall_after(self, count, unread=0, connections=1):
        """The reading thread stalls by itself as soon as `count` messages are read in all, and then at least `unread`
        bytes lie in the sockets of so many connections. Said before flowgelf starts, or before resume()."""
        self._do(lambda: setattr(self, "_threshold", Threshold(count, unread, connections)))

    def wait_for_stalled(self):
        """Waits until the threshold of stall_after is reached."""
        wait_until(f"the receiver has stalled, of {self.port} with {self.count} messages read", self._stalled.is_set)

    def resume(self):
        self._stalled.clear()
        self._do(lambda: None)

    def reset(self):
        """Ends every connection with a reset; unread bytes are lost. The port stays open."""
        self._do(lambda: [self._drop(sock, reset=True) for sock in list(self._partial)])

    def finish(self):
        """Ends every connection with FIN, unasked, and reads no more of it. Closing would send a reset besides, as
        unread bytes are lost; so the sockets stay open until let_half_open_go()."""
        self._do(lambda: [self._turn_away(sock) for sock in list(self._partial)])

    def go_away(self, reset=True):
        """As if the program had ended: no port, no connections. come_back() opens the same port again."""

        def leave():
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            for sock in list(self._partial):
                self._drop(sock, reset)

        self._do(leave)

    def come_back(self):
        self.resume()
        self._do(self._listen)

    def let_half_open_go(self):
        """Answers the half-closes that were left unanswered."""
        self._do(lambda: [sock.close() for sock in self.half_open] + [self.half_open.clear()])

    def close(self):
        if self._closed:
            return
        self._closed = True
        os.write(self._wake_w, b"x")
        self._thread.join(30)
        for sock in [*self._partial, *self.half_open, self._listener]:
            if sock:
                sock.close()
        self._selector.close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    # What the thread does.

    def _do(self, action):
        """Has the thread run action, and waits until it has."""
        done = threading.Event()
        self._todo.append((action, done))
        os.write(self._wake_w, b"x")
        if not done.wait(60 * SLOWNESS):
            raise StoryFailed("the receiver's thread does not answer")

    def _listen(self):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, None)

    def _run(self):
        while not self._closed:
            for key, _ in self._selector.select(0.2):
                self._handle(key.fileobj)
            self._must_hold()  # stalls also when nothing comes any more
            while self._todo:
                action, done = self._todo.pop(0)
                action()
                done.set()

    def _handle(self, source):
        if source == self._wake_r:
            os.read(source, 4096)
        elif self._must_hold():
            time.sleep(0.005)  # readable and not read: no spinning
        elif source is self._listener:
            self._accept()
        elif source in self._partial:
            self._read(source)

    def _must_hold(self):
        """Whether nothing is read or accepted now; stalls when it is time to."""
        threshold = self._threshold
        if self._stalled.is_set():
            return True
        if threshold is None or self.count < threshold.count:
            return False
        if threshold.is_reached(self._partial):
            self._threshold = None
            self._stalled.set()
            if self._on_stall:
                self._on_stall()
            return True
        return len(self._partial) >= threshold.connections and not threshold.is_hopeless(self._partial)

    def _accept(self):
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        self.connections += 1
        sock.setblocking(False)
        self._partial[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ, None)

    def _read(self, sock):
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
        *payloads, self._partial[sock] = (self._partial[sock] + data).split(b"\0")
        ids = self.add(payloads)
        if self._on_ids:
            self._on_ids(ids)
        if self.bytes_a_second:
            time.sleep(len(data) / self.bytes_a_second)

    def _at_fin(self, sock):
        self.half_closes += 1
        if self._partial[sock]:
            self.nonsense.append(b"unfinished: " + self._partial[sock][:200])
        if self.answer_half_close:
            self._drop(sock)
            return
        self._selector.unregister(sock)
        del self._partial[sock]
        self.half_open.append(sock)

    def _turn_away(self, sock):
        self._selector.unregister(sock)
        del self._partial[sock]
        sock.shutdown(socket.SHUT_WR)
        self.half_open.append(sock)

    def _drop(self, sock, reset=False):
        self._selector.unregister(sock)
        del self._partial[sock]
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


class Together:
    """Several receivers counted as one."""

    def __init__(self, *receivers):
        self._receivers = receivers

    @property
    def ids(self):
        return sum((one.ids_now() for one in self._receivers), Counter())

    @property
    def count(self):
        return sum(one.count for one in self._receivers)

    @property
    def size_bytes(self):
        return sum(one.size_bytes for one in self._receivers)

    @property
    def distinct(self):
        return len(self.ids)

    @property
    def duplicates(self):
        return self.count - self.distinct

    def missing(self, wanted):
        return set(wanted) - set(self.ids)


class ReceiverProcess:
    """A GelfTcpReceiver in a process of its own. kill() is SIGKILL; start() comes back on the same port.

    The process appends the ids of what it has read to a file right after reading, so they outlive it. hang_after
    (a count of one life, and the bytes that must lie unread then) makes it stop itself as hang() does.
    """

    def __init__(self, id_field=DEFAULT_ID, receive_buffer=None, bytes_a_second=None, hang_after=None):
        self.port = free_port()
        self._settings = {"port": self.port, "id_field": id_field, "keep": 0,
                          "receive_buffer": receive_buffer, "bytes_a_second": bytes_a_second}
        handle, name = tempfile.mkstemp(prefix="flowgelf-ids-")
        os.close(handle)
        self._ids_path = Path(name)
        self._process = None
        self.start(hang_after)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, hang_after=None):
        folder = Path(__file__).resolve().parents[1]
        code = "from harness.receiver import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(self._settings), str(self._ids_path),
             json.dumps(hang_after)], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"ready\n":
            raise StoryFailed("the receiver's process did not start")

    def kill(self):
        """SIGKILL: its kernel answers unread bytes with a reset."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def hang(self):
        """SIGSTOP: the kernel still acknowledges, nobody reads."""
        self._process.send_signal(signal.SIGSTOP)
        self.wait_for_hang()

    def wait_for_hang(self):
        wait_until("the receiver's threads stand still", self._is_stopped)

    def _is_stopped(self):
        if self._process.poll() is not None:
            raise StoryFailed("the receiver's process ended by itself")
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def wake(self):
        self._process.send_signal(signal.SIGCONT)

    @property
    def unread_bytes(self):
        return unread_bytes(self.port)

    @property
    def ids(self):
        text = self._ids_path.read_text()
        return Counter(text[:text.rfind("\n") + 1].splitlines())

    @property
    def count(self):
        return sum(self.ids.values())

    def missing(self, wanted):
        return set(wanted) - set(self.ids)

    def close(self):
        if self._process.poll() is None:
            self.wake()
            stop_process(self._process)
            self._process.stdout.close()
        self._ids_path.unlink()


def serve():
    """The main of ReceiverProcess: settings as JSON, the path for ids, and when to hang in argv."""
    settings, path, hang_after = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    ids_file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def write_ids(ids):
        if ids:
            os.write(ids_file, "".join(f"{name}\n" for name in ids).encode())

    def hang():
        said_ready.wait()
        os.kill(os.getpid(), signal.SIGSTOP)

    said_ready = threading.Event()
    receiver = GelfTcpReceiver(**settings, on_ids=write_ids, on_stall=hang)
    if hang_after:
        receiver.stall_after(*hang_after)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    said_ready.set()
    signal.pause()


class GelfUdpReceiver(Collected):
    """GELF over UDP as receivers read it: plain, gzip or zlib, whole or in chunks (1e 0f, id, number, count)."""

    def __init__(self, port=None, id_field=DEFAULT_ID, keep=1000, receive_buffer=8 << 20):
        super().__init__(id_field, keep)
        self.datagrams = 0
        self.largest = 0
        self.compressed = 0
        self.chunked = 0
        self._pieces = {}
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._enlarge(receive_buffer)
        self._sock.bind(("127.0.0.1", port or 0))
        self._sock.settimeout(0.2)
        self.port = self._sock.getsockname()[1]
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="gelf-udp-receiver")
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _enlarge(self, size_bytes):
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size_bytes)
        except PermissionError:  # then no more than net.core.rmem_max
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)

    @property
    def dropped(self):
        """Datagrams for which the kernel had no room, because nobody read in time."""
        wanted = f":{self.port:04X}"
        rows = (row.split() for row in Path("/proc/net/udp").read_text().splitlines()[1:])
        return sum(int(cells[-1]) for cells in rows if cells[1].endswith(wanted))

    @property
    def incomplete(self):
        """Chunked messages of which a piece is lacking."""
        return len(self._pieces)

    def close(self):
        self._closed = True
        self._thread.join(5)
        self._sock.close()

    def wait_for(self, count, timeout_s=120):
        wait_until(f"{count} messages came by UDP", lambda: self.count >= count, timeout_s)

    def _run(self):
        while not self._closed:
            try:
                data = self._sock.recv(65536)
            except socket.timeout:
                continue
            self.datagrams += 1
            self.largest = max(self.largest, len(data))
            payload = self._assemble(data) if data[:2] == b"\x1e\x0f" else data
            if payload is not None:
                self.add([self._inflate(payload)])

    def _assemble(self, data):
        name, number, count = data[2:10], data[10], data[11]
        if len(data) <= 12 or not 0 < count <= 128 or number >= count:
            self.nonsense.append(data[:40])
            return None
        pieces = self._pieces.setdefault(name, {})
        pieces[number] = data[12:]
        if len(pieces) < count:
            return None
        self.chunked += 1
        del self._pieces[name]
        return b"".join(pieces[i] for i in range(count))

    def _inflate(self, payload):
        if payload[:2] == b"\x1f\x8b":
            self.compressed += 1
            return gzip.decompress(payload)
        if payload[:1] == b"\x78":
            self.compressed += 1
            return zlib.decompress(payload)
        return payload

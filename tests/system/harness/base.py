# SPDX-License-Identifier: Apache-2.0
"""Small things that every part of the harness uses: folders, waiting, ports, how a story is marked."""

import os
import random
import socket
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("FLOWGELF_BUILD", ROOT / "build"))
SLOWNESS = float(os.environ.get("FLOWGELF_TEST_SLOWNESS", "1"))  # all limits of time are multiplied by it


class NotRun(Exception):
    """A suite lacks what it needs from outside (jars, java, kcat). Said loudly; a failure when CI=true."""

    def __init__(self, suite, reason):
        super().__init__(f"{suite}: {reason}")


class StoryFailed(AssertionError):
    """What a story expected did not happen."""


_endings = []


def at_end(action):
    """Has `action` called when the stories of this process are over, however they ended."""
    _endings.append(action)


def end():
    """What at_end was told; by tests/system/run."""
    while _endings:
        _endings.pop()()


def story(limit_s=360, threaded=True):
    """Marks a function `story_*(env)` with its time limit, which only matters in failure. All stories run under
    ThreadSanitizer too, but those with threaded=False: there no second thread of flowgelf can matter."""

    def mark(function):
        function.limit_s = limit_s
        function.threaded = threaded
        return function

    return mark


def wait_until(what, condition, timeout_s=120, every_s=0.05):
    """Returns the first true value of condition(); `what` is the sentence said when there is none in time. The time
    only matters in failure, so it is long."""
    end = time.monotonic() + timeout_s * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise StoryFailed(f"waited {timeout_s * SLOWNESS:.0f} s in vain until {what}")
        time.sleep(every_s)


def check_equal(found, wanted, what):
    if found != wanted:
        raise StoryFailed(f"{what}: {found!r}, not {wanted!r}")


def _own_ports():
    """Ports that the kernel gives to nobody by itself: no client's connection can take one meanwhile."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return range(min(10_000, first - 2000), first) if first > 4000 else range(10_000, 32_000)


_reserved = []


def _try_port(port, kind):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", port))
    if kind == socket.SOCK_STREAM:
        # Bound and not listening: refused to clients, free for a listener that says SO_REUSEADDR, as all do, and
        # taken in the eyes of another run of the stories.
        holder = socket.socket(socket.AF_INET, kind)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        _reserved.append(holder)


def free_port(kind=socket.SOCK_STREAM):
    """A loopback port nobody uses now, and that nobody comes to use but who asked for it."""
    for _ in range(200):
        port = random.SystemRandom().choice(_own_ports())
        try:
            _try_port(port, kind)
            return port
        except OSError:
            continue
    raise StoryFailed("found no free port on 127.0.0.1")


def stop_process(process, grace_s=60):
    """TERM, and KILL for one that does not listen; only ever the process that we started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except Exception:
            process.kill()
            process.wait()
    return process.returncode


def tail(path, lines=30):
    """The last lines of a log, for the message of a failure."""
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"

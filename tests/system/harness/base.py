# SPDX-License-Identifier: Apache-2.0
"""Small things that every part of the harness uses: folders, waiting, ports, how a story is marked."""

import os
import socket
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("FLOWGELF_BUILD", ROOT / "build"))


class NotRun(Exception):
    """A suite lacks what it needs from outside (jars, java, kcat). Said loudly; a failure when CI=true."""

    def __init__(self, suite, reason):
        super().__init__(f"{suite}: {reason}")


class StoryFailed(AssertionError):
    """What a story expected did not happen."""


def story(limit_s=120, threaded=False):
    """Marks a function `story_*(env)` with its time limit; `threaded` ones also run under ThreadSanitizer."""

    def mark(function):
        function.limit_s = limit_s
        function.threaded = threaded
        return function

    return mark


def wait_until(what, condition, timeout_s=30, every_s=0.05):
    """Returns the first true value of condition(); `what` is the sentence said when there is none in time."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise StoryFailed(f"waited {timeout_s} s in vain until {what}")
        time.sleep(every_s)


def check_equal(found, wanted, what):
    if found != wanted:
        raise StoryFailed(f"{what}: {found!r}, not {wanted!r}")


def free_port(kind=socket.SOCK_STREAM):
    """A loopback port nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def stop_process(process, grace_s=20):
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

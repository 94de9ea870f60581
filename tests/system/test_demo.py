# SPDX-License-Identifier: Apache-2.0
"""The demo: what a person sees first must be whole, quick and true, and leave nothing behind."""

import json
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness import (GelfTcpReceiver, GelfUdpReceiver, StoryFailed, check_equal, free_port, story,
                     wait_until)
from harness.base import SLOWNESS
from harness.program import program_path, sanitizer_environment

FLOWS = 20_000          # of the generated hour; real records come on top
REAL_MESSAGES = 81
REAL_RECORDS = 22
NODATA = 200
NEED_INVENTORY = ("Q1", "Q2", "Q4", "Q5", "S")
Q3_HITS = 5             # two constructed flows and three real ones
A1_HITS = 17            # two constructed flows and fifteen real ones
MEAN_BYTES = 1000


class Demo:
    """`flowgelf demo ...` with a temporary folder of its own, which must be empty in the end."""

    def __init__(self, *args):
        self._folder = tempfile.TemporaryDirectory(prefix="flowgelf-story-")
        self._said = tempfile.TemporaryDirectory(prefix="flowgelf-story-")
        env = {**sanitizer_environment(), "TMPDIR": self._folder.name}
        with self._path("stdout").open("wb") as stdout, self._path("stderr").open("wb") as stderr:
            self.process = subprocess.Popen([str(program_path()), "demo", *args], env=env, stdin=subprocess.DEVNULL,
                                            stdout=stdout, stderr=stderr)

    def _path(self, name):
        return Path(self._said.name) / name

    def wait_for_words(self, name, text):
        """Until `text` is on stdout or stderr; it must not end before."""

        def is_said():
            said = text in self._path(name).read_text()
            if not said and self.process.poll() is not None:
                raise StoryFailed(f"flowgelf demo ended before it said '{text}'")
            return said

        wait_until(f"flowgelf demo says '{text}'", is_said, every_s=0.01)

    def wait(self, code=0):
        """Returns stdout; the exit code must be `code`."""
        self.process.wait(180 * SLOWNESS)
        if self.process.returncode != code:
            raise StoryFailed(f"flowgelf demo ended with {self.process.returncode}:\n"
                              f"{self._path('stderr').read_text()[-3000:]}")
        check_equal([p.name for p in Path(self._folder.name).iterdir()], [], "what the demo left behind")
        return self._path("stdout").read_text()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()
        self._said.cleanup()


@story()
def story_demo_shows_all_flows_and_what_the_searches_find(env):
    """Every record of the sample becomes its message; Q3 and A1 find what they must, messages are small."""
    with Demo("--json") as demo:
        out = demo.wait()
    result = json.loads(out.splitlines()[-1])
    check_equal(list(result), ["records", "messages", "seconds", "searches"], "keys of the last line")
    check_equal(result["records"], FLOWS + NODATA + REAL_RECORDS, "records")
    check_equal(result["messages"], FLOWS + REAL_MESSAGES, "messages")
    check_equal(list(result["searches"]), ["Q1", "Q2", "Q3", "Q4", "Q5", "A1", "S"], "searches")
    for name in NEED_INVENTORY:
        check_equal(result["searches"][name], None, name)
    check_equal(result["searches"]["Q3"], Q3_HITS, "Q3")
    check_equal(result["searches"]["A1"], A1_HITS, "A1")
    check_equal(out.count("needs an inventory"), len(NEED_INVENTORY), "searches without a number")
    mean = int(re.search(r"(\d+) bytes a message on average", out)[1])
    check_equal(200 < mean < MEAN_BYTES, True, f"mean size {mean} below {MEAN_BYTES}")
    for headline in ("eni-abc123de ACCEPT TCP 172.31.16.139:20641 -> 172.31.16.21:22",
                     "eni-web ACCEPT TCP 10.0.1.10:45000 -> 198.51.100.7:6667",
                     "eni-web ACCEPT TCP 203.0.113.5:50001 -> 10.0.1.10:22"):
        check_equal(out.count(f"\n  {headline}\n"), 1, headline)


@story()
def story_demo_that_is_interrupted_leaves_nothing(env):
    """INT in the middle: an exit code that says so, no folder left."""
    with Demo() as demo:
        demo.wait_for_words("stdout", "to a receiver inside")
        demo.interrupt()
        demo.wait(code=1)


def live(receiver, *args, lost=lambda: 0):
    """Sends to a receiver for some seconds, interrupts, and checks what came; `receiver` collects. lost() counts what
    the receiver's own kernel threw away."""
    with Demo("--to", receiver.address, *args) as demo:
        wait_until("a thousand messages came", lambda: receiver.count >= 1000)
        demo.interrupt()
        out = demo.wait()
    made, delivered = map(int, re.search(r"(\d+) flows made, (\d+) delivered", out).groups())
    check_equal(delivered, made, "delivered")
    wait_until("all of them came", lambda: receiver.count + lost() >= made)
    check_equal(receiver.count + lost(), made, "messages at the receiver")
    check_equal("dst_addr_threat_indicated:true" in out, True, "searches to try")
    age_s = [time.time() - message["timestamp"] for message in receiver.messages]
    check_equal(max(age_s) < 600 and min(age_s) > -60, True, f"ages {min(age_s)} to {max(age_s)}")


@story()
def story_demo_sends_live_flows_over_tcp(env):
    """--to sends flows of now to a receiver of one's own, and ends in good order when told to."""
    with GelfTcpReceiver() as receiver:
        live(receiver)


@story()
def story_demo_sends_live_flows_over_udp(env):
    """The same over UDP."""
    with GelfUdpReceiver() as receiver:
        live(receiver, "--udp", lost=lambda: receiver.dropped)


@story()
def story_demo_says_when_nobody_listens(env):
    """--to a port without a receiver ends with 1 and says what was not delivered."""
    with Demo("--to", f"127.0.0.1:{free_port()}") as demo:
        demo.wait_for_words("stderr", "refused")
        time.sleep(3)  # flows are made, 200 a second
        demo.interrupt()
        demo.wait(code=1)

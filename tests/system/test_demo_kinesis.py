# SPDX-License-Identifier: Apache-2.0
"""The demo on Kinesis: the same flows and the same hits as from Kafka, and nothing of the emulator is left behind."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from harness import check_equal, story, wait_until
from harness.emulators import node_modules
from test_demo import Demo

# What a machine may have in its environment, all of it wrong here: the demo is not to look at it.
FOREIGN = {"AWS_PROFILE": "of-somebody", "AWS_SESSION_TOKEN": "of-somebody", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
           "AWS_REGION": "nowhere-1", "http_proxy": "http://127.0.0.1:1", "no_proxy": "", "INITIALIZE_STREAMS": "a:1:b"}


def with_path(path, *args, **environment):
    """The demo with another PATH."""
    with mock.patch.dict(os.environ, {**environment, "PATH": path}):
        return Demo(*args)


def kinesis_demo(*args, **environment):
    return with_path(f"{node_modules() / '.bin'}:{os.environ['PATH']}", "--kinesis", *args, **environment)


def emulators_of(demo):
    """Process ids of what was started with a file in the demo's temporary folder."""
    folder, found = demo._folder.name.encode(), []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def last_line(out):
    result = json.loads(out.splitlines()[-1])
    del result["seconds"]
    return result


@story()
def story_demo_on_kinesis_finds_what_the_one_on_kafka_finds(env):
    """The same records, messages and hits, whatever AWS settings the machine has; the emulator is gone at the end."""
    with kinesis_demo("--json", **FOREIGN) as demo:
        out = demo.wait()
        check_equal(emulators_of(demo), [], "emulators left")
    with Demo("--json") as demo:
        check_equal(last_line(out), last_line(demo.wait()), "last line")
    check_equal(" records in Kinesis, " in out, True, "the source is named")
    check_equal("in Kafka" in out, False, "the other source is named")


@story()
def story_demo_on_kinesis_that_is_interrupted_leaves_nothing(env):
    """INT while the emulator starts: exit code 1, no folder, no emulator."""
    with kinesis_demo() as demo:
        wait_until("the emulator runs", lambda: emulators_of(demo))
        demo.interrupt()
        demo.wait(code=1)
        check_equal(emulators_of(demo), [], "emulators left")


@story(threaded=False)
def story_demo_on_kinesis_that_is_killed_leaves_no_emulator(env):
    """After KILL nobody is there to end the emulator: it goes by itself."""
    with kinesis_demo() as demo:
        demo.wait_for_words("stdout", "to a receiver inside")
        wait_until("the emulator runs", lambda: emulators_of(demo))
        demo.process.kill()
        demo.process.wait()
        wait_until("the emulator has ended", lambda: not emulators_of(demo))


@story(threaded=False)
def story_demo_on_kinesis_says_what_is_missing(env):
    """Without the emulator, or without Node.js, the command that installs it is said."""
    node_modules()  # where node cannot be had, the suite is reported as not run
    install = "npm install --global kinesis-local@0.6.2"
    with tempfile.TemporaryDirectory(prefix="flowgelf-story-") as folder:
        for programs, said in (([], "packages nodejs and npm"), (["node"], "kinesis-local, which is not on PATH")):
            for name in programs:
                os.symlink(shutil.which(name), f"{folder}/{name}")
            with with_path(folder, "--kinesis") as demo:
                demo.wait(code=1)
                text = demo._path("stderr").read_text()
            check_equal((said in text, install in text), (True, True), f"what is said with {programs}: {text}")


@story(threaded=False)
def story_demo_on_kinesis_goes_with_no_receiver_of_ones_own(env):
    """--kinesis and --to exclude each other."""
    with Demo("--kinesis", "--to", "127.0.0.1:9") as demo:
        demo.wait(code=2)

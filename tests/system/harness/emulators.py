# SPDX-License-Identifier: Apache-2.0
"""Emulators of AWS services that others wrote: kinesis-local, kinesalite and moto for Kinesis, dynalite for DynamoDB.

They come from npm and PyPI by tests/system/aws into build/aws, once. Where they cannot be had, or node, npm or
python3's venv is missing, NotRun says so. Each runs as a process of the test, answers on 127.0.0.1 only, keeps
everything in memory and is ended by its process id.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from .aws import DynamoDb, Kinesis
from .base import BUILD, ROOT, NotRun, StoryFailed, at_end, free_port, stop_process, tail, wait_until

LISTS = ROOT / "tests/system/aws"
SUITE = "aws"
INSTALL_S = 400

# Has every server of a node program listen on 127.0.0.1 alone: some of the emulators know only all addresses.
LOOPBACK = """
const net = require("net"), listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  const port = typeof first === "object" ? first.port : first;
  return listen.call(this, {port: Number(port), host: "127.0.0.1"}, rest.find((one) => typeof one === "function"));
};
"""


def _install(folder, lists, steps):
    """Runs the steps (commands) in the folder unless they were run for these very lists; returns the folder."""
    stamp, wanted = folder / "complete", "".join((LISTS / name).read_text() for name in lists)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in lists:
        shutil.copy(LISTS / name, folder)
    for command in steps:
        try:
            made = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            raise NotRun(SUITE, f"{command[0]} did not bring the emulators in {INSTALL_S} s") from None
        if made.returncode != 0:
            said = [line for line in made.stdout.splitlines() if re.match("npm error|ERROR:", line)]
            reason = said[0] if said else made.stdout[-300:]
            raise NotRun(SUITE, f"{Path(command[0]).name} could not bring the emulators: {reason.strip()[:300]}")
    stamp.write_text(wanted)
    return folder


def node_modules():
    """The folder of the node programs; fetched on first use. No script of a package is run."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise NotRun(SUITE, f"{tool} is missing (packages: nodejs, npm)")
    steps = [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
              "--fetch-retries=1", "--fetch-retry-mintimeout=2000"]]
    return _install(BUILD / "aws/node", ["package.json", "package-lock.json"], steps) / "node_modules"


def venv_programs():
    """The folder of the Python programs; fetched on first use."""
    folder = BUILD / "aws/python"
    steps = [[sys.executable, "-m", "venv", "venv"],
             [str(folder / "venv/bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--retries=1",
              "-r", "requirements.txt"]]
    return _install(folder, ["requirements.txt"], steps) / "venv/bin"


class Emulator:
    """One emulator: running when made, gone after close(). start() after stop() begins with nothing stored."""

    name = "emulator"
    client_type = Kinesis

    def __init__(self):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"flowgelf-{self.name}-"))
        self.log_path = self.folder / "log"
        self.process = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def client(self, **settings):
        return self.client_type(self.endpoint, **settings)

    def start(self):
        command, folder, environment = self._command()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(f"{self.name} answers", self._is_ready, 60, 0.1)

    def stop(self):
        stop_process(self.process, 5)

    def close(self):
        if self.process:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ready(self):
        if not self.is_running:
            raise StoryFailed(f"{self.name} ended by itself:\n{tail(self.log_path)}")
        try:
            self.client().ping()
        except OSError:
            return False
        return True

    def _command(self):
        """(command, working folder, environment)"""
        raise NotImplementedError

    @staticmethod
    def _node(text):
        return ["node", "--max-old-space-size=400", "-e", LOOPBACK + textwrap.dedent(text)]


class KinesisLocal(Emulator):
    """kinesis-mock, the closest to the real one: split, merge, shard end with ChildShards."""

    name = "kinesis-local"

    def _command(self):
        folder = node_modules() / self.name  # where it looks for its own files
        quick = {f"{what}_DURATION": "100ms" for what in (
            "CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS")}
        return (self._node('require("./main.js");'), folder,
                {"KINESIS_MOCK_PLAIN_PORT": str(self.port), "KINESIS_MOCK_TLS_PORT": str(free_port()),
                 "SHARD_LIMIT": "200", "LOG_LEVEL": "ERROR", **quick})


class Kinesalite(Emulator):
    """Old, and its own mind on shard end: no ChildShards."""

    name = "kinesalite"

    def _command(self):
        return (self._node(f"""
            require("kinesalite")({{createStreamMs: 50, deleteStreamMs: 50, updateStreamMs: 50, shardLimit: 200}})
                .listen({self.port});"""), node_modules().parent, {})


class Dynalite(Emulator):
    """DynamoDB with its conditions, for lease tables."""

    name = "dynalite"
    client_type = DynamoDb

    def _command(self):
        return (self._node(f"""
            require("dynalite")({{createTableMs: 50, deleteTableMs: 50}}).listen({self.port});"""),
                node_modules().parent, {})


class Moto(Emulator):
    """moto_server: Kinesis and many others on one port. Sequence numbers are 1, 2, 3; no shard ever ends."""

    name = "moto"

    def _command(self):
        return ([str(venv_programs() / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)], self.folder, {})


class Emulators:
    """The emulators of a run, each started when first asked for, and again when a story left it dead. Stories use
    the one called `shared`, which ends with the run."""

    def __init__(self):
        self._running = {}
        self._lacking = {}

    def get(self, kind):
        if kind in self._lacking:
            raise self._lacking[kind]
        try:
            if kind in self._running and not self._running[kind].is_running:
                self._running.pop(kind).close()
            if kind not in self._running:
                self._running[kind] = kind()
        except NotRun as lacking:
            self._lacking[kind] = lacking
            raise
        return self._running[kind]

    def close(self):
        for emulator in self._running.values():
            emulator.close()
        self._running.clear()


shared = Emulators()
at_end(shared.close)

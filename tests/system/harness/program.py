# SPDX-License-Identifier: Apache-2.0
"""The program under test: started with a configuration of its own, watched, ended, and checked to be clean."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .base import BUILD, ROOT, SLOWNESS, StoryFailed, wait_until

SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion `)")
SANITIZER_EXIT = 99


def program_path():
    return Path(os.environ.get("FLOWGELF", BUILD / "asan/flowgelf")).resolve()


def sanitizer_environment():
    """What makes a finding visible: its own exit code, and TSan told of librdkafka."""
    return {
        **os.environ,
        "ASAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:detect_leaks=1",
        "UBSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:print_stacktrace=1",
        "TSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:suppressions={ROOT}/tests/system/tsan.supp",
    }


class Flowgelf:
    """`with Flowgelf(config) as program:` runs `flowgelf run -c` and at the end checks that it ended well.

    config: YAML text; `state:` is put before it unless it has one. The folder (state, configuration, written
    files) lives as long as the object: start() after kill() goes on with the same state. stdin: path of a file.
    """

    def __init__(self, config, args=(), env=None, stdin=None):
        self.folder = Path(tempfile.mkdtemp(prefix="flowgelf-story-"))
        self.state = self.folder / "state"
        self.state.mkdir()
        self.config_path = self.folder / "flowgelf.yaml"
        self.stderr_path = self.folder / "stderr"
        self.configure(config)
        self.args = list(args)
        self.env = {**sanitizer_environment(), **(env or {})}
        self.stdin_path = stdin or os.devnull
        self.process = None
        self._said_before = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, failure, _):
        try:
            if kind is None and self.process.returncode is None:
                self.terminate()
            elif kind is StoryFailed and "flowgelf" not in str(failure):
                failure.args = (f"{failure}\nflowgelf said last:\n{self.last_words()}",)
        finally:
            self.close()

    @property
    def stderr(self):
        try:
            return self.stderr_path.read_text(errors="replace")
        except OSError:
            return ""

    @property
    def stderr_now(self):
        """What the process that runs now has said, without those before it."""
        return self.stderr[self._said_before:]

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def memory_kib(self):
        """Resident memory now, of /proc."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def configure(self, config):
        """Writes the configuration; a running program reads it at its next start or reload."""
        state = "" if re.search(r"^state:", config, re.M) else f"state: {self.state}\n"
        self.config_path.write_text(state + config)

    def write(self, name, data):
        """A file beside the configuration, so that its name alone is its path there."""
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def append(self, name, data):
        with (self.folder / name).open("a") as file:
            file.write(data)

    def start(self):
        self._said_before = len(self.stderr)
        with self.stderr_path.open("ab") as stderr, (self.folder / "stdout").open("ab") as stdout, \
                open(self.stdin_path, "rb") as stdin:
            self.process = subprocess.Popen(
                [str(program_path()), "run", "-c", str(self.config_path), *self.args], cwd=self.folder,
                env=self.env, stdin=stdin, stdout=stdout, stderr=stderr)

    def kill(self):
        """SIGKILL, as a power cut; nothing is checked but that no sanitizer spoke before."""
        self.process.kill()
        self.process.wait()
        self._check_clean()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def terminate(self, timeout_s=120):
        """TERM and the end in good order: exit code 0, no sanitizer's report."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s=180, code=0):
        """Waits for the end by itself and checks the exit code and the sanitizers."""
        try:
            found = self.process.wait(timeout_s * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise StoryFailed(f"flowgelf did not end in {timeout_s} s:\n{self.last_words()}") from None
        self._check_clean()
        if found != code:
            raise StoryFailed(f"flowgelf ended with {found}, not {code}:\n{self.last_words()}")
        return found

    def wait_for_log(self, text, timeout_s=120):
        """Waits until the running process has said `text` on stderr."""

        def is_said():
            said = text in self.stderr_now
            if not said and not self.is_running:
                raise StoryFailed(f"flowgelf ended before it said '{text}':\n{self.last_words()}")
            return said

        wait_until(f"flowgelf says '{text}'", is_said, timeout_s)

    def position_of(self, path):
        """How many bytes of the file the state says are delivered; -1: it says nothing of it."""
        try:
            rows = json.loads((self.state / "files.json").read_text())["files"]
        except FileNotFoundError:
            return -1
        return next((row["position"] for row in rows if row["inode"] == path.stat().st_ino), -1)

    def counter(self, name):
        """A counter of the statistics that the program prints at its end; 0 when it prints none."""
        found = re.findall(rf"\b{name}=(\d+)", self.stderr_now)
        return int(found[-1]) if found else 0

    def last_words(self, lines=25):
        return "\n".join(self.stderr.splitlines()[-lines:])

    def close(self):
        if self.is_running:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_clean(self):
        found = SANITIZER.search(self.stderr)
        if found or self.process.returncode == SANITIZER_EXIT:
            at = found.start() if found else 0
            raise StoryFailed(f"a sanitizer reports:\n{self.stderr[max(0, at - 200):at + 4000]}")

    @staticmethod
    def command(*args, data=b"", code=0, timeout_s=120):
        """Runs another command of the program (enrich, check ...) to its end; returns (stdout, stderr) as text."""
        done = subprocess.run([str(program_path()), *map(str, args)], input=data, timeout=timeout_s * SLOWNESS,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=sanitizer_environment())
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if SANITIZER.search(err) or done.returncode != code:
            raise StoryFailed(f"flowgelf {' '.join(map(str, args))} ended with {done.returncode}, not {code}:\n"
                              f"{err[-4000:]}")
        return out, err

# SPDX-License-Identifier: Apache-2.0
"""What the benchmark runs with: compiled helpers, the receiver, processes whose memory is watched, the machine's name."""

import datetime
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = Path(os.environ.get("FLOWGELF_BUILD", ROOT / "build")).resolve()
WORK = BUILD / "bench"
LIBRARIES = ["rdkafka", "jansson", "zlib", "libdeflate", "libmaxminddb", "yaml-0.1", "libssl", "libcrypto",
             "libcurl", "expat", "libxxhash"]


class BenchFailed(Exception):
    """A measurement that cannot be trusted, or a program that did not do its part."""


class NotRun(Exception):
    """Something from outside is missing; said in the table."""


def program():
    return Path(os.environ.get("FLOWGELF", BUILD / "flowgelf")).resolve()


def shared_data(name):
    """A file that may not be copied into the project, where the folder beside the source tree has it; else None."""
    folder = Path(os.environ.get("FLOWGELF_SHARED_DATA", ROOT.parent / "shared/data"))
    path = folder / name
    return path if path.exists() else None


def compile_tool(name, sources, with_library=False):
    """Builds one of the C programs here into build/bench; returns its path. Optimised as a plain build is."""
    out = WORK / name
    inputs = [HERE / source for source in sources] + [BUILD / "libflowgelf.a"] * with_library
    newest = max(path.stat().st_mtime for path in [*inputs, HERE / "flowgen.h"])
    if out.exists() and out.stat().st_mtime > newest:
        return out
    flags = {kind: shlex.split(subprocess.run(["pkg-config", kind, *LIBRARIES], check=True, text=True,
                                              stdout=subprocess.PIPE).stdout) for kind in ("--cflags", "--libs")}
    command = [os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-pthread", f"-I{ROOT}/src",
               f"-I{BUILD}/src", *flags["--cflags"], *map(str, inputs), *flags["--libs"], "-lm", "-o", str(out)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise BenchFailed(f"{name} does not compile:\n{done.stderr[:2000]}")
    return out


def describe():
    """The machine in a few words, and the date."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", info)
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    release = Path("/etc/os-release")
    system = re.search(r'PRETTY_NAME="?([^"\n]*)', release.read_text()) if release.exists() else None
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model[1].strip() if model else os.uname().machine,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / 2**20),
        "kernel": os.uname().release,
        "system": system[1] if system else os.uname().sysname,
        "load_at_start": os.getloadavg()[0],
    }


class Process:
    """A program in the foreground with its output in a log; ended by its own id only."""

    def __init__(self, name, command, env=None):
        self.log_path = WORK / f"{name}.log"
        self.cpu_s = 0.0  # known at its end
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **(env or {})}, cwd=WORK)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def is_running(self):
        """Whether it still runs; does not reap it, so that wait() sees what it used."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"

    def wait(self, timeout_s):
        """Waits for the end by itself; takes the processor time that it used."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.process.wait(timeout_s)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_s += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return self.process.returncode

    def stop(self, grace_s=15):
        if self.process.returncode is None:
            self.process.terminate()
            try:
                self.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait(grace_s)
        return self.process.returncode

    def last_words(self):
        return self.log_path.read_text(errors="replace")[-1500:]


class MemoryWatch:
    """The largest resident size that a process had, without the pages of its rings, in MiB.

    A ring is a mapping of its own of at least `ring_mib`, without reserved swap (flag nr), which is how the core maps
    it. Sampled four times a second; between samples the kernel's own high-water mark counts in full.
    """

    def __init__(self, pid, ring_mib):
        self._pid = pid
        self._ring_kib = ring_mib * 1024
        self._stopping = threading.Event()
        self.besides_rings_mib = 0.0
        self.high_water_mib = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopping.set()
        self._thread.join()

    def _run(self):
        while not self._stopping.wait(0.25):
            try:
                self._sample()
            except (OSError, TypeError):
                return  # it has ended

    def _sample(self):
        """A ring that fills between two looks would be taken for other memory: such a sample does not count."""
        before_kib = self._rings_kib()
        status = Path(f"/proc/{self._pid}/status").read_text()
        peak_kib = int(re.search(r"VmHWM:\s+(\d+)", status)[1])
        rings_kib = self._rings_kib()
        if rings_kib != before_kib:
            return
        self.high_water_mib = peak_kib / 1024
        self.besides_rings_mib = max(self.besides_rings_mib, (peak_kib - rings_kib) / 1024)

    def _rings_kib(self):
        rings_kib = 0
        for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{self._pid}/smaps").read_text()):
            size = int(re.search(r"^Size:\s+(\d+)", block, re.M)[1])
            if size >= self._ring_kib and re.search(r"^VmFlags:.*\bnr\b", block, re.M):
                rings_kib += int(re.search(r"^Rss:\s+(\d+)", block, re.M)[1])
        return rings_kib


class Sink:
    """bench_sink: the receiver. `with Sink(tool, want) as sink:`, then sink.result() once the sender is done."""

    def __init__(self, tool, want):
        self._process = subprocess.Popen([str(tool), str(want)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         text=True)
        self.port = int(self._process.stdout.readline().split()[1])
        self._enough = threading.Event()
        self._last = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)
        self._thread.join(10)
        self._process.stdout.close()

    def _read(self):
        for line in self._process.stdout:
            if line == "enough\n":
                self._enough.set()
            self._last = line

    def wait_for_all(self, sender, timeout_s):
        """Until all messages are there; the sender must live as long."""
        end = time.monotonic() + timeout_s
        while not self._enough.wait(0.05):
            if not sender.is_running and not self._enough.wait(1):
                raise BenchFailed(f"the sender ended before all messages came:\n{sender.last_words()}")
            if time.monotonic() > end:
                raise BenchFailed(f"not all messages came within {timeout_s} s:\n{sender.last_words()}")

    def result(self):
        """Ends the receiver and returns what it saw, checked."""
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        seen = json.loads(self._last)
        seen["rate"] = seen["messages"] / seen["seconds"]
        if seen["malformed"] or seen["unfinished"]:
            raise BenchFailed(f"the receiver saw malformed messages: {self._last}")
        return seen


class Stream:
    """bench_kinesis: a stream of so many shards with so many lines in it."""

    def __init__(self, tool, shards, lines):
        self._process = subprocess.Popen([str(tool), str(shards), str(lines)], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, text=True)
        words = self._process.stdout.readline().split()
        if len(words) != 2:
            raise BenchFailed("bench_kinesis did not start")
        self.port, self.flows = map(int, words)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self.result()
        self._process.stdout.close()

    def result(self):
        """Ends it and returns what it counted."""
        self._process.terminate()
        said = self._process.stdout.readline()
        self._process.wait(10)
        return json.loads(said)


def fresh_folder(name):
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def say(text):
    print(text, file=sys.stderr, flush=True)

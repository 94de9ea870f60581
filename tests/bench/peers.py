# SPDX-License-Identifier: Apache-2.0
"""syslog-ng and rsyslog doing the same job without enrichment: a file in, GELF over TCP out.

They are taken from $FLOWGELF_PEERS, where `./dev bench` unpacks Debian's packages (the two exclude each other and would
start as services if they were installed), else from the PATH. Each runs in the foreground on files of its own.
"""

import os
import shutil
from pathlib import Path

from machine import BUILD, HERE, NotRun, Process, fresh_folder

PEERS = Path(os.environ.get("FLOWGELF_PEERS", BUILD / "peers"))


class Peer:
    """What the two have in common; `start` returns a Process that sends lines of `path` to `port`."""

    name = ""     # of the program
    package = ""  # Debian's, and the folder it is unpacked into

    def __init__(self):
        self.root = PEERS / self.package
        unpacked = self.root / "usr/sbin" / self.name
        paths = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self.binary = unpacked if unpacked.exists() else shutil.which(self.name, path=paths)
        self.is_unpacked = unpacked.exists()
        if not self.binary:
            raise NotRun(f"{self.name} is neither in {self.root} nor installed")

    def _environment(self):
        if not self.is_unpacked:
            return {}
        folders = [path.parent for pattern in ("lib*.so", "lib*.so.*")
                   for tree in ("usr/lib", "lib") for path in (self.root / tree).rglob(pattern)]
        return {"LD_LIBRARY_PATH": ":".join(sorted({str(folder) for folder in folders}))}

    def _configure(self, path, port):
        folder = fresh_folder(self.name)
        text = (HERE / "peers" / f"{self.name.removesuffix('d')}.conf.in").read_text()
        for key, value in {"IN": path, "PORT": port, "WORK": folder}.items():
            text = text.replace(f"@{key}@", str(value))
        (folder / "conf").write_text(text)
        return folder

    def start(self, path, port):
        folder = self._configure(path, port)
        return Process(self.name, [self.binary, *self._arguments(folder)], self._environment())


class SyslogNg(Peer):
    name = "syslog-ng"
    package = "syslog-ng-core"

    def _arguments(self, folder):
        modules = [path.parent for path in (self.root / "usr/lib").rglob("libcsvparser.so")]
        return ["-F", "--no-caps", "-f", folder / "conf", f"--persist-file={folder}/persist",
                f"--pidfile={folder}/pid", f"--control={folder}/control",
                *[f"--module-path={path}" for path in modules if self.is_unpacked]]


class Rsyslog(Peer):
    name = "rsyslogd"
    package = "rsyslog"

    def _arguments(self, folder):
        modules = [path.parent for path in (self.root / "usr/lib").rglob("imfile.so")]
        where = ["-M", modules[0]] if self.is_unpacked and modules else []
        return ["-n", "-f", folder / "conf", "-i", folder / "pid", *where]

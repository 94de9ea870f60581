# SPDX-License-Identifier: Apache-2.0
"""An authority of one's own and certificates for 127.0.0.1 that it signs, made by openssl."""

import subprocess

from .base import StoryFailed

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)
    if done.returncode != 0:
        raise StoryFailed(f"openssl {args[0]} failed: {done.stdout}")


def make_authority(folder, name="ca"):
    """Returns the path of its certificate; the key lies beside it."""
    certificate = folder / f"{name}.pem"
    _openssl("req", "-x509", *NEW_KEY, "-days", 30, "-subj", f"/CN=Authority {name} of the stories",
             "-keyout", folder / f"{name}.key", "-out", certificate)
    return certificate


def make_server(folder, authority):
    """Returns the path of a file with a server's key and certificates, as Kafka reads them."""
    key, request, certificate = (folder / f"server.{end}" for end in ("key", "csr", "crt"))
    names = folder / "server.names"
    names.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    _openssl("req", *NEW_KEY, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    _openssl("x509", "-req", "-days", 30, "-in", request, "-CA", authority, "-CAkey", authority.with_suffix(".key"),
             "-CAcreateserial", "-extfile", names, "-out", certificate)
    together = folder / "server.pem"
    together.write_text(key.read_text() + certificate.read_text() + authority.read_text())
    return together

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes ./configure from configure.ac. Needed in a fresh checkout only; release tarballs carry the result.
set -e
cd "$(dirname "$0")"
autoreconf --install --force

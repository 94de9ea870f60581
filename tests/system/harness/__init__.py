# SPDX-License-Identifier: Apache-2.0
"""What the system tests are made of: a real broker, scriptable receivers, the program under test.

A story imports from here and nothing else: `from harness import story, wait_until, GelfTcpReceiver`.
"""

from . import flows
from .base import NotRun, StoryFailed, check_equal, free_port, story, wait_until
from .broker import Broker
from .program import Flowgelf
from .receiver import UDP_FITS, GelfTcpReceiver, GelfUdpReceiver, ReceiverProcess, Together

__all__ = [
    "Broker", "Flowgelf", "GelfTcpReceiver", "GelfUdpReceiver", "NotRun", "ReceiverProcess",
    "StoryFailed", "Together", "UDP_FITS", "check_equal", "flows", "free_port", "story", "wait_until",
]

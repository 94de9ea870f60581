# SPDX-License-Identifier: Apache-2.0
"""The receivers themselves: that they read, lose and keep what the other stories believe of them.

No flowgelf takes part, so there is nothing to see for ThreadSanitizer: threaded=False.
"""

import gzip
import json
import socket

from harness import GelfTcpReceiver, GelfUdpReceiver, ReceiverProcess, check_equal, story, wait_until


def messages(first, last):
    return [json.dumps({"version": "1.1", "_interface_id": f"eni-{i}"}).encode() for i in range(first, last)]


def ids(first, last):
    return {f"eni-{i}" for i in range(first, last)}


def connect(receiver):
    return socket.create_connection(("127.0.0.1", receiver.port), 60)


def send(sock, payloads):
    sock.sendall(b"".join(payload + b"\0" for payload in payloads))


def is_reset(sock):
    try:
        sock.settimeout(60)
        return sock.recv(1) != b""
    except ConnectionResetError:
        return True


@story(threaded=False)
def story_tcp_receiver_counts_what_it_read_and_nothing_else(env):
    """Read before a stall counts, unread at a reset is lost, and the port comes back."""
    with GelfTcpReceiver() as receiver:
        with connect(receiver) as sock:
            send(sock, messages(0, 100))
            wait_until("a hundred are read", lambda: receiver.count == 100)
            receiver.stall()
            send(sock, messages(100, 200))
            receiver.reset()
            check_equal(is_reset(sock), True, "the reset is seen")
        receiver.go_away()
        receiver.come_back()
        with connect(receiver) as sock:
            send(sock, messages(99, 101))
            wait_until("the next two are read", lambda: receiver.count == 102)
        wait_until("the half-close is seen", lambda: receiver.half_closes == 1)
        check_equal((receiver.distinct, receiver.duplicates), (101, 1), "distinct and duplicates")
        check_equal(receiver.missing(ids(0, 200)), ids(101, 200), "lost")


@story(threaded=False)
def story_tcp_receiver_leaves_a_half_close_unanswered(env):
    with GelfTcpReceiver(answer_half_close=False, receive_buffer=8192) as receiver:
        with connect(receiver) as sock:
            send(sock, messages(0, 1))
            sock.shutdown(socket.SHUT_WR)
            wait_until("the half-close is seen", lambda: receiver.half_closes == 1)
            sock.settimeout(0.3)
            try:
                answered = sock.recv(1) == b""
            except socket.timeout:
                answered = False
            check_equal(answered, False, "an answer")
            receiver.let_half_open_go()
            sock.settimeout(60)
            check_equal(sock.recv(1), b"", "the late answer")


@story(threaded=False)
def story_killed_receiver_loses_what_it_had_not_read(env):
    with ReceiverProcess() as receiver:
        with connect(receiver) as sock:
            send(sock, messages(0, 500))
            wait_until("500 are read", lambda: receiver.count == 500)
            receiver.hang()
            send(sock, messages(500, 600))
            receiver.kill()
            check_equal(is_reset(sock), True, "the reset is seen")
        receiver.start()
        with connect(receiver) as sock:
            send(sock, messages(600, 700))
            wait_until("100 more are read", lambda: receiver.count == 600)
        check_equal(receiver.missing(ids(0, 700)), ids(500, 600), "lost")


@story(threaded=False)
def story_udp_receiver_assembles_and_inflates(env):
    plain, zipped, chunked = messages(0, 3)
    pieces = [chunked[:10], chunked[10:]]
    with GelfUdpReceiver() as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", receiver.port))
        sock.send(plain)
        sock.send(gzip.compress(zipped))
        for number in (1, 0):
            sock.send(b"\x1e\x0f" + b"12345678" + bytes([number, len(pieces)]) + pieces[number])
        receiver.wait_for(3)
        check_equal(receiver.missing(ids(0, 3)), set(), "lost")
        check_equal((receiver.datagrams, receiver.chunked, receiver.compressed, receiver.incomplete),
                    (4, 1, 1, 0), "datagrams, chunked, compressed, incomplete")

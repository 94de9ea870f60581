# SPDX-License-Identifier: Apache-2.0
"""GELF over UDP: paced, in chunks, compressed, and to a port that nobody listens on.

A receiver that is not scheduled in time loses datagrams, which is no fault of flowgelf's. So no story sends more of
them than the kernel keeps for it.
"""

import base64
import json
import socket
import time

from harness import UDP_FITS, Flowgelf, GelfUdpReceiver, check_equal, flows, free_port, story, wait_until


ALL_FIELDS = {"fields": {"set": "all"}}  # messages of more than 600 bytes


def program_with(port, count, messages=None, **settings):
    output = {"gelf_udp": {"hosts": [f"127.0.0.1:{port}"], **settings}}
    program = Flowgelf(flows.config(flows.files("flows.log"), output, workers=1, messages=messages))
    program.write("flows.log", flows.text(0, count))
    return program


@story()
def story_udp_arrives_at_its_pace(env):
    """Given a rate of 10 datagrams a second; when 150 flows lie in a file; then 128, as many as one message may need,
    go at once, the others take their time, and all arrive, each in one datagram."""
    count = UDP_FITS
    with GelfUdpReceiver() as receiver:
        start = time.monotonic()
        with program_with(receiver.port, count, rate=10) as program:
            program.wait()
            took = time.monotonic() - start
            receiver.wait_for(count)
            check_equal(program.counter("datagrams"), count, "datagrams counted")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(took > 1.2, True, f"{count - 128} at 10 a second take longer than {took:.1f} s")
        check_equal((receiver.chunked, receiver.nonsense), (0, []), "chunked and nonsense")


@story()
def story_udp_chunks_within_a_small_mtu(env):
    """Given an mtu of 576 and no compression; then messages come in chunks, no datagram is larger, each message
    comes together again, and is what it was."""
    count = UDP_FITS // 2
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, ALL_FIELDS, mtu=576, compress="none") as program:
            program.wait()
            receiver.wait_for(count)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.chunked, receiver.incomplete, receiver.compressed, receiver.duplicates),
                    (count, 0, 0, 0), "chunked, incomplete, compressed, duplicates")
        check_equal(receiver.largest, 576, "largest datagram")
        check_equal({m["version"] for m in receiver.messages}, {"1.1"}, "versions of GELF")
        check_equal(receiver.nonsense, [], "nonsense")


@story()
def story_udp_compresses(env):
    """Given compress: gzip; then every message is compressed and readable."""
    count = UDP_FITS
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, compress="gzip") as program:
            program.wait()
            receiver.wait_for(count)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.compressed, receiver.chunked, receiver.nonsense), (count, 0, []),
                    "compressed, chunked, nonsense")


@story()
def story_udp_compresses_only_where_it_saves_a_datagram(env):
    """Given compress: auto and an mtu that a message does not fit plainly; then it is compressed into one."""
    count = UDP_FITS
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, ALL_FIELDS, mtu=600) as program:
            program.wait()
            receiver.wait_for(count)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.compressed, receiver.datagrams), (count, count), "compressed, datagrams")
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, ALL_FIELDS) as program:
            program.wait()
            receiver.wait_for(count)
        check_equal((receiver.compressed, receiver.datagrams), (0, count), "compressed, datagrams of 1420")


WIDE = "${version} ${interface-id} ${srcaddr} ${dstaddr} ${action} ${a} ${b} ${c}"


def wide_line(number, size):
    """Three fields of quotes, which are twice as long in JSON."""
    return f"2 eni-{number} 10.0.0.1 10.0.0.2 ACCEPT" + 3 * (" " + '"' * size)


@story()
def story_udp_message_that_no_chunks_hold(env):
    """Given an mtu of 576, so that 128 chunks hold 72,192 bytes, and messages of more; when they are not compressed,
    they are counted and go to the dead letter with position and bytes, and the others arrive; when they are, all do."""
    lines = [wide_line(number, size) for number, size in enumerate([10, 17_000, 10, 17_000, 10])]
    for compress, arrived in (("none", {0, 2, 4}), ("auto", {0, 1, 2, 3, 4})):
        with GelfUdpReceiver() as receiver:
            output = {"gelf_udp": {"hosts": [f"127.0.0.1:{receiver.port}"], "mtu": 576, "compress": compress}}
            program = Flowgelf(flows.config(flows.files("wide.log"), output, workers=1, messages=ALL_FIELDS,
                                            flow_logs={"formats": [WIDE]}, dead_letter={"path": "dead.jsonl"}))
            path = program.write("wide.log", "\n".join(lines) + "\n")
            with program:
                program.wait()
                receiver.wait_for(len(arrived))
                refused = sorted(set(range(len(lines))) - arrived)
                check_equal(program.counter("bad_message_too_large"), len(refused), "messages too large")
                check_equal(program.counter("delivered"), len(arrived), "messages delivered")
                letters = program.state / "dead.jsonl"
                dead = [json.loads(text) for text in letters.read_text().splitlines()] if letters.exists() else []
        check_equal(set(receiver.ids), {f"eni-{number}" for number in arrived}, "what arrived")
        check_equal([(d["reason"], d["stream"], d["line"]) for d in dead],
                    [("message_too_large", str(path), number + 1) for number in refused], "dead letters")
        check_equal([base64.b64decode(d["raw"]).decode() for d in dead], [lines[number] for number in refused],
                    "their bytes")


@story()
def story_udp_receiver_is_away(env):
    """Given nobody on the port, so that the kernel refuses datagrams; then they are counted and flowgelf goes on;
    when a receiver comes, what is written from then on arrives."""
    port = free_port(socket.SOCK_DGRAM)
    output = {"gelf_udp": {"hosts": [f"127.0.0.1:{port}"], "rate": 200}}
    program = Flowgelf(flows.config(flows.files("flows.log", follow=True), output, workers=1))
    program.write("flows.log", flows.text(0, 200))
    with program:
        program.wait_for_log("refuses datagrams: nobody listens there")
        with GelfUdpReceiver(port=port) as receiver:
            program.append("flows.log", flows.text(200, 200 + UDP_FITS // 2))
            wait_until("the later ones arrive", lambda: not receiver.missing(flows.ids(200, 200 + UDP_FITS // 2)))
            program.terminate()
        check_equal(program.counter("datagrams_refused") > 0, True, "refused datagrams are counted")

# SPDX-License-Identifier: Apache-2.0
"""GELF over UDP: paced, in chunks, compressed, and to a port that nobody listens on."""

import time

from harness import Flowgelf, GelfUdpReceiver, check_equal, flows, free_port, story, wait_until


ALL_FIELDS = {"fields": {"set": "all"}}  # messages of more than 600 bytes


def program_with(port, count, messages=None, **settings):
    output = {"gelf_udp": {"hosts": [f"127.0.0.1:{port}"], **settings}}
    program = Flowgelf(flows.config(flows.files("flows.log"), output, workers=1, messages=messages))
    program.write("flows.log", flows.text(0, count))
    return program


@story(limit_s=60)
def story_udp_arrives_at_its_pace(env):
    """Given a rate of 4,000 datagrams a second; when 6,000 flows lie in a file; then they take their time and all
    arrive, each in one datagram."""
    count = 6_000
    with GelfUdpReceiver() as receiver:
        start = time.monotonic()
        with program_with(receiver.port, count, rate=4000) as program:
            program.wait(30)
            took = time.monotonic() - start
            receiver.wait_for(count)
            check_equal(program.counter("datagrams"), count, "datagrams counted")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(took > 1.2, True, f"6,000 at 4,000 a second take longer than {took:.1f} s")
        check_equal((receiver.chunked, receiver.nonsense), (0, []), "chunked and nonsense")


@story(limit_s=60)
def story_udp_chunks_within_a_small_mtu(env):
    """Given an mtu of 576 and no compression; then messages come in chunks, no datagram is larger, each message
    comes together again, and is what it was."""
    count = 2_000
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, ALL_FIELDS, mtu=576, compress="none", rate=10_000) as program:
            program.wait(30)
            receiver.wait_for(count)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.chunked, receiver.incomplete, receiver.compressed, receiver.duplicates),
                    (count, 0, 0, 0), "chunked, incomplete, compressed, duplicates")
        check_equal(receiver.largest, 576, "largest datagram")
        check_equal({m["version"] for m in receiver.messages}, {"1.1"}, "versions of GELF")
        check_equal(receiver.nonsense, [], "nonsense")


@story(limit_s=60)
def story_udp_compresses(env):
    """Given compress: gzip; then every message is compressed and readable."""
    count = 1_000
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, compress="gzip") as program:
            program.wait(30)
            receiver.wait_for(count)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.compressed, receiver.chunked, receiver.nonsense), (count, 0, []),
                    "compressed, chunked, nonsense")


@story(limit_s=60)
def story_udp_compresses_only_where_it_saves_a_datagram(env):
    """Given compress: auto and an mtu that a message does not fit plainly; then it is compressed into one."""
    count = 500
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, ALL_FIELDS, mtu=600) as program:
            program.wait(30)
            receiver.wait_for(count)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.compressed, receiver.datagrams), (count, count), "compressed, datagrams")
    with GelfUdpReceiver() as receiver:
        with program_with(receiver.port, count, ALL_FIELDS) as program:
            program.wait(30)
            receiver.wait_for(count)
        check_equal((receiver.compressed, receiver.datagrams), (0, count), "compressed, datagrams of 1420")


@story(limit_s=60)
def story_udp_receiver_is_away(env):
    """Given nobody on the port, so that the kernel refuses datagrams; then they are counted and flowgelf goes on;
    when a receiver comes, what is written from then on arrives."""
    port = free_port()
    output = {"gelf_udp": {"hosts": [f"127.0.0.1:{port}"], "rate": 1000}}
    program = Flowgelf(flows.config(flows.files("flows.log", follow=True), output, workers=1))
    program.write("flows.log", flows.text(0, 200))
    with program:
        program.wait_for_log("refuses datagrams: nobody listens there", 15)
        time.sleep(1)
        with GelfUdpReceiver(port=port) as receiver:
            program.append("flows.log", flows.text(200, 500))
            wait_until("the later ones arrive", lambda: not receiver.missing(flows.ids(200, 500)), 15)
            program.terminate()
        check_equal(program.counter("datagrams_refused") > 0, True, "refused datagrams are counted")

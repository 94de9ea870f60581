# SPDX-License-Identifier: Apache-2.0
"""GELF over TCP to receivers that reset, stall, hang, die, come late and are rude: nothing is lost.

The source is a file, which flowgelf reads to its end and then exits 0, and that means: everything is delivered. So
what has arrived is looked at right after the exit, without waiting.
"""

import time

from harness import (Flowgelf, GelfTcpReceiver, ReceiverProcess, check_equal, flows, free_port, story,
                     wait_until)
from harness.flows import MIB


def program_with(output, count, workers=1, **top):
    """flowgelf that will read `count` flows of a file."""
    program = Flowgelf(flows.config(flows.files("flows.log"), output, workers=workers, **top))
    program.write("flows.log", flows.text(0, count))
    return program


def wait_for_unread(receiver, size_bytes):
    """And until flowgelf, which looks at least ten times a second, has seen that they are acknowledged."""
    wait_until(f"{size_bytes} bytes lie unread", lambda: receiver.unread_bytes >= size_bytes, 20)
    time.sleep(0.25)


def wait_for_count(receiver, count):
    wait_until(f"{count} messages are read", lambda: receiver.count >= count, 40)


def check_all(receiver, count, incidents, peer_buffer_mib=1):
    flows.check_arrived(receiver, flows.ids(0, count))
    flows.check_duplicates(receiver, incidents, peer_buffer_mib=peer_buffer_mib)


@story(limit_s=60, threaded=True)
def story_five_resets_with_megabytes_unread(env):
    """Given default settings and a receiver that reads fast (25 MB a second); when it resets the connection five
    times with more than a megabyte unread; then every flow arrives, and again no more than the ring holds."""
    count = 100_000
    with GelfTcpReceiver(bytes_a_second=25_000_000) as receiver:
        with program_with(flows.gelf_tcp(receiver), count) as program:
            for round_number in range(5):
                wait_for_count(receiver, 12_000 * (round_number + 1))
                receiver.stall()
                wait_for_unread(receiver, MIB)
                receiver.reset()
                receiver.resume()
            program.wait(40)
            check_equal(program.counter("connections_lost"), 5, "connections lost")
        check_all(receiver, count, incidents=5, peer_buffer_mib=32)


@story(limit_s=60)
def story_five_resets_of_a_receiver_with_a_small_buffer(env):
    """Given a receiver whose socket holds little, and a peer_buffer that is small but larger than that; when it
    resets five times with its buffer full, in which whole parcels lie; then every flow arrives, most of them proved
    by the bytes behind."""
    count = 40_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count, parcel_size="64KiB") as program:
            for round_number in range(5):
                wait_for_count(receiver, 5_000 * (round_number + 1))
                receiver.stall()
                wait_for_unread(receiver, 48 << 10)
                receiver.reset()
                receiver.resume()
            program.wait(40)
        check_all(receiver, count, incidents=5)


@story(limit_s=60)
def story_resets_hit_every_worker(env):
    """Given two files and two workers, each with a connection; when the receiver resets both with
    their buffers full; then nothing is lost."""
    count = 60_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        program = Flowgelf(flows.config(flows.files("flows*.log"), flows.gelf_tcp(receiver, **flows.SMALL), workers=2,
                                        parcel_size="64KiB"))
        program.write("flows1.log", flows.text(0, count // 2))
        program.write("flows2.log", flows.text(count // 2, count))
        with program:
            for round_number in range(3):
                wait_for_count(receiver, 5_000 * (round_number + 1))
                wait_until("both are connected", lambda: receiver.open_connections == 2)
                receiver.stall()
                wait_for_unread(receiver, 96 << 10)
                receiver.reset()
                receiver.resume()
            program.wait(40)
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=3, workers=2)


@story(limit_s=60)
def story_hung_receiver_is_killed_with_unread_bytes(env):
    """Given a receiver in a process of its own; when it hangs, its kernel goes on acknowledging, it is killed by
    SIGKILL with all that unread and comes back, three times over; then every flow arrives."""
    count = 60_000
    with ReceiverProcess(bytes_a_second=8_000_000) as receiver:
        with program_with(flows.gelf_tcp(receiver), count, parcel_size="64KiB") as program:
            for round_number in range(3):
                wait_for_count(receiver, 12_000 * (round_number + 1))
                receiver.hang()
                wait_for_unread(receiver, 128 << 10)
                receiver.kill()
                time.sleep(0.3)  # a while without anybody on the port
                receiver.start()
            program.wait(40)
        flows.check_arrived(receiver, flows.ids(0, count))


@story(limit_s=60)
def story_receiver_killed_after_the_last_byte(env):
    """Given few flows, which fit the receiver's socket; when it hangs before it reads them, so that all are
    acknowledged, and is killed; then flowgelf has not taken them for delivered, and sends them again."""
    count = 200
    with ReceiverProcess() as receiver:
        receiver.hang()
        with program_with(flows.gelf_tcp(receiver), count) as program:
            wait_until("all lies unread", lambda: receiver.unread_bytes >= 200 * count, 20)
            time.sleep(1)
            check_equal(program.is_running, True, "flowgelf waits")
            receiver.kill()
            receiver.start()
            program.wait(30)
        flows.check_arrived(receiver, flows.ids(0, count))


@story(limit_s=60)
def story_receiver_stalls_and_goes_on(env):
    """Given a receiver that stops reading for seconds, three times, longer than confirm_after; when it goes on;
    then everything arrives once, over connections of which none was lost."""
    count = 40_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL, confirm_after="500ms"), count) as program:
            for round_number in range(3):
                wait_for_count(receiver, 8_000 * (round_number + 1))
                receiver.stall()
                time.sleep(1.5)
                receiver.resume()
            program.wait(40)
            check_equal(program.counter("connections_lost"), 0, "connections lost")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60)
def story_slow_receiver_slows_the_source(env):
    """Given a receiver that reads 2 MB a second; then flowgelf reads no faster, and all arrives once."""
    count = 8_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER, bytes_a_second=2_000_000) as receiver:
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count) as program:
            program.wait(40)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60)
def story_receiver_that_never_answers_a_half_close(env):
    """Given a receiver that keeps its side open; when flowgelf ends a connection and waits dead_after in vain; then
    it says so, takes what is acknowledged for settle_delay as delivered, and comes to its end."""
    count = 3_000
    with GelfTcpReceiver(answer_half_close=False) as receiver:
        output = flows.gelf_tcp(receiver, confirm_after="300ms", settle_delay="200ms", dead_after="2s")
        with program_with(output, count) as program:
            program.wait_for_log("acknowledged the end of a connection and did not answer it", 20)
            check_equal("messages count as delivered when acknowledged for 0.2 s" in program.stderr, True,
                        "the level is said")
            program.wait(20)
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.half_closes >= 1, True, "a half-close was tried")


@story(limit_s=60)
def story_quiet_stream_is_confirmed(env):
    """Given a followed file that goes quiet; when confirm_after is over; then the connection is half-closed, the
    position is stored, and flowgelf, killed after that, sends nothing twice."""
    with GelfTcpReceiver() as receiver:
        output = flows.gelf_tcp(receiver, confirm_after="400ms")
        program = Flowgelf(flows.config(flows.files("flows.log", follow=True), output, workers=1))
        program.write("flows.log", flows.text(0, 50))
        with program:
            wait_until("the half-close is seen", lambda: receiver.half_closes >= 1, 10)
            check_equal(receiver.count, 50, "messages before")
            time.sleep(2.5)  # positions of files are stored once a second
            program.kill()
            program.append("flows.log", flows.text(50, 80))
            program.start()
            wait_for_count(receiver, 80)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 80))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60)
def story_receiver_comes_later(env):
    """Given no receiver at the start; when it comes after two seconds; then everything arrives once."""
    port, count = free_port(), 2_000
    late = type("Late", (), {"address": f"127.0.0.1:{port}"})
    with program_with(flows.gelf_tcp(late), count) as program:
        program.wait_for_log("refused", 10)
        time.sleep(2)
        check_equal(program.is_running, True, "flowgelf waits")
        with GelfTcpReceiver(port=port) as receiver:
            program.wait(30)
            flows.check_arrived(receiver, flows.ids(0, count))
            check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=60)
def story_term_while_the_receiver_is_stalled(env):
    """Given a receiver that does not read; when flowgelf gets TERM; then it exits 0 within shutdown_grace (2 s)
    and some, and its next life sends what was not delivered."""
    count = 30_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count, shutdown_grace="2s") as program:
            wait_for_count(receiver, 3_000)
            receiver.stall()
            wait_for_unread(receiver, 32 << 10)
            start = time.monotonic()
            program.terminate(15)
            took = time.monotonic() - start
            check_equal(1.5 < took < 6, True, f"the end within the grace ({took:.1f} s)")
            receiver.resume()
            program.start()
            program.wait(40)
        check_all(receiver, count, incidents=1)


@story(limit_s=60)
def story_second_signal_ends_at_once(env):
    """Given a long shutdown_grace and a stalled receiver; when a second TERM comes; then flowgelf is gone at once,
    with exit code 1, and its next life sends the rest."""
    count = 3_000
    with GelfTcpReceiver() as receiver:
        receiver.stall()
        with program_with(flows.gelf_tcp(receiver), count, shutdown_grace="50s") as program:
            wait_for_unread(receiver, 1 << 10)
            program.process.terminate()
            program.wait_for_log("stopping")
            time.sleep(0.5)
            check_equal(program.is_running, True, "flowgelf drains")
            program.process.terminate()
            program.wait(5, code=1)
            receiver.resume()
            program.start()
            program.wait(30)
        flows.check_arrived(receiver, flows.ids(0, count))


@story(limit_s=60)
def story_receiver_closes_without_being_asked(env):
    """Given a receiver that ends connections by itself, as idle time-outs do; then nothing is lost and flowgelf
    connects again."""
    count = 20_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count, parcel_size="64KiB") as program:
            for round_number in range(3):
                wait_for_count(receiver, 4_000 * (round_number + 1))
                receiver.stall()
                wait_for_unread(receiver, 48 << 10)
                receiver.finish()
                receiver.resume()
            program.wait(40)
        check_all(receiver, count, incidents=3)

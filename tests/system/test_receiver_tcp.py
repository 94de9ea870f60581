# SPDX-License-Identifier: Apache-2.0
"""GELF over TCP to receivers that reset, stall, hang, die, come late and are rude: nothing is lost.

The source is a file, which flowgelf reads to its end and then exits 0, and that means: everything is delivered. So
what has arrived is looked at right after the exit, without waiting.
"""

import time
from datetime import datetime

from harness import (Flowgelf, GelfTcpReceiver, ReceiverProcess, check_equal, flows, free_port, story,
                     wait_until)
from harness.flows import MIB


def program_with(output, count, workers=1, **top):
    """flowgelf that will read `count` flows of a file."""
    program = Flowgelf(flows.config(flows.files("flows.log"), output, workers=workers, **top))
    program.write("flows.log", flows.text(0, count))
    return program


def wait_for_stalled(receiver):
    """And a while for flowgelf, which looks ten times a second, to see that what lies unread is acknowledged."""
    receiver.wait_for_stalled()
    time.sleep(0.25)


def end_each(receiver, end, thresholds, **unread):
    """Each time the receiver has stalled by itself, with so much unread, `end` does something to its connections."""
    for following in [*thresholds[1:], None]:
        wait_for_stalled(receiver)
        end()
        if following:
            receiver.stall_after(following, **unread)
        receiver.resume()


def wait_for_count(receiver, count):
    wait_until(f"{count} messages are read", lambda: receiver.count >= count)


def seconds_between(program, first, last):
    """Between two lines of the log, by its own clock."""
    times = [datetime.fromisoformat(line.split()[0].rstrip("Z")) for text in (first, last)
             for line in program.stderr_now.splitlines() if text in line]
    return (times[1] - times[0]).total_seconds()


def check_all(receiver, count, incidents, peer_buffer_mib=1):
    flows.check_arrived(receiver, flows.ids(0, count))
    flows.check_duplicates(receiver, incidents, peer_buffer_mib=peer_buffer_mib)


@story()
def story_five_resets_with_megabytes_unread(env):
    """Given the default ring and a receiver that reads fast (25 MB a second); when it resets the connection five
    times with more than a megabyte unread; then every flow arrives, and again no more than the ring holds."""
    count, thresholds = 100_000, range(12_000, 72_000, 12_000)
    with GelfTcpReceiver(bytes_a_second=25_000_000) as receiver:
        receiver.stall_after(thresholds[0], unread=MIB)
        # No confirmation by half-closes, however slow the machine: one connection at a time, and five lost.
        with program_with(flows.gelf_tcp(receiver, confirm_after="4m"), count) as program:
            end_each(receiver, receiver.reset, thresholds, unread=MIB)
            program.wait()
            check_equal(program.counter("connections_lost"), 5, "connections lost")
        check_all(receiver, count, incidents=5, peer_buffer_mib=32)


@story()
def story_five_resets_of_a_receiver_with_a_small_buffer(env):
    """Given a receiver whose socket holds little, and a peer_buffer that is small but larger than that; when it
    resets five times with its buffer full, in which whole parcels lie; then every flow arrives, most of them proved
    by the bytes behind."""
    count, thresholds, unread = 60_000, range(5000, 30_000, 5000), 48 << 10
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        receiver.stall_after(thresholds[0], unread)
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count, parcel_size="64KiB") as program:
            end_each(receiver, receiver.reset, thresholds, unread=unread)
            program.wait()
        check_all(receiver, count, incidents=5)


@story()
def story_resets_hit_every_worker(env):
    """Given two files and two workers, each with a connection; when the receiver resets both with
    their buffers full; then nothing is lost."""
    count, thresholds = 120_000, range(5000, 20_000, 5000)
    full = {"unread": 48 << 10, "connections": 2}
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        receiver.stall_after(thresholds[0], **full)
        program = Flowgelf(flows.config(flows.files("flows*.log"), flows.gelf_tcp(receiver, **flows.SMALL), workers=2,
                                        parcel_size="64KiB"))
        program.write("flows1.log", flows.text(0, count // 2))
        program.write("flows2.log", flows.text(count // 2, count))
        with program:
            end_each(receiver, receiver.reset, thresholds, **full)
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=3, workers=2)


@story()
def story_hung_receiver_is_killed_with_unread_bytes(env):
    """Given a receiver in a process of its own; when it hangs, its kernel goes on acknowledging, it is killed by
    SIGKILL with all that unread and comes back, three times over; then every flow arrives."""
    count, hang_after = 60_000, (12_000, 128 << 10)
    with ReceiverProcess(bytes_a_second=8_000_000, hang_after=hang_after) as receiver:
        with program_with(flows.gelf_tcp(receiver), count, parcel_size="64KiB") as program:
            for following in (hang_after, hang_after, None):
                receiver.wait_for_hang()
                time.sleep(0.25)  # flowgelf sees what is acknowledged
                receiver.kill()
                time.sleep(0.3)  # a while without anybody on the port
                receiver.start(following)
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))


@story()
def story_receiver_killed_after_the_last_byte(env):
    """Given few flows, which fit the receiver's socket; when it hangs before it reads them, so that all are
    acknowledged, and is killed; then flowgelf has not taken them for delivered, and sends them again."""
    count = 60
    with ReceiverProcess() as receiver:
        receiver.hang()
        with program_with(flows.gelf_tcp(receiver), count) as program:
            everything, _ = Flowgelf.command("enrich", "-c", program.config_path, program.folder / "flows.log")
            wait_until("all lies unread", lambda: receiver.unread_bytes >= len(everything.encode()))
            time.sleep(1)
            check_equal(program.is_running, True, "flowgelf waits")
            receiver.kill()
            receiver.start()
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))


@story()
def story_receiver_stalls_and_goes_on(env):
    """Given a receiver that stops reading for seconds, three times, longer than confirm_after; when it goes on;
    then everything arrives once, over connections of which none was lost."""
    count, thresholds = 40_000, range(8000, 32_000, 8000)
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        receiver.stall_after(thresholds[0])
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL, confirm_after="500ms"), count) as program:
            end_each(receiver, lambda: time.sleep(1.5), thresholds)
            program.wait()
            check_equal(program.counter("connections_lost"), 0, "connections lost")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_slow_receiver_slows_the_source(env):
    """Given a receiver that reads 2 MB a second; then flowgelf reads no faster, and all arrives once."""
    count = 8_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER, bytes_a_second=2_000_000) as receiver:
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count) as program:
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_receiver_that_never_answers_a_half_close(env):
    """Given a receiver that keeps its side open; when flowgelf ends a connection and waits dead_after in vain; then
    it says so, takes what is acknowledged for settle_delay as delivered, and comes to its end."""
    count = 3_000
    with GelfTcpReceiver(answer_half_close=False) as receiver:
        output = flows.gelf_tcp(receiver, confirm_after="300ms", settle_delay="200ms", dead_after="2s")
        with program_with(output, count) as program:
            program.wait_for_log("acknowledged the end of a connection and did not answer it")
            check_equal("messages count as delivered when acknowledged for 0.2 s" in program.stderr, True,
                        "the level is said")
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.half_closes >= 1, True, "a half-close was tried")


@story()
def story_quiet_stream_is_confirmed(env):
    """Given a followed file that goes quiet; when confirm_after is over; then the connection is half-closed, the
    position is stored, and flowgelf, killed after that, sends nothing twice."""
    with GelfTcpReceiver() as receiver:
        output = flows.gelf_tcp(receiver, confirm_after="400ms")
        program = Flowgelf(flows.config(flows.files("flows.log", follow=True), output, workers=1))
        program.write("flows.log", flows.text(0, 50))
        with program:
            wait_until("the half-close is seen", lambda: receiver.half_closes >= 1)
            check_equal(receiver.count, 50, "messages before")
            path = program.folder / "flows.log"
            wait_until("the position is stored", lambda: program.position_of(path) == path.stat().st_size)
            program.kill()
            program.append("flows.log", flows.text(50, 80))
            program.start()
            wait_for_count(receiver, 80)
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, 80))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_receiver_comes_later(env):
    """Given no receiver at the start; when it comes after two seconds; then everything arrives once."""
    port, count = free_port(), 2_000
    late = type("Late", (), {"address": f"127.0.0.1:{port}"})
    with program_with(flows.gelf_tcp(late), count) as program:
        program.wait_for_log("refused")
        time.sleep(2)
        check_equal(program.is_running, True, "flowgelf waits")
        with GelfTcpReceiver(port=port) as receiver:
            program.wait()
            flows.check_arrived(receiver, flows.ids(0, count))
            check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_term_while_the_receiver_is_stalled(env):
    """Given a receiver that does not read; when flowgelf gets TERM; then it exits 0 within shutdown_grace (2 s)
    and some, and its next life sends what was not delivered."""
    count = 40_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        receiver.stall_after(3000, unread=32 << 10)
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count, shutdown_grace="2s") as program:
            wait_for_stalled(receiver)
            program.terminate()
            took = seconds_between(program, "stopping; delivering", " message_bytes=")
            check_equal(1.5 < took < 9, True, f"the end within the grace ({took:.1f} s)")  # the default is 10 s
            receiver.resume()
            program.start()
            program.wait()
        check_all(receiver, count, incidents=1)


@story()
def story_second_signal_ends_at_once(env):
    """Given a long shutdown_grace and a stalled receiver; when a second TERM comes; then flowgelf is gone at once,
    with exit code 1, and its next life sends the rest."""
    count = 3000
    with GelfTcpReceiver() as receiver:
        receiver.stall()
        with program_with(flows.gelf_tcp(receiver), count, shutdown_grace="1h") as program:
            wait_until("something lies unread", lambda: receiver.unread_bytes > 0)
            program.process.terminate()
            program.wait_for_log("stopping")
            time.sleep(0.5)
            check_equal(program.is_running, True, "flowgelf drains")
            program.process.terminate()
            program.wait(code=1)
            receiver.resume()
            program.start()
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))


@story()
def story_receiver_closes_without_being_asked(env):
    """Given a receiver that ends connections by itself, as idle time-outs do; then nothing is lost and flowgelf
    connects again."""
    count, thresholds, unread = 60_000, range(4000, 28_000, 4000), 48 << 10
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        receiver.stall_after(thresholds[0], unread)
        with program_with(flows.gelf_tcp(receiver, **flows.SMALL), count, parcel_size="64KiB") as program:
            end_each(receiver, receiver.finish, thresholds, unread=unread)
            program.wait()
        check_all(receiver, count, incidents=6)

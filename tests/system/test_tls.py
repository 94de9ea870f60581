# SPDX-License-Identifier: Apache-2.0
"""GELF over TLS: all that holds for plain TCP (test_receiver_tcp.py) holds with records, alerts and certificates.

The source is a file, which flowgelf reads to its end and then exits 0, and that means: everything is delivered. So
what has arrived is looked at right after the exit, without waiting.
"""

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from harness import Flowgelf, check_equal, flows, story, wait_until
from harness.certificates import make_authority
from harness.flows import MIB
from harness.tls import GelfTlsReceiver, TlsReceiverProcess, make_certificate


class Place:
    """A folder with an authority and certificates that it signed, for as long as a story lasts."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="flowgelf-tls-"))
        self.ca = make_authority(self.folder)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def certificate(self, name="server", authority=None, **settings):
        return make_certificate(self.folder, authority or self.ca, name, **settings)

    def output(self, receiver, tls=None, **settings):
        return flows.gelf_tcp(receiver, tls={"ca": str(self.ca), **(tls or {})}, **settings)


def program_with(output, count, workers=1, follow=False, **top):
    """flowgelf that will read `count` flows of a file."""
    source = flows.files("flows.log", **({"follow": True} if follow else {}))
    program = Flowgelf(flows.config(source, output, workers=workers, **top))
    program.write("flows.log", flows.text(0, count))
    return program


def roomy_buffer():
    """SO_RCVBUF that holds megabytes, where the system allows it; else None: the kernel widens the buffer of a reader
    by and by, though not always that of one that is faster than flowgelf under a sanitizer."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        return 4 * MIB if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 4 * MIB else None


def end_each(receiver, end, thresholds, **unread):
    """Each time the receiver has stalled by itself, with so much unread, `end` does something to its connections."""
    for following in [*thresholds[1:], None]:
        receiver.wait_for_stalled()
        time.sleep(0.25)  # flowgelf, which looks ten times a second, sees what is acknowledged
        end()
        if following:
            receiver.stall_after(following, **unread)
        receiver.resume()


def check_all(receiver, count, incidents=0, peer_buffer_mib=1):
    flows.check_arrived(receiver, flows.ids(0, count))
    if incidents:
        flows.check_duplicates(receiver, incidents, peer_buffer_mib=peer_buffer_mib)
    else:
        check_equal(receiver.count, count, "messages, none of them twice")


@story()
def story_all_flows_arrive_over_tls(env):
    """Given receivers that speak TLS 1.2 and 1.3, answer the end with and without close_notify, and two workers; then
    everything arrives once, without an error."""
    count = 20_000
    with Place() as place:
        for version, says_end in (("1.2", True), ("1.3", False)):
            with GelfTlsReceiver(place.certificate(), version=version, says_end=says_end) as receiver:
                with program_with(place.output(receiver), count, workers=2) as program:
                    program.wait()
                    check_equal(program.counter("connections_lost"), 0, "connections lost")
                check_all(receiver, count)
                check_equal(receiver.versions, {f"TLSv{version}"}, "versions")


@story()
def story_five_resets_over_tls_with_megabytes_unread(env):
    """Given the default ring and a receiver that reads 10 MB a second; when it resets the connection five
    times with more than a megabyte unread; then every flow arrives, and again no more than the ring holds."""
    count, thresholds = 100_000, range(12_000, 72_000, 12_000)
    with Place() as place, GelfTlsReceiver(place.certificate(), bytes_a_second=10_000_000,
                                           receive_buffer=roomy_buffer()) as receiver:
        receiver.stall_after(thresholds[0], unread=MIB)
        # No confirmation by half-closes, however slow the machine: one connection at a time, and five lost.
        with program_with(place.output(receiver, confirm_after="4m"), count) as program:
            end_each(receiver, receiver.reset, thresholds, unread=MIB)
            program.wait()
            check_equal(program.counter("connections_lost"), 5, "connections lost")
        check_all(receiver, count, incidents=5, peer_buffer_mib=32)


@story()
def story_resets_of_a_small_buffer_cut_records(env):
    """Given a receiver whose socket holds little, so that resets cut records in the middle and most flows are proved
    by the bytes behind; when it resets five times; then every flow arrives."""
    count, thresholds, unread = 60_000, range(5000, 30_000, 5000), 48 << 10
    with Place() as place:
        with GelfTlsReceiver(place.certificate(), receive_buffer=flows.SMALL_BUFFER) as receiver:
            receiver.stall_after(thresholds[0], unread)
            with program_with(place.output(receiver, **flows.SMALL), count, parcel_size="64KiB") as program:
                end_each(receiver, receiver.reset, thresholds, unread=unread)
                program.wait()
            check_all(receiver, count, incidents=5)


@story()
def story_tls_receiver_is_killed_with_unread_bytes(env):
    """Given a receiver in a process of its own; when it hangs, its kernel goes on acknowledging, it is killed by
    SIGKILL with all that unread and comes back, three times over; then every flow arrives."""
    count, hang_after = 60_000, (12_000, 128 << 10)
    with Place() as place, TlsReceiverProcess(place.certificate(), bytes_a_second=8_000_000,
                                              hang_after=hang_after) as receiver:
        with program_with(place.output(receiver), count, parcel_size="64KiB") as program:
            for following in (hang_after, hang_after, None):
                receiver.wait_for_hang()
                time.sleep(0.25)  # flowgelf sees what is acknowledged
                receiver.kill()
                receiver.start(following)
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))


@story()
def story_handshake_stalls_and_then_works(env):
    """Given a receiver that takes connections and leaves the handshake unanswered; then flowgelf gives it up after
    10 s and says so; when the receiver talks; then everything arrives once."""
    count = 2_000
    with Place() as place, GelfTlsReceiver(place.certificate(), mute=True) as receiver:
        with program_with(place.output(receiver), count) as program:
            program.wait_for_log("the TLS handshake did not end within 10 s")
            wait_until("it tries again", lambda: receiver.connections >= 2)
            check_equal(receiver.count, 0, "messages")
            receiver.let_talk()
            program.wait()
        check_all(receiver, count)


@story()
def story_expired_certificate_is_renewed(env):
    """Given a receiver whose certificate expired; then flowgelf names it, sends nothing and stays; when the receiver
    has a new one; then everything arrives once."""
    count = 2_000
    with Place() as place:
        expired = place.certificate("old", days=-1)
        with GelfTlsReceiver(expired) as receiver:
            with program_with(place.output(receiver), count) as program:
                program.wait_for_log("the receiver's certificate (CN=old) expired on ")
                time.sleep(1)
                check_equal((program.is_running, receiver.count), (True, 0), "running, messages")
                receiver.present(place.certificate("new"))
                program.wait()
            check_all(receiver, count)


@story()
def story_receiver_moves_to_another_authority(env):
    """Given a followed file and a receiver; when its certificate comes from another authority after a reset; then
    flowgelf names that authority and waits; when the file of `ca` is broken, it says so and stays; when the file has
    the new authority; then it goes on, without a start."""
    with Place() as place, GelfTlsReceiver(place.certificate()) as receiver:
        own = place.folder / "trusted.pem"
        shutil.copy(place.ca, own)
        other = make_authority(place.folder, "other")
        output = place.output(receiver, {"ca": str(own)}, confirm_after="300ms")
        with program_with(output, 50, follow=True) as program:
            wait_until("the first are confirmed", lambda: receiver.half_closes >= 1)
            receiver.present(place.certificate("second", authority=other))
            program.append("flows.log", flows.text(50, 100))
            program.wait_for_log("is signed by an authority that is not trusted here (CN=Authority other")
            own.write_text("nothing of use")
            program.wait_for_log("what was read before stays in use")
            time.sleep(1)
            check_equal((program.is_running, receiver.count), (True, 50), "running, messages")
            (place.folder / "next.pem").write_text(other.read_text())
            os.replace(place.folder / "next.pem", own)
            program.wait_for_log("changed and are read again")
            wait_until("the others are read", lambda: receiver.count == 100)
            program.terminate()
        check_all(receiver, 100)


@story()
def story_client_certificate_comes_late(env):
    """Given a receiver that lets in only whom its authority signed, and flowgelf with a certificate of another; then
    it is told so and sends nothing; when its own file is replaced by the right one; then everything arrives once."""
    count = 2_000
    with Place() as place:
        stranger = make_authority(place.folder, "stranger")
        mine = place.folder / "mine.pem"
        shutil.copy(place.certificate("mine-wrong", authority=stranger), mine)
        with GelfTlsReceiver(place.certificate(), clients=place.ca) as receiver:
            output = place.output(receiver, {"cert": str(mine), "key": str(mine)})
            with program_with(output, count) as program:
                program.wait_for_log("the receiver does not trust the authority of our certificate")
                check_equal(receiver.count, 0, "messages")
                os.replace(place.certificate("mine-right"), mine)
                program.wait()
            check_all(receiver, count)


@story()
def story_half_close_over_tls_is_never_answered(env):
    """Given a receiver that keeps its side open; when flowgelf ends a connection and waits dead_after in vain; then
    it says so, takes what is acknowledged for settle_delay as delivered, and comes to its end."""
    count = 3_000
    with Place() as place, GelfTlsReceiver(place.certificate(), answer_half_close=False) as receiver:
        output = place.output(receiver, confirm_after="300ms", settle_delay="200ms", dead_after="2s")
        with program_with(output, count) as program:
            program.wait_for_log("acknowledged the end of a connection and did not answer it")
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.half_closes >= 1, True, "a half-close was tried")


@story()
def story_connections_behind_the_first_are_resumed(env):
    """Given a quiet stream, whose connections are ended to confirm what they carried; then the handshakes of those
    behind the first are short ones."""
    with Place() as place, GelfTlsReceiver(place.certificate()) as receiver:
        with program_with(place.output(receiver, confirm_after="200ms"), 1, follow=True) as program:
            for number in range(1, 5):
                wait_until(f"{number} are confirmed", lambda: receiver.half_closes >= number)
                program.append("flows.log", flows.text(number, number + 1))
            wait_until("the last is confirmed", lambda: receiver.half_closes >= 5)
            program.terminate()
        check_all(receiver, 5)
        check_equal(receiver.resumed >= 4, True, f"resumed handshakes ({receiver.resumed})")


def check_says(place, receiver, tls, *texts, code=0):
    """`flowgelf check --online` says each of the texts, and ends with code."""
    program = Flowgelf(flows.config(flows.files("flows.log"), place.output(receiver, tls)))
    try:
        program.write("flows.log", flows.text(0, 1))
        out, err = Flowgelf.command("check", "--online", "-c", program.config_path, code=code)
    finally:
        program.close()
    for text in texts:
        check_equal(text in out + err, True, f"'{text}' in what check says:\n{out}{err}")


def check_fails(*what):
    check_says(*what, code=78)


@story()
def story_check_online_shows_the_certificate_or_names_the_remedy(env):
    """Given receivers good and bad; then `check --online` shows protocol, cipher and certificate of the good one and
    says of each of the others what to do."""
    with Place() as place:
        good = place.certificate("graylog")
        with GelfTlsReceiver(good) as receiver:
            check_says(place, receiver, {}, "TLSv1.3, TLS_", "certificate CN=graylog, issued by CN=Authority ca",
                       " days left (until ")
            check_fails(place, receiver, {"server_name": "other"}, "is for 127.0.0.1, localhost and not for other",
                        "server_name")
            receiver.present(place.certificate("old", days=-1))
            check_fails(place, receiver, {}, "(CN=old) expired on ", "renew it there")
            receiver.present(place.certificate("strange", authority=make_authority(place.folder, "stranger")))
            check_fails(place, receiver, {}, "give its certificate as tls: {ca: FILE}")
            receiver.present(good, clients=place.ca)
            check_fails(place, receiver, {}, "give it as tls: {cert: FILE, key: FILE}")
            missing = str(place.folder / "missing.pem")
            check_fails(place, receiver, {"ca": missing}, missing)

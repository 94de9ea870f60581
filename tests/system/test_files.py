# SPDX-License-Identifier: Apache-2.0
"""Files as the source: patterns, gzip, standard input, positions over restarts, rotation, dead letters, the lock."""

import base64
import gzip
import json
import random
import time

from harness import Flowgelf, GelfTcpReceiver, check_equal, flows, story, wait_until

GARBAGE = "this is no flow log\n"


def program_with(receiver, *paths, follow=False, **top):
    output = flows.gelf_tcp(receiver, **flows.SMALL, confirm_after="300ms")
    source = flows.files(*paths, **({"follow": True} if follow else {}))
    return Flowgelf(flows.config(source, output, **{"workers": 1, "shutdown_grace": "2m", **top}))


def wait_for(receiver, first, last):
    wait_until(f"eni-{first} to eni-{last - 1} are there",
               lambda: not receiver.missing(flows.ids(first, last)))


@story()
def story_patterns_and_gzip(env):
    """Given plain files, gzip files (one of them without the name of one, one of two members) and others that no
    pattern matches; when two workers read them; then each flow arrives once and flowgelf exits 0."""
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        program = program_with(receiver, "a-*.log", "b-[0-9].gz", "plain-name", workers=2)
        program.write("a-1.log", flows.text(0, 5000))
        program.write("a-2.log", flows.text(5000, 5001).rstrip("\n"))
        program.write("b-1.gz", gzip.compress(flows.text(5001, 9000).encode()))
        program.write("b-2.gz", b"".join(gzip.compress(flows.text(at, at + 500).encode()) for at in (9000, 9500)))
        program.write("plain-name", gzip.compress(flows.text(10_000, 12_000).replace("\n", "\r\n").encode()))
        program.write("c-1.log", flows.text(90_000, 90_100))
        with program:
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, 12_000))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_standard_input(env):
    """Given `-` among the paths; then what comes on standard input is read to its end, gzip too."""
    for data in (flows.text(0, 3000).encode(), gzip.compress(flows.text(0, 3000).encode())):
        with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
            program = program_with(receiver, "-")
            program.stdin_path = program.write("given", data)
            with program:
                program.wait()
            flows.check_arrived(receiver, flows.ids(0, 3000))
            check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_envelopes_and_lines_in_one_file(env):
    """Given a file of CloudWatch envelopes, one behind the other, as gunzipped S3 objects of Firehose are; and a
    file with the header line that S3 delivery writes; then all their flows arrive."""
    header = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "
              "action log-status\n")
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        program = program_with(receiver, "envelopes", "s3.log.gz")
        envelopes = [gzip.decompress(flows.envelope(at, at + 100)) for at in range(0, 2000, 100)]
        program.write("envelopes", b"".join(envelopes))
        program.write("s3.log.gz", gzip.compress((header + flows.text(2000, 2500)).encode()))
        with program:
            program.wait()
            check_equal((program.counter("envelopes"), program.counter("headers")), (20, 1), "envelopes and headers")
        flows.check_arrived(receiver, flows.ids(0, 2500))


@story()
def story_finished_files_are_not_read_again(env):
    """Given files that were read to their end; when flowgelf runs again, then nothing is sent; when a plain one has
    grown and another has come, then that is sent and nothing else."""
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        program = program_with(receiver, "*.log", "*.gz")
        program.write("a.log", flows.text(0, 1000))
        program.write("b.gz", gzip.compress(flows.text(1000, 2000).encode()))
        with program:
            program.wait()
            check_equal(receiver.count, 2000, "after the first run")
            program.start()
            program.wait()
            check_equal(receiver.count, 2000, "after the second run")
            program.append("a.log", flows.text(2000, 2100))
            program.write("c.log", flows.text(2100, 2200))
            program.start()
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, 2200))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_restart_goes_on_where_it_stood(env):
    """Given a plain file and a gzip file half read; when flowgelf gets TERM with the ring full, and then the receiver
    reads on; then all that was sent is delivered and committed, and the next life goes on behind it. The piece in the
    middle of which TERM came is given up, so what of it was sent comes again: no more than 256 KiB each time."""
    count = 60_000
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        program = program_with(receiver, "a.log", "b")
        program.write("a.log", flows.text(0, count // 2))
        program.write("b", gzip.compress(flows.text(count // 2, count).encode(), 1))
        receiver.stall_after(5000, unread=32 << 10)
        with program:
            for _ in range(2):
                receiver.wait_for_stalled()
                time.sleep(0.5)  # the ring fills
                program.process.terminate()
                program.wait_for_log("stopping")
                receiver.resume()
                program.wait()
                check_equal(receiver.count < count, True, "it was in the middle")
                receiver.stall_after(receiver.count + 2000, unread=32 << 10)
                program.start()
            receiver.wait_for_stalled()
            receiver.resume()
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        most = 2 * (256 << 10) // len(flows.line(0))
        check_equal(receiver.duplicates <= most, True, f"{receiver.duplicates} duplicates are {most} at most")


@story()
def story_killed_at_random_moments(env):
    """Given a plain and a gzip file, and a receiver too slow for them to be through meanwhile; when flowgelf is killed
    by SIGKILL at six random moments; then every flow arrives, and no more than the rings hold comes again each time."""
    count, kills = 60_000, 6
    dice = random.Random(20260131)
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER, bytes_a_second=1_000_000) as receiver:
        program = program_with(receiver, "a.log", "b", workers=2)
        program.write("a.log", flows.text(0, count // 2))
        program.write("b", gzip.compress(flows.text(count // 2, count).encode(), 1))
        with program:
            for number in range(kills):
                if number % 2:  # a life that has come to sending; else one that perhaps has not
                    target = receiver.count + dice.randrange(1, 500)
                    wait_until("it sends", lambda wanted=target: receiver.count > wanted)
                time.sleep(dice.uniform(0, 1.5))
                program.kill()
                program.start()
            receiver.bytes_a_second = None
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, kills, workers=2)


@story()
def story_rotation_by_renaming(env):
    """Given a followed file; when it is renamed, is still written to for a while, and a new one takes its name, and
    all that again while flowgelf is not running; then every line arrives once."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log*", follow=True)
        current = program.write("flows.log", flows.text(0, 100))
        with program:
            wait_for(receiver, 0, 100)
            current.rename(program.folder / "flows.log.1")
            program.append("flows.log.1", flows.text(100, 150))
            program.write("flows.log", flows.text(150, 300))
            wait_for(receiver, 100, 300)
            program.terminate()
            program.append("flows.log", flows.text(300, 320))
            current.rename(program.folder / "flows.log.2")
            program.write("flows.log", flows.text(320, 400))
            program.start()
            wait_for(receiver, 300, 400)
        check_equal(receiver.duplicates, 0, "duplicates")
        flows.check_arrived(receiver, flows.ids(0, 400))


@story()
def story_rotation_of_one_named_file(env):
    """Given one followed name, as of tail -F, without a pattern; when its file is renamed and a new one takes the
    name; then what was written to the old one before the new one came arrives too."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log", follow=True)
        current = program.write("flows.log", flows.text(0, 100))
        with program:
            wait_for(receiver, 0, 100)
            current.rename(program.folder / "old")
            program.append("old", flows.text(100, 200))
            program.write("flows.log", flows.text(200, 300))
            wait_for(receiver, 100, 300)
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_rotation_by_truncation(env):
    """Given a followed file; when it is copied away and truncated, and written anew; then the new lines arrive,
    those with the old length too, and a half-written line waits for its end."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log", follow=True)
        current = program.write("flows.log", flows.text(0, 100))
        with program:
            wait_for(receiver, 0, 100)
            current.write_text(flows.text(100, 150))
            wait_for(receiver, 100, 150)
            half = flows.line(150)
            program.append("flows.log", half[:40])
            time.sleep(1.5)
            check_equal(receiver.count, 150, "messages while a line is half written")
            program.append("flows.log", half[40:] + "\n")
            wait_for(receiver, 150, 151)
            check_equal(program.counter("bad"), 0, "bad lines")
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_end_waits_for_delivery(env):
    """Given finite input read to its end, and a receiver that stalls for longer than shutdown_grace; then flowgelf
    does not exit until it has all been read; and exits 0 then, at once."""
    with GelfTcpReceiver() as receiver:
        receiver.stall()
        program = program_with(receiver, "flows.log", shutdown_grace="500ms")
        program.write("flows.log", flows.text(0, 500))
        with program:
            wait_until("it is connected", lambda: receiver.unread_bytes > 0)
            time.sleep(2.5)
            check_equal(program.is_running, True, "flowgelf waits")
            receiver.resume()
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, 500))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_second_daemon_on_the_same_state(env):
    """Given a running flowgelf; when a second one starts on its state; then that one exits 1 and says why, and the
    first goes on."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log", follow=True)
        program.write("flows.log", flows.text(0, 10))
        with program:
            wait_for(receiver, 0, 10)
            _, said = Flowgelf.command("run", "-c", program.config_path, code=1)
            check_equal("is locked by another process" in said and str(program.state) in said, True, said)
            check_equal(str(program.pid) in said, True, f"the process that holds it is named: {said}")
            program.append("flows.log", flows.text(10, 20))
            wait_for(receiver, 10, 20)


@story()
def story_bad_lines_go_to_the_dead_letter(env):
    """Given bad lines among good ones; then the good ones arrive, and the dead letter holds each bad one, with its
    reason, its position and its bytes."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log", dead_letter={"path": "dead.jsonl"})
        path = program.write("flows.log", flows.text(0, 100) + GARBAGE + flows.text(100, 200) + "2 \xff\n")
        with program:
            program.wait()
            dead = [json.loads(line) for line in (program.state / "dead.jsonl").read_text().splitlines()]
        flows.check_arrived(receiver, flows.ids(0, 200))
        check_equal([d["reason"] for d in dead], ["format", "format"], "reasons")
        check_equal(base64.b64decode(dead[0]["raw"]), GARBAGE.strip().encode(), "the bytes")
        check_equal((dead[0]["input"], dead[0]["stream"], dead[0]["line"]), ("file", str(path), 101), "the place")


@story()
def story_dead_letter_cannot_be_written(env):
    """Given a dead letter whose path is a folder; when bad lines come; then they are counted lost, which is said as
    an error, and the stream goes on to its end."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log", dead_letter={"path": "dead.jsonl"})
        (program.state / "dead.jsonl").mkdir()
        program.write("flows.log", flows.text(0, 100) + 3 * GARBAGE + flows.text(100, 200))
        with program:
            program.wait()
            check_equal("dead letters are lost" in program.stderr, True, "it is said")
            check_equal((program.counter("bad_format"), program.counter("dead_letters_lost")), (3, 3),
                        "bad lines and lost dead letters")
        flows.check_arrived(receiver, flows.ids(0, 200))


@story()
def story_required_dead_letter_stops_reading(env):
    """Given the same, but `required: true`; then reading stops and nothing is committed behind the bad line; when
    the path can be written; then it goes on by itself, with the dead letter on disk and nothing lost."""
    with GelfTcpReceiver() as receiver:
        program = program_with(receiver, "flows.log", follow=True,
                               dead_letter={"path": "dead.jsonl", "required": True})
        blocked = program.state / "dead.jsonl"
        blocked.mkdir()
        program.write("flows.log", flows.text(0, 100) + GARBAGE)
        with program:
            program.wait_for_log("reading stops until dead letters can be written")
            program.append("flows.log", flows.text(100, 200))
            time.sleep(1.5)
            check_equal(receiver.missing(flows.ids(100, 200)), flows.ids(100, 200), "what is not read")
            blocked.rmdir()
            wait_for(receiver, 0, 200)
            check_equal(len(blocked.read_text().splitlines()), 1, "dead letters")
        check_equal(program.counter("dead_letters_lost"), 0, "lost dead letters")

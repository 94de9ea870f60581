# SPDX-License-Identifier: Apache-2.0
"""GELF over HTTP to receivers that restart, refuse, are slow, ask for a password: nothing is lost.

The source is a file, which flowgelf reads to its end and then exits 0, and that means: everything is delivered. So
what has arrived is looked at right after the exit, without waiting. What may arrive twice is what was on its way.
"""

import base64
import json
import shutil
import tempfile
from pathlib import Path

from harness import Flowgelf, StoryFailed, check_equal, flows, story
from harness.certificates import make_authority
from harness.http_receiver import CUT, RESET, GelfHttpReceiver
from harness.tls import make_certificate

IN_FLIGHT = 4
BULK = {"bulk": True, "max_body": "20KiB"}
BULK_MESSAGES = 60  # of a body of 20 KiB there are fewer


def output(receiver, **settings):
    return {"gelf_http": {"url": receiver.url, "in_flight": IN_FLIGHT, **settings}}


def program_with(to, count, **top):
    program = Flowgelf(flows.config(flows.files("flows.log"), to, **{"workers": 1, **top}))
    program.write("flows.log", flows.text(0, count))
    return program


def check_twice(receiver, incidents, in_a_body=1):
    bound = incidents * IN_FLIGHT * in_a_body
    if receiver.duplicates > bound:
        raise StoryFailed(f"{receiver.duplicates} duplicates of {incidents} incidents; documented are {bound} at most")


def dead_letters(program):
    path = program.state / "dead.jsonl"
    return [json.loads(one) for one in path.read_text().splitlines()] if path.exists() else []


@story()
def story_http_a_message_a_request(env):
    """Given a receiver that takes one message a request; then every flow arrives once, over no more connections than
    requests on their way."""
    count = 3000
    with GelfHttpReceiver() as receiver:
        with program_with(output(receiver), count) as program:
            program.wait()
            check_equal((program.counter("delivered"), program.counter("resent")), (count, 0), "delivered, resent")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.duplicates, dict(receiver.answers)), (0, {202: count}), "duplicates, answers")
        check_equal(receiver.connections <= IN_FLIGHT, True, f"at most {IN_FLIGHT} connections")
        check_equal(receiver.nonsense, [], "no JSON")


@story()
def story_http_bulk_and_gzip(env):
    """Given a receiver with enable_bulk_receiving; then every flow arrives once, in bodies that stay below max_body,
    with gzip as without."""
    count = 30_000
    for gzip in (False, True):
        with GelfHttpReceiver(bulk=True) as receiver:
            with program_with(output(receiver, gzip=gzip, **BULK), count) as program:
                program.wait()
            flows.check_arrived(receiver, flows.ids(0, count))
            check_equal(receiver.duplicates, 0, "duplicates")
            check_equal(10_000 < receiver.largest_body <= 20 << 10, True, f"largest body {receiver.largest_body}")
            check_equal(set(receiver.codings), {"gzip" if gzip else "none"}, "codings")
            check_equal(set(receiver.answers), {202}, "answers")


@story()
def story_http_receiver_restarts_in_the_middle(env):
    """Given a receiver that is stopped three times in the middle of a stream, with requests kept and not answered, and
    for a while refuses connections; then every flow arrives, and again only what was on its way."""
    for bulk, count, step in ((False, 3000, 700), (True, 40_000, 9000)):
        with GelfHttpReceiver(bulk=bulk) as receiver:
            receiver.stop_after(step)
            settings = BULK if bulk else {}
            with program_with(output(receiver, **settings), count) as program:
                for number in (2, 3, None):
                    receiver.wait_for_stopped()
                    program.wait_for_log("Connection refused")
                    if number:
                        receiver.stop_after(number * step)
                    receiver.start()
                program.wait()
                check_equal(program.counter("delivered"), count, "delivered")
            flows.check_arrived(receiver, flows.ids(0, count))
            check_twice(receiver, 3, BULK_MESSAGES if bulk else 1)


@story()
def story_http_resets_around_requests(env):
    """Given a receiver that resets connections, twenty after it has kept a request and twenty when it has read the head
    of one; then every flow arrives, and again no more than those kept."""
    count = 3000
    with GelfHttpReceiver() as receiver:
        for number in range(5):
            receiver.spoil(RESET, 4, after=300 * number + 100)
            receiver.spoil(CUT, 4, after=300 * number + 200)
        with program_with(output(receiver), count) as program:
            program.wait()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal((receiver.answers[RESET], receiver.answers[CUT]), (20, 20), "resets")
        check_equal(receiver.duplicates <= 20, True, f"{receiver.duplicates} duplicates of 20 kept")


@story()
def story_http_busy_storms(env):
    """Given a receiver that answers 503, then 429, to six requests each in the middle of a stream; then each flow
    arrives once, and what was refused counts as sent again."""
    count = 20_000
    with GelfHttpReceiver(bulk=True) as receiver:
        receiver.spoil(503, 6, after=3000)
        receiver.spoil(429, 6, after=9000)
        with program_with(output(receiver, **BULK), count) as program:
            program.wait_for_log("HTTP 503")
            program.wait()
            check_equal(program.counter("resent") > 0, True, "counted as sent again")
            check_equal("messages are taken again" in program.stderr, True, "said")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")
        check_equal((receiver.answers[503], receiver.answers[429]), (6, 6), "refusals")


@story()
def story_http_bodies_too_large(env):
    """Given a receiver that takes bodies of 5 KiB, and a max_body of 60 KiB; then bodies become smaller after few
    refusals, each flow arrives once, and none is a dead letter."""
    count = 10_000
    with GelfHttpReceiver(bulk=True, body_max=5 << 10) as receiver:
        to = output(receiver, bulk=True)
        with program_with(to, count, dead_letter={"path": "dead.jsonl"}) as program:
            program.wait()
            check_equal(dead_letters(program), [], "dead letters")
            check_equal("max_body" in program.stderr, True, "the remedy is said")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")
        check_equal(receiver.answers[413] <= 5 * IN_FLIGHT, True, f"{receiver.answers[413]} bodies too large")


@story()
def story_http_one_poisonous_message(env):
    """Given a receiver that answers 400 to every body with flow 4321 in it; then that message alone is a dead letter, as
    it was to be sent, and all others arrive once; in bulk and alone."""
    for settings, count in ((BULK, 20_000), ({}, 5000)):
        with GelfHttpReceiver(bulk=bool(settings), poison=b'"eni-4321"') as receiver:
            to = output(receiver, **settings)
            with program_with(to, count, dead_letter={"path": "dead.jsonl"}) as program:
                program.wait()
                letters = dead_letters(program)
                check_equal([letter["reason"] for letter in letters], ["message_refused"], "dead letters")
                raw = next(value for value in letters[0].values()
                           if isinstance(value, str) and len(value) > 100)
                check_equal(b'"eni-4321"' in base64.b64decode(raw), True, "the message in the dead letter")
                check_equal(program.counter("dropped"), 1, "dropped")
            flows.check_arrived(receiver, flows.ids(0, count) - {"eni-4321"})
            check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_http_slow_receiver(env):
    """Given a receiver that takes 0.4 s for each request, and a timeout that is longer; then nothing comes twice."""
    count = 2000
    with GelfHttpReceiver(bulk=True, seconds=0.4) as receiver:
        with program_with(output(receiver, timeout="60s", **BULK), count) as program:
            program.wait()
            check_equal(program.counter("resent"), 0, "resent")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_http_wrong_password(env):
    """Given a password that the receiver does not take; then flowgelf says so with the remedy, keeps everything, and
    asks seldom; when the receiver takes it, every flow arrives once. The password is in no log."""
    count = 500
    right = "Basic " + base64.b64encode(b"flows:hush-hush").decode()
    with GelfHttpReceiver(authorization="Basic other") as receiver:
        to = output(receiver, username="flows", password="file:password")
        program = program_with(to, count)
        path = program.write("password", "hush-hush\n")
        program.configure(program.config_path.read_text().replace("file:password", f"file:{path}"))
        with program:
            program.wait_for_log("HTTP 401")
            check_equal("`password`" in program.stderr, True, "the remedy is said")
            check_equal(receiver.requests <= 2 * IN_FLIGHT, True, f"{receiver.requests} requests meanwhile")
            receiver.authorization = right
            program.wait()
            check_equal("hush" in program.stderr, False, "password in the log")
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story()
def story_http_over_tls(env):
    """Given a receiver that speaks TLS and asks for our certificate; then every flow arrives with ours and its
    authority's; without its authority flowgelf says what to name; with verify: false it arrives as well."""
    count = 500
    folder = Path(tempfile.mkdtemp(prefix="flowgelf-http-"))
    try:
        ca = make_authority(folder)
        server, client = make_certificate(folder, ca), make_certificate(folder, ca, "client")
        ours = {"cert": str(client), "key": str(client)}
        with GelfHttpReceiver(certificate=server, clients=ca) as receiver:
            for tls in ({"ca": str(ca), **ours}, {"verify": False, **ours}):
                with program_with(output(receiver, tls=tls), count) as program:
                    program.wait()
            flows.check_arrived(receiver, flows.ids(0, count))
            check_equal(receiver.count, 2 * count, "messages")
            with program_with(output(receiver, tls=ours), count) as program:
                program.wait_for_log("name its PEM as tls: {ca}")
                program.kill()
            check_equal(receiver.count, 2 * count, "messages, none of them to somebody not trusted")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@story(threaded=False)
def story_http_check_changes_nothing(env):
    """Then `check` only reads the configuration; `check --online` asks with GET, tells a good place from one that wants
    a password, and hands over no message."""
    with GelfHttpReceiver() as receiver, program_with(output(receiver), 10) as program:
        program.wait()
        before = receiver.requests
        out, _ = Flowgelf.command("check", "-c", program.config_path)
        check_equal(receiver.requests, before, "requests")
        out, _ = Flowgelf.command("check", "--online", "-c", program.config_path)
        check_equal("answers GET with 405" in out, True, out)
        receiver.authorization = "Basic other"
        out, err = Flowgelf.command("check", "--online", "-c", program.config_path, code=78)
        check_equal("password" in out + err, True, out + err)
        check_equal(receiver.count, 10, "messages")

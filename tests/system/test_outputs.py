# SPDX-License-Identifier: Apache-2.0
"""Several outputs: each gets what its filter lets pass, and one that is not required stops nobody."""

import json

from harness import Flowgelf, GelfTcpReceiver, check_equal, flows, story, wait_until

COUNT = 40_000          # about 20 MiB of messages, twice what a small ring holds
MEMORY_KIB = 400 << 10  # two rings of 9 MiB, the cache of dossiers, and the sanitizer's own


def bytes_of(number):
    """As flows.line has it."""
    return number % 9000 + 40


def program_with(*outputs, follow=False, **top):
    source = flows.files("*.log", **({"follow": True} if follow else {}))
    settings = {"workers": 1, "shutdown_grace": "30s", **top, "outputs": list(outputs)}
    return Flowgelf(flows.config(source, None, **settings))


def small(receiver, **settings):
    return flows.gelf_tcp(receiver, **flows.SMALL, confirm_after="300ms", **settings)


def numbers(condition):
    return {f"eni-{number}" for number in range(COUNT) if condition(number)}


def lines_of(path):
    return [json.loads(line)["_interface_id"] for line in path.read_text().splitlines()]


@story()
def story_each_output_gets_what_its_filter_lets_pass(env):
    """Given a search that drops, and two outputs with filters of their own, over TCP and to a file, which send
    different fields; then each has exactly the flows that it should, once, and the others are counted."""
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        few = {"fields": {"set": "plugin", "omit": ["bytes", "action"]}}
        program = program_with(
            small(receiver, filter="bytes:<1000 OR dst_addr:203.0.113.7"),
            {"file": {"path": "flows.jsonl", "filter": "NOT bytes:[2000 TO *]", "messages": few}},
            drop="bytes:[500 TO 599] AND action:ACCEPT")
        program.write("flows.log", flows.text(0, COUNT))
        with program:
            program.wait()
            written = lines_of(program.state / "flows.jsonl")
            counts = {name: program.counter(name) for name in ("flows", "flows_dropped", "filtered", "delivered")}
        passed = numbers(lambda n: not 500 <= bytes_of(n) <= 599)
        over_tcp = passed & numbers(lambda n: bytes_of(n) < 1000 or n % 200 == 6)
        to_file = passed & numbers(lambda n: bytes_of(n) < 2000)
        flows.check_arrived(receiver, over_tcp)
        check_equal(receiver.duplicates, 0, "duplicates")
        check_equal((len(written), set(written)), (len(to_file), to_file), "lines of the file")
        check_equal(counts, {"flows": COUNT, "flows_dropped": COUNT - len(passed),
                             "filtered": 2 * len(passed) - len(over_tcp) - len(to_file),
                             "delivered": len(over_tcp) + len(to_file)}, "counters")


@story()
def story_one_that_is_not_required_is_dead_for_a_while(env):
    """Given two receivers of which one is not required; when that one goes away and more comes than its ring holds;
    then the other gets everything meanwhile, memory stays bounded, and positions go on; when it comes back, it gets
    what follows, whole, and what it missed is counted to the last message."""
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as alive, \
            GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as dead:
        dead.go_away()
        program = program_with(small(alive), small(dead, required=False), follow=True)
        program.write("1.log", flows.text(0, COUNT))
        with program:
            wait_until("one receiver has everything", lambda: alive.distinct == COUNT)
            check_equal(program.memory_kib < MEMORY_KIB, True, f"{program.memory_kib} KiB of memory are bounded")
            program.wait_for_log("messages dropped for outputs with `required: false`")
            dead.come_back()
            wait_until("the other one gets its ring", lambda: dead.distinct > 1000)
            program.write("2.log", flows.text(COUNT, COUNT + 1000))
            later = flows.ids(COUNT, COUNT + 1000)
            wait_until("and what follows", lambda: not dead.missing(later))
            program.terminate()
            dropped = program.counter("dropped")
        flows.check_arrived(alive, flows.ids(0, COUNT + 1000))
        check_equal(set(dead.ids) - flows.ids(0, COUNT + 1000), set(), "flows that nobody sent")
        check_equal(dropped > 1000, True, f"{dropped} were dropped")
        check_equal(dead.distinct + dropped, COUNT + 1000, "delivered to it and dropped")


@story()
def story_the_end_does_not_wait_for_one_that_is_not_required(env):
    """Given a receiver that is required and one that is not and never comes; when the files are read to their end;
    then flowgelf ends, all is delivered to the one, all counted as dropped for the other, and the next life, from
    the positions that were committed, reads nothing again."""
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as alive, \
            GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as dead:
        dead.go_away()
        program = program_with(small(alive), small(dead, required=False), shutdown_grace="500ms")
        program.write("1.log", flows.text(0, 3000))
        with program:
            program.wait()
            check_equal((program.counter("dropped"), program.counter("delivered")), (3000, 3000), "counters")
            program.start()
            program.wait()
        flows.check_arrived(alive, flows.ids(0, 3000))
        check_equal(alive.duplicates, 0, "duplicates")


@story()
def story_one_that_is_required_stops_reading(env):
    """Given two receivers, both required; when one goes away for a while; then the other gets no more than the ring
    of the first holds; when it comes back, both get everything."""
    with GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as alive, \
            GelfTcpReceiver(receive_buffer=flows.SMALL_BUFFER) as dead:
        dead.go_away()
        program = program_with(small(alive), small(dead), shutdown_grace="2m")
        program.write("1.log", flows.text(0, COUNT))
        with program:
            wait_until("the ring is full", lambda: alive.count > 0 and is_still(alive))
            check_equal(alive.distinct < COUNT, True, "reading has stopped")
            check_equal(program.is_running, True, "flowgelf waits")
            dead.come_back()
            program.wait()
            check_equal(program.counter("dropped"), 0, "dropped")
        flows.check_arrived(alive, flows.ids(0, COUNT))
        flows.check_arrived(dead, flows.ids(0, COUNT))


def is_still(receiver, seen={}):  # noqa: B006 - remembers the last look
    """Whether nothing has come since some looks ago."""
    seen.setdefault(id(receiver), []).append(receiver.count)
    looks = seen[id(receiver)]
    return len(looks) > 40 and looks[-1] == looks[-40]

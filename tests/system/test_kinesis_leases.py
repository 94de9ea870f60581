# SPDX-License-Identifier: Apache-2.0
"""Positions in a lease table of DynamoDB (dynalite): hosts share a stream, and take turns with Amazon's own library.

The table's items are those of the Kinesis Client Library (KCL) 1.x; what a worker of it does to a table is done here by
KclWorker, by the conditional writes that the library makes. failover is 3 s, so that shards move every few seconds.
"""

import json
import re
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack

from harness import aws, check_equal, flows, free_port, kinesis, story, wait_until
from harness.aws import AwsError
from harness.emulators import Dynalite, shared
from harness.fake_kinesis import FakeKinesis

FAILOVER_S = 3

# Attributes of KCL and their types. Nothing else may stand in a table that KCL is to read.
KCL_TYPES = {"leaseKey": "S", "leaseOwner": "S", "leaseCounter": "N", "checkpoint": "S",
             "checkpointSubSequenceNumber": "N", "ownerSwitchesSinceCheckpoint": "N", "parentShardId": "SS",
             "childShardIds": "SS", "startingHashKey": "S", "endingHashKey": "S", "pendingCheckpoint": "S",
             "pendingCheckpointSubSequenceNumber": "N", "pendingCheckpointState": "B", "checkpointOwner": "S",
             "throughputKBps": "N", "entityType": "S"}


class Table:
    """A lease table and what stories ask of it."""

    def __init__(self, env):
        self.emulator = shared.get(Dynalite)
        self.db = self.emulator.client()
        self.name = env.name("table")

    def checkpoint(self, owner):
        return kinesis.leases(self.name, self.emulator.endpoint, owner, f"{FAILOVER_S}s")

    def rows(self):
        return {key: {name: next(iter(value.values())) for name, value in item.items()}
                for key, item in self.db.scan(self.name).items()}

    def owners(self):
        """How many leases each worker has, those read to their end left out."""
        return Counter(row["leaseOwner"] for row in self.rows().values()
                       if row.get("leaseOwner") and row.get("checkpoint") != "SHARD_END")

    def wait_for_owners(self, counts, timeout_s=120):
        """counts: {owner: leases}"""
        last = {}

        def is_so():
            last["owners"] = self.owners()
            return last["owners"] == Counter(counts)

        try:
            wait_until(f"leases are {counts}", is_so, timeout_s, 0.2)
        except Exception as failure:
            failure.args = (f"{failure}; they are {dict(last['owners'])}",)
            raise

    def has_stored(self, stream):
        """Whether every position is that of the shard's last record."""
        rows = self.rows()
        return all(rows.get(shard.id, {}).get("checkpoint") in (
            str(shard.records[-1].sequence) if shard.records else "TRIM_HORIZON", "SHARD_END")
            for shard in stream.shards)

    def check_format(self):
        """Nothing in it that KCL knows as something else, and of what it does not know only what is named as ours."""
        for key, item in self.db.scan(self.name).items():
            found = {name: next(iter(value)) for name, value in item.items()}
            strange = {name: kind for name, kind in found.items()
                       if KCL_TYPES.get(name) != kind and not name.startswith("flowgelf")}
            check_equal(strange, {}, f"strange attributes of {key}")
            check_equal({"leaseKey", "leaseCounter", "checkpoint"} - set(found), set(), f"missing in {key}")


def lease(key, checkpoint, sub=0, owner=None, counter=1, **more):
    """An item as KCL 1.x writes it; parents=[...]."""
    item = {"leaseKey": {"S": key}, "leaseCounter": {"N": str(counter)}, "checkpoint": {"S": str(checkpoint)},
            "checkpointSubSequenceNumber": {"N": str(sub)}, "ownerSwitchesSinceCheckpoint": {"N": "0"}}
    if owner:
        item["leaseOwner"] = {"S": owner}
    if more.get("parents"):
        item["parentShardId"] = {"SS": more.pop("parents")}
    return {**item, **more}


class Feeder(threading.Thread):
    """Keeps putting envelopes of 20 flows into the shards of FakeKinesis, one after the other, until finish()."""

    def __init__(self, stream, every_s=0.03):
        super().__init__(daemon=True, name="feeder")
        self._stream, self._every_s = stream, every_s
        self._ends = threading.Event()
        self.count = 0
        self.orders = {}
        self.start()

    def run(self):
        while not self._ends.wait(self._every_s):
            with self._stream.fake.lock:
                shards = [shard.number for shard in self._stream.shards if not shard.closed_at]
                number = shards[self.count // 20 % len(shards)]
                ids = kinesis.fill(self._stream, number, self.count, self.count + 20)
            self.orders.setdefault(number, []).extend(ids)
            self.count += 20

    def finish(self):
        self._ends.set()
        self.join(10)
        return self.count


def process(fake, table, receiver, owner, **settings):
    source = kinesis.source("flows", fake.endpoint, checkpoint=table.checkpoint(owner), **settings.pop("source", {}))
    return kinesis.program_for(source, receiver, **settings)


class KclWorker(threading.Thread):
    """Renews leases as KCL 1.x does, under the counter's condition, and stores positions when asked; never takes one by
    itself. `held` are those that it still has."""

    def __init__(self, table, name, keys):
        super().__init__(daemon=True, name=name)
        self._db, self._table, self.owner = table.emulator.client(), table.name, name
        self.held = {key: int(table.db.get(table.name, key)["leaseCounter"]["N"]) for key in keys}
        self._ends = threading.Event()
        self.start()

    def run(self):
        while not self._ends.wait(FAILOVER_S / 3 - 0.025):
            for key in list(self.held):
                self._write(key, {})

    def _write(self, key, updates):
        """Raises the counter, with updates; forgets the lease when the counter is another."""
        counter = self.held[key]
        updates = {"leaseCounter": {"Value": {"N": str(counter + 1)}, "Action": "PUT"}, **updates}
        try:
            self._db.call("UpdateItem", TableName=self._table, Key={"leaseKey": {"S": key}}, AttributeUpdates=updates,
                          Expected={"leaseCounter": {"Value": {"N": str(counter)}, "Exists": True}})
            self.held[key] = counter + 1
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            del self.held[key]

    def stop(self):
        """As a process that is killed."""
        self._ends.set()
        self.join(10)


@story(limit_s=600)  # the first one installs
def story_three_processes_share_a_stream(env):
    """Given three flowgelf on one stream of six shards while records keep coming; then each gets two. When one is
    killed by SIGKILL, one stands still for 30 s (SIGSTOP) and wakes up, and one is added meanwhile; then their shards
    move to who is there, and back to balance, every flow arrives in order by shard, and when all end nobody owns
    anything."""
    table = Table(env)
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 6)
        feeder = Feeder(stream)
        with ExitStack() as stack:
            one, two, three = [stack.enter_context(process(fake, table, receiver, name))
                               for name in ("one", "two", "three")]
            table.wait_for_owners({"one": 2, "two": 2, "three": 2})
            one.kill()
            table.wait_for_owners({"two": 3, "three": 3})
            two.process.send_signal(signal.SIGSTOP)
            asleep = time.monotonic()
            table.wait_for_owners({"three": 6})
            four = stack.enter_context(process(fake, table, receiver, "four"))
            table.wait_for_owners({"three": 3, "four": 3})
            time.sleep(max(0, 30 - (time.monotonic() - asleep)))
            two.process.send_signal(signal.SIGCONT)
            table.wait_for_owners({"two": 2, "three": 2, "four": 2})
            count = feeder.finish()
            kinesis.wait_for(receiver, count)
            wait_until("every position is stored", lambda: table.has_stored(stream))
            for program in (two, three, four):
                program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=6, workers=2)
        kinesis.check_order(receiver, feeder.orders)
    check_equal(table.owners(), Counter(), "owners at the end")
    table.check_format()


@story(limit_s=120)
def story_table_of_kcl_is_taken_over_where_it_stood(env):
    """Given a table that a stopped KCL 1.x application left (Graylog's plugin, say): positions at a record, inside an
    aggregate, at TRIM_HORIZON, at SHARD_END with a child begun and one not, owned by a worker that is gone; then
    flowgelf goes on exactly there once that worker's time is over: nothing comes that was done, nothing is skipped; and
    KCL could read the table afterwards."""
    table, gone = Table(env), "ip-10-0-0-7:0b5ad3c9-graylog"
    table.db.create_table(table.name)
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 4)
        at_record = [stream.put(0, kinesis.envelope(at, at + 20)) for at in range(0, 200, 20)]
        users = [(kinesis.line(n).encode(), "x", 1 << 126) for n in range(200, 300)]
        inside = stream.put(1, kinesis.aggregate(users))
        kinesis.fill(stream, 2, 300, 400)
        kinesis.fill(stream, 3, 9000, 9100)
        begun, unbegun = stream.split(3)
        done = stream.put(begun, kinesis.envelope(9100, 9120))
        kinesis.fill(stream, begun, 400, 500)
        kinesis.fill(stream, unbegun, 500, 600)
        shards = [shard.id for shard in stream.shards]
        items = [lease(shards[0], at_record[4], owner=gone, counter=4711), lease(shards[1], inside, 49, gone, 12),
                 lease(shards[2], "TRIM_HORIZON", owner=gone), lease(shards[3], "SHARD_END", owner=gone, counter=99),
                 lease(shards[begun], done, owner=gone, counter=3, parents=[shards[3]]),
                 lease(shards[unbegun], "TRIM_HORIZON", parents=[shards[3]])]
        for item in items:
            table.db.put(table.name, item)
        wanted = flows.ids(100, 200) | flows.ids(250, 600)
        with process(fake, table, receiver, "flowgelf-1") as program:
            kinesis.wait_for(receiver, wanted)
            wait_until("positions are stored", lambda: table.rows()[shards[0]]["checkpoint"] == str(at_record[-1]))
            program.terminate()
        flows.check_arrived(receiver, wanted)
        check_equal(receiver.duplicates, 0, "duplicates")
        table.check_format()
        rows = table.rows()
        check_equal(rows[shards[1]]["checkpoint"], str(inside), "position of the aggregate")
        check_equal(int(rows[shards[1]]["checkpointSubSequenceNumber"]), 99, "and within it")
        check_equal(rows[shards[begun]]["parentShardId"], [shards[3]], "parents are kept")
        check_equal(int(rows[shards[0]]["leaseCounter"]) > 4711, True, "counters go on")
        check_equal("leaseOwner" in rows[shards[0]], False, "let go at the end")


@story(limit_s=120)
def story_shared_with_a_worker_of_kcl(env):
    """Given a KCL worker that renews two of four leases; then flowgelf takes the other two and leaves these alone; when
    that worker dies, flowgelf takes them too, where it stood; a lease of which another is still checkpointOwner (KCL 3)
    it does not read before that one lets go; items of other kinds in the table stay as they are."""
    table = Table(env)
    table.db.create_table(table.name)
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 5)
        sequences = {}
        for number in range(5):
            sequences[number] = [stream.put(number, kinesis.envelope(at, at + 20))
                                 for at in range(100 * number, 100 * (number + 1), 20)]
        shards = [shard.id for shard in stream.shards]
        for number in (0, 1):
            table.db.put(table.name, lease(shards[number], sequences[number][1], owner="kcl"))
        for number in (2, 3):
            table.db.put(table.name, lease(shards[number], "TRIM_HORIZON"))
        table.db.put(table.name, lease(shards[4], "TRIM_HORIZON", owner="flowgelf-1", checkpointOwner={"S": "kcl"}))
        other = {"leaseKey": {"S": "Migration3.0"}, "entityType": {"S": "CLIENT_VERSION_MIGRATION"},
                 "cv": {"S": "CLIENT_VERSION_3X"}, "mts": {"N": "1"}}
        table.db.put(table.name, other)
        kcl = KclWorker(table, "kcl", [shards[number] for number in (0, 1, 4)])
        with process(fake, table, receiver, "flowgelf-1") as program:
            kinesis.wait_for(receiver, flows.ids(200, 400))
            time.sleep(2.5 * FAILOVER_S)
            check_equal({0, 1} & {number for number in range(5) if fake.calls_of("GetRecords", number)}, set(),
                        "shards of the other that were read")
            check_equal(fake.calls_of("GetRecords", 4), [], "calls for the lease that is being handed over")
            check_equal(set(kcl.held) >= {shards[0], shards[1]}, True, "the other still has its leases")
            kcl.stop()
            kinesis.wait_for(receiver, flows.ids(40, 100) | flows.ids(140, 500))
            program.terminate()
        flows.check_arrived(receiver, flows.ids(40, 100) | flows.ids(140, 500))
        check_equal(receiver.duplicates, 0, "duplicates")
        check_equal(table.db.get(table.name, "Migration3.0"), other, "the item of another kind")


@story(limit_s=120)
def story_shards_split_and_merge_among_processes(env):
    """Given two processes and records that keep coming; when a shard splits, and two merge; then children's leases
    stand in the table as KCL makes them, no child is asked for before its parents' ends are stored, every flow arrives
    once, in order by shard."""
    table, too_early = Table(env), []
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 4)

        def look(exchange):
            rows = table.rows()
            shard = next(one for one in stream.shards if one.id == exchange.shard)
            too_early.extend((shard.id, parent.id) for parent in shard.parents
                             if rows.get(parent.id, {}).get("checkpoint", "SHARD_END") != "SHARD_END")
            exchange.send()

        fake.fault("GetShardIterator", look, times=None)
        feeder = Feeder(stream)
        with process(fake, table, receiver, "one") as one, process(fake, table, receiver, "two") as two:
            table.wait_for_owners({"one": 2, "two": 2})
            children = stream.split(0)
            merged = stream.merge(2, 3)
            wait_until("the children are read", lambda: all(
                len(feeder.orders.get(number, [])) > 200 for number in [*children, merged]))
            count = feeder.finish()
            kinesis.wait_for(receiver, count)
            wait_until("every position is stored", lambda: table.has_stored(stream)
                       or {one.id for one in stream.shards if not one.closed_at} <= set(table.rows()))
            rows = table.rows()
            one.terminate()
            two.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(too_early, [], "children asked for before their parents' ends were stored")
        kinesis.check_order(receiver, feeder.orders)
        flows.check_duplicates(receiver, incidents=1, workers=2)
        for number, parents in ((children[0], [0]), (children[1], [0]), (merged, [2, 3])):
            row, shard = rows[stream.shards[number].id], stream.shards[number]
            check_equal(sorted(row["parentShardId"]), [stream.shards[p].id for p in parents], "parentShardId")
            check_equal((row["startingHashKey"], row["endingHashKey"]), (str(shard.first), str(shard.last)), "range")
        for number, wanted in ((0, children), (2, [merged]), (3, [merged])):
            row = rows.get(stream.shards[number].id)
            if row:  # else it is cleaned up already
                check_equal((row["checkpoint"], sorted(row["childShardIds"])),
                            ("SHARD_END", [stream.shards[c].id for c in wanted]), "the parent's end")
    table.check_format()


@story(limit_s=120)
def story_leases_are_kept_while_the_receiver_stalls(env):
    """Given a receiver that stalls for three times the failover time, with full rings; then the leases are renewed all
    the while, no position runs ahead, and when it goes on each flow arrives once."""
    table, count = Table(env), 40_000
    with FakeKinesis() as fake, kinesis.Receiver(receive_buffer=flows.SMALL_BUFFER) as receiver:
        stream = fake.create("flows", 2)
        receiver.stall()
        for number in range(2):
            kinesis.fill(stream, number, 20_000 * number, 20_000 * (number + 1), 100)
        with process(fake, table, receiver, "one") as program:
            table.wait_for_owners({"one": 2})
            before = {key: int(row["leaseCounter"]) for key, row in table.rows().items()}
            time.sleep(3 * FAILOVER_S)
            rows = table.rows()
            check_equal([key for key, row in rows.items() if int(row["leaseCounter"]) - before[key] < 5], [],
                        "leases that were not renewed")
            check_equal({row["checkpoint"] for row in rows.values()}, {"TRIM_HORIZON"}, "positions in the stall")
            receiver.resume()
            kinesis.wait_for(receiver, count)
            wait_until("every position is stored", lambda: table.has_stored(stream))
            program.terminate()
        flows.check_arrived(receiver, flows.ids(0, count))
        check_equal(receiver.duplicates, 0, "duplicates")


@story(limit_s=120)
def story_table_does_not_answer(env):
    """Given a lease table that answers nothing for longer than the failover time while records keep coming; then
    flowgelf says so, and when it answers again every flow arrives, in order by shard, and positions are stored."""
    table = Table(env)
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 4)
        feeder = Feeder(stream)
        with process(fake, table, receiver, "one") as one, process(fake, table, receiver, "two") as two:
            table.wait_for_owners({"one": 2, "two": 2})
            table.emulator.process.send_signal(signal.SIGSTOP)
            try:
                time.sleep(2.5 * FAILOVER_S)
            finally:
                table.emulator.process.send_signal(signal.SIGCONT)
            table.wait_for_owners({"one": 2, "two": 2})
            count = feeder.finish()
            kinesis.wait_for(receiver, count)
            wait_until("every position is stored", lambda: table.has_stored(stream))
            one.terminate()
            two.terminate()
            check_equal(table.name in one.stderr, True, "said which table")
        flows.check_arrived(receiver, flows.ids(0, count))
        flows.check_duplicates(receiver, incidents=4, workers=2)
        kinesis.check_order(receiver, feeder.orders)


@story(limit_s=60)
def story_start_at_latest_in_a_table(env):
    """Given start: latest, no table, and old records; when flowgelf is killed before anything is delivered and others
    came meanwhile; then the next life sends these and none of the old, and the table was made in KCL's format."""
    table, late = Table(env), type("Late", (), {"address": f"127.0.0.1:{free_port()}"})
    with FakeKinesis() as fake:
        stream = fake.create("flows", 2)
        for number in range(2):
            kinesis.fill(stream, number, 5000 + 100 * number, 5100 + 100 * number)
        for shard in stream.shards:
            shard.records = [record._replace(arrival=record.arrival - 60) for record in shard.records]
        with process(fake, table, late, "one", source={"start": "latest"}) as program:
            wait_until("both are read", lambda: fake.calls_of("GetRecords", 0) and fake.calls_of("GetRecords", 1))
            kinesis.fill(stream, 0, 0, 100)
            program.kill()
            kinesis.fill(stream, 1, 100, 200)
            with kinesis.Receiver(port=int(late.address.rpartition(":")[2])) as receiver:
                program.start()
                kinesis.wait_for(receiver, 200)
                program.terminate()
                flows.check_arrived(receiver, flows.ids(0, 200))
                check_equal(receiver.duplicates, 0, "duplicates")
    table.check_format()


@story(limit_s=60, threaded=False)
def story_leases_command_shows_and_changes_nothing(env):
    """Given a table with leases of three kinds; then `flowgelf leases` shows shard, owner and position of each, and the
    table is as it was; without a table it says so and makes none."""
    table = Table(env)
    with FakeKinesis() as fake, kinesis.Receiver() as receiver:
        stream = fake.create("flows", 3)
        sequence = stream.put(0, b"x")
        program = process(fake, table, receiver, "one")
        try:
            kinesis.run_command(aws.environment(), "leases", "-c", program.config_path, code=None)
            check_equal(table.db.scan(table.name), {}, "a table made by looking")
            table.db.create_table(table.name)
            stored = {"S": f"{int((time.time() - 600) * 1000)} {sequence}"}
            table.db.put(table.name, {**lease(stream.shards[0].id, sequence, owner="host-a", counter=7),
                                      "flowgelfStored": stored})
            table.db.put(table.name, lease(stream.shards[1].id, "TRIM_HORIZON"))
            table.db.put(table.name, lease(stream.shards[2].id, "SHARD_END", owner="host-b"))
            before = table.db.scan(table.name)
            out, _ = kinesis.run_command(aws.environment(), "leases", "-c", program.config_path)
            check_equal(table.db.scan(table.name), before, "the table")
            for pattern in (rf"{stream.shards[0].id}.*host-a.*{sequence}.* 6\d\d s old", rf"{stream.shards[1].id}.*TRIM_HORIZON",
                            rf"{stream.shards[2].id}.*SHARD_END"):
                check_equal(bool(re.search(pattern, out)), True, f"{pattern} in\n{out}")
            rows = [json.dumps(one) for one in out.splitlines() if "shardId-" in one]
            check_equal(len(rows), 3, f"rows in\n{out}")
        finally:
            program.close()

# SPDX-License-Identifier: Apache-2.0
"""The broker itself: what the other stories take for granted.

No flowgelf takes part, so there is nothing to see for ThreadSanitizer: threaded=False.
"""

from harness import check_equal, story, wait_until


@story(threaded=False)
def story_broker_keeps_messages_over_a_restart(env):
    """A thousand messages go in, come out, survive a restart, and a group's offsets can be read."""
    broker = env.broker()
    topic = env.topic(partitions=3)
    wanted = {f"message {i}".encode() for i in range(1000)}
    for partition in range(3):
        broker.produce(topic, (f"message {i}" for i in range(partition, 1000, 3)), partition)
    check_equal(broker.end_offsets(topic, 3), {0: 334, 1: 333, 2: 333}, "ends of the partitions")
    check_equal(set(broker.consume(topic)), wanted, "messages")
    broker.restart()
    check_equal(set(broker.consume(topic)), wanted, "messages after a restart")
    check_equal(broker.committed_offsets("nobody", topic, 3), {0: -1, 1: -1, 2: -1}, "offsets of nobody")
    check_equal(broker.group_members("nobody"), ("Dead", 0), "members of nobody")


@story(threaded=False)
def story_group_offsets_tell_what_was_committed(env):
    """A group that reads a partition to its end and leaves has committed it."""
    broker = env.broker()
    topic, group = env.topic(partitions=2), env.name("group")
    broker.produce(topic, ["one", "two", "three"], partition=1)
    check_equal(broker.has_committed_all(group, topic, 2), False, "committed before")
    check_equal(sorted(broker.consume_as_group(group, topic, 3)), [b"one", b"three", b"two"], "read")
    wait_until("the offsets are committed", lambda: broker.has_committed_all(group, topic, 2))
    check_equal(broker.committed_offsets(group, topic, 2), {0: -1, 1: 3}, "committed")
    wait_until("the group is empty", lambda: broker.group_members(group) == ("Empty", 0))


@story(threaded=False)
def story_killed_broker_keeps_what_it_acknowledged(env):
    """SIGKILL of the broker loses no acknowledged message."""
    broker = env.broker()
    topic = env.topic()
    broker.produce(topic, (f"message {i}" for i in range(500)))
    broker.kill()
    broker.start()
    check_equal(len(set(broker.consume(topic))), 500, "messages after a crash")

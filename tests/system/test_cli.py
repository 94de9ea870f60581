# SPDX-License-Identifier: Apache-2.0
"""The commands as a person types them: what they print, where, and with which exit code they end.

Commands that look at words, tables and files do so in one thread: threaded=False. `run` and `peek` start workers.
"""

import contextlib
import gzip
import json
import os
import re
import tempfile
from pathlib import Path

from harness import Flowgelf, check_equal, flows, free_port, story
from harness.base import ROOT

DATA = ROOT / "tests/data"
MMDB = DATA / "mmdb/maxmind-test-data"
BROKEN = MMDB / "GeoIP2-City-Test-Invalid-Node-Count.mmdb"
COMMANDS = ["run", "check", "enrich", "peek", "lookup", "demo"]
SINK = "outputs: [{gelf_tcp: {hosts: ['127.0.0.1:9']}}]\n"
SOURCE = "inputs: [{kafka: {brokers: ['127.0.0.1:9'], topics: [t]}}]\n"

TABLES = f"""\
enrich:
  internal: {{networks: [198.18.0.0/15]}}
  networks:
    my_office: [203.0.113.0/24]
    vpn: {{cidrs: [2001:db8::/32], trusted: true}}
  geo: {{city: "{MMDB}/GeoLite2-City-Test.mmdb", asn: "{MMDB}/GeoLite2-ASN-Test.mmdb"}}
  threat: {{feeds: {{listed: {{file: feed.txt}}}}}}
"""

# One mistake each: the lines of the file, where it is (line:column), and what is said.
MISTAKES = [
    ("a: [\n", "2:1", "not valid YAML"),
    ("statee: /tmp\n", "1:1", 'unknown setting "statee"; did you mean "state"?'),
    ("state: here\n", "1:8", 'state: "here" must be an absolute path'),
    ("workers: 300\n", "1:10", 'workers: found "300": too large; allowed: a whole number from 1 to 256'),
    ("workers: two\n", "1:10", 'workers: found "two"'),
    ("memory: 20MiB\n" + SOURCE + SINK, "1:9", "the rings need more than these 20 MiB"),
    ("shutdown_grace: 10\n", "1:17", "allowed: a duration"),
    ("flow_logs: {no_data: maybe}\n", "1:22", "allowed: drop or send"),
    ("flow_logs:\n  formats: [default, '${version} ${srcaddr']\n", "2:22", "is not written as ${name}"),
    ("inputs: {kafka: {}}\n", "1:9", "inputs: expected a list"),
    ("inputs:\n  - kafkaa: {}\n", "2:5", 'unknown input "kafkaa"; did you mean "kafka"?'),
    ("inputs:\n  - s3: {}\n", "2:5", "not in this version"),
    ("inputs:\n  - kafka: {topics: [t]}\n", "2:12", "inputs[0].kafka.brokers: is required and missing"),
    ("inputs:\n  - kafka: {brokers: [k], topics: [t]}\n", "2:23", "the port is missing"),
    ("inputs:\n  - kafka: {brokers: ['k:1'], topics: [t], start: soon}\n", "2:51", "earliest, latest or a time"),
    ("inputs:\n  - kafka:\n      brokers: ['k:1']\n      topics: [t]\n      properties: {enable.auto.commit: true}\n",
     "5:19", "enable.auto.commit is refused"),
    ("inputs:\n  - file: {paths: ['-'], follow: true}\n", "2:11", "cannot be followed"),
    ("enrich: {internal: {networks: [10.0.0.0/33]}}\n", "1:32", "the prefix length must be 0 to 32"),
    ("enrich: {geoo: {}}\n", "1:10", 'unknown enricher "geoo"; did you mean "geo"?'),
    ("enrich: {inventory: {file: i.json}}\n", "1:10", "not in this version"),
    ("messages: {booleans: perhaps}\n", "1:22", "booleans"),
    ("outputs:\n  - gelf_tcp: {hosts: ['h:99999']}\n", "2:24", "a port is a number from 1 to 65535"),
    ("outputs:\n  - gelf_tcp: {hosts: ['a:1', 'b:2']}\n", "2:15", "name exactly one"),
    ("outputs:\n  - gelf_tcp: {hosts: ['a:1'], required: false}\n", "2:3", "every output has"),
    ("outputs:\n  - gelf_tcp: {hosts: ['a:1'], filter: 'action:('}\n", "2:40", "query, position 9: a value is missing"),
    ("outputs:\n  - gelf_udp: {hosts: ['a:1'], mtu: 100}\n", "2:37", "from 576 to 8192"),
    ("drop: 'action:('\n", "1:7", "drop: query, position 9: a value is missing"),
    ("metrics: {listen: '127.0.0.1:1'}\n", "1:1", "not in this version"),
]


@contextlib.contextmanager
def folder(**named):
    """A folder with files; `_` in a name stands for its dot. Feeds and logs that the tables name are there."""
    with tempfile.TemporaryDirectory(prefix="flowgelf-cli-") as name:
        path = Path(name)
        for key, content in {"feed_txt": "198.51.100.7\n", **named}.items():
            data = content if isinstance(content, bytes) else content.encode()
            (path / key.replace("_", ".")).write_bytes(data)
        yield path


def messages(out):
    return [json.loads(line) for line in out.splitlines()]


def check_says(text, wanted):
    for one in wanted:
        check_equal(one in text, True, f"'{one}' is said in:\n{text}\n")


@story(threaded=False)
def story_check_of_a_good_configuration(env):
    """Given a configuration with tables, files and a receiver that is not there; then `check` loads the tables,
    opens the files, says what it saw, stays on the machine, changes nothing, and ends with 0."""
    with folder(flows_log=flows.text(0, 3)) as path:
        (path / "f.yaml").write_text(f"state: {path}/state\n" + TABLES +
                                     "inputs: [{file: {paths: [flows.log]}}]\n" + SINK)
        before = sorted(path.rglob("*"))
        out, err = Flowgelf.command("check", "-c", path / "f.yaml")
        check_says(out, ["networks: 2 names for 2 prefixes", "internal: private ranges and 1 configured network",
                         "GeoLite2-City", "GeoLite2-ASN", "listed", "flows.log can be read", "not tried",
                         f"{path}/state is not there", "rings: gelf_tcp 40 MiB", "f.yaml: fine"])
        check_equal(err, "", "stderr")
        check_equal(sorted(path.rglob("*")), before, "files afterwards")


@story(threaded=False)
def story_check_says_when_it_runs_as_another_user(env):
    """Given a state that belongs to another user; then `check` names both."""
    with folder() as path:
        (path / "state").mkdir()
        try:
            os.chown(path / "state", 54321, -1)
        except PermissionError:
            return  # only root can give files away, and only for root the hint matters most
        (path / "f.yaml").write_text(f"state: {path}/state\n" + SOURCE + SINK)
        out, _ = Flowgelf.command("check", "-c", path / "f.yaml")
        check_says(out, ["owner 54321", "the service as 54321"])


@story(threaded=False)
def story_check_names_the_place_of_every_kind_of_mistake(env):
    """Given configurations with one mistake each; then `check` ends with 78 and names file:line:column, the
    setting, what was found and what is allowed; nothing on stdout."""
    with folder() as path:
        config = path / "f.yaml"
        for text, place, said in MISTAKES:
            config.write_text(text)
            out, err = Flowgelf.command("check", "-c", config, code=78)
            check_says(err, [f"{config}:{place}: ", said])
            check_equal((out, len(err.splitlines())), ("", 1), f"stdout, and lines on stderr for {text!r}: {err}")


@story(threaded=False)
def story_check_shows_all_mistakes_at_once(env):
    """Given a file with a mistake in every part; then each is shown, `run` refuses it with the same words and
    78, and so does every command that takes a configuration."""
    text = """\
workers: 300
statee: /x
inputs:
  - kafka: {brokers: [k], topics: [], groop: g}
  - kafkaa: {}
enrich: {internal: {networks: [10.0.0.0/33]}, geoo: {}}
messages: {booleans: perhaps}
flow_logs: {formats: ['${version']}
outputs:
  - gelf_tcp: {hosts: ['h:99999'], confirm_after: 1}
  - gelf_udp: {hosts: ['h:1'], mtu: 100}
"""
    places = ["1:10", "2:1", "4:23", "4:35", "4:39", "5:5", "6:32", "6:47", "7:22", "8:23", "10:24", "10:51", "11:37"]
    with folder(f_yaml=text) as path:
        _, err = Flowgelf.command("check", "-c", path / "f.yaml", code=78)
        found = re.findall(r"f\.yaml:(\d+:\d+): ", err)
        check_equal(sorted(found), sorted(places), f"places named in:\n{err}\n")
        for command in (["run"], ["peek"], ["lookup", "10.0.0.1"], ["enrich"]):
            _, said = Flowgelf.command(command[0], "-c", path / "f.yaml", *command[1:], code=78)
            check_equal(said, err, f"what {command[0]} says")


@story(threaded=False)
def story_check_of_what_is_missing(env):
    """Given a file, a database or a configuration that is not there, or a database that is broken; then `check`
    ends with 78 and names it; the parts that are fine are still reported."""
    lacking = {"inputs: [{file: {paths: [nowhere.log]}}]\n" + SINK: "nowhere.log",
               SOURCE + SINK + "enrich: {geo: {city: nowhere.mmdb}}\n": "nowhere.mmdb",
               SOURCE + SINK + "enrich: {threat: {feeds: {f: {file: nowhere.txt}}}}\n": "nowhere.txt",
               SOURCE + SINK + "enrich: {geo: {city: feed.txt}}\n": "feed.txt",
               SOURCE + SINK + f"enrich: {{geo: {{city: '{BROKEN}'}}}}\n": BROKEN.name,
               SOURCE: "no outputs", SINK: "no inputs"}
    with folder() as path:
        for text, said in lacking.items():
            (path / "f.yaml").write_text(text)
            out, _ = Flowgelf.command("check", "-c", path / "f.yaml", code=78)
            check_says(out, ["FAILED", said, "would not run"])
        _, err = Flowgelf.command("check", "-c", path / "none.yaml", code=78)
        check_says(err, ["none.yaml", "No such file"])


@story()
def story_check_online_tries_the_receiver(env):
    """Given nobody on the receiver's port; then `check` is fine, and `check --online` is not and says why."""
    port = free_port()
    with folder(flows_log=flows.text(0, 1)) as path:
        (path / "f.yaml").write_text("inputs: [{file: {paths: [flows.log]}}]\n"
                                     f"outputs: [{{gelf_tcp: {{hosts: ['127.0.0.1:{port}']}}}}]\n")
        Flowgelf.command("check", "-c", path / "f.yaml")
        out, _ = Flowgelf.command("check", "-c", path / "f.yaml", "--online", code=78)
        check_says(out, ["FAILED", str(port), "refused"])


@story(threaded=False)
def story_enrich_reads_everything(env):
    """Given lines on stdin, in files, and in gzip; then `enrich` prints one message per line, in order, and the
    same for all three; keys as in GELF, all fields, no configuration needed."""
    text = flows.text(0, 50)
    with folder(a_log=text, b_gz=gzip.compress(text.encode())) as path:
        outs = [Flowgelf.command("enrich", data=text.encode())[0],
                Flowgelf.command("enrich", "-", data=gzip.compress(text.encode()))[0],
                Flowgelf.command("enrich", path / "a.log")[0], Flowgelf.command("enrich", path / "b.gz")[0]]
        both, _ = Flowgelf.command("enrich", path / "a.log", path / "b.gz")
    for out in outs:
        check_equal([m["_interface_id"] for m in messages(out)], [f"eni-{n}" for n in range(50)], "in order")
    check_equal(len(messages(both)), 100, "messages of two files")
    first = messages(outs[0])[0]
    check_equal((first["version"], first["host"], first["_action"], first["_src_addr_internal"], first["_protocol"]),
                ("1.1", "aws-flowlogs", "ACCEPT", "true", "TCP"), "the first message")
    check_equal({type(v) for m in messages(outs[0]) for v in m.values()} <= {str, int, float}, True, "types")
    check_equal("_event_uid" in first, True, "the field set is `all`")


@story(threaded=False)
def story_enrich_with_a_format_and_a_query(env):
    """Given lines of a format of one's own, as AWS writes it; then --format reads them and --query picks."""
    lines = "".join(f"{n}.{n}.{n}.{n} 10.0.0.{n} {'ACCEPT' if n % 2 else 'REJECT'} {n * 100}\n" for n in range(1, 11))
    form = "${srcaddr} ${dstaddr} ${action} ${bytes}"
    every, _ = Flowgelf.command("enrich", "--format", form, data=lines.encode())
    check_equal(len(messages(every)), 10, "messages")
    for query, wanted in {"action:REJECT": [2, 4, 6, 8, 10], "bytes:>700 AND NOT action:REJECT": [9],
                          "dst_addr:(10.0.0.1 OR 10.0.0.2)": [1, 2], "bytes:[200 TO 400]": [2, 3, 4],
                          'action:"ACCEPT" AND src_addr:7*': [7], "_exists_:nothing": []}.items():
        out, _ = Flowgelf.command("enrich", "-f", form, "-q", query, data=lines.encode())
        check_equal([m["_bytes"] // 100 for m in messages(out)], wanted, query)


@story(threaded=False)
def story_enrich_takes_a_configuration(env):
    """Given -c; then its tables and its `messages` apply, and neither its inputs nor its outputs."""
    with folder(f_yaml=TABLES + SOURCE + SINK + "messages: {fields: {set: standard}, host: here}\n") as path:
        out, _ = Flowgelf.command("enrich", "-c", path / "f.yaml", data=(
            "2 123456789010 eni-1 198.18.0.9 203.0.113.5 1024 443 6 1 40 1767225600 1767225660 ACCEPT OK\n"
            "2 123456789010 eni-2 198.51.100.7 10.0.0.1 1024 443 6 1 40 1767225600 1767225660 ACCEPT OK\n"
            "2 123456789010 eni-3 2.125.160.216 10.0.0.1 1024 443 6 1 40 1767225600 1767225660 ACCEPT OK\n").encode())
    one, two, three = messages(out)
    check_equal((one["host"], one["_src_addr_internal"], one["_dst_addr_name"]), ("here", "true", "my_office"),
                "internal and networks")
    check_equal(two["_src_addr_threat_indicated"], "true", "threat")
    check_equal((three["_src_addr_country_code"], three["_src_addr_city_name"]), ("GB", "Boxford"), "geo")


@story(threaded=False)
def story_enrich_sums_up_bad_lines(env):
    """Given bad lines among good ones; then the good ones are printed, the bad ones summed up by reason on stderr,
    and the exit code is 0."""
    data = (flows.text(0, 10) + "nonsense\n2 x y\n" + flows.text(10, 20)).encode()
    out, err = Flowgelf.command("enrich", data=data)
    check_equal(len(messages(out)), 20, "messages")
    check_says(err, ["2 bad lines, reason format"])
    check_equal(len(err.splitlines()), 1, "lines on stderr")


@story(threaded=False)
def story_enrich_sizes(env):
    """Given --sizes; then fields with their bytes are printed in place of messages, with the mean and GB a day."""
    data = flows.text(0, 1000)
    out, _ = Flowgelf.command("enrich", "--sizes", data=data.encode())
    check_says(out, ["interface_id", "src_addr", "short_message", "1000 messages", "mean", "GB per day"])
    check_equal("event_uid" in out, False, "fields beyond the standard set")
    with folder(f_yaml="messages: {fields: {set: standard}}\n") as path:
        plain, _ = Flowgelf.command("enrich", "-c", path / "f.yaml", data=data.encode())
    total = int(re.search(r"1000 messages, (\d+) bytes", out)[1])
    check_equal(total, len(plain.encode()) - 1000, "bytes of all messages")


@story()
def story_peek_at_files(env):
    """Given files with good and bad lines; then `peek` prints some messages and a summary of all it read, sends
    nothing and keeps no position; again it prints the same."""
    with folder(flows_log=flows.text(0, 40) + "nonsense\n") as path:
        (path / "f.yaml").write_text(f"state: {path}/state\n" + TABLES +
                                     "inputs: [{file: {paths: [flows.log]}}]\n" + SINK)
        outs = [Flowgelf.command("peek", "-c", path / "f.yaml", "--limit", "5")[0] for _ in range(2)]
        check_equal((path / "state").exists(), False, "a state is made")
    for out in outs:
        shown = [line for line in out.splitlines() if line.startswith("{")]
        check_equal(len(shown), 5, "messages shown")
        check_says(out, ["Seen:", "Bad lines: 1", "Formats:", "Addresses: 80", "internal", "Age of the records"])


@story(threaded=False)
def story_lookup(env):
    """Given tables; then `lookup` prints the dossier of each address, for people and as JSON, one object a line."""
    with folder(f_yaml=TABLES) as path:
        config = path / "f.yaml"
        out, _ = Flowgelf.command("lookup", "-c", config, "203.0.113.9", "2.125.160.216")
        check_says(out, ["203.0.113.9", "my_office", "2.125.160.216", "Boxford", "GB"])
        out, _ = Flowgelf.command("lookup", "--json", "-c", config, "198.18.0.9", "2001:db8::1", "198.51.100.7")
    one, two, three = messages(out)
    check_equal((one["address"], one["internal"]), ("198.18.0.9", True), "the first")
    check_equal((two["address"], two["name"], two["trusted"]), ("2001:db8::1", "vpn", True), "the second")
    check_equal((three["threat_indicated"], three["threat_indicated_listed"]), (True, True), "the third")


@story(threaded=False)
def story_wrong_usage(env):
    """Given words that a command does not know; then it ends with 2, says on stderr what is wrong and where help
    is, and prints nothing on stdout."""
    wrong = [([], "Usage: flowgelf COMMAND"), (["frobnicate"], 'no command "frobnicate"'),
             (["runn"], 'did you mean "run"?'), (["lookup"], "which address?"),
             (["lookup", "not.an.address"], "is no IPv4 or IPv6 address"),
             (["lookup", "--vpc", "vpc-1", "10.0.0.1"], "need an inventory"),
             (["lookup", "--interface", "eni-1", "10.0.0.1"], "need an inventory"),
             (["lookup", "--at", "2026-01-01T00:00:00Z", "10.0.0.1"], "need an inventory"),
             (["enrich", "--query", "action:("], "--query"), (["enrich", "--format", "${srcaddr"], "--format"),
             (["enrich", "--query"], "--query"), (["peek", "--limit", "many"], "--limit is a number"),
             (["run", "--log-format", "xml"], "--log-format is auto, text, journal or json"),
             (["run", "surplus"], 'unexpected "surplus"'), (["check", "surplus"], 'unexpected "surplus"'),
             (["demo", "surplus"], "surplus"), *[([command, "--bogus"], "--bogus") for command in COMMANDS]]
    for words, said in wrong:
        out, err = Flowgelf.command(*words, code=2)
        check_says(err, [said, "--help"])
        check_equal(out, "", f"stdout of {words}")


@story(threaded=False)
def story_help_and_version(env):
    """Given --help, for all and for each command, and --version; then it is on stdout, and the exit code is 0."""
    out, err = Flowgelf.command("--help")
    check_says(out, ["Usage: flowgelf COMMAND", "Exit codes: 0 fine, 1 run-time failure, 2 usage, 78", *COMMANDS])
    for command in COMMANDS:
        out, err = Flowgelf.command(command, "--help")
        check_equal((out.startswith(f"Usage: flowgelf {command}"), err), (True, ""), f"help of {command}: {out}")
    out, _ = Flowgelf.command("--version")
    check_equal(re.match(r"flowgelf \d+\.\d+\.\d+\n", out) is not None, True, out)
    check_says(out, ["librdkafka", "OpenSSL", "zlib", "libcurl"])


@story()
def story_log_as_json(env):
    """Given --log-format json; then each line on stderr is one JSON object."""
    with folder(flows_log=flows.text(0, 5)) as path:
        (path / "f.yaml").write_text(f"state: {path}/state\ninputs: [{{file: {{paths: [flows.log]}}}}]\n"
                                     "outputs: [{stdout: {}}]\n")
        out, err = Flowgelf.command("run", "-c", path / "f.yaml", "--log-format", "json")
    check_equal(len(messages(out)), 5, "messages on stdout")
    check_equal(len(messages(err)) > 3, True, "lines of the log")


@story()
def story_outputs_file_and_stdout(env):
    """Given the outputs stdout and file at once; then both get every message, one JSON object a line."""
    with folder(flows_log=flows.text(0, 500)) as path:
        (path / "f.yaml").write_text(f"state: {path}/state\ninputs: [{{file: {{paths: [flows.log]}}}}]\n"
                                     "outputs: [{stdout: {}}, {file: {path: flows.jsonl}}]\n")
        out, _ = Flowgelf.command("run", "-c", path / "f.yaml")
        written = (path / "state/flows.jsonl").read_text()
    for text in (out, written):
        check_equal([m["_interface_id"] for m in messages(text)], [f"eni-{n}" for n in range(500)], "messages")

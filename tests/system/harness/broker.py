# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka broker: one JVM, KRaft, one node, loopback only, data in a temporary folder.

It has three listeners for clients: in the clear (`address`), with TLS (`tls_address`), and with TLS and SASL
(`sasl_address`, for USER with PLAIN or SCRAM-SHA-256). The jars come from Maven by tests/system/kafka/pom.xml into
build/kafka/lib, once. Where they cannot be had, or java, kcat or openssl is missing, NotRun says so.
"""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import certificates, wire
from .base import BUILD, ROOT, SLOWNESS, NotRun, StoryFailed, free_port, stop_process, tail, wait_until

POM = ROOT / "tests/system/kafka/pom.xml"
CLUSTER_ID = "Zmxvd2dlbGYtc3RvcmllcyE"
USER, PASSWORD = "flowlogs", "correct horse"
JAVA = ["java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-Djava.awt.headless=true"]
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

LOG4J = """\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},TLS://127.0.0.1:{tls_port},SASL://127.0.0.1:{sasl_port},\
  CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},TLS://127.0.0.1:{tls_port},SASL://127.0.0.1:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config=\
  org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.network.threads=2
num.io.threads=2
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.enable=false
message.max.bytes=20971520
replica.fetch.max.bytes=20971520
"""


def jars():
    """The folder of the broker's jars; fetched on first use."""
    folder = BUILD / "kafka/lib"
    stamp = BUILD / "kafka/complete"
    if stamp.exists() and stamp.read_text() == POM.read_text():
        return folder
    if not shutil.which("mvn"):
        raise NotRun("kafka", "mvn is missing (packages: maven)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["mvn", "-B", "-q", "-f", str(POM), COPY, f"-DoutputDirectory={folder}",
               "-DincludeScope=runtime"]
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=400)
    except subprocess.TimeoutExpired:
        raise NotRun("kafka", "Maven did not bring the jars in 400 s") from None
    if made.returncode != 0:
        reason = next((line for line in made.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise NotRun("kafka", f"Maven could not bring the jars: {reason.strip()[:300]}")
    stamp.write_text(POM.read_text())
    return folder


class Broker:
    """Start with start(); `with Broker() as broker:` starts it and removes all at the end."""

    def __init__(self):
        for tool in ("java", "kcat", "openssl"):
            if not shutil.which(tool):
                raise NotRun("kafka", f"{tool} is missing")
        self.classpath = f"{jars()}/*"
        self.folder = Path(tempfile.mkdtemp(prefix="flowgelf-kafka-"))
        self.log_path = self.folder / "broker.log"
        self.process = None
        self.port, self._tls_port, self._sasl_port = free_port(), free_port(), free_port()
        self.authority_path = certificates.make_authority(self.folder)
        self.password_path = self.folder / "password"
        self.password_path.write_text(PASSWORD + "\n")
        self._configure()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def tls_address(self):
        return f"127.0.0.1:{self._tls_port}"

    @property
    def sasl_address(self):
        return f"127.0.0.1:{self._sasl_port}"

    @property
    def _endpoint(self):
        return ("127.0.0.1", self.port)

    def _configure(self):
        (self.folder / "log4j.properties").write_text(LOG4J)
        (self.folder / "server.properties").write_text(PROPERTIES.format(
            port=self.port, tls_port=self._tls_port, sasl_port=self._sasl_port, controller_port=free_port(),
            keystore=certificates.make_server(self.folder, self.authority_path), user=USER, password=PASSWORD,
            data=self.folder / "data"))
        self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c",
                   str(self.folder / "server.properties"),
                   "--add-scram", f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]")

    def _command(self, main_class, *args):
        return [*JAVA, f"-Dlog4j.configuration=file:{self.folder}/log4j.properties",
                "-cp", self.classpath, main_class, *args]

    def _java(self, main_class, *args):
        with self.log_path.open("ab") as log:
            done = subprocess.run(self._command(main_class, *args), stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, timeout=180 * SLOWNESS)
        if done.returncode != 0:
            raise StoryFailed(f"{main_class} failed:\n{tail(self.log_path)}")

    def start(self):
        """Starts the JVM and returns when the broker serves consumer groups."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command("kafka.Kafka", str(self.folder / "server.properties")),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until("the broker serves consumer groups", self._is_ready, 180, 0.1)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise StoryFailed(f"the broker ended by itself:\n{tail(self.log_path)}")
        return wire.is_ready(self._endpoint)

    def stop(self):
        """Ends the JVM in good order; data stay."""
        stop_process(self.process)

    def kill(self):
        """Ends the JVM with SIGKILL; data stay."""
        self.process.kill()
        self.process.wait()

    def restart(self, pause_s=0.0):
        self.stop()
        time.sleep(pause_s)
        self.start()

    def close(self):
        if self.process:
            stop_process(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_topic(self, topic, partitions=1, **configs):
        """Configs with _ for . (retention_ms=...). Returns when every partition has its leader."""
        named = {key.replace("_", "."): value for key, value in configs.items()}
        wire.create_topic(self._endpoint, topic, partitions, named)
        wait_until(f"{topic} has leaders", lambda: self._has_leaders(topic, partitions))

    def _has_leaders(self, topic, partitions):
        try:
            return len(self.end_offsets(topic, partitions)) == partitions
        except wire.KafkaError:
            return False

    def delete_topic(self, topic):
        wire.delete_topic(self._endpoint, topic)

    def end_offsets(self, topic, partitions=1):
        return wire.end_offsets(self._endpoint, topic, partitions)

    def committed_offsets(self, group, topic, partitions=1):
        return wire.committed_offsets(self._endpoint, group, topic, partitions)

    def group_members(self, group):
        """(state, members): state is Stable, PreparingRebalance, Empty, Dead ..."""
        return wire.group_members(self._endpoint, group)

    def has_committed_all(self, group, topic, partitions=1):
        ends = self.end_offsets(topic, partitions)
        done = self.committed_offsets(group, topic, partitions)
        return all(done[p] >= end for p, end in ends.items() if end > 0)

    def produce(self, topic, lines, partition=None):
        """Each item of lines (str, without newline) becomes one message; acks=all."""
        data = "".join(f"{line}\n" for line in lines).encode()
        where = [] if partition is None else ["-p", str(partition)]
        self._kcat(["-P", "-t", topic, *where, "-X", "acks=all"], data)

    def produce_at(self, topic, partition, timestamp_ms, lines):
        """The same with a time of the messages' own."""
        wire.produce(self._endpoint, topic, partition, timestamp_ms, [line.encode() for line in lines])

    def produce_bytes(self, topic, payload, partition=0):
        """One message of any bytes (a gzip envelope, say)."""
        path = self.folder / "payload"
        path.write_bytes(payload)
        self._kcat(["-P", "-t", topic, "-p", str(partition), "-X", "acks=all",
                    "-X", "message.max.bytes=20000000", str(path)])

    def consume(self, topic, partition=None):
        """All messages there are now, as a list of bytes without their newline."""
        where = [] if partition is None else ["-p", str(partition)]
        return self._kcat(["-C", "-t", topic, *where, "-o", "beginning", "-e", "-q"]).splitlines()

    def consume_as_group(self, group, topic, count):
        """Joins the group, reads `count` messages from the earliest, commits, leaves."""
        return self._kcat(["-G", group, "-q", "-c", str(count), "-X", "auto.offset.reset=earliest",
                           topic]).splitlines()

    def _kcat(self, args, data=b""):
        done = subprocess.run(["kcat", "-b", self.address, *args], input=data,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=180 * SLOWNESS)
        if done.returncode != 0:
            raise StoryFailed(f"kcat {' '.join(args)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

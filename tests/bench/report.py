# SPDX-License-Identifier: Apache-2.0
"""From the results of a benchmark to a table: what was measured, what must be reached on this machine, and whether it was."""

REFERENCE_RATE = 78000  # records a second of syslog-ng on the machine for which the targets are given
PEER_FACTOR = 10
MEMORY_MIB = 100
ENRICHER_PERCENT = 5
IDLE_MIB = 200
IDLE_CALLS_A_SECOND = 0.8  # of the one call a second that each shard at its tip is due, start included

# (key of the rate, what it is, target in records a second on the reference machine; None: only shown)
RATES = [
    ("lines", "decode, enrich, encode to memory; one core", 2000000),
    ("single", "the same, a record per line", None),
    ("fresh", "the same, every tenth flow from an address never seen", None),
    ("envelopes", "the same from gzip envelopes of 200 events", 1000000),
    ("file", "file to GELF over TCP", 800000),
    ("kafka lines", "Kafka to GELF over TCP, a message per line", 300000),
    ("kafka envelopes", "Kafka to GELF over TCP, envelopes of 200 events", 600000),
    ("kinesis envelopes", "Kinesis to GELF over TCP, envelopes of 200 events", 600000),
]


def scale_of(results):
    """This machine beside the reference: 1.0 where syslog-ng could not be run."""
    syslog_ng = results["rates"].get("syslog-ng")
    return syslog_ng["median"] / REFERENCE_RATE if syslog_ng else 1.0


def row(what, measured, target, reached):
    return {"what": what, "measured": measured, "target": target, "reached": reached}


def rate_rows(results):
    scale = scale_of(results)
    rows = []
    for key, what, target in RATES:
        if key not in results["rates"]:
            continue
        rate = results["rates"][key]["median"]
        wanted = target * scale if target else None
        rows.append(row(what, f"{rate:,.0f}/s", f"{wanted:,.0f}/s" if wanted else "",
                        rate >= wanted if wanted else None))
    return rows


def peer_rows(results):
    rates = {name: results["rates"][name]["median"] for name in ("syslog-ng", "rsyslogd") if name in results["rates"]}
    rows = [row(f"{name}, the same job without enrichment", f"{rate:,.0f}/s", "", None) for name, rate in rates.items()]
    if rates and "file" in results["rates"]:
        factor = results["rates"]["file"]["median"] / max(rates.values())
        rows.append(row("file to GELF over TCP, beside the faster of them", f"{factor:.1f} times",
                        f"{PEER_FACTOR} times", factor >= PEER_FACTOR))
    return rows


def memory_rows(results):
    return [row(f"resident memory besides the rings, {name}", f"{mib:.0f} MiB", f"{MEMORY_MIB} MiB", mib < MEMORY_MIB)
            for name, mib in results["memory"].items()]


def idle_rows(results):
    idle = results.get("idle")
    if not idle:
        return []
    return [row(f"{idle['shards']:,} idle Kinesis shards, resident memory besides the rings", f"{idle['mib']:.0f} MiB",
                f"{IDLE_MIB} MiB", idle["mib"] < IDLE_MIB),
            row("the same, calls a second of the shard polled least, and most",
                f"{idle['fewest_a_second']:.2f}, {idle['most_a_second']:.2f}", f"{IDLE_CALLS_A_SECOND}",
                idle["fewest_a_second"] >= IDLE_CALLS_A_SECOND),
            row("the same, of one core", f"{idle['cpu_percent']:.1f} %", "", None)]


def enricher_rows(results):
    rows = []
    for name, cost in results.get("enrichers", {}).items():
        is_apart = name == "community_id"
        measured = f"{cost['compute_percent']:.1f} % ({cost['with_bytes_percent']:.1f} % with its bytes)"
        rows.append(row(f"enricher {name}, cache warm", measured, "" if is_apart else f"{ENRICHER_PERCENT} %",
                        None if is_apart else cost["compute_percent"] < ENRICHER_PERCENT))
    return rows


def processor_rows(results):
    """Messages per second of processor time: what hardly depends on what else the machine does."""
    names = [name for name in results["rates"] if name.endswith(" cpu")]
    return [row(f"messages per second of processor time, {name.removesuffix(' cpu')}",
                f"{results['rates'][name]['median']:,.0f}", "", None) for name in names]


def build_rows(results):
    return rate_rows(results) + peer_rows(results) + processor_rows(results) + memory_rows(results) + idle_rows(results) + \
        enricher_rows(results)


def table_lines(results):
    marks = {True: "yes", False: "NO", None: ""}
    lines = ["| what | measured | must reach here | reached |", "|---|---|---|---|"]
    lines += [f"| {r['what']} | {r['measured']} | {r['target']} | {marks[r['reached']]} |" for r in results["rows"]]
    return lines


def machine_line(results):
    m = results["machine"]
    return (f"{m['date']}, {m['cores']} cores of {m['processor']}, {m['memory_gib']} GiB, {m['system']}, "
            f"Linux {m['kernel']}")


def print_table(results):
    print(machine_line(results))
    print(f"targets scaled by {scale_of(results):.2f} (syslog-ng here against {REFERENCE_RATE:,}/s)")
    print("\n".join(table_lines(results)))
    for lacking in results["not_run"]:
        print(f"NOT RUN: {lacking}")


def write_document(results, path):
    """Replaces what stands between the marks of the document."""
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    text = path.read_text()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    lines = [begin, f"Measured {machine_line(results)}; load {results['machine']['load_at_start']:.1f} at the start. "
             f"Targets are scaled by {scale_of(results):.2f}.", "", *table_lines(results)]
    lines += [f"\nNot run: {lacking}." for lacking in results["not_run"]]
    path.write_text("\n".join([before + lines[0], *lines[1:], end]) + after)

"""Judges the report of `everwire probe --json` on a server that is known.

    judge.py NAME STATUS REPORT TEXT

NAME is the server, STATUS the exit status, REPORT and TEXT files with the report as JSON and for people.
"""

import json
import sys

ADVANCED = "permessage-deflate"

# What is wrong with each server: the status and the faults that must be named, and no others.
FAULTS = {
    "never-pongs": (1, ["ping.no_pong"]),
    "resets-on-close": (1, ["close.reset"]),
    "never-closes-tcp": (1, ["close.tcp_left_open"]),
    "wrong-accept": (1, ["upgrade.accept"]),
    "close-1006": (1, ["close.invalid_code"]),
    "swallows": (1, ["message.swallowed"]),
}

# The largest message: size, the code that refuses a larger one, whether it echoes to the bound.
SIZES = {
    "websockets": (1 << 20, 1009),
    "ws": (100_000, 1009),
    "gorilla": (2 << 20, None),
    "swallows": (20_000, None),
}

bad = 0


def check(what, got, expected):
    global bad
    if got == expected:
        print(f"ok      {what}")
    else:
        print(f"FAILED  {what}: {got!r} (expected {expected!r})")
        bad = 1


def main(name, status, report, text):
    report, text = json.load(open(report)), open(text).read()
    expected_status, expected_faults = FAULTS.get(name, (0, []))
    check("status", int(status), expected_status)
    check("faults", [fault["id"] for fault in report["faults"]], expected_faults)
    for fault in report["faults"]:
        parts = [fault[part] for part in ("id", "what", "expected", "advice")]  # `came` holds what differs between runs
        check(f"{fault['id']} in words", all(parts) and all(part in text for part in parts), True)
        check(f"{fault['id']} says what came", bool(fault["came"]) and text.count("  came  "), len(report["faults"]))
        check(f"{fault['id']} is the server's", fault["blame"], "server")
    check("verdict", report["verdict"], ["ok", "wrong"][expected_status])
    check("no control characters", [c for c in text if ord(c) < 32 and c != "\n"], [])
    check("101", report["upgrade"]["status"], 101)
    if name == "wrong-accept":
        return check("nothing is said on such a connection", report["ping"], None)
    judge_connection(name, report)


def judge_connection(name, report):
    ping, closing, message = report["ping"], report["close"], report["message"]
    if name != "never-pongs":
        check("pongs", (ping["sent"], ping["answered"]), (10, 10))
        rtt = [ping["rtt"][part] for part in ("min_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms")]
        check("round-trip times are in order", rtt == sorted(rtt) and rtt[0] > 0, True)
    if name not in FAULTS:
        check("clean close", (closing["received"], closing["tcp_closed_by"], closing["clean"]), (1000, "server", True))
        check("extension", [it.split(";")[0] for it in report["extensions"]["accepted"]], accepted(name))
    check("echo", message["sign"], "echo")
    largest, code = SIZES.get(name, (2 << 20, None))
    check("refused with", message["code"], code)
    if name == "swallows":  # each message that vanishes costs a wait, so there are few of them
        check("size", message["largest"] <= largest < message["refused"], True)
    else:
        check("size", message["largest"], largest)
        check("exact", message["exact"], code is not None)


def accepted(name):
    return [] if name == "ws" else [ADVANCED]


main(*sys.argv[1:])
sys.exit(bad)

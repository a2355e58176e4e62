"""Runs cases of the Autobahn suite and says which are not as they should be.

    judge.py OUT server URL [CASE…] --suite SUITE…
    judge.py OUT client PORT [CASE…] -- CMD… --suite SUITE…

SUITE is the command line that suite.py is started with. `run` calls this.

A case is well when its behaviour and its closing are both OK or INFORMATIONAL. NON-STRICT, UNIMPLEMENTED
and a case that was never run (a server that died half-way must not pass) are failures like FAILED.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

SHARDS = 2
# Seconds for one run of the suite: so many, or so many for each case. Those of compression with the largest messages take
# a minute and more of a busy machine; the suite itself gives each eight.
SUITE_DEADLINE = 900
CASE_DEADLINE = 150
TOO_MANY_TO_RERUN = 40  # so many are broken, not unlucky
NOT_YET = ["!12", "!13"]  # permessage-deflate
WELL = ("OK", "INFORMATIONAL")


def select(ids, wanted):
    """Returns the ids that `wanted` selects, in the suite's order."""

    def matches(case, pattern):
        return case == pattern or case.startswith(pattern + ".")

    for pattern in wanted:
        if not any(matches(case, pattern.lstrip("!")) for case in ids):
            sys.exit(f"autobahn: no case matches {pattern}")
    taken = [p for p in wanted if not p.startswith("!")]
    left_out = [p[1:] for p in wanted if p.startswith("!")]
    return [
        case
        for case in ids
        if (not taken or any(matches(case, p) for p in taken)) and not any(matches(case, p) for p in left_out)
    ]


class Suite:
    def __init__(self, command, out):
        self.command = command
        self.out = out

    def ids(self):
        return subprocess.run([*self.command, "list"], check=True, capture_output=True, text=True).stdout.split()

    def start(self, mode, name, cases, **target):
        """Starts the suite in `mode`; its report will be in the folder `name`."""
        folder = self.out / name
        folder.mkdir(parents=True)
        spec = {"outdir": str(folder), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}, **target}
        (folder / "spec.json").write_text(json.dumps(spec))
        with (folder / "log").open("w") as log:
            return subprocess.Popen([*self.command, mode, str(folder / "spec.json")], stdout=log, stderr=log)

    def results(self, name):
        """Returns the results in the report `name` by case; none when the suite was cut short."""
        index = self.out / name / "index.json"
        if not index.exists():
            return {}
        agents = json.loads(index.read_text())
        if len(agents) > 1:
            sys.exit(f"autobahn: more than one agent: {', '.join(agents)}")
        results = next(iter(agents.values()), {})
        for result in results.values():
            result["report"] = self.out / name / result["reportfile"]
        return results


class ServerJudge:
    """Judges the echo server at `url`."""

    def __init__(self, suite, url):
        self.suite = suite
        self.servers = [{"agent": "server", "url": url}]
        host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError) as error:
            # The suite itself would call this a success.
            sys.exit(f"autobahn: nothing answers at {url}: {error}")

    def run(self, name, cases, shards):
        parts = {f"{name}-{i}": cases[i::shards] for i in range(shards) if cases[i::shards]}
        running = [
            self.suite.start("fuzzingclient", part, ids, servers=self.servers) for part, ids in parts.items()
        ]
        for process in running:
            wait(process, deadline(cases))
        return {case: result for part in parts for case, result in self.suite.results(part).items()}


class ClientJudge:
    """Judges the client that `command` starts, by being its server."""

    def __init__(self, suite, port, command):
        self.suite = suite
        self.port = int(port) or free_port()
        self.command = command

    def run(self, name, cases, _shards):
        url = f"ws://127.0.0.1:{self.port}"
        server = self.suite.start("fuzzingserver", name, cases, url=url)
        try:
            wait_for_port(server, self.port)
            with (self.suite.out / f"{name}.client.log").open("w") as log:
                client = subprocess.Popen([*self.command, url], stdout=log, stderr=log)
                if wait(client, deadline(cases)) != 0:
                    print(f"autobahn: the client ended with status {client.returncode}")
            wait_until(lambda: (self.suite.out / name / "index.json").exists(), 5)
        finally:
            server.terminate()
            server.wait()
        return self.suite.results(name)


def deadline(cases):
    return max(SUITE_DEADLINE, CASE_DEADLINE * len(cases))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def wait_for_port(server, port):
    def answers():
        if server.poll() is not None:
            sys.exit("autobahn: the suite's server did not start")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    if not wait_until(answers, 30):
        sys.exit("autobahn: the suite's server does not answer")


def wait(process, seconds):
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        print(f"autobahn: stopped after {seconds} s, which loses the results of that run")
        return process.wait()


def is_well(result):
    return result is not None and result["behavior"] in WELL and result["behaviorClose"] in WELL


def explain(result):
    if result is None:
        return "never run"
    text = f"{result['behavior']}, close {result['behaviorClose']}"
    try:
        report = json.loads(result["report"].read_text())
    except (OSError, ValueError):
        return text
    told = report.get("result" if result["behavior"] not in WELL else "resultClose")
    return f"{text}: {told} [{report.get('wasNotCleanReason') or report.get('remoteCloseCode')}]"


def judge(judge_, cases):
    """Prints a line per bad case and the summary; returns whether all are well."""
    results = judge_.run("all", cases, SHARDS)
    bad = [case for case in cases if not is_well(results.get(case))]
    if 0 < len(bad) <= TOO_MANY_TO_RERUN:
        # The suite gives many cases one second, which a busy machine may not have.
        first = {case: explain(results.get(case)) for case in bad}
        results.update({case: None for case in bad} | judge_.run("again", bad, 1))
        for case in bad:
            if is_well(results[case]):
                print(f"{case:8} well when run again alone; at first {first[case]}")
        bad = [case for case in bad if not is_well(results[case])]
    never_run = [case for case in bad if results.get(case) is None]
    if len(never_run) > 10:
        print(f"{len(never_run)} cases were never run, {never_run[0]} the first of them")
    for case in bad:
        if results.get(case) or len(never_run) <= 10:
            print(f"{case:8} {explain(results.get(case))}")
    print(f"autobahn: {len(cases)} cases, {summary(results.get(case) for case in cases)}")
    return not bad


def summary(results):
    """Returns how many cases are what. One whose closing alone is bad counts as failed, like one that was never run."""
    counts = dict.fromkeys(("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED"), 0)
    for result in results:
        behavior = result["behavior"] if result else "FAILED"
        is_told = behavior in ("NON-STRICT", "UNIMPLEMENTED") or is_well(result)
        counts[behavior if is_told else "FAILED"] += 1
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def main(args):
    split = args.index("--suite")
    args, suite = args[:split], args[split + 1 :]
    command = []
    if "--" in args:
        split = args.index("--")
        args, command = args[:split], args[split + 1 :]
    out, mode, where, *wanted = args
    if (mode == "client") != bool(command):
        sys.exit("autobahn: `client` needs a command after --, and `server` takes none")

    out = Path(out).absolute()
    shutil.rmtree(out, ignore_errors=True)
    suite = Suite(suite, out)
    cases = select(suite.ids(), wanted or NOT_YET)
    well = judge(ServerJudge(suite, where) if mode == "server" else ClientJudge(suite, where, command), cases)
    print(f"autobahn: reports in {out}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

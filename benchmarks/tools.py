"""What a read tool costs a client over stdio, beside a tool that does nothing on the bare SDK.

uv run python benchmarks/tools.py [--rounds 200] [--starts 15] [--experiments 10000] [--json]

* read: the median round trip of get_brief, list_tasks, read_ledger and read_run in workspaces with the shipped tasks,
  one with 10 experiments and one with as many as wanted; the empty tool between them, so that a noisy machine disturbs
  all alike. The ratio that counts is the slowest tool's to the empty one's.
* growth: the longer ledger's round trip to the shorter one's, of the tool that grew most.
* start: from the process's start to the answer to initialize, the installed command beside the empty server, in turns;
  also to the list of tools and to the first tool's answer, which have no limit.

The client is a pipe and a JSON parser: what it takes itself is small, and the same for both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import anyio
from long_ledger import make_workspace

FEW = 10
_WARMING = 10
"""Rounds that are not counted."""
LIMITS = {"read_ratio": 3.0, "growth_ratio": 1.2, "start_ratio": 1.2}
_EMPTY = [sys.executable, str(Path(__file__).with_name("empty_server.py"))]
_OURS = [str(Path(sys.executable).with_name("autoagent-mcp")), "--workspace"]
_INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "0"}}


class Session:
    """A server's process and its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._requests = cast("IO[bytes]", process.stdin)
        self._answers = cast("IO[bytes]", process.stdout)
        self._sent = 0

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self._sent += 1
        self._send({"id": self._sent, "method": method, "params": params})
        for line in self._answers:
            answer = json.loads(line)
            if answer.get("id") == self._sent:
                return answer["result"]
        sys.exit(f"{self._process.args} ended before it answered {method}.")

    def call(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Call a tool and see that it answered."""
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments})
        if answer.get("isError") or "structuredContent" not in answer:
            sys.exit(f"{tool} failed, so the figures mean nothing: {answer}")

    def begin(self) -> None:
        """Do the handshake."""
        self.ask("initialize", _INITIALIZE)
        self._send({"method": "notifications/initialized"})

    def peak_mb(self) -> float:
        """Return the most memory that the server has taken so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def _send(self, message: Mapping[str, Any]) -> None:
        self._requests.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._requests.flush()

    def end(self) -> None:
        """Hang up, and wait for the server to end."""
        self._requests.close()
        self._process.wait(60)


@contextmanager
def session(command: Sequence[str]) -> Generator[Session]:
    """Start a server; it ends with this context."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        server = Session(process)
        try:
            yield server
        finally:
            server.end()


def starts(command: Sequence[str], tool: str) -> dict[str, float]:
    """Start a server once: milliseconds from then to its answers."""
    began = time.perf_counter()
    with session(command) as server:
        server.begin()
        initialized = time.perf_counter()
        server.ask("tools/list", {})
        listed = time.perf_counter()
        server.call(tool, {})
        called = time.perf_counter()
    return {
        "initialize_ms": (initialized - began) * 1e3,
        "list_ms": (listed - began) * 1e3,
        "first_tool_ms": (called - began) * 1e3,
    }


def measure_starts(few: Path, count: int) -> dict[str, Any]:
    """Start both servers in turns."""
    both: dict[str, list[dict[str, float]]] = {"empty": [], "autoagent": []}
    for _ in range(count):
        both["empty"].append(starts(_EMPTY, "nothing"))
        both["autoagent"].append(starts([*_OURS, str(few)], "get_brief"))
    medians = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in both.items()
    }
    return {"starts": medians, "start_ratio": medians["autoagent"]["initialize_ms"] / medians["empty"]["initialize_ms"]}


def measure_reads(workspaces: Mapping[int, Path], rounds: int) -> dict[str, Any]:
    """Call every tool of every server in turns."""
    with ExitStack() as stack:
        empty = stack.enter_context(session(_EMPTY))
        servers = {count: stack.enter_context(session([*_OURS, str(path)])) for count, path in workspaces.items()}
        for server in (empty, *servers.values()):
            server.begin()
        calls = [(empty, 0, "nothing", dict[str, Any]())]
        for count, server in servers.items():
            calls += [(server, count, tool, {}) for tool in ("get_brief", "list_tasks", "read_ledger")]
            calls += [(server, count, "read_run", {"run": f"{count:04}"})]
        first_ms = {count: _timed_ms(server, "get_brief", {}) for count, server in servers.items()}
        taken: dict[tuple[int, str], list[float]] = {(count, tool): [] for _, count, tool, _ in calls}
        for number in range(rounds + _WARMING):
            for server, count, tool, arguments in calls:
                found = _timed_ms(server, tool, arguments)
                if number >= _WARMING:
                    taken[count, tool].append(found)
        peaks = {count: server.peak_mb() for count, server in servers.items()}
    return _sum_up(taken, list(workspaces)) | {"first_call_ms": first_ms, "peak_mb": peaks}


def _timed_ms(server: Session, tool: str, arguments: Mapping[str, Any]) -> float:
    began = time.perf_counter()
    server.call(tool, arguments)
    return (time.perf_counter() - began) * 1e3


def _sum_up(taken: Mapping[tuple[int, str], Sequence[float]], counts: Sequence[int]) -> dict[str, Any]:
    medians = {key: statistics.median(found) for key, found in taken.items()}
    empty = medians.pop((0, "nothing"))
    tools = dict.fromkeys(tool for _, tool in medians)
    rows = {
        tool: {str(count): medians[count, tool] for count in counts}
        | {"ratio": max(medians[count, tool] for count in counts) / empty}
        | {"growth": medians[counts[-1], tool] / medians[counts[0], tool]}
        for tool in tools
    }
    return {
        "empty_ms": empty,
        "reads_ms": rows,
        "read_ratio": max(row["ratio"] for row in rows.values()),
        "growth_ratio": max(row["growth"] for row in rows.values()),
    }


def show(found: Mapping[str, Any]) -> None:
    """Print it for people."""
    print(f"{'round trip, median ms':24}{'empty tool':>12}" + "".join(f"{n:>9} exp." for n in found["peak_mb"]), end="")
    print(f"{'ratio':>9}{'growth':>9}")
    for tool, row in found["reads_ms"].items():
        columns = "".join(f"{row[str(n)]:14.2f}" for n in found["peak_mb"])
        print(f"{tool:24}{found['empty_ms']:12.2f}{columns}{row['ratio']:9.2f}{row['growth']:9.2f}")
    print(f"\n{'first call, ms':36}" + "".join(f"{one:14.0f}" for one in found["first_call_ms"].values()))
    print(f"{'peak memory, MB':36}" + "".join(f"{one:14.0f}" for one in found["peak_mb"].values()))
    print(f"\n{'start, median ms to':24}{'empty':>12}{'autoagent-mcp':>15}")
    for key in found["starts"]["empty"]:
        print(
            f"{key.removesuffix('_ms'):24}" + "".join(f"{found['starts'][who][key]:13.0f}" for who in found["starts"])
        )
    print()
    for name, limit in LIMITS.items():
        print(f"{name:14}{found[name]:6.2f}   (limit {limit})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autoagent-tools-") as place:
        for name in ("STATE", "CACHE", "CONFIG"):
            os.environ[f"XDG_{name}_HOME"] = f"{place}/{name.lower()}"
        workspaces = {count: Path(place) / str(count) for count in (FEW, words.experiments)}
        for count, path in workspaces.items():
            anyio.run(make_workspace, path, count)
        found = measure_starts(workspaces[FEW], words.starts) | measure_reads(workspaces, words.rounds)
    if words.json:
        print(json.dumps(found))
    else:
        show(found)
    sys.exit(any(found[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    main()

"""How often the Docker engine is called, by what, and how long it takes to answer."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from typing import Any

import docker

_NAMES = {
    "POST containers/create": "create",
    "POST containers/ID/start": "start",
    "PUT containers/ID/archive": "archive in",
    "HEAD containers/ID/archive": "stat of a path",
    "GET containers/ID/archive": "archive out",
    "POST containers/ID/exec": "exec: make",
    "POST exec/ID/start": "exec: start",
    "GET exec/ID/json": "exec: status",
    "GET containers/ID/top": "top",
    "GET containers/ID/json": "inspect",
    "GET containers/ID/changes": "diff",
    "DELETE containers/ID": "remove",
}
RUNNING = "exec: run until its line ends"


class EngineCalls:
    """Times each request of the docker package from when it is made: until its answer, or its answer's head, is there.

    What a command then takes to end is counted by itself: from when it was started to when its status is asked for.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._sec: defaultdict[str, float] = defaultdict(float)
        self._running: dict[str, float] = {}

    def watch(self) -> None:
        """Time all requests from now on."""
        client: Any = docker.APIClient
        send = client.send

        def timed(session: Any, request: Any, **options: Any) -> Any:  # noqa: ANN401 - requests' own types
            began = time.perf_counter()
            try:
                return send(session, request, **options)
            finally:
                self._note(request.method, request.path_url, began, time.perf_counter())

        client.send = timed

    def forget(self) -> None:
        """Count anew: what was called so far was preparation."""
        self._count.clear()
        self._sec.clear()

    def per_trial(self, trials: int) -> dict[str, tuple[float, float]]:
        """Return by what was called: how often per trial, and how many ms it took of one."""
        return {name: (count / trials, self._sec[name] * 1000 / trials) for name, count in self._count.items()}

    def _note(self, method: str, path: str, began: float, ended: float) -> None:
        place = path.partition("?")[0].lstrip("/").partition("/")[2]  # what follows the version
        words = f"{method} {re.sub('[0-9a-f]{64}', 'ID', place)}"
        name = _NAMES.get(words, re.sub("images/.*/json", "images/NAME/json", words))
        if name == "exec: start":
            self._running[place.split("/")[1]] = ended
        elif name == "exec: status" and (started := self._running.pop(place.split("/")[1], None)):
            self._add(RUNNING, began - started)
        self._add(name, ended - began)

    def _add(self, name: str, sec: float) -> None:
        self._count[name] += 1
        self._sec[name] += sec

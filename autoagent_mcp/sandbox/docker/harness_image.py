"""The image of harness sandboxes: a Python, with the libraries that `.agent/requirements.txt` asks for.

They come as wheels from the index that the base image's pip is set up for, so nothing of a package runs when it is
installed; built once for each content of the file and each base. For a harness that runs in a task's sandbox they are
laid over the task's image, installed by that image's own Python.
"""

from __future__ import annotations

from autoagent_mcp._text import clip
from autoagent_mcp.errors import EngineError, HarnessError, SandboxError
from autoagent_mcp.sandbox import requirements
from autoagent_mcp.sandbox.base import HARNESS_LIBRARIES, Image
from autoagent_mcp.sandbox.docker.build_context import BuildContext
from autoagent_mcp.sandbox.docker.images import Images
from autoagent_mcp.sandbox.docker.labels import REPOSITORY

PYTHON = "python3"
_TIMEOUT_SEC = 900.0
_SAID_CHARS = 2_500
_INSTALL = f"""install --quiet --no-cache-dir --disable-pip-version-check \\
    --only-binary :all: --compile --target {HARNESS_LIBRARIES} --requirement /tmp/requirements.txt"""
_OWN = f"""# {{ids}}
FROM {{base}}
USER root
COPY requirements.txt /tmp/requirements.txt
RUN {PYTHON} -m pip {_INSTALL}
ENV PYTHONPATH={HARNESS_LIBRARIES}
"""
_INSIDE = f"""# {{ids}}
FROM {{base}} AS pip
USER root
RUN {PYTHON} -m pip download --quiet --no-cache-dir --disable-pip-version-check --no-deps --only-binary :all: \\
    --dest /pip pip && mv /pip/pip-*.whl /pip/pip.whl && if [ -e /etc/pip.conf ]; then cp /etc/pip.conf /pip; fi
FROM {{inside}} AS libraries
USER root
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=bind,from=pip,source=/pip,target=/tmp/pip \\
    PIP_CONFIG_FILE=/tmp/pip/pip.conf {PYTHON} /tmp/pip/pip.whl/pip {_INSTALL}
FROM {{inside}}
COPY --from=libraries {HARNESS_LIBRARIES} {HARNESS_LIBRARIES}
"""


async def prepare(images: Images, base: str, text: str, inside: Image | None = None) -> Image:
    """Make the image ready; the second time costs nothing.

    Args:
        images: Where it is built.
        base: An image with Python 3.10 or newer and pip.
        text: Of `.agent/requirements.txt`.
        inside: A task's image that the libraries are laid over, instead of `base`; it needs a Python, but no pip.

    Raises:
        HarnessError: The requirements cannot be installed; with the end of what pip said.
        SandboxError: The base cannot be pulled.
    """
    wanted = requirements.checked(text)
    own = Image(id=base, base=base)
    if inside is not None and not wanted:
        return inside
    ids = [await images.id_of(name, timeout_sec=_TIMEOUT_SEC) for name in (base, *([inside.id] if inside else []))]
    if not wanted:
        return own
    recipe = _OWN.format(ids=ids, base=base) if inside is None else _INSIDE.format(ids=ids, base=base, inside=inside.id)
    files = {"Dockerfile": recipe.encode(), "requirements.txt": "\n".join(wanted).encode()}
    try:
        tag = await images.built(f"{REPOSITORY}/harness", BuildContext(files), timeout_sec=_TIMEOUT_SEC)
    except EngineError:
        raise
    except SandboxError as error:
        raise HarnessError(
            f"The harness's libraries cannot be installed: {clip(error.problem, _SAID_CHARS)}",
            requirements.INSTALL_HINT,
        ) from error
    except OSError as error:
        raise SandboxError(f"The harness image could not be made: {error}.", "Free the disk.") from error
    return (inside or own).model_copy(update={"id": tag})

"""The registry's state: which release is chosen, which served before it, and the log of these decisions.

One file beside the releases, so that a choice and its entry are written together or not at all. It belongs to one house, and so
is not tracked; models/CHANGELOG.md, which is, tells of published releases.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from service.model.errors import BundleNotFound
from service.model.releases import FORMER_STATE_NAME, STATE_NAME, ServingChoice, read_choice, state_path


@dataclass(frozen=True)
class LogEntry:
    """One decision.

    at: ISO 8601, UTC. event: "promoted", "rolled back" or "kept". release: what has served since. before: what served until
    then. note: why, or None.
    """

    at: str
    event: str
    release: str
    before: str
    note: str | None = None


@dataclass(frozen=True)
class RegistryState:
    """choice: None before the first. log: the latest entry first."""

    choice: ServingChoice | None = None
    log: tuple[LogEntry, ...] = ()


def read_state(models_dir: Path) -> RegistryState:
    """The state of a folder of releases; an empty one before the first decision. Raises BundleNotFound if it is damaged."""
    choice = read_choice(models_dir)
    path = state_path(models_dir)
    if not path.exists():
        return RegistryState()
    try:
        log = tuple(LogEntry(**entry) for entry in json.loads(path.read_text("utf-8")).get("log", ()))
    except TypeError as fault:
        raise BundleNotFound(
            f"The log in {path} is damaged; `python -m export.registry promote VERSION` writes it anew."
        ) from fault
    return RegistryState(choice, log)


def write_state(models_dir: Path, state: RegistryState) -> None:
    """Whole, or not at all: a service may read it at any moment."""
    choice = state.choice
    content = {
        "serving": choice and choice.serving,
        "previous": choice.previous if choice else (),
        "log": [asdict(entry) for entry in state.log],
    }
    draft = models_dir / f".{STATE_NAME}.draft"
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(models_dir / STATE_NAME)
    (models_dir / FORMER_STATE_NAME).unlink(missing_ok=True)


def set_damaged_state_aside(models_dir: Path) -> Path | None:
    """Rename a state that cannot be read, so that a new one can be written; returns where it is now, None if it can be read."""
    try:
        read_state(models_dir)
    except BundleNotFound:
        path = state_path(models_dir)
        return path.rename(path.with_name(f"{path.name}.damaged"))
    return None


@contextmanager
def alone(models_dir: Path) -> Iterator[None]:
    """Hold the registry's lock: of two commands that write at once, one's log entry would be lost.

    Raises BundleNotFound if the folder cannot be written.
    """
    try:
        lock = (models_dir / ".registry.lock").open("w")
    except OSError as fault:
        raise BundleNotFound(f"{models_dir} cannot be written: {fault.strerror}. Nothing was changed.") from fault
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

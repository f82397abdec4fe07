"""What `cxr registry` chose to serve, and the log of its decisions: one file beside the releases."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.model.errors import BundleNotFound
from service.model.releases.folders import SITES_NAME, profile_name, version_of

# Written by `cxr registry`, beside the releases.
STATE_NAME = "registry.json"

_REMEDY = "`cxr registry promote VERSION` writes it anew"


@dataclass(frozen=True)
class Served:
    """What a service serves."""

    bundle: str  # folder name of the release
    site: str | None = None  # folder name of the site profile, <site>-<version>; None for none

    def __str__(self) -> str:
        return self.bundle if self.site is None else f"{self.bundle} with {SITES_NAME}/{self.site}"


@dataclass(frozen=True)
class ServingChoice:
    """What to serve: a release and its profile are chosen together."""

    serving: Served  # the chosen one
    previous: tuple[Served, ...] = ()  # what was served before it, the latest first: the fallbacks

    @property
    def pairs(self) -> list[Served]:
        """What is chosen, then the fallbacks: each release once, with the profile that it was served with last."""
        latest: dict[str, Served] = {}
        for each in (self.serving, *self.previous):
            latest.setdefault(each.bundle, each)
        return list(latest.values())

    @property
    def bundles(self) -> list[str]:
        """The releases of `pairs`."""
        return [each.bundle for each in self.pairs]


@dataclass(frozen=True)
class LogEntry:
    """One decision about what to serve."""

    at: str  # time of the decision, ISO 8601, UTC
    event: str  # "promoted", "rolled back" or "kept"
    release: str  # the release served since
    before: str  # the release served until then
    note: str | None = None  # why; None if nobody said
    site: str | None = None  # the profile served since; None for none
    site_before: str | None = None  # the profile served until then


@dataclass(frozen=True)
class RegistryState:
    """Content of the registry's state file."""

    choice: ServingChoice | None = None  # None before the first decision
    log: tuple[LogEntry, ...] = ()  # the decisions, the latest first

    def members(self) -> dict[str, Any]:
        """The JSON object that `read_state` reads. Without profiles it is what services up to 1.6.0 read, too."""
        serving = self.choice and _written(self.choice.serving)
        previous = [_written(each) for each in self.choice.previous] if self.choice else []
        log = [{name: value for name, value in asdict(entry).items() if value is not None} for entry in self.log]
        return {"serving": serving, "previous": previous, "log": log}


def state_path(models_dir: Path) -> Path:
    """The registry's state file, whether it exists or not."""
    return models_dir / STATE_NAME


def read_state(models_dir: Path) -> RegistryState:
    """Read choice and log; both are empty before the first decision. Raises BundleNotFound if the file is damaged."""
    path = state_path(models_dir)
    try:
        log = tuple(LogEntry(**entry) for entry in _members(path).get("log", ()))
    except TypeError as fault:
        raise BundleNotFound(f"The log in {path} is damaged; {_REMEDY}.") from fault
    return RegistryState(read_choice(models_dir), log)


def read_choice(models_dir: Path) -> ServingChoice | None:
    """Read the choice alone, so that a damaged log keeps no model from being served. Raises BundleNotFound."""
    path = state_path(models_dir)
    members = _members(path)
    if not members or members.get("serving", "") is None:
        return None
    try:
        choice = ServingChoice(_read(members["serving"]), tuple(_read(each) for each in members["previous"]))
    except (KeyError, TypeError) as fault:
        raise _damaged(path) from fault
    for each in (choice.serving, *choice.previous):
        if not isinstance(each.bundle, str) or version_of(each.bundle) is None or "/" in each.bundle or "\\" in each.bundle:
            raise _misnamed(path, each.bundle, "the folder name of a release, <name>-<version>")
        if each.site is not None and profile_name(each.site) is None:
            raise _misnamed(path, each.site, "the folder name of a site profile, <site>-<version>")
    return choice


def _written(served: Served) -> str | dict[str, Any]:
    return served.bundle if served.site is None else asdict(served)


def _read(member: Any) -> Served:
    """Raises TypeError."""
    return Served(**member) if isinstance(member, dict) else Served(member)


def _members(path: Path) -> dict[str, Any]:
    """Members of the state file, none if it does not exist."""
    try:
        members = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise _damaged(path) from fault
    if not isinstance(members, dict) or not members:
        raise _damaged(path)
    return members


def _damaged(path: Path) -> BundleNotFound:
    return BundleNotFound(f"{path} does not state which release to serve; {_REMEDY}.")


def _misnamed(path: Path, name: object, wanted: str) -> BundleNotFound:
    return BundleNotFound(f"{path} names {name!r}, which is not {wanted}; {_REMEDY}.")

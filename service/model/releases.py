"""Which bundle to serve, and with which site profile: releases in a folder, the registry's choice, BentoML's model store."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from service.model.bundle import ModelBundle
from service.model.errors import BundleError, BundleNotFound, ProfileError
from service.model.manifest import MANIFEST_NAME
from service.model.site_profile import SiteProfile

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Beside the package `service`.
MODELS_DIR = Path(__file__).resolve().parents[2] / "models"

# Written by `cxr registry`, beside the releases.
STATE_NAME = "registry.json"

# Folder of the site profiles, beside the folder of the releases, and the setting that applies none of them.
SITES_NAME, NO_PROFILE = "sites", "none"

# The chosen bundle and its fallbacks. If all of these fail, older ones will too.
MAX_CANDIDATES = 4

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
    previous: tuple[Served, ...] = ()  # what was served before it, the latest first; their releases are the fallbacks

    @property
    def bundles(self) -> list[str]:
        """The chosen release, then its fallbacks. Each once, though it may have been served with several profiles."""
        return list(dict.fromkeys(each.bundle for each in (self.serving, *self.previous)))


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


def locate_bundle(setting: str | None, models_dir: Path = MODELS_DIR) -> Path:
    """The first of `candidates`. Raises BundleNotFound."""
    return candidates(setting, models_dir)[0]


def candidates(setting: str | None, models_dir: Path = MODELS_DIR) -> list[Path]:
    """Bundle folders to try in turn: the one to serve, then older ones to fall back to. At most MAX_CANDIDATES.

    setting: a bundle folder, or a tag of BentoML's model store (name:version). None: the registry's choice, or the highest
        version before the first choice.

    Raises BundleNotFound if there is none. The folders are not opened: see `first_trusted`.
    """
    if setting is not None:
        found = _named(setting)
    elif (choice := read_choice(models_dir)) is not None:
        found = [models_dir / name for name in choice.bundles]
    else:
        found = releases(models_dir)
    return found[:MAX_CANDIDATES]


def locate_profile(bundle: str | None, site: str | None, models_dir: Path = MODELS_DIR) -> Path | None:
    """Folder of the site profile to apply to the first of `candidates`, or None. It is not opened.

    bundle, site: settings. A profile that is set is taken as it is, NO_PROFILE for none. A bundle that is set puts the
        registry's choice aside, and the chosen profile with it.

    Raises BundleNotFound if the registry's state is damaged.
    """
    if site is not None and site != NO_PROFILE:
        return Path(os.path.expanduser(site))  # noqa: PTH111 (Path.expanduser raises for an unknown user)
    choice = None if site or bundle is not None else read_choice(models_dir)
    return sites_dir(models_dir) / choice.serving.site if choice and choice.serving.site else None


def open_profile(bundle: str | None, site: str | None, models_dir: Path = MODELS_DIR) -> SiteProfile | None:
    """The profile of `locate_profile`. Raises ProfileNotFound or ProfileInvalid, and as that function."""
    path = locate_profile(bundle, site, models_dir)
    return None if path is None else SiteProfile.open(path)


def first_trusted(paths: Iterable[Path], load: Callable[[Path], T]) -> tuple[T | None, list[BundleError]]:
    """What `load` returns for the first bundle that it trusts, or None; and the faults of the bundles before it.

    load: opens or loads a bundle; raises BundleError for one that cannot be trusted. A ProfileError is raised again: another
        bundle is no remedy for a fault of the site profile.
    """
    faults: list[BundleError] = []
    for path in paths:
        try:
            return load(path), faults
        except ProfileError:
            raise
        except BundleError as fault:
            faults.append(fault)
    return None, faults


def first_trusted_with_profile(
    paths: Sequence[Path], chosen: SiteProfile | None, load: Callable[[ModelBundle, SiteProfile | None], T]
) -> tuple[T | None, list[BundleError]]:
    """As `first_trusted`, with the site profile that is applied to the bundle.

    To the first bundle the chosen profile is applied. If an older one serves instead, it is the highest version of that site
    that belongs to it, or none, with an error in the log.

    load: loads a bundle and applies the profile; raises ProfileError if the profile is at fault, else BundleError.
    Raises ProfileError if the first bundle can be trusted and the chosen profile cannot be applied to it.
    """

    def attempt(path: Path) -> T:
        bundle = ModelBundle.open(path)
        if chosen is None or path == paths[0]:
            return load(bundle, chosen)
        for folder in chosen.versions():
            try:
                profile = SiteProfile.open(folder)
                profile.require_bundle(bundle)
                return load(bundle, profile)
            except ProfileError as fault:
                logger.warning("%s", fault)
        logger.error("%s serves without a site profile: none of %s belongs to it.", path, chosen.manifest.name)
        return load(bundle, None)

    return first_trusted(paths, attempt)


def releases(models_dir: Path) -> list[Path]:
    """Bundles in folders <name>-<major>.<minor>.<patch>, the highest version first. Raises BundleNotFound if there is none."""
    if not (found := _release_folders(models_dir)):
        raise BundleNotFound(f"No released bundle <name>-<version> in {models_dir}; export one, or set CXR_BUNDLE.")
    return found


def sites_dir(models_dir: Path = MODELS_DIR) -> Path:
    """The folder of the site profiles, whether it exists or not."""
    return models_dir.parent / SITES_NAME


def profile_name(text: object) -> tuple[str, int] | None:
    """("st-mary", 1) of st-mary-1, the folder name of a site profile; None for any other text."""
    found = re.fullmatch(r"([a-z0-9][a-z0-9-]{0,39})-([1-9][0-9]*)", text) if isinstance(text, str) else None
    return (found[1], int(found[2])) if found else None


def version_of(folder_name: str) -> tuple[int, int, int] | None:
    """(1, 2, 3) of <name>-1.2.3; None for any other name."""
    numbers = folder_name.rpartition("-")[2].split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        return None
    major, minor, patch = map(int, numbers)
    return major, minor, patch


def _release_folders(folder: Path) -> list[Path]:
    found = {path.parent: version_of(path.parent.name) for path in folder.glob(f"*-*.*.*/{MANIFEST_NAME}")}
    return sorted((path for path in found if found[path]), key=lambda path: found[path] or (), reverse=True)


def _named(setting: str) -> list[Path]:
    """A bundle, and older ones of the same name."""
    path = Path(os.path.expanduser(setting))  # noqa: PTH111 (Path.expanduser raises for an unknown user)
    try:
        if path.is_dir():
            own = path.resolve()
            name, version = own.name.rpartition("-")[0], version_of(own.name) or ()
            beside = [other for other in _release_folders(own.parent) if other.name.rpartition("-")[0] == name]
            return [path, *(other for other in beside if (version_of(other.name) or ()) < version)]
    except OSError as fault:  # inside a folder that this user may not enter, or a name that is too long
        raise BundleNotFound(f"The bundle at {path} cannot be read: {fault.strerror}.") from fault
    if ":" not in setting:
        raise BundleNotFound(f"No bundle folder at {path}; give a folder or a tag of BentoML's model store, name:version.")
    return _stored(setting)


def _stored(tag: str) -> list[Path]:
    # Not at import: it takes two seconds and configures logging, and most callers need no model store.
    import bentoml
    from bentoml.exceptions import BentoMLException

    try:
        chosen = bentoml.models.get(tag)
        made = chosen.info.creation_time
        others = [model for model in bentoml.models.list(chosen.tag.name) if model.info.creation_time < made]
    except (BentoMLException, ValueError) as fault:
        held = ", ".join(sorted(str(model.tag) for model in bentoml.models.list())) or "nothing"
        raise BundleNotFound(f"{tag} is neither a folder nor in BentoML's model store, which holds {held}.") from fault
    others.sort(key=lambda model: model.info.creation_time, reverse=True)
    return [Path(model.path) for model in (chosen, *others)]

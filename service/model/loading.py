"""Find the bundle to serve, and make it ready: verified, opened, and proven on its golden inputs."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from service.model.errors import BundleNotFound
from service.model.manifest import MANIFEST_NAME, ModelBundle
from service.model.predictor import Predictor

# Released bundles lie beside the service package.
MODELS_DIR = Path(__file__).resolve().parents[2] / "models"

# What `python -m export.registry` keeps beside the releases: which of them serves, if it is not simply the newest, and its log.
STATE_NAME = "registry.json"

# As releases 1.2.0 and 1.3.0 called it, without a log; read where there is no other.
FORMER_STATE_NAME = "serving.json"

# The chosen bundle and so many before it: a whole series that cannot be trusted is a fault of another kind.
MAX_CANDIDATES = 4


@dataclass(frozen=True)
class ServingChoice:
    """serving: folder name of the release that is to serve. previous: those that served before it, the latest first."""

    serving: str
    previous: tuple[str, ...] = ()


def state_path(models_dir: Path) -> Path:
    """The file that holds the registry's state, or would."""
    own, former = models_dir / STATE_NAME, models_dir / FORMER_STATE_NAME
    return former if former.exists() and not own.exists() else own


def read_choice(models_dir: Path) -> ServingChoice | None:
    """The registry's choice; None before the first. Raises BundleNotFound if its state cannot be read."""
    path = state_path(models_dir)
    try:
        state = json.loads(path.read_text("utf-8"))
        if state["serving"] is None:
            return None
        choice = ServingChoice(state["serving"], tuple(state["previous"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise BundleNotFound(
            f"{path} does not say which release serves; `python -m export.registry promote VERSION` writes it anew."
        ) from fault
    for name in (choice.serving, *choice.previous):
        if not isinstance(name, str) or version_of(name) is None or "/" in name or "\\" in name:
            raise BundleNotFound(
                f"{path} names {name!r}, which is no release <name>-<version> beside it; "
                "`python -m export.registry promote VERSION` writes it anew."
            )
    return choice


def load_predictor(bundle: ModelBundle, threads: int) -> Predictor:
    """Open the bundle's graph and replay its golden inputs. Raises BundleError."""
    predictor = Predictor.from_bundle(bundle, threads)
    predictor.replay_golden(bundle)
    return predictor


def locate_bundle(setting: str | None, models_dir: Path = MODELS_DIR) -> Path:
    """The folder that a `bundle` setting means: a path, a store tag (name:version), or if None the release that serves.

    Raises BundleNotFound.
    """
    return candidates(setting, models_dir)[0]


def candidates(setting: str | None, models_dir: Path = MODELS_DIR) -> list[Path]:
    """The folder that a `bundle` setting means, and those to fall back to in turn if it cannot be trusted: older versions.

    None means the release that the registry chose, else the newest. At most MAX_CANDIDATES. Raises BundleNotFound.
    """
    return _candidates(setting, models_dir)[:MAX_CANDIDATES]


def _candidates(setting: str | None, models_dir: Path) -> list[Path]:
    if setting is None:
        choice = read_choice(models_dir)
        if choice is None:
            return releases(models_dir)
        return [models_dir / name for name in (choice.serving, *choice.previous)]
    path = Path(os.path.expanduser(setting))  # noqa: PTH111 (Path.expanduser raises for a user that there is not)
    try:
        if path.is_dir():
            return [path, *_older(path)]
    except OSError as fault:  # behind a folder that may not be entered; a name longer than any may be
        raise BundleNotFound(f"The bundle at {path} cannot be read: {fault.strerror}.") from fault
    if ":" not in setting:
        raise BundleNotFound(f"No bundle folder at {path}; give a folder or a tag of BentoML's model store, name:version.")
    return _stored(setting)


def releases(models_dir: Path) -> list[Path]:
    """The bundles in folders <name>-<major>.<minor>.<patch>, the highest version first. Raises BundleNotFound if none."""
    found = [manifest.parent for manifest in models_dir.glob(f"*-*.*.*/{MANIFEST_NAME}") if version_of(manifest.parent.name)]
    if not found:
        raise BundleNotFound(f"No released bundle <name>-<version> in {models_dir}; export one, or set CXR_BUNDLE.")
    return sorted(found, key=lambda path: version_of(path.name) or (), reverse=True)


def version_of(folder_name: str) -> tuple[int, int, int] | None:
    """(1, 2, 3) of <name>-1.2.3; None of any other name."""
    numbers = folder_name.rpartition("-")[2].split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        return None
    major, minor, patch = map(int, numbers)
    return major, minor, patch


def _older(path: Path) -> list[Path]:
    """Releases of the same name beside a bundle, older than it."""
    resolved = path.resolve()
    own = version_of(resolved.name)
    if own is None:
        return []
    name = resolved.name.rpartition("-")[0]
    beside = resolved.parent.glob(f"{name}-*.*.*/{MANIFEST_NAME}")
    found = {version: bundle.parent for bundle in beside if (version := version_of(bundle.parent.name)) and version < own}
    return [found[version] for version in sorted(found, reverse=True)]


def _stored(tag: str) -> list[Path]:
    # Not at import: it takes two seconds and configures logging, and evaluation only asks for the newest release.
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

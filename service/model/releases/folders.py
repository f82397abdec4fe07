"""Folders of releases and of site profiles: their names, and the order of their versions."""

import os
import re
from pathlib import Path

from service.model.errors import BundleNotFound
from service.model.manifest import MANIFEST_NAME

# Beside the package `service`.
MODELS_DIR = Path(__file__).resolve().parents[3] / "models"

# Folder of the site profiles, beside the folder of the releases.
SITES_NAME = "sites"


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


def named(setting: str) -> list[Path]:
    """The bundle that a setting names, then older ones of the same name, the latest first. Raises BundleNotFound.

    setting: a folder, or a tag of BentoML's model store.
    """
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

"""Which versions of the model were ever used, and which were promoted. Reads the folder of releases, and writes nothing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from service.model.releases import read_choice, state_path

# Of a run: the version of its challenger, settled before it trains.
CLAIM_NAME = "challenger.json"


def next_version(name: str, champion: str, models: Path, runs: Path) -> str:
    """The next minor version that no release, no decision, no changelog and no other run has ever had.

    name, champion: of the model that serves, its version as 1.2.0. After a rollback the number behind the champion's is taken.
    """
    major = int(champion.partition(".")[0])
    minors = [minor for taken_major, minor in _taken(name, models, runs) if taken_major == major]
    return f"{major}.{max([*minors, int(champion.split('.')[1])]) + 1}.0"


def was_promoted(name: str, models: Path) -> bool:
    """Whether the registry's log says that a release was ever promoted; it may have been rolled back since.

    Raises BundleNotFound if the registry's state is damaged.
    """
    read_choice(models)
    path = state_path(models)
    log = json.loads(path.read_text("utf-8")).get("log", []) if path.exists() else []
    return any(entry["event"] == "promoted" and entry["release"] == name for entry in log)


def _taken(name: str, models: Path, runs: Path) -> Iterator[tuple[int, int]]:
    """(major, minor) of every version that is named anywhere."""
    texts = [path.read_text("utf-8") for path in (models / "CHANGELOG.md", state_path(models)) if path.exists()]
    texts += [path.name for path in models.iterdir()]
    texts += [path.read_text("utf-8") for path in runs.glob(f"*/{CLAIM_NAME}")]
    # "Challenger 1.2.0" is how releases up to 1.3.0 wrote into models/CHANGELOG.md.
    for major, minor in re.findall(rf"(?:\b{re.escape(name)}[- ]|\bChallenger )(\d+)\.(\d+)\.\d+", "\n".join(texts)):
        yield int(major), int(minor)

"""The registry: which release the service loads, which releases it goes back to, and a log of these decisions.

Its state is one file beside the releases, so that a choice and its log entry are written together. The file belongs to one
hospital and is not tracked by git; models/CHANGELOG.md, which is, describes published releases. A running service takes a new
choice over on POST /model/reload or at its next start.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from export.bundle import staged_copy
from service.files import lock, write_json
from service.model.bundle import ModelBundle
from service.model.errors import BundleError, BundleNotFound
from service.model.manifest import GRAPH_NAME, MANIFEST_NAME, ModelManifest
from service.model.predictor import load_predictor
from service.model.releases import (
    STATE_NAME,
    LogEntry,
    RegistryState,
    ServingChoice,
    candidates,
    first_trusted,
    read_choice,
    read_state,
    releases,
    state_path,
    version_of,
)

# Previous releases that stay ready to go back to (REPORT Table 27).
KEPT = 3


@dataclass(frozen=True)
class ListedRelease:
    """One row of `Registry.rows`."""

    name: str  # of the folder
    manifest: ModelManifest | None  # None if the release is missing or damaged
    # Those that hold of "chosen", "loaded" (by the service at a start), "previous", "missing" and "damaged: …", in this order
    state: tuple[str, ...]


class Registry:
    """The releases in one folder.

    Commands that change something hold its lock; what raises changes nothing. Raises BundleNotFound if there is no such folder.
    """

    def __init__(self, models: Path) -> None:
        if not models.is_dir():
            raise BundleNotFound(f"There is no folder {models}.")
        self._models = models

    def has_chosen(self) -> bool:
        """Whether a release is chosen; if not, the service loads the newest. Raises BundleNotFound if the state is damaged."""
        return read_choice(self._models) is not None

    def choice(self) -> ServingChoice:
        """The chosen release; before the first choice what the service does by itself, which is to load the newest.

        Raises BundleNotFound if there is no release.
        """
        chosen = read_choice(self._models)
        if chosen is not None:
            return chosen
        names = [path.name for path in releases(self._models)]
        return ServingChoice(names[0], tuple(names[1 : 1 + KEPT]))

    def log(self) -> tuple[LogEntry, ...]:
        """All decisions, the latest first. Raises BundleNotFound if the state is damaged."""
        return read_state(self._models).log

    def loaded(self) -> str | None:
        """The release that the service loads at a start: the first candidate that passes its checks on this machine."""
        bundle, _ = first_trusted(candidates(None, self._models), _checked)
        return bundle.path.name if bundle else None

    def rows(self) -> list[ListedRelease]:
        """All releases, damaged and missing ones too; the highest version first."""
        self.log()  # raises if it is damaged
        chosen, choice, loaded = read_choice(self._models), self.choice(), self.loaded()
        names = {path.name for path in self._folders()} | {choice.serving, *choice.previous}
        rows = []
        for name in sorted(names, key=lambda name: version_of(name) or (), reverse=True):
            state = {
                "chosen": chosen is not None and name == chosen.serving,
                "loaded": name == loaded,
                "previous": name in choice.previous,
                "missing": not (self._models / name).is_dir(),
            }
            marks = [mark for mark, holds in state.items() if holds]
            manifest = None
            try:
                manifest = ModelBundle.open(self._models / name).manifest
            except BundleError as fault:
                if not state["missing"]:
                    marks.append(f"damaged: {fault}")
            rows.append(ListedRelease(name, manifest, tuple(marks)))
        return rows

    def add(self, bundle_path: Path) -> tuple[Path, bool]:
        """Copy a bundle into the releases once it has passed its checks here; its folder, and whether that is new.

        Raises BundleNotFound if another bundle has this version, and BundleError if this one cannot be trusted.
        """
        with self._alone():
            bundle = _checked(bundle_path)
            target = self._models / f"{bundle.manifest.name}-{bundle.manifest.version}"
            if target.exists():
                if ModelBundle.open(target).manifest != bundle.manifest:
                    raise BundleNotFound(f"{target} exists and is another bundle; export this one under a higher version.")
                return target, False
            for left_by_a_kill in self._models.glob(f".{target.name}.*"):
                shutil.rmtree(left_by_a_kill)
            # Complete or not at all: without a choice, the service loads the newest release.
            with staged_copy(bundle, target) as folder:
                (folder / MANIFEST_NAME).write_bytes(bundle.file(MANIFEST_NAME).read_bytes())
            return target, True

    def promote(self, version: str, note: str | None = None) -> LogEntry:
        """Choose a release once it has passed its checks here. version: 1.1.1, or the folder's name.

        The KEPT releases before it stay ready to go back to. A damaged state is set aside, as the log entry says.
        Raises BundleNotFound if it is not one release or chosen already, and BundleError if it is damaged.
        """
        with self._alone():
            chosen = self._release(version)
            manifest = self._trusted(chosen)
            try:
                self.log()
            except BundleNotFound:
                path = state_path(self._models)
                aside = path.rename(path.with_name(f"{path.name}.damaged"))
                note = " ".join([f"The state before was damaged; it is kept as {aside.name}.", *([note] if note else [])])
            now = self.choice()
            if chosen.name == now.serving and self.has_chosen():
                raise BundleNotFound(f"{chosen.name} is chosen already.")
            previous = tuple(name for name in (now.serving, *now.previous) if name != chosen.name)
            return self._choose(manifest, ServingChoice(chosen.name, previous[:KEPT]), "promoted", note)

    def rollback(self, note: str | None = None) -> LogEntry:
        """Choose the release before. Raises BundleNotFound if there is none, and BundleError if it is damaged."""
        with self._alone():
            now = self.choice()
            if not now.previous:
                raise BundleNotFound(f"No release was chosen before {now.serving}; `cxr registry list` shows all releases.")
            manifest = self._trusted(self._models / now.previous[0])
            return self._choose(manifest, ServingChoice(now.previous[0], now.previous[1:]), "rolled back", note)

    def note(self, text: str) -> LogEntry:
        """Log why nothing changes, as when a challenger is not promoted. The same text is logged once."""
        with self._alone():
            log, chosen = self.log(), self.choice().serving
            for entry in log:
                if entry.note == text:
                    return entry
            entry = LogEntry(_now(), "kept", chosen, chosen, text)
            self._write(read_choice(self._models), entry)
            return entry

    def _choose(self, manifest: ModelManifest, choice: ServingChoice, event: str, note: str | None) -> LogEntry:
        metrics = f"Test split: macro AUC {headline(manifest, 'macro_auc')}, accuracy {headline(manifest, 'accuracy')}."
        entry = LogEntry(_now(), event, choice.serving, self.choice().serving, f"{metrics} {note}" if note else metrics)
        self._write(choice, entry)
        return entry

    def _write(self, choice: ServingChoice | None, entry: LogEntry) -> None:
        write_json(self._models / STATE_NAME, RegistryState(choice, (entry, *self.log())).members())

    def _trusted(self, path: Path) -> ModelManifest:
        """The manifest of a release that passes its checks. Raises BundleError."""
        try:
            return _checked(path).manifest
        except BundleError as fault:
            problem = "damaged" if path.is_dir() else "missing"
            raise type(fault)(
                f"{path.name} is {problem}; restore it, or promote another. Nothing was changed. {fault}"
            ) from fault

    def _release(self, version: str) -> Path:
        found = [path for path in self._folders() if version in (path.name, path.name.rpartition("-")[2])]
        if len(found) != 1:
            raise BundleNotFound(f"{version!r} is not one release in {self._models}; `cxr registry list` shows all releases.")
        return found[0]

    def _folders(self) -> list[Path]:
        """Folders that hold a release, or did before a part of it was lost."""
        return [
            path
            for path in self._models.glob("*-*.*.*")
            if version_of(path.name) and ((path / MANIFEST_NAME).exists() or (path / GRAPH_NAME).exists())
        ]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock, so that no log entry is lost. Raises BundleNotFound if the folder cannot be written."""
        path = self._models / ".registry.lock"
        try:
            path.touch()
            held = lock(path)
        except OSError as fault:
            raise BundleNotFound(f"{self._models} cannot be written: {fault.strerror}. Nothing was changed.") from fault
        try:
            yield
        finally:
            if held is not None:
                os.close(held)


def headline(manifest: ModelManifest, name: str) -> str:
    """A headline metric of the test split with three digits, or a dash."""
    value = manifest.test_metrics.get("headline", {}).get(name)
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _checked(path: Path) -> ModelBundle:
    """A bundle that is complete and gives its golden outputs on this machine. Raises BundleError."""
    bundle = ModelBundle.open(path)
    load_predictor(bundle)
    return bundle


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

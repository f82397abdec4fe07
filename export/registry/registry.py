"""The registry: which release the service loads, with which site profile, what it goes back to, and a log of these decisions.

Release and profile are one choice, since a profile belongs to one release. A release is not chosen in place of a commissioned
one before it is commissioned for the same site too, unless insisted.

Its state is one file beside the releases, so that a choice and its log entry are written together. The file belongs to one
hospital and is not tracked by git; models/CHANGELOG.md, which is, describes published releases. A running service takes a new
choice over on POST /model/reload or at its next start.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from export.bundle import staged_copy
from export.registry.commissioned import commissioned_profile
from service.files import lock, write_json
from service.model.bundle import ModelBundle
from service.model.errors import BundleError, BundleNotFound, ProfileError, ProfileInvalid
from service.model.manifest import GRAPH_NAME, MANIFEST_NAME, ModelManifest
from service.model.predictor import load_predictor
from service.model.releases import (
    SITES_NAME,
    STATE_NAME,
    LogEntry,
    RegistryState,
    Served,
    ServingChoice,
    profile_name,
    read_choice,
    read_state,
    releases,
    sites_dir,
    state_path,
    version_of,
)
from service.model.site_profile import SiteProfile

# Previous releases that stay ready to go back to (REPORT Table 27), each with the profiles that it was served with.
KEPT = 3


class Registry:
    """The releases in one folder.

    Commands that change something hold its lock; what raises changes nothing. Raises BundleNotFound if there is no such folder.
    """

    def __init__(self, models: Path, site: str | None = None) -> None:
        """site: the setting CXR_SITE, if the service has one; it counts before the chosen profile. Empty is as not set."""
        if not models.is_dir():
            raise BundleNotFound(f"There is no folder {models}.")
        self.models = models
        self._site = site or None

    def has_chosen(self) -> bool:
        """Whether a release is chosen; if not, the service loads the newest. Raises BundleNotFound if the state is damaged."""
        return read_choice(self.models) is not None

    def choice(self) -> ServingChoice:
        """The chosen release; before the first choice what the service does by itself, which is to load the newest.

        Raises BundleNotFound if there is no release.
        """
        chosen = read_choice(self.models)
        if chosen is not None:
            return chosen
        found = [Served(path.name) for path in releases(self.models)]
        return ServingChoice(found[0], tuple(found[1 : 1 + KEPT]))

    def log(self) -> tuple[LogEntry, ...]:
        """All decisions, the latest first. Raises BundleNotFound if the state is damaged."""
        return read_state(self.models).log

    def folders(self) -> list[Path]:
        """Folders that hold a release, or did before a part of it was lost."""
        return [
            path
            for path in self.models.glob("*-*.*.*")
            if version_of(path.name) and ((path / MANIFEST_NAME).exists() or (path / GRAPH_NAME).exists())
        ]

    def require_commissioned(self, bundle: ModelBundle) -> SiteProfile | None:
        """The profile to serve this bundle with: the newest of the site that is commissioned now. None without such a site.

        Raises NotCommissioned if the bundle has none, or only unverified ones while a verified one is served now.
        """
        return commissioned_profile(self.models, self._site, bundle)

    def add(self, bundle_path: Path) -> tuple[Path, bool]:
        """Copy a bundle into the releases once it has passed its checks here; its folder, and whether that is new.

        Raises BundleNotFound if another bundle has this version, and BundleError if this one cannot be trusted.
        """
        with self._alone():
            bundle = ModelBundle.open(bundle_path)
            load_predictor(bundle)
            target = self.models / f"{bundle.manifest.name}-{bundle.manifest.version}"
            if target.exists():
                if ModelBundle.open(target).manifest != bundle.manifest:
                    raise BundleNotFound(f"{target} exists and is another bundle; export this one under a higher version.")
                return target, False
            for left_by_a_kill in self.models.glob(f".{target.name}.*"):
                shutil.rmtree(left_by_a_kill)
            # Complete or not at all: without a choice, the service loads the newest release.
            with staged_copy(bundle, target) as folder:
                (folder / MANIFEST_NAME).write_bytes(bundle.file(MANIFEST_NAME).read_bytes())
            return target, True

    def promote(
        self, name: str, note: str | None = None, *, profile: str | None = None, without_profile: bool = False
    ) -> LogEntry:
        """Choose a release with a profile, once both have passed their checks here.

        name: of the release (1.1.1, or its folder's name), or of a profile's folder, which comes with its release.
        profile: folder name of the profile. None: that of `require_commissioned`.
        without_profile: insist on the release alone.

        The KEPT releases before it stay ready to go back to. A damaged state is set aside, as the log entry says.
        Raises BundleNotFound if the name is not that of one release, or it is chosen already; NotCommissioned as
        `require_commissioned`; and BundleError if release or profile is damaged.
        """
        with self._alone():
            if profile_name(name):
                profile = name
                bundle = self._bundle(self._release_of(profile))
            else:
                bundle = self._bundle(self._release(name))
            target = self._target(bundle, profile, without_profile)
            self._prove(bundle, target)
            try:
                self.log()
            except BundleNotFound:
                path = state_path(self.models)
                aside = path.rename(path.with_name(f"{path.name}.damaged"))
                note = " ".join([f"The state before was damaged; it is kept as {aside.name}.", *([note] if note else [])])
            now = self.choice()
            if target == now.serving and self.has_chosen():
                raise BundleNotFound(f"{target} is chosen already.")
            previous = _kept(target, (now.serving, *now.previous))
            return self._choose(bundle.manifest, ServingChoice(target, previous), "promoted", note)

    def rollback(self, note: str | None = None) -> LogEntry:
        """Choose what was served before: the release, with the profile that it had.

        Raises BundleNotFound if there is none, and BundleError if it is damaged.
        """
        with self._alone():
            now = self.choice()
            if not now.previous:
                raise BundleNotFound(f"No release was chosen before {now.serving}; `cxr registry list` shows all releases.")
            before = now.previous[0]
            bundle = self._bundle(self.models / before.bundle)
            self._prove(bundle, before)
            return self._choose(bundle.manifest, ServingChoice(before, now.previous[1:]), "rolled back", note)

    def note(self, text: str) -> LogEntry:
        """Log why nothing changes, as when a challenger is not promoted. The same text is logged once."""
        with self._alone():
            log, chosen = self.log(), self.choice().serving
            for entry in log:
                if entry.note == text:
                    return entry
            entry = LogEntry(_now(), "kept", chosen.bundle, chosen.bundle, text, chosen.site, chosen.site)
            self._write(read_choice(self.models), entry)
            return entry

    def _choose(self, manifest: ModelManifest, choice: ServingChoice, event: str, note: str | None) -> LogEntry:
        metrics = f"Test split: macro AUC {headline(manifest, 'macro_auc')}, accuracy {headline(manifest, 'accuracy')}."
        note = f"{metrics} {note}" if note else metrics
        now, before = choice.serving, self.choice().serving
        entry = LogEntry(_now(), event, now.bundle, before.bundle, note, now.site, before.site)
        self._write(choice, entry)
        return entry

    def _write(self, choice: ServingChoice | None, entry: LogEntry) -> None:
        write_json(self.models / STATE_NAME, RegistryState(choice, (entry, *self.log())).members())

    def _target(self, bundle: ModelBundle, profile: str | None, without_profile: bool) -> Served:
        """The release with the profile that `promote` is to choose. Raises NotCommissioned."""
        if profile is not None or without_profile:
            return Served(bundle.path.name, profile)
        try:
            chosen = read_choice(self.models)
        except BundleNotFound:  # damaged: it is set aside
            chosen = None
        if chosen and chosen.serving.bundle == bundle.path.name:
            return chosen.serving
        found = self.require_commissioned(bundle)
        # One beside a CXR_SITE elsewhere is served by that setting, not by a choice.
        if found and found.path.parent.resolve() == sites_dir(self.models).resolve():
            return Served(bundle.path.name, found.path.name)
        # Where no site is commissioned now, the release comes with the profile that it was served with.
        before = chosen.previous if chosen and not found else ()
        return next((each for each in before if each.bundle == bundle.path.name), Served(bundle.path.name))

    def _bundle(self, path: Path) -> ModelBundle:
        """The release in this folder, whose files are whole. Raises BundleError."""
        try:
            return ModelBundle.open(path)
        except BundleError as fault:
            raise self._untrusted(path, fault) from fault

    def _prove(self, bundle: ModelBundle, served: Served) -> None:
        """Raises BundleError if the release does not give its golden outputs here, or its profile cannot be served with it."""
        try:
            load_predictor(bundle, profile=None if served.site is None else self._profile(served.site))
        except ProfileError as fault:
            raise type(fault)(f"{served} cannot be served. Nothing was changed. {fault}") from fault
        except BundleError as fault:
            raise self._untrusted(bundle.path, fault) from fault

    def _untrusted(self, path: Path, fault: BundleError) -> BundleError:
        problem = "damaged" if path.is_dir() else "missing"
        return type(fault)(f"{path.name} is {problem}; restore it, or promote another. Nothing was changed. {fault}")

    def _profile(self, name: str) -> SiteProfile:
        """The profile in the folder of this name. Raises ProfileError."""
        profile = SiteProfile.open(sites_dir(self.models) / name)
        own = (profile.manifest.name, profile.manifest.version)
        if profile_name(name) != own:
            raise ProfileInvalid(f"{profile.path} holds version {own[1]} for {own[0]}; name the folder {own[0]}-{own[1]}.")
        return profile

    def _release_of(self, profile: str) -> Path:
        own = self._profile(profile).manifest.bundle
        path = self.models / f"{own.name}-{own.version}"
        if path not in self.folders():
            raise BundleNotFound(
                f"{SITES_NAME}/{profile} belongs to {path.name}, which is not a release in {self.models}; "
                "`cxr registry add` it first, or commission a release that is. Nothing was changed."
            )
        return path

    def _release(self, version: str) -> Path:
        found = [path for path in self.folders() if version in (path.name, path.name.rpartition("-")[2])]
        if len(found) != 1:
            raise BundleNotFound(f"{version!r} is not one release in {self.models}; `cxr registry list` shows all releases.")
        return found[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock, so that no log entry is lost. Raises BundleNotFound if the folder cannot be written."""
        path = self.models / ".registry.lock"
        try:
            path.touch()
            held = lock(path)
        except OSError as fault:
            raise BundleNotFound(f"{self.models} cannot be written: {fault.strerror}. Nothing was changed.") from fault
        try:
            yield
        finally:
            if held is not None:
                os.close(held)


def headline(manifest: ModelManifest, name: str) -> str:
    """A headline metric of the test split with three digits, or a dash."""
    value = manifest.test_metrics.get("headline", {}).get(name)
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _kept(serving: Served, before: Iterable[Served]) -> tuple[Served, ...]:
    """Those of `before`, the latest first, that belong to `serving`'s release or to one of the KEPT releases before it."""
    others = [each for each in before if each != serving]
    bundles = list(dict.fromkeys(each.bundle for each in others if each.bundle != serving.bundle))[:KEPT]
    return tuple(each for each in others if each.bundle in (serving.bundle, *bundles))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

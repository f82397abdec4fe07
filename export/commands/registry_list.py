"""`cxr registry list`: a table of the releases, one of the site profiles, and what the service loads."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.registry import Registry, headline
from service.model.bundle import ModelBundle
from service.model.errors import BundleError, ProfileError
from service.model.findings import FINDINGS
from service.model.predictor import load_predictor
from service.model.releases import (
    SITES_NAME,
    Served,
    candidates,
    first_trusted,
    profile_name,
    read_choice,
    sites_dir,
    version_of,
)
from service.model.site_profile import ProfileManifest, SiteProfile

_RELEASE = "{:24}  {:22}  {:10}  {:>9}  {:>8}  {}".format
_PROFILE = "{:24}  {:22}  {:10}  {:>20}  {:>8}  {:>14}  {:>14}  {}".format


@dataclass(frozen=True)
class _Start:
    """What the service does at a start without settings."""

    loaded: Served | None  # None if it can load no release, or does not start
    fault: ProfileError | None  # why the chosen profile keeps it from starting


def print_list(registry: Registry) -> None:
    """Print both tables. Raises BundleNotFound if the registry's state is damaged."""
    registry.log()  # raises if it is damaged
    chosen, start = read_choice(registry.models), _start(registry.models)
    print(_RELEASE("release", "architecture", "made", "macro AUC", "accuracy", "state"))
    for line in _releases(registry, start.loaded):
        print(line)
    if profiles := _profiles(registry, start.loaded):
        print("\n" + _PROFILE("profile", "release", "made", "films N / P / T", "verified", "AUC", "accuracy", "state"))
        print("\n".join(profiles))
    print(f"\n{_explain(chosen.serving if chosen else None, start)}")


def _start(models: Path) -> _Start:
    """The first candidate that passes its checks on this machine, with its profile."""

    def load(bundle: ModelBundle, profile: SiteProfile | None) -> Served:
        load_predictor(bundle, profile=profile)
        return Served(bundle.path.name, profile.path.name if profile else None)

    try:
        return _Start(first_trusted(candidates(None, None, models_dir=models), load)[0], None)
    except ProfileError as fault:
        return _Start(None, fault)


def _releases(registry: Registry, loaded: Served | None) -> list[str]:
    """All releases, damaged and missing ones too; the highest version first."""
    choice, chosen = registry.choice(), read_choice(registry.models)
    names = {path.name for path in registry.folders()} | set(choice.bundles)
    lines = []
    for name in sorted(names, key=lambda name: version_of(name) or (), reverse=True):
        path = registry.models / name
        state = {
            "chosen": chosen is not None and name == chosen.serving.bundle,
            "loaded": loaded is not None and name == loaded.bundle,
            "previous": name in choice.bundles[1:],
            "missing": not path.is_dir(),
        }
        cells = [""] * 4
        try:
            manifest = ModelBundle.open(path).manifest
            metrics = (headline(manifest, metric) for metric in ("macro_auc", "accuracy"))
            cells = [manifest.architecture, manifest.created_at[:10], *metrics]
            damage = None
        except BundleError as fault:
            damage = None if state["missing"] else fault
        lines.append(_RELEASE(name, *cells, _marks(state, damage)).rstrip())
    return lines


def _profiles(registry: Registry, loaded: Served | None) -> list[str]:
    """All site profiles, damaged and missing ones too; by site, the highest version first."""
    choice = registry.choice()
    folder = sites_dir(registry.models)
    names = {path.name for path in folder.glob("*") if path.is_dir() and profile_name(path.name)}
    names |= {each.site for each in (choice.serving, *choice.previous) if each.site is not None}
    lines = []
    for name in sorted(names, key=_by_site):
        state = {
            "chosen": name == choice.serving.site,
            "loaded": loaded is not None and name == loaded.site,
            "previous": name in {each.site for each in choice.previous},
            "missing": not (folder / name).is_dir(),
        }
        cells, damage = [""] * 6, None
        try:
            manifest = SiteProfile.open(folder / name).manifest
            release = f"{manifest.bundle.name}-{manifest.bundle.version}"
            state["release missing"] = not (registry.models / release).is_dir()
            verified = "yes" if manifest.verified else "no"
            figures = (_gain(manifest, metric) for metric in ("macro_auc", "accuracy"))
            cells = [release, manifest.created_at[:10], _films(manifest), verified, *figures]
        except ProfileError as fault:
            damage = None if state["missing"] else fault
        lines.append(_PROFILE(name, *cells, _marks(state, damage)).rstrip())
    return lines


def _by_site(name: str) -> tuple[str, int]:
    site, version = profile_name(name) or (name, 0)
    return site, -version


def _marks(state: dict[str, bool], damage: BundleError | None) -> str:
    marks = [mark for mark, holds in state.items() if holds]
    return ", ".join([*marks, *([f"damaged: {damage}"] if damage else [])])


def _films(manifest: ProfileManifest) -> str:
    """Films by finding, as 40 / 40 / 0, or the number of those without a label."""
    if not manifest.verified:
        return f"{sum(manifest.films.values())} unlabelled"
    return " / ".join(str(manifest.films.get(finding, 0)) for finding in FINDINGS)


def _gain(manifest: ProfileManifest, name: str) -> str:
    """A figure of the acceptance, released model -> with the profile; a dash if it was not measured."""
    values = [_figure(manifest.figures.get(when), name) for when in ("before", "after")]
    return "-" if None in values else " -> ".join(f"{value:.3f}" for value in values)


def _figure(figures: Any, name: str) -> float | None:
    value = figures.get(name) if isinstance(figures, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _explain(chosen: Served | None, start: _Start) -> str:
    for name, what in (("CXR_BUNDLE", "loads that bundle"), ("CXR_SITE", "applies that profile")):
        if setting := os.environ.get(name):
            return f"{name} is set here, to {setting}: a service with that setting {what}, whatever is chosen here."
    if start.fault is not None and chosen is not None:
        return f"The service does not start, because {SITES_NAME}/{chosen.site} cannot be applied: {start.fault}"
    if start.loaded is None:
        return "The service can load none of these, and refuses all films."
    if chosen is None:
        return f"The service loads {start.loaded}: none is chosen, and this is the newest that passes its checks."
    if chosen.bundle != start.loaded.bundle:
        return f"The service loads {start.loaded}, because {chosen.bundle} cannot be loaded."
    return f"The service loads {start.loaded}."

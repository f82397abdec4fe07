"""The pairs of bundle and site profile to try in turn, from settings or the registry's choice, and the first to be trusted."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from service.model.bundle import ModelBundle
from service.model.errors import BundleError, ProfileError
from service.model.releases.choice import Served, read_choice
from service.model.releases.folders import MODELS_DIR, named, releases, sites_dir
from service.model.site_profile import SiteProfile

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The setting that applies no site profile.
NO_PROFILE = "none"

# The chosen bundle and its fallbacks. If all of these fail, older ones will too.
MAX_CANDIDATES = 4


@dataclass(frozen=True)
class Candidate:
    """A bundle to try, and the profile to apply to it. Neither is opened yet."""

    bundle: Path  # folder of the bundle
    profile: Path | None  # folder of the profile; None applies none
    of_site: bool = False  # whether `profile` only tells the site, whose best profile is to be applied

    def open_profile(self) -> SiteProfile | None:
        """Raises ProfileNotFound or ProfileInvalid."""
        return None if self.profile is None else SiteProfile.open(self.profile)


def locate_bundle(setting: str | None, models_dir: Path = MODELS_DIR) -> Path:
    """The bundle of the first of `candidates`. Raises BundleNotFound."""
    return candidates(setting, NO_PROFILE, models_dir)[0].bundle


def candidates(bundle: str | None, site: str | None, models_dir: Path = MODELS_DIR) -> list[Candidate]:
    """What to try in turn: the pair to serve, then older bundles to fall back to. At most MAX_CANDIDATES.

    The registry is read once, so that a promotion meanwhile does not pair one choice's bundle with another's profile.

    bundle: setting, a bundle folder, or a tag of BentoML's model store (name:version). None: the registry's choice, or the
        highest version before the first choice.
    site: setting, see `locate_profile`.

    Raises BundleNotFound if there is none. The folders are not opened: see `first_trusted`.
    """
    choice = None if bundle is not None else read_choice(models_dir)
    if choice is not None and site is None:
        found = [Candidate(models_dir / each.bundle, _chosen_profile(each, models_dir)) for each in choice.pairs]
        return found[:MAX_CANDIDATES]
    if bundle is not None:
        paths = named(bundle)
    else:
        paths = releases(models_dir) if choice is None else [models_dir / name for name in choice.bundles]
    profile = None if site is None else _set_profile(site)
    return [Candidate(path, profile, of_site=path != paths[0]) for path in paths[:MAX_CANDIDATES]]


def locate_profile(bundle: str | None, site: str | None, models_dir: Path = MODELS_DIR) -> Path | None:
    """Folder of the site profile to apply to the first of `candidates`, or None. It is not opened.

    bundle, site: settings. `site` is a profile's folder, or NO_PROFILE for none. Without it the registry's choice holds, unless
        `bundle` is set: that puts aside the choice, its profile included.

    Raises BundleNotFound if the registry's state is damaged.
    """
    if site is not None:
        return _set_profile(site)
    choice = None if bundle is not None else read_choice(models_dir)
    return None if choice is None else _chosen_profile(choice.serving, models_dir)


def _set_profile(site: str) -> Path | None:
    # Path.expanduser raises for an unknown user.
    return None if site == NO_PROFILE else Path(os.path.expanduser(site))  # noqa: PTH111


def _chosen_profile(served: Served, models_dir: Path) -> Path | None:
    return None if served.site is None else sites_dir(models_dir) / served.site


def first_trusted(
    found: Sequence[Candidate], load: Callable[[ModelBundle, SiteProfile | None], T]
) -> tuple[T | None, list[BundleError]]:
    """What `load` returns for the first candidate that it trusts, or None; and the faults of the bundles before it.

    The first bundle gets its own profile. A fallback gets the profile that it was served with or, if a setting names a profile,
    the best one of that site: verified ones before others, then the highest version. If none can be applied, the fallback
    serves alone, with an error in the log.

    load: loads a bundle and applies the profile; raises ProfileError if the profile is at fault, else BundleError.
    Raises ProfileError if the first profile cannot be opened, or the first bundle can be trusted and the profile cannot be
    applied to it: another bundle is no remedy.
    """
    chosen = found[0].open_profile()
    faults: list[BundleError] = []
    for candidate in found:
        try:
            bundle = ModelBundle.open(candidate.bundle)
            if candidate == found[0]:
                return load(bundle, chosen), faults
            return _load_fallback(bundle, candidate, chosen, load), faults
        except ProfileError:
            raise
        except BundleError as fault:
            faults.append(fault)
    return None, faults


def _load_fallback(
    bundle: ModelBundle,
    fallback: Candidate,
    chosen: SiteProfile | None,  # of the first candidate
    load: Callable[[ModelBundle, SiteProfile | None], T],
) -> T:
    for profile in _profiles_of(bundle, fallback, chosen):
        try:
            return load(bundle, profile)
        except ProfileError as fault:
            logger.warning("%s", fault)
    if fallback.profile is not None:
        reason = "no profile of the site belongs to it" if fallback.of_site else f"{fallback.profile} cannot be applied"
        logger.error("%s serves without a site profile: %s.", bundle.path, reason)
    return load(bundle, None)


def _profiles_of(bundle: ModelBundle, fallback: Candidate, chosen: SiteProfile | None) -> list[SiteProfile]:
    """Profiles that belong to the fallback's bundle, the best first. chosen: of the first candidate."""
    if fallback.profile is None:
        return []
    folders = chosen.versions() if chosen is not None and fallback.of_site else [fallback.profile]
    found = []
    for folder in folders:
        try:
            profile = SiteProfile.open(folder)
            profile.require_bundle(bundle)
            found.append(profile)
        except ProfileError as fault:
            logger.warning("%s", fault)
    return sorted(found, key=lambda profile: not profile.manifest.verified)

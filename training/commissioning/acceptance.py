"""Labelled films of a site: what the bundle is worth there, and what a profile would change."""

from service.model.manifest import ModelManifest
from training.commissioning.cases import Acceptance, SiteFilms


def commission_labelled(films: SiteFilms, manifest: ModelManifest, seed: int = 0) -> Acceptance:
    """Judge the bundle on the films, and fit what is better than it beyond chance.

    manifest: of the bundle. seed: of folds and bootstrap samples.
    Raises TooFewFilms for a class with 1 to 19 films, or fewer than two classes.
    """
    raise NotImplementedError

"""A run of `cxr score`: finds the films, has them judged in several processes, and writes their rows."""

import sys
from collections.abc import Iterable
from pathlib import Path

from service.errors import SettingsError
from service.model.bundle import ModelBundle, sha256_of
from service.model.decision import find_operating_point
from service.model.manifest import MANIFEST_NAME
from service.model.predictor import load_predictor
from service.model.releases import candidates
from service.model.site_profile import PROFILE_NAME
from service.score.films import find_files
from service.score.judge import Task
from service.score.processes import Processes
from service.score.progress import Progress
from service.score.rows import model_columns
from service.score.table import Table


def score_films(
    films: Path,
    out: Path,
    *,
    bundle: str | None,
    site: str | None,
    operating_point: str,
    processes: int,
    max_pixels: int,
    overwrite: bool,
) -> str:
    """Judge all films and write the table; rows of an unfinished run are kept. Returns a summary in one line.

    films: a folder with films at any depth, or one film.
    out: CSV file.
    bundle: a bundle folder or a tag of BentoML's model store; None is the release that is served.
    site: folder of a site profile of the bundle, or "none"; None is the one chosen with the release, if no bundle is given.
    operating_point: decision rule, by its name in the bundle.
    processes: films judged at once.
    max_pixels: largest film that is decoded.
    overwrite: whether to replace `out` if it exists.

    Raises SettingsError, BundleError or OSError.
    """
    is_one_film = films.is_file()
    if not is_one_film and not films.is_dir():
        raise SettingsError(f"{films} is neither a folder nor a film.")
    if out.suffix != ".csv":
        raise SettingsError(f"{out} must end in .csv.")
    chosen = candidates(bundle, site)[0]
    opened = ModelBundle.open(chosen.bundle)
    find_operating_point(opened.manifest, operating_point)
    folder = (films.parent if is_one_film else films).resolve()
    profile = chosen.open_profile()
    applied = None if profile is None else profile.path.resolve()
    model = model_columns(opened.manifest.version, None if profile is None else profile.site)
    task = Task(folder, opened.path.resolve(), operating_point, max_pixels, every_file=is_one_film, site=applied)
    settings = {
        "folder": str(folder / films.name if is_one_film else folder),
        "model": sha256_of(opened.file(MANIFEST_NAME)),
        "site": "" if applied is None else sha256_of(applied / PROFILE_NAME),
        "operating_point": operating_point,
        "max_pixels": str(max_pixels),
    }
    load_predictor(opened, profile=profile)  # so that a fault is reported once, and not by every process
    paths = [films.name] if is_one_film else list(find_files(folder, _warn_of_missing_films))
    with Table(out, settings, overwrite) as table:
        progress = Progress(len(paths), table.rows())
        with Processes(task, processes, model) as pool:
            for row in pool.rows(_remaining(paths, table)):
                if row is not None:
                    table.add(row)
                progress.add(row)
        table.finish()
    return progress.summary()


def _remaining(paths: Iterable[str], table: Table) -> Iterable[str]:
    judged = {row["path"].removeprefix("./") for row in table.rows()}
    return (path for path in paths if path not in judged)


def _warn_of_missing_films(fault: OSError) -> None:
    print(f"{fault.filename} cannot be read, its films are missing: {fault.strerror}.", file=sys.stderr)

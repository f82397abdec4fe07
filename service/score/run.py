"""A run of `cxr score`: finds the films, has them judged in several processes, and writes their rows."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.errors import SettingsError
from service.model.bundle import ModelBundle, sha256_of
from service.model.decision import find_operating_point
from service.model.manifest import MANIFEST_NAME
from service.model.predictor import load_predictor
from service.model.releases import locate_bundle
from service.score.films import find_files
from service.score.judge import Task
from service.score.processes import Processes
from service.score.progress import Progress
from service.score.table import Table


@dataclass(frozen=True)
class ScoreRun:
    """What to score."""

    films: Path  # a folder with films at any depth, or one film
    out: Path  # table to write, .csv or .parquet
    bundle: str | None  # a bundle folder or a tag of BentoML's model store; None is the release that is served
    operating_point: str  # decision rule, by its name in the bundle
    processes: int  # films judged at once
    max_pixels: int  # largest film that is decoded
    overwrite: bool  # whether to replace `out` if it exists


def score_films(run: ScoreRun) -> str:
    """Judge all films and write the table; rows of an unfinished run are kept. Returns a summary in one line.

    Raises SettingsError, BundleError or OSError.
    """
    is_one_film = run.films.is_file()
    if not is_one_film and not run.films.is_dir():
        raise SettingsError(f"{run.films} is neither a folder nor a film.")
    if run.out.suffix not in (".csv", ".parquet"):
        raise SettingsError(f"{run.out} must end in .csv or .parquet.")
    bundle = ModelBundle.open(locate_bundle(run.bundle))
    find_operating_point(bundle.manifest, run.operating_point)
    folder = (run.films.parent if is_one_film else run.films).resolve()
    task = Task(folder, bundle.path.resolve(), run.operating_point, run.max_pixels, every_file=is_one_film)
    settings = {
        "folder": str(folder / run.films.name if is_one_film else folder),
        "model": sha256_of(bundle.file(MANIFEST_NAME)),
        "operating_point": task.operating_point,
        "max_pixels": str(task.max_pixels),
    }
    load_predictor(bundle)  # a fault is found here, once, and not by every process
    paths = [run.films.name] if is_one_film else list(find_files(folder, _warn_of_missing_films))
    with Table(run.out, settings, run.overwrite) as table:
        progress = Progress(len(paths), table.rows())
        with Processes(task, run.processes, bundle.manifest.version) as processes:
            for row in processes.rows(_remaining(paths, table)):
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

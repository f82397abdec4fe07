"""Every film below a folder into one table: `python -m service.commands.score FOLDER --out predictions.csv`."""

import argparse
import signal
import sys
from pathlib import Path

from service.commands.faults import report_faults
from service.errors import SettingsError
from service.film.limits import DecodeLimits
from service.model.bundle import ModelBundle, sha256_of
from service.model.decision import DEFAULT_OPERATING_POINT, find_operating_point
from service.model.predictor import load_predictor
from service.model.releases import locate_bundle
from service.process.cpus import usable_cpus
from service.score.films import find_files
from service.score.judge import Task
from service.score.processes import Workers
from service.score.progress import Progress
from service.score.result import Result

_INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Exit status 0 once every film has its row, refused ones too; 1 if it cannot be done; 130 if interrupted."""
    arguments = _parse(argv)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    with report_faults() as outcome:
        try:
            _score(arguments)
            outcome.status = 0
        except KeyboardInterrupt:
            print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
            outcome.status = _INTERRUPTED
    return outcome.status


def _interrupt(_signal: int, _frame: object) -> None:
    """Once: another Ctrl-C would leave the end half done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _score(arguments: argparse.Namespace) -> None:
    scored: Path = arguments.folder
    is_one_film = scored.is_file()
    if not is_one_film and not scored.is_dir():
        raise SettingsError(f"{scored} is neither a folder nor a film.")
    if arguments.out.suffix not in (".csv", ".parquet"):
        raise SettingsError(f"{arguments.out} must end in .csv or .parquet.")
    bundle = ModelBundle.open(locate_bundle(arguments.bundle))
    find_operating_point(bundle.manifest, arguments.operating_point)
    folder = (scored.parent if is_one_film else scored).resolve()
    task = Task(folder, bundle.path.resolve(), arguments.operating_point, arguments.max_pixels, every_file=is_one_film)
    settings = {
        "folder": str(folder / scored.name if is_one_film else folder),
        "model": sha256_of(bundle.file("manifest.json")),
        "operating_point": task.operating_point,
        "max_pixels": str(task.max_pixels),
    }
    load_predictor(bundle, 1)  # noticed here, and not by each process for itself
    paths = [scored.name] if is_one_film else list(find_files(folder, _tell_of_missing))
    with Result(arguments.out, settings, arguments.overwrite) as result:
        progress = Progress(len(paths))
        recorded = set()
        for row in result.rows():
            progress.count_earlier(row)
            recorded.add(row["path"].removeprefix("./"))
        progress.go_on_from(len(recorded))
        workers = Workers(task, arguments.processes, bundle.manifest.version)
        try:
            for _, judged in workers.rows(path for path in paths if path not in recorded):
                if judged is not None:
                    result.add(judged)
                progress.add(judged)
        except KeyboardInterrupt:
            workers.end()
            raise
        finally:
            workers.close()
        result.finish()
    print(progress.summary(), file=sys.stderr)


def _tell_of_missing(fault: OSError) -> None:
    print(f"{fault.filename} cannot be read, its films are missing: {fault.strerror}.", file=sys.stderr)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("not a number of 1 or more")
    return int(text)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m service.commands.score",
        description="Judge every film below a folder, of any format that the service reads, and write one row for each. A "
        "film that is refused has its reason in its row, and so has a file that is no picture but has a picture's name, an "
        "empty one too. Rows hold the films' paths, which may name patients, and their SHA-256; nothing else of DICOM headers "
        "is read. A run that was interrupted or killed goes on with the same command. "
        "Exit status 0 once every film has its row, 1 if it cannot be done, 130 if interrupted. For research use only.",
    )
    parser.add_argument("folder", type=Path, help="where the films are; or one film")
    parser.add_argument("--out", type=Path, required=True, help="table to write: .csv, or .parquet if pyarrow is installed")
    parser.add_argument("--bundle", help="folder or tag of the model (default: the one that would be served)")
    parser.add_argument("--operating-point", default=DEFAULT_OPERATING_POINT, help="decision rule (default %(default)s)")
    parser.add_argument(
        "--processes", type=_at_least_one, default=usable_cpus(), metavar="N", help="at once (default %(default)s)"
    )
    parser.add_argument(
        "--max-pixels", type=_at_least_one, default=DecodeLimits().max_pixels, help="largest film (default %(default)s)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Which release serves: `python -m export.registry list | promote VERSION | rollback | note TEXT`.

A running service takes the choice up on POST /model/reload, or when it starts.
"""

import argparse
import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from service.contract.errors import BundleError, BundleNotFound
from service.contract.manifest import ModelBundle, ModelManifest
from service.loading import MODELS_DIR, SERVING_NAME, ServingChoice, load_predictor, read_choice, releases

CHANGELOG_NAME = "CHANGELOG.md"

# Previous versions that are kept ready to go back to (REPORT Table 27).
KEPT = 3


def main(argv: list[str]) -> int:
    """Exit status 1 if nothing was changed."""
    arguments = _parse(argv)
    try:
        with _alone(arguments.models):
            arguments.command(arguments)
    except (BundleError, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _list(arguments: argparse.Namespace) -> None:
    choice = current_choice(arguments.models)
    row = "{:24}  {:22}  {:10}  {:>9}  {:>8}  {}".format
    print(row("release", "architecture", "made", "macro AUC", "accuracy", "state"))
    for path in releases(arguments.models):
        try:
            manifest = ModelBundle.open(path).manifest
        except BundleError as fault:
            print(row(path.name, "", "", "", "", f"cannot be trusted: {type(fault).__name__}"))
            continue
        state = "serving" if path.name == choice.serving else "previous" if path.name in choice.previous else ""
        auc, accuracy = _figure(manifest, "macro_auc"), _figure(manifest, "accuracy")
        print(row(path.name, manifest.architecture, manifest.created_at[:10], auc, accuracy, state).rstrip())


def _promote(arguments: argparse.Namespace) -> None:
    chosen = _release(arguments.models, arguments.version)
    now = current_choice(arguments.models)
    if chosen.name == now.serving and read_choice(arguments.models) is not None:
        raise BundleNotFound(f"{chosen.name} is the one that serves already.")
    previous = tuple(name for name in (now.serving, *now.previous) if name != chosen.name)
    _choose(arguments, chosen, ServingChoice(chosen.name, previous[: arguments.keep]), "Promoted")


def _rollback(arguments: argparse.Namespace) -> None:
    now = current_choice(arguments.models)
    if not now.previous:
        raise BundleNotFound(f"No release served before {now.serving}; `python -m export.registry list` shows what there is.")
    _choose(arguments, arguments.models / now.previous[0], ServingChoice(now.previous[0], now.previous[1:]), "Rolled back")


def _note(arguments: argparse.Namespace) -> None:
    """For decisions that change nothing: a challenger that was not promoted."""
    serving = current_choice(arguments.models).serving
    entry = f"## Kept {serving} ({datetime.now(UTC):%Y-%m-%d})\n\n{arguments.note}\n"
    _enter(arguments.models, entry)
    print(f"{serving} goes on serving.")


def _choose(arguments: argparse.Namespace, chosen: Path, choice: ServingChoice, verb: str) -> None:
    """Make the choice, if the release can be trusted and gives its golden outputs on this machine."""
    before = current_choice(arguments.models).serving
    bundle = ModelBundle.open(chosen)
    load_predictor(bundle, threads=1)
    _write(arguments.models / SERVING_NAME, choice.text())
    _enter(arguments.models, _entry(bundle.manifest, before, chosen.name, verb, arguments.note))
    print(f"{verb}: {chosen.name} serves from the next start, or POST /model/reload.")


def _enter(models_dir: Path, entry: str) -> None:
    changelog = models_dir / CHANGELOG_NAME
    _write(changelog, with_entry(changelog.read_text("utf-8") if changelog.exists() else "# Models\n", entry))


def current_choice(models_dir: Path) -> ServingChoice:
    """The registry's choice; before the first one, what the service does by itself: the newest serves, the others follow.

    Raises BundleNotFound.
    """
    choice = read_choice(models_dir)
    if choice is not None:
        return choice
    names = [path.name for path in releases(models_dir)]
    return ServingChoice(names[0], tuple(names[1 : 1 + KEPT]))


def with_entry(changelog: str, entry: str) -> str:
    """The changelog with an entry before all others, behind its introduction."""
    introduction, heading, rest = changelog.partition("\n## ")
    return f"{introduction.rstrip()}\n\n{entry}\n{heading.lstrip()}{rest}"


def _entry(manifest: ModelManifest, before: str, now: str, verb: str, note: str | None) -> str:
    figures = f"Test split: macro AUC {_figure(manifest, 'macro_auc')}, accuracy {_figure(manifest, 'accuracy')}."
    lines = [f"## {verb} to {now} ({datetime.now(UTC):%Y-%m-%d})", "", f"{before} served before. {figures}"]
    return "\n".join([*lines, note] if note else lines) + "\n"


def _figure(manifest: ModelManifest, name: str) -> str:
    value = manifest.test_metrics.get("headline", {}).get(name)
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _release(models_dir: Path, version: str) -> Path:
    found = [path for path in releases(models_dir) if version in (path.name, path.name.rpartition("-")[2])]
    if len(found) != 1:
        raise BundleNotFound(f"{version} is not one release in {models_dir}; `python -m export.registry list` shows them.")
    return found[0]


def _write(path: Path, text: str) -> None:
    """Whole, or not at all: a service may read it at any moment."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)


@contextmanager
def _alone(models_dir: Path) -> Iterator[None]:
    """Two at once would lose one's entry."""
    if not models_dir.is_dir():
        raise BundleNotFound(f"There is no folder {models_dir}.")
    with (models_dir / ".registry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m export.registry", description="Which release of the model serves.")
    parser.add_argument("--models", type=Path, default=MODELS_DIR, metavar="FOLDER", help="folder of the releases")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show all releases, and which one serves")
    listing.set_defaults(command=_list)
    promote = commands.add_parser("promote", help="let a release serve, once it has given its golden outputs here")
    promote.add_argument("version", help="1.1.0, or the folder's name")
    promote.add_argument(
        "--keep", type=int, default=KEPT, metavar="N", help="releases to stay ready to go back to (%(default)s)"
    )
    promote.set_defaults(command=_promote)
    rollback = commands.add_parser("rollback", help="let the release serve that served before")
    rollback.set_defaults(command=_rollback)
    note = commands.add_parser("note", help="write into models/CHANGELOG.md why nothing changes")
    note.add_argument("note", help="a sentence")
    note.set_defaults(command=_note)
    for command in (promote, rollback):
        command.add_argument("--note", help="a sentence for models/CHANGELOG.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

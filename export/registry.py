"""Which release serves: `python -m export.registry list | log | add FOLDER | promote VERSION | rollback | note TEXT`.

A running service takes the choice up on POST /model/reload, or when it starts.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from export.registry_state import LogEntry, RegistryState, alone, read_state, set_damaged_state_aside, write_state
from export.staging import staged_copy
from service.model.bundle import ModelBundle
from service.model.errors import BundleError, BundleNotFound
from service.model.manifest import GRAPH_NAME, MANIFEST_NAME, ModelManifest
from service.model.predictor import load_predictor
from service.model.releases import MODELS_DIR, ServingChoice, candidates, releases, version_of

# Previous versions that are kept ready to go back to (REPORT Table 27).
KEPT = 3


def main(argv: list[str]) -> int:
    """Exit status 1 if nothing was changed."""
    arguments = _parse(argv)
    try:
        if not arguments.models.is_dir():
            raise BundleNotFound(f"There is no folder {arguments.models}.")
        # Who only reads needs no right to write, and no turn: the state is replaced as a whole.
        with nullcontext() if arguments.command in (_list, _log) else alone(arguments.models):
            arguments.command(arguments)
    except (BundleError, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _list(arguments: argparse.Namespace) -> None:
    models = arguments.models
    chosen = read_state(models).choice
    choice = chosen or current_choice(models)
    serves = _would_serve(models)
    row = "{:24}  {:22}  {:10}  {:>9}  {:>8}  {}".format
    print(row("release", "architecture", "made", "macro AUC", "accuracy", "state"))
    for name in _names(models, choice):
        marks = {
            "chosen": chosen is not None and name == chosen.serving,
            "serves": name == serves,
            "previous": name in choice.previous,
        }
        said = [mark for mark, holds in marks.items() if holds]
        try:
            manifest = ModelBundle.open(models / name).manifest
        except BundleError as fault:
            print(row(name, "", "", "", "", ", ".join([*said, f"damaged: {fault}"])))
            continue
        auc, accuracy = _figure(manifest, "macro_auc"), _figure(manifest, "accuracy")
        print(row(name, manifest.architecture, manifest.created_at[:10], auc, accuracy, ", ".join(said)).rstrip())
    print(f"\n{_what_a_start_loads(chosen, serves)}")


def _what_a_start_loads(chosen: ServingChoice | None, serves: str | None) -> str:
    if setting := os.environ.get("CXR_BUNDLE"):
        return f"CXR_BUNDLE is set here, to {setting}: where a service has that setting, it decides, and not this list."
    if serves is None:
        return "A start would load none of these: no film would be judged."
    if chosen is None:
        return f"A start loads {serves}: none is chosen, and this is the newest that can be trusted."
    fallback = "" if serves == chosen.serving else f", because {chosen.serving} cannot be trusted"
    return f"A start loads {serves}{fallback}."


def _log(arguments: argparse.Namespace) -> None:
    for entry in read_state(arguments.models).log:
        print(f"{entry.at}  {entry.event} {entry.release}; {entry.before} served before")
        if entry.note:
            print(f"    {entry.note}")


def _add(arguments: argparse.Namespace) -> None:
    """Whole, or not at all: the newest release may serve by itself."""
    bundle = ModelBundle.open(arguments.bundle)
    load_predictor(bundle, threads=1)
    target = arguments.models / f"{bundle.manifest.name}-{bundle.manifest.version}"
    if target.exists():
        if ModelBundle.open(target).manifest != bundle.manifest:
            raise BundleNotFound(f"{target} is there already, and another bundle; export this one under a higher version.")
        print(f"{target} is there already.")
        return
    for left_by_a_kill in arguments.models.glob(f".{target.name}.*"):
        shutil.rmtree(left_by_a_kill)
    with staged_copy(bundle, target) as folder:
        (folder / MANIFEST_NAME).write_bytes(bundle.file(MANIFEST_NAME).read_bytes())
    print(f"Added: {target}.")


def _promote(arguments: argparse.Namespace) -> None:
    chosen = _release(arguments.models, arguments.version)
    manifest = _trusted(chosen)
    if aside := set_damaged_state_aside(arguments.models):
        print(f"The registry's state was damaged; it is now {aside}, and a new one begins.", file=sys.stderr)
    now = current_choice(arguments.models)
    if chosen.name == now.serving and read_state(arguments.models).choice is not None:
        raise BundleNotFound(f"{chosen.name} is the one that is chosen already.")
    previous = tuple(name for name in (now.serving, *now.previous) if name != chosen.name)
    _choose(arguments, manifest, ServingChoice(chosen.name, previous[: arguments.keep]), "promoted")


def _rollback(arguments: argparse.Namespace) -> None:
    now = current_choice(arguments.models)
    if not now.previous:
        raise BundleNotFound(f"No release served before {now.serving}; `python -m export.registry list` shows what there is.")
    manifest = _trusted(arguments.models / now.previous[0])
    _choose(arguments, manifest, ServingChoice(now.previous[0], now.previous[1:]), "rolled back")


def _note(arguments: argparse.Namespace) -> None:
    """For decisions that change nothing: a challenger that was not promoted. Noted once, however often it is said."""
    state = read_state(arguments.models)
    serving = current_choice(arguments.models).serving
    if arguments.note not in [entry.note for entry in state.log]:
        entry = LogEntry(_now(), "kept", serving, serving, arguments.note)
        write_state(arguments.models, RegistryState(state.choice, (entry, *state.log)))
    print(f"{serving} goes on serving.")


def _choose(arguments: argparse.Namespace, manifest: ModelManifest, choice: ServingChoice, event: str) -> None:
    before = current_choice(arguments.models).serving
    figures = f"Test split: macro AUC {_figure(manifest, 'macro_auc')}, accuracy {_figure(manifest, 'accuracy')}."
    note = f"{figures} {arguments.note}" if arguments.note else figures
    entry = LogEntry(_now(), event, choice.serving, before, note)
    write_state(arguments.models, RegistryState(choice, (entry, *read_state(arguments.models).log)))
    print(f"{event.capitalize()}: {choice.serving} serves from the next start, or POST /model/reload.")


def _trusted(path: Path) -> ModelManifest:
    """The manifest of a release that is whole and gives its golden outputs on this machine. Raises BundleError."""
    try:
        bundle = ModelBundle.open(path)
        load_predictor(bundle, threads=1)
    except BundleError as fault:
        raise type(fault)(f"{path.name} is damaged; restore it, or promote another. Nothing was changed. {fault}") from fault
    return bundle.manifest


def _would_serve(models_dir: Path) -> str | None:
    """What a start would load now: the first candidate that is whole and gives its golden outputs."""
    for path in candidates(None, models_dir):
        try:
            load_predictor(ModelBundle.open(path), threads=1)
        except BundleError:
            continue
        return path.name
    return None


def current_choice(models_dir: Path) -> ServingChoice:
    """The registry's choice; before the first one, what the service does by itself: the newest serves, the others follow.

    Raises BundleNotFound.
    """
    choice = read_state(models_dir).choice
    if choice is not None:
        return choice
    names = [path.name for path in releases(models_dir)]
    return ServingChoice(names[0], tuple(names[1 : 1 + KEPT]))


def _names(models_dir: Path, choice: ServingChoice) -> list[str]:
    """Folders of releases, whole or damaged, and what the choice names though it is gone; the highest version first."""
    names = {path.name for path in _folders(models_dir)} | {choice.serving, *choice.previous}
    return sorted(names, key=lambda name: version_of(name) or (), reverse=True)


def _folders(models_dir: Path) -> Sequence[Path]:
    """Folders that hold a release, or did before a part of it was lost."""
    return [
        path
        for path in models_dir.glob("*-*.*.*")
        if version_of(path.name) and ((path / MANIFEST_NAME).exists() or (path / GRAPH_NAME).exists())
    ]


def _release(models_dir: Path, version: str) -> Path:
    found = [path for path in _folders(models_dir) if version in (path.name, path.name.rpartition("-")[2])]
    if len(found) != 1:
        raise BundleNotFound(f"{version!r} is not one release in {models_dir}; `python -m export.registry list` shows them.")
    return found[0]


def _figure(manifest: ModelManifest, name: str) -> str:
    value = manifest.test_metrics.get("headline", {}).get(name)
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m export.registry", description="Which release of the model serves.")
    parser.add_argument("--models", type=Path, default=MODELS_DIR, metavar="FOLDER", help="folder of the releases")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show all releases: which is chosen, and which a start would load")
    listing.set_defaults(command=_list)
    log = commands.add_parser("log", help="show what was decided, the latest first")
    log.set_defaults(command=_log)
    add = commands.add_parser("add", help="copy a bundle into the releases, once it has given its golden outputs here")
    add.add_argument("bundle", type=Path, help="folder of the bundle")
    add.set_defaults(command=_add)
    promote = commands.add_parser("promote", help="let a release serve, once it has given its golden outputs here")
    promote.add_argument("version", help="1.1.0, or the folder's name")
    promote.add_argument(
        "--keep", type=int, default=KEPT, metavar="N", help="releases to stay ready to go back to (%(default)s)"
    )
    promote.set_defaults(command=_promote)
    rollback = commands.add_parser("rollback", help="let the release serve that served before")
    rollback.set_defaults(command=_rollback)
    note = commands.add_parser("note", help="write into the log why nothing changes")
    note.add_argument("note", help="a sentence")
    note.set_defaults(command=_note)
    for command in (promote, rollback):
        command.add_argument("--note", help="a sentence for the log")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Whether another revision reads films as this tree does: `python -m tests.tools.same_pictures REVISION [FOLDER ...]`.

Read are all files below the folders, spoilt films of the fuzzer, phantoms, and each file that the revision's tests of decoding
open. Every film whose picture, size or refusal differs is printed. Exit status 1 if an accepted picture differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import cv2

from export.phantom import phantom_film
from service.model.findings import FINDINGS
from tests.tools.fuzz.mutations import mutant, seeds

ROOT = Path(__file__).resolve().parents[2]
ANOTHER_PICTURE, REFUSED_NOW = "ANOTHER PICTURE", "REFUSED NOW"
PHANTOMS_PER_FINDING = 50

# Run in either tree. A film's words are compared as well: what was refused may be read, or refused for another reason.
_READ = """
import hashlib, json, pathlib, sys
from service.app import _silence_decoders
from service.film.errors import InputError
from service.film.film import Radiograph
_silence_decoders()
for line in sys.stdin:
    path = line.rstrip("\\n")
    try:
        film = Radiograph.from_bytes(pathlib.Path(path).read_bytes(), decode_side_px=None)
        size = [film.width_px, film.height_px, *film.pixels.shape]
        outcome = ["read", hashlib.sha256(film.pixels).hexdigest(), size]
    except InputError as refusal:
        outcome = [type(refusal).__name__, str(refusal)]
    print(json.dumps([path, outcome]), flush=True)
"""

# A plugin of pytest: keeps what the tests open.
_KEEP = """
import hashlib, os, pathlib
from service.film import radiograph
opened = radiograph.open_film
def open_film(data, limits):
    path = pathlib.Path(os.environ["CXR_TEST_KEEP"]) / hashlib.sha256(data).hexdigest()
    if not path.exists():
        path.write_bytes(data)
    return opened(data, limits)
radiograph.open_film = open_film
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.same_pictures", description=__doc__)
    parser.add_argument("revision", help="a commit, a tag or a branch")
    parser.add_argument("folders", type=Path, nargs="*", help="with films")
    parser.add_argument("--mutants", type=int, default=2000, help="spoilt films of the fuzzer (default %(default)s)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        other, drawn = Path(folder) / "other", Path(folder) / "drawn"
        drawn.mkdir()
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", other, arguments.revision], cwd=ROOT, check=True)
        try:
            _draw(drawn, arguments.mutants)
            _keep_what_tests_open(other, Path(folder), drawn)
            paths = [path for top in (drawn, *arguments.folders) for path in sorted(top.resolve().rglob("*")) if path.is_file()]
            before, after = (_read(tree, paths) for tree in (other, ROOT))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", other], cwd=ROOT, check=True)
    return _compare(before, after)


def _draw(folder: Path, mutants: int) -> None:
    films = seeds()
    for number in range(mutants):
        name, data = mutant(number, 1, films)
        (folder / f"{number} {name}".replace("/", "-")).write_bytes(data)
    for finding in FINDINGS:
        for seed in range(PHANTOMS_PER_FINDING):
            film = cv2.imencode(".png", phantom_film(finding, seed, 256))[1]
            (folder / f"phantom {finding} {seed}").write_bytes(film.tobytes())


def _keep_what_tests_open(tree: Path, folder: Path, kept: Path) -> None:
    (folder / "keep_films.py").write_text(_KEEP, encoding="ascii")
    # Whether they pass is another matter; some of an old revision's may not, with the packages of this one.
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "keep_films", "-k", "contract or pipeline", "--no-header"],
        cwd=tree,
        env={**os.environ, "CXR_TEST_KEEP": str(kept), "PYTHONPATH": str(folder)},
        check=False,
    )


def _read(tree: Path, paths: list[Path]) -> dict[str, list[object]]:
    lines = "".join(f"{path}\n" for path in paths)
    read = subprocess.run([sys.executable, "-c", _READ], cwd=tree, input=lines, capture_output=True, text=True, check=False)
    if read.returncode != 0:
        raise SystemExit(read.stderr[-2000:])  # codecs print much about spoilt films, which nobody needs to see
    return dict(json.loads(line) for line in read.stdout.splitlines())


def _compare(before: dict[str, list[object]], after: dict[str, list[object]]) -> int:
    kinds: Counter[str] = Counter()
    for path, then in before.items():
        now = after[path]
        kind = _kind_of_change(then, now)
        kinds[kind] += 1
        if kind not in ("same picture", "same refusal"):
            print(f"{kind}: {Path(path).name}\n    before: {_words(then)}\n    now:    {_words(now)}")
    print("; ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    return int(bool(kinds[ANOTHER_PICTURE] or kinds[REFUSED_NOW]))


def _kind_of_change(then: list[object], now: list[object]) -> str:
    match then[0] == "read", now[0] == "read":
        case True, True:
            return "same picture" if then == now else ANOTHER_PICTURE
        case True, False:
            return REFUSED_NOW
        case False, True:
            return "read now"
        case _:
            return "same refusal" if then == now else "refused in other words"


def _words(outcome: list[object]) -> str:
    return f"read, {outcome[2]} px" if outcome[0] == "read" else f"{outcome[0]}: {outcome[1]}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

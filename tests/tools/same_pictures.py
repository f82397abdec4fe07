"""Compares how two revisions read films: `python -m tests.tools.same_pictures REVISION [FOLDER ...]`.

Reads all files below the folders, spoilt films of the fuzzer, phantoms, and each file that the decoding tests of either
revision open. Prints every film whose pixels, facts or refusal differ. Exit status 1 if a film that REVISION reads differs now.
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
SAME = ("same picture", "same refusal")
PHANTOMS_PER_FINDING = 50

# The modules of either revision; older ones have them in service.contract. Looked for in the tree, not by importing: where this
# project is installed, it provides what the other revision lacks.
_IMPORT = """
import pathlib
if pathlib.Path("service/film").is_dir():
    from service.film import film as module
    from service.film.errors import InputError
    from service.film.limits import DecodeLimits
else:
    from service.contract import radiograph as module
    from service.contract.errors import InputError
    DecodeLimits = module.DecodeLimits
"""

# Runs in either tree. Each film is decoded whole and reduced, as the service does.
_READ = f"""
import hashlib, json, logging, sys, warnings
{_IMPORT}
warnings.simplefilter("ignore")
logging.disable()

def outcome(data):
    try:
        opened = [module.open_film(data, DecodeLimits()) for _ in range(2)]
        films = [film.decode(side_px) for film, side_px in zip(opened, (None, 256))]
    except InputError as refusal:
        return [type(refusal).__name__, str(refusal)]
    pixels = [[hashlib.sha256(film.pixels).hexdigest(), film.pixels.shape] for film in films]
    facts = [{{name: value for name, value in vars(film).items() if name != "pixels"}} for film in films]
    return ["read", opened[0].is_costly, pixels, facts]

for line in sys.stdin:
    path = line.rstrip("\\n")
    print(json.dumps([path, outcome(pathlib.Path(path).read_bytes())]), flush=True)
"""

# A plugin of pytest: keeps the files that the tests open.
_KEEP = f"""
import hashlib, os
{_IMPORT}
opened = module.open_film
def open_film(data, limits):
    path = pathlib.Path(os.environ["CXR_TEST_KEEP"]) / hashlib.sha256(data).hexdigest()
    if not path.exists():
        path.write_bytes(data)
    return opened(data, limits)
module.open_film = open_film
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
            for tree in (other, ROOT):
                _keep_what_tests_open(tree, Path(folder), drawn)
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
    tests = [tree / "tests/service/film"] if (tree / "tests/service/film").is_dir() else ["-k", "contract"]
    # Failures do not matter here: an old revision's tests may fail with the packages of this one.
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "keep_films", "-m", "not slow", "--no-header", *tests],
        cwd=tree,
        env={**os.environ, "CXR_TEST_KEEP": str(kept), "PYTHONPATH": str(folder)},
        check=False,
    )


def _read(tree: Path, paths: list[Path]) -> dict[str, list[object]]:
    lines = "".join(f"{path}\n" for path in paths)
    read = subprocess.run([sys.executable, "-c", _READ], cwd=tree, input=lines, capture_output=True, text=True, check=False)
    if read.returncode != 0:
        raise SystemExit(read.stderr[-2000:])  # the end alone: codecs print much about spoilt films
    return dict(json.loads(line) for line in read.stdout.splitlines())


def _compare(before: dict[str, list[object]], after: dict[str, list[object]]) -> int:
    kinds: Counter[str] = Counter()
    for path, then in before.items():
        now = after[path]
        kind = _kind_of_change(then, now)
        kinds[kind] += 1
        if kind not in SAME:
            print(f"{kind}: {Path(path).name}\n    before: {then}\n    now:    {now}")
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
        case _ if then[0] != now[0]:
            return "refused as another class"
        case _:
            return "same refusal" if then == now else "refused in other words"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

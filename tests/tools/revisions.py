"""Another revision beside this tree, and films to compare the two with."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import cv2

from export.phantom import phantom_film
from service.model.findings import FINDINGS
from tests.support.server.serving import ROOT
from tests.tools.fuzz.mutations import mutant, seeds

MUTANTS = 2000
PHANTOMS_PER_FINDING = 50

# The modules of either revision; older ones have them in service.contract. Looked for in the tree, not by importing: where this
# project is installed, it provides what the other revision lacks.
IMPORT_FILM = """
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

# A plugin of pytest: keeps the files that the tests open.
_KEEP = f"""
import hashlib, os
{IMPORT_FILM}
opened = module.open_film
def open_film(data, limits):
    path = pathlib.Path(os.environ["CXR_TEST_KEEP"]) / hashlib.sha256(data).hexdigest()
    if not path.exists():
        path.write_bytes(data)
    return opened(data, limits)
module.open_film = open_film
"""


@contextmanager
def other_revision(revision: str, folders: Sequence[Path], mutants: int) -> Iterator[tuple[Path, list[Path]]]:
    """The tree of the revision, and films to compare it with.

    The films are all files below the folders, files spoilt by the fuzzer, phantoms, and what the tests of decoding open.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree, drawn = Path(folder) / "other", Path(folder) / "drawn"
        drawn.mkdir()
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, revision], cwd=ROOT, check=True)
        try:
            _draw(drawn, mutants)
            for each in (tree, ROOT):
                _keep_what_tests_open(each, Path(folder), drawn)
            yield tree, [path for top in (drawn, *folders) for path in sorted(top.resolve().rglob("*")) if path.is_file()]
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def _draw(folder: Path, mutants: int) -> None:
    films = seeds()
    for number in range(mutants):
        name, data = mutant(number, 1, films)
        (folder / f"{number} {name}".replace("/", "-")).write_bytes(data)
    for finding, seed in product(FINDINGS, range(PHANTOMS_PER_FINDING)):
        film = cv2.imencode(".png", phantom_film(finding, seed, 256))[1]
        (folder / f"phantom {finding} {seed}").write_bytes(film.tobytes())


def _keep_what_tests_open(tree: Path, folder: Path, kept: Path) -> None:
    (folder / "keep_films.py").write_text(_KEEP, encoding="ascii")
    tests = [tree / "tests/service/film"] if (tree / "tests/service/film").is_dir() else ["-k", "contract"]
    # Failures do not matter here: an old revision's tests may fail with the packages of this one.
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "keep_films", "-m", "not slow", "--no-header", "--tb=no", *tests],
        cwd=tree,
        env={**os.environ, "CXR_TEST_KEEP": str(kept), "PYTHONPATH": str(folder)},
        check=False,
    )

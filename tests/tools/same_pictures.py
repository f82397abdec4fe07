"""Compares how two revisions read films: `python -m tests.tools.same_pictures REVISION [FOLDER ...]`.

Reads all files below the folders, spoilt films of the fuzzer, phantoms, and each file that the decoding tests of either
revision open. Prints every film whose pixels, facts or refusal differ. Exit status 1 if a film that REVISION reads differs now.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.support.server.serving import ROOT
from tests.tools.revisions import IMPORT_FILM, MUTANTS, other_revision

ANOTHER_PICTURE, REFUSED_NOW = "ANOTHER PICTURE", "REFUSED NOW"
SAME = ("same picture", "same refusal")

# Runs in either tree. Each film is decoded whole and reduced, as the service does.
_READ = f"""
import hashlib, json, logging, sys, warnings
{IMPORT_FILM}
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


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.same_pictures", description=__doc__)
    parser.add_argument("revision", help="a commit, a tag or a branch")
    parser.add_argument("folders", type=Path, nargs="*", help="with films")
    parser.add_argument("--mutants", type=int, default=MUTANTS, help="spoilt films of the fuzzer (default %(default)s)")
    arguments = parser.parse_args(argv)
    with other_revision(arguments.revision, arguments.folders, arguments.mutants) as (other, paths):
        before, after = (_read(tree, paths) for tree in (other, ROOT))
    return _compare(before, after)


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

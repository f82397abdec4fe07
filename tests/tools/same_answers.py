"""Compares the HTTP answers of another revision and this tree: `python -m tests.tools.same_answers REVISION [FOLDER ...]`.

Both serve the same bundle and get the same films: those below the folders, and those of `tests.tools.revisions`. Compared are
status codes, the bodies of answers of status 200 (without identifiers and times), and the types of problems. Exit status 1 if
one differs.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import httpx
from tqdm import tqdm

from service.model.findings import FINDINGS
from tests.support.releases import RELEASED
from tests.support.server.serving import ROOT, served
from tests.tools.revisions import MUTANTS, other_revision

OPERATING_POINTS = ("balanced", "high_sensitivity", "high_specificity", "tb_screening")
BATCH = 10
CLIENTS = 4

# Differ from call to call.
VOLATILE = ("request_id", "prediction_id", "inference_time_ms")

# A request -> [status, digest of the body without what differs from call to call, or the type of the problem]
Answers = dict[str, tuple[int, str]]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.same_answers", description=__doc__)
    parser.add_argument("revision", help="a commit, a tag or a branch")
    parser.add_argument("folders", type=Path, nargs="*", help="with films")
    parser.add_argument("--bundle", type=Path, default=RELEASED, help="default: %(default)s")
    parser.add_argument("--mutants", type=int, default=MUTANTS, help="spoilt films of the fuzzer (default %(default)s)")
    parser.add_argument(
        "--explain-every", type=int, default=5, metavar="N", help="explain every Nth film (default %(default)s)"
    )
    arguments = parser.parse_args(argv)
    with other_revision(arguments.revision, arguments.folders, arguments.mutants) as (other, paths):
        before, after = (_ask(tree, arguments.bundle.resolve(), paths, arguments.explain_every) for tree in (other, ROOT))
    return _compare(before, after)


def _ask(tree: Path, bundle: Path, paths: list[Path], explain_every: int) -> Answers:
    settings = {"CXR_BUNDLE": str(bundle), "CXR_QUEUE_LIMIT": str(CLIENTS * BATCH)}
    requests = list(_requests(paths, explain_every))
    with (
        served(settings, tree=tree) as server,
        httpx.Client(base_url=server.address, timeout=120) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        answers = pool.map(lambda request: _send(client, *request), requests)
        return dict(tqdm(answers, desc=tree.name, total=len(requests), unit="request"))


def _requests(paths: list[Path], explain_every: int) -> Iterator[tuple[str, str, list[Path]]]:
    """(method, path and query, films)."""
    for path in paths:
        yield "POST", "/predict", [path]
    for path in paths[::explain_every]:
        yield "POST", "/predict/explain?film=true", [path]
    for path, point in product(paths[:: explain_every * 10], OPERATING_POINTS):
        yield "POST", f"/predict?operating_point={point}", [path]
    for path, finding in product(paths[:: explain_every * 10], FINDINGS):
        yield "POST", f"/predict/explain?target={finding}", [path]
    in_batches = paths[::explain_every]
    for begin in range(0, len(in_batches), BATCH):
        yield "POST", "/predict/batch", in_batches[begin : begin + BATCH]
    for path_and_query in ("/model/info", "/predict", "/health", "/readyz", "/livez", "/ui/phantom.png", "/nowhere"):
        yield "GET", path_and_query, []


def _send(client: httpx.Client, method: str, path: str, films: list[Path]) -> tuple[str, tuple[int, str]]:
    if path == "/predict/batch":
        answer = client.request(method, path, files=[("images", film.read_bytes()) for film in films])
    else:
        answer = client.request(method, path, content=films[0].read_bytes() if films else None)
    return f"{method} {path} {' '.join(film.name for film in films)}", (answer.status_code, _essence(answer))


def _essence(answer: httpx.Response) -> str:
    kind, content = answer.headers.get("Content-Type", ""), answer.content
    if answer.status_code != 200:
        return str(answer.json()["type"]) if kind == "application/problem+json" else ""
    if kind == "application/json":
        content = json.dumps(_without_volatile(answer.json())).encode()
    return hashlib.sha256(content).hexdigest()


def _without_volatile(value: object) -> object:
    match value:
        case {"type": problem, "status": status}:  # of one film of a batch; its words may change
            return [problem, status]
        case dict():
            return {name: _without_volatile(inner) for name, inner in value.items() if name not in VOLATILE}
        case list():
            return [_without_volatile(inner) for inner in value]
    return value


def _compare(before: Answers, after: Answers) -> int:
    different = [request for request in before if before[request] != after[request]]
    for request in different:
        print(f"DIFFERENT: {request}\n    before: {before[request]}\n    now:    {after[request]}")
    statuses = Counter(status for status, _ in before.values())
    counts = ", ".join(f"{count} of status {status}" for status, count in sorted(statuses.items()))
    print(f"{len(before)} requests ({counts}): {len(before) - len(different)} answered alike, {len(different)} otherwise")
    return int(bool(different))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

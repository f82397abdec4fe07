"""`cxr bench`."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    bundle: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="Bundle to measure. Default: the release that is served.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only show that everything works; rough results.")] = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="JSON to write, with the same as Markdown beside it.")] = (
        Path(__file__).parent / "results" / "latest.json"
    ),
) -> None:
    """Measure speed and memory of the service, against its parts and a plain FastAPI baseline.

    Example: cxr bench --quick --out /tmp/bench.json
    """
    from benchmarks.run import FULL, QUICK, benchmark

    print(benchmark(bundle, QUICK if quick else FULL, out))

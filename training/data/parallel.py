"""The same work on many films, several at a time, with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_of(
    items: Sequence[Item], work: Callable[[Item], Result], *, threads: int, title: str, unit: str = "film"
) -> Iterator[Result]:
    """Results in the order of the items, as they come; decoders and graphs let go of the interpreter's lock."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        yield from tqdm(pool.map(work, items), total=len(items), desc=title, unit=unit, disable=None)

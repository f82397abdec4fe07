"""The same work on many films, in threads, with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_of(
    items: Sequence[Item], work: Callable[[Item], Result], *, threads: int, title: str, unit: str = "film"
) -> Iterator[Result]:
    """Yield results in the order of the items. Decoders and ONNX Runtime release the GIL, so threads use all cores."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        yield from tqdm(pool.map(work, items), total=len(items), desc=title, unit=unit, disable=None)

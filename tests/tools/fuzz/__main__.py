"""Sends spoilt films through the decoder: `python -m tests.tools.fuzz [--count 20000] [--seed 1]`."""

import argparse
import logging
import re
import sys
import warnings
from collections import Counter
from contextlib import suppress
from itertools import chain
from time import monotonic, thread_time

import psutil
from tqdm import tqdm

from service.errors import OutOfTime
from service.film.errors import InputError
from service.film.film import open_film
from service.film.limits import DecodeLimits
from service.sandbox.decoder import SandboxedDecoder
from tests.tools.fuzz.mutations import bombs, mutant, seeds

# No film that is let in may hold a thread for longer; CPU time, since machines are noisy.
LIMIT_SECONDS = 2.0
# Refusals are in our own words; those of libraries may quote the file.
WORDS_OF_LIBRARIES = re.compile(r"Error|Exception|decoder|chunk b|driver|errno|unpack[_ ]|not processed|0x")


def _decoding_seconds() -> float:
    """CPU time of the processes that decode."""
    seconds = 0.0
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            times = child.cpu_times()
            seconds += times.user + times.system
    return seconds


def decode_all(count: int, seed: int) -> tuple[Counter[str], tuple[float, str], list[str]]:
    """Outcomes by name; the slowest film; and what went wrong."""
    films, sandbox = seeds(), SandboxedDecoder(DecodeLimits())
    outcomes: Counter[str] = Counter()
    slowest = (0.0, "")
    faults = []
    threats = bombs()
    every = chain(threats.items(), (mutant(number, seed, films) for number in range(count)))
    for number, (name, data) in enumerate(tqdm(every, total=len(threats) + count, unit="film", disable=None)):
        cpu, elsewhere = thread_time(), 0.0
        try:
            film = open_film(data, DecodeLimits())
            if film.is_costly:
                before = _decoding_seconds()
                try:
                    sandbox.decode(data, 256, monotonic() + 30)
                finally:
                    elsewhere = max(0.0, _decoding_seconds() - before)  # a process that ended takes its time with it
            else:
                film.decode(256)
            outcome = "read"
        except (InputError, OutOfTime) as refused:
            outcome = type(refused).__name__
            if WORDS_OF_LIBRARIES.search(str(refused)):
                outcome = f"WORDS {refused}"
        except BaseException as fault:
            outcome = f"CRASH {type(fault).__name__}"
        seconds = thread_time() - cpu + elsewhere
        outcomes[outcome] += 1
        slowest = max(slowest, (seconds, f"{number} {name}: {outcome}"))
        if outcome.startswith(("CRASH", "OutOfTime", "WORDS")) or seconds > LIMIT_SECONDS:
            faults.append(f"{number} {name}: {outcome}, {seconds:.2f} s")
    sandbox.close()
    return outcomes, slowest, faults


def main(argv: list[str]) -> int:
    """Exit status 1 if anything crashed or took too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.fuzz", description="Send spoilt films through the decoder.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    logging.disable()
    outcomes, (seconds, name), faults = decode_all(arguments.count, arguments.seed)
    for outcome, number in outcomes.most_common():
        print(f"{number:8d}  {outcome}")
    print(f"slowest: {seconds:.3f} s, {name}")
    print("wrong:", *(faults or ["nothing"]), sep="\n  ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

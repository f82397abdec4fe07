"""How long an evaluation will take, from the pace at which this machine judges some of the films."""

from collections.abc import Sequence
from time import perf_counter

from training.errors import EmptyClass
from training.evaluation.evidence import Evidence
from training.evaluation.judging.films import judge
from training.evaluation.part import Part

# A fraction of a second on two cores, and within a tenth of the pace over all films.
PACE_FILMS = 24


def announce(evidence: Evidence, parts: Sequence[Part], long: Sequence[Part]) -> str:
    """One or two sentences for the terminal. parts: those asked for. long: those that `--parts quick` leaves out.

    Raises DatasetNotFound if the split holds no films.
    """
    seconds_a_film = _pace(evidence)
    if seconds_a_film is None:
        return "How long this takes cannot be told: none of the films that were tried can be judged."
    bundles = 1 if evidence.against is None else 2
    judging = evidence.count() * bundles * seconds_a_film
    seconds = {part: part.cost(evidence) * seconds_a_film for part in parts}
    each = ", ".join(f"{part.name} {_rounded(value)}" for part, value in seconds.items())
    total = judging + sum(seconds.values())
    said = f"This takes about {_rounded(total)} on this machine: judging {evidence.count()} films {_rounded(judging)}, {each}."
    left_out = [part for part in parts if part in long]
    if not left_out:
        return said
    short = total - sum(seconds[part] for part in left_out)
    return f"{said} Without {', '.join(part.name for part in left_out)} (--parts quick) about {_rounded(short)}."


def _pace(evidence: Evidence) -> float | None:
    """Seconds a film; None if no film of the sample can be judged."""
    films = [film for film in evidence.films if film.split == evidence.split]
    sample = films[:: max(1, len(films) // PACE_FILMS)][:PACE_FILMS]
    try:
        judge(evidence.predictor, sample[:1], threads=1)  # the first run takes longer than others
        start = perf_counter()
        judge(evidence.predictor, sample, threads=evidence.threads)
    except EmptyClass:
        return None
    return (perf_counter() - start) / len(sample)


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"

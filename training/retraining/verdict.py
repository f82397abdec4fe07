"""Decides whether a challenger is promoted, from paired differences on the same test films."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The metric that must be better. It weights all classes equally, whatever their shares among the test films.
OVERALL = "macro_f1"

# The metrics that must not be worse in any class.
OF_CLASS = ("recall", "auc")


@dataclass(frozen=True)
class Verdict:
    """promote: whether to promote the challenger. reasons: why, or why not."""

    promote: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'Better' if self.promote else 'Not better'}: {'; '.join(self.reasons)}"


def judge_challenger(difference: Mapping[str, Any], films_of_class: Mapping[str, int]) -> Verdict:
    """Promote if OVERALL is better beyond chance, and no metric of OF_CLASS is worse beyond chance in any class.

    difference: challenger minus champion, from `training.evaluation.parts.comparison`: {"headline": metrics, "per_class":
    {finding: metrics}}, where metrics are {name: value, "interval_95": {name: [low, high]}}. An undefined value counts as
    neither better nor worse.
    films_of_class: number of test films of each finding.

    "Beyond chance" means that the 95 % interval excludes zero by more than half a film. Intervals are centred on the estimate,
    so if a single film changed sides, the bound that should be zero may be off by half a film.
    """
    gain = _Gain.of(difference["headline"], OVERALL)
    gains = [
        (finding, _Gain.of(metrics, name), 0.5 / films_of_class[finding])
        for finding, metrics in difference["per_class"].items()
        for name in OF_CLASS
    ]
    worse = tuple(
        f"{each.name} of {finding} {each}"
        for finding, each, half_film in gains
        if each.high is not None and each.high < -half_film
    )
    if gain.low is None or gain.low <= 0.5 / sum(films_of_class.values()):
        return Verdict(False, (f"{gain.name} {gain}, which may be chance", *worse))
    if worse:
        return Verdict(False, (f"{gain.name} {gain}", *worse))
    return Verdict(True, (f"{gain.name} {gain}", "no class is worse beyond chance"))


@dataclass(frozen=True)
class _Gain:
    name: str
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, metrics: Mapping[str, Any], name: str) -> "_Gain":
        low, high = metrics.get("interval_95", {}).get(name, (None, None))
        return cls(name, metrics.get(name), low, high)

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "undefined"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"

"""Whether a challenger takes over: from paired differences on the same test films. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What must be better overall. F1 because it counts errors of each class alike, whatever the mix of the test films.
OVERALL = "macro_f1"

# What must not be worse in any class.
OF_CLASS = ("recall", "auc")


@dataclass(frozen=True)
class Verdict:
    """promote: whether the challenger takes over. reasons: why, or why not."""

    promote: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'Better' if self.promote else 'Not better'}: {'; '.join(self.reasons)}"


def judge_challenger(difference: Mapping[str, Any], films_of_class: Mapping[str, int]) -> Verdict:
    """Apply the rule to what the challenger exceeds the champion by.

    difference: of `training.evaluation.parts.comparison`: {"headline": figures, "per_class": {finding: figures}}, where
    figures are {name: value, "interval_95": {name: [low, high]}}, of paired differences. films_of_class: how many test
    films each finding has. It must be better overall beyond chance, and in no class worse beyond chance; a figure that is
    undefined says neither.

    An interval counts as touching zero within half a film: intervals are centred on the estimate, and where one film alone
    changed sides, that moves the bound which lies at zero by a part of a film, to whichever side.
    """
    gain = _Gain.of(difference["headline"], OVERALL)
    gains = [
        (finding, _Gain.of(figures, name), 0.5 / films_of_class[finding])
        for finding, figures in difference["per_class"].items()
        for name in OF_CLASS
    ]
    worse = tuple(
        f"{each.name} of {finding} {each}" for finding, each, half in gains if each.high is not None and each.high < -half
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
    def of(cls, figures: Mapping[str, Any], name: str) -> "_Gain":
        low, high = figures.get("interval_95", {}).get(name, (None, None))
        return cls(name, figures.get(name), low, high)

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "undefined"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"

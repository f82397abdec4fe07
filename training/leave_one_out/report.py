"""The table of a leave-one-out evaluation: by source and on average, over all seeds, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.measures.bootstrap import Bootstrap, MetricPath
from training.evaluation.measures.confusion import Floats, mean_of_defined
from training.evaluation.report.tables import with_interval
from training.leave_one_out.answers import METRICS, Answers
from training.tables import markdown_table


def measure_unseen(answers: Mapping[str, Sequence[Answers]], bootstrap: Bootstrap) -> dict[str, Any]:
    """METRICS of each source as means over its runs, and their mean over sources, all with intervals over patients.

    answers: of each source, by each of its runs, on the same films.
    """
    groups = [f"{source}/{group}" for source, runs in answers.items() for group in runs[0].groups]
    origins = np.array([source for source, runs in answers.items() for _ in runs[0].groups])

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        values: dict[MetricPath, Floats] = {}
        for source, runs in answers.items():
            of_runs = [run.metrics(weights[..., origins == source]) for run in runs]
            for name in METRICS:
                values["sources", source, name] = mean_of_defined(np.stack([each[name] for each in of_runs], axis=-1))
        for name in METRICS:
            values["mean", name] = mean_of_defined(np.stack([values["sources", source, name] for source in answers], axis=-1))
        return values

    films = {source: {"films": len(runs[0].labels), "runs": len(runs)} for source, runs in answers.items()}
    return bootstrap.measure(statistics, groups, into={"sources": films})


def unseen_table(measured: Mapping[str, Any]) -> str:
    """One row for each source, and one for their mean."""
    rows = [
        (source, str(each["films"]), *(with_interval(each, name) for name in METRICS))
        for source, each in measured["sources"].items()
    ]
    total = str(sum(each["films"] for each in measured["sources"].values()))
    rows.append(("mean", total, *(with_interval(measured["mean"], name) for name in METRICS)))
    return markdown_table(("source left out", "films", *METRICS.values()), rows)

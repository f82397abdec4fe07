"""MODEL_CARD.md: what a bundle is, what it was trained on, how good it is and where it fails (Mitchell et al. 2019).

Every number comes from the manifest and from metrics.json.
"""

from collections.abc import Iterator, Mapping, Sequence

from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from training.data.held_out import learns_nothing_of
from training.evaluation.evidence import held_out_source
from training.evaluation.part import Part
from training.evaluation.report.ancestry import began_packaged, origin, predecessors
from training.evaluation.report.provenance import NOT_STATED, UNCLEAR
from training.evaluation.report.tables import (
    INTERVAL_NOTE,
    SOURCE_NOTE,
    Values,
    class_table,
    confusion_table,
    data_table,
    enumerated,
    headline_table,
    pair_table,
    source_table,
)

# What each known collection means for the metrics.
_SOURCE_LIMITS = {
    "kermany": "kermany holds children of one to five years from one hospital, and no tuberculosis: being a child speaks "
    "against tuberculosis there, and its easy pneumonia lifts the overall metrics.",
    "nih14": "nih14 has pneumonia labels that a program took from report texts; many are wrong, so that recall on them has a "
    "low ceiling, and some errors counted here are the label's.",
    "rahman": "rahman mixes several origins: its normal films come from the hospital of nih14, so that one patient may be in "
    "both, and its tuberculosis films from elsewhere. Patients are unknown; groups are blocks of neighbouring file numbers.",
    "tbx11k": "tbx11k gives tuberculosis only. Recognising its processing is enough to be right on it, so that recall there is "
    "an upper bound. Patients are unknown, and films of one patient may stand in two splits.",
    "shenzhen": "shenzhen has normal and tuberculosis films of one hospital in the same processing, which makes it the fairest "
    "place to look. But its films are copies of mostly 128 px, squeezed to a square: fine signs are lost, and exposure and "
    "borders still give away part of the class.",
    "rsna": "rsna comes from the hospital of nih14 and of the normal films of rahman, so that one patient may be in two of "
    "them and in two splits. Most of its opacities were filmed in bed (AP), its normal films standing (PA): the projection "
    "gives away part of the class.",
    "siim": "siim holds films of several hospitals, 256 px and squeezed to a square. Its pneumonia is COVID-19, also where its "
    "appearance is indeterminate; its normal films show no opacity, but may show another disease.",
    "sakha": "sakha has normal and tuberculosis films of one device in one hospital, but at 224 px, and few of them.",
    "covid-cxnet": "covid-cxnet gives pneumonia only, all of it COVID-19, from publications of many hospitals.",
    "cohen": "cohen gives pneumonia only, most of it COVID-19, collected from publications; its films are too few for "
    "precise metrics.",
}


def render_model_card(manifest: ModelManifest, metrics: Values, parts: Sequence[Part]) -> str:
    """The card of a bundle as Markdown, without plots, since a card is one file.

    metrics: the content of metrics.json. parts: all parts, in the order of the card.
    """
    return "\n\n".join(_paragraphs(manifest, metrics, [part for part in parts if part.in_card])) + "\n"


def _paragraphs(manifest: ModelManifest, metrics: Values, parts: Sequence[Part]) -> Iterator[str]:
    data = metrics["data"]
    yield f"# Model card: {manifest.name} {manifest.version}"
    yield "**For research only. Not a medical device; not for diagnosis, triage or any decision about a patient.**"
    yield from _identity(manifest)
    yield from _intended_use(metrics)
    if metrics["trained_on_this_folder"]:
        yield from _training_data(manifest, data)
        yield from _licence(manifest, _learnt_from(manifest, data))
    else:
        yield from _other_data(data)
    yield from _performance(metrics)
    yield from _of_parts(metrics, parts)
    yield "## Limits"
    yield "\n".join(f"- {limit}" for limit in (*_limits(manifest, metrics), *_limits_of_parts(metrics, parts)))
    yield "## How the metrics were measured"
    yield (
        "The exported bundle was judged, not the checkpoint: films went through the service's own decoder and predictor. "
        "Intervals are 95 % bootstrap intervals over patients or groups "
        f"({metrics['bootstrap']['resamples']} draws, seed {metrics['bootstrap']['seed']}). {INTERVAL_NOTE} The command:"
    )
    yield f"```\n{metrics['command']}\n```"
    yield (
        f"Model SHA-256 `{metrics['bundle']['model_sha256']}`, fingerprint of the {metrics['split']} split "
        f"`{metrics['split_fingerprint']}`, of the training data `{manifest.data_fingerprint}`."
    )


def _identity(manifest: ModelManifest) -> Iterator[str]:
    side = manifest.preprocess.image_size_px
    yield "## What it is"
    yield (
        f"A classifier of single frontal chest radiographs into {enumerated([finding.value for finding in FINDINGS])}. "
        f"Architecture `{manifest.architecture}` with a two-layer head, exported to ONNX (opset {manifest.opset}). Input: one "
        f"grey film, stretched to {side} x {side} px. Output: three probabilities, calibrated with temperature "
        f"{manifest.temperature:.3f} on the validation split. Code revision: {manifest.git_commit or 'not recorded'}."
    )
    yield origin(manifest.training_config)


def _intended_use(metrics: Values) -> Iterator[str]:
    other = metrics.get("outliers", {}).get("not_chest")
    flagged = (
        f" Of {other['n']} pictures that are no chest film {other['flagged']['anything']:.0%} were flagged for review; films "
        "of other diseases were not tried."
        if other
        else ""
    )
    yield "## Intended use"
    yield (
        "Research, teaching, and the development of software around such models. It has not been tested prospectively, nor "
        "approved by any authority. It always answers one of its three classes: any other disease, another body part or a "
        f"photograph gets one of these names as well.{flagged} Do not use it on lateral views."
    )


def _training_data(manifest: ModelManifest, data: Values) -> Iterator[str]:
    yield "## Data"
    yield "Films of the data folder by source, class and split; datasets and licences as its manifest.csv states them."
    yield data_table(data)
    yield "\n".join(_licences(data))
    yield (
        "The weights were fitted to the train split; the recipe, the epoch, the temperature, the thresholds and the prediction "
        f"sets were chosen on the val split. {_sampling(manifest)}"
    ).strip()
    held_out = held_out_source(manifest.training_config)
    if held_out:
        yield f"Films of {held_out} took part in none of this: they come from where the model has never been."


def _licences(data: Values) -> Iterator[str]:
    """Dataset, licence and non-commercial flag of each source, with the number of films where they differ."""
    for source, each in data.items():
        dataset, licence, noncommercial = (_stated(each[name]) for name in ("dataset", "licence", "noncommercial"))
        yield f"- {source}: {dataset}. Licence: {licence}. Non-commercial: {noncommercial}."


def _stated(tally: Mapping[str, int]) -> str:
    if len(tally) == 1:
        return next(iter(tally))
    return "; ".join(f"{statement} ({films} films)" for statement, films in tally.items())


def _learnt_from(manifest: ModelManifest, data: Values) -> Values:
    """The sources whose films the weights were fitted to."""
    return {
        source: each
        for source, each in data.items()
        if not learns_nothing_of(source, held_out_source(manifest.training_config))
        and any(counts["train"] for counts in each["counts"].values())
    }


def _other_data(data: Values) -> Iterator[str]:
    yield "## Data"
    yield (
        "The films judged here are not those of the folder that the model was trained on. What it learnt from, and the licence "
        "of its weights, stand in the card that came with it."
    )
    yield data_table(data)


def _sampling(manifest: ModelManifest) -> str:
    balance = manifest.training_config.get("data", {}).get("balance")
    return {
        "class": "Classes were drawn equally often in training.",
        "class_source": "Classes were drawn equally often in training, and sources more evenly within each class.",
    }.get(balance, "")


def _licence(manifest: ModelManifest, data: Values) -> Iterator[str]:
    restricted = _sources_flagged(data, "yes")
    unclear = _sources_flagged(data, UNCLEAR)
    unstated = _sources_flagged(data, NOT_STATED)
    reasons = [
        *([f"non-commercial ({', '.join(restricted)})"] if restricted else []),
        *([f"of unclear status ({', '.join(unclear)})"] if unclear else []),
        *([f"without a stated licence ({', '.join(unstated)})"] if unstated else []),
    ]
    yield "## Licence of the weights"
    if reasons:
        yield (
            f"The weights are for research use only, because part of the training data is {enumerated(reasons)}. A model for "
            "commercial use must be trained without the non-commercial films, and the status of the others settled first. "
            "The code's own licence does not extend to the weights."
        )
    else:
        yield "No film of the training data is marked non-commercial; the attribution that the sources ask for still applies."
    if began_packaged(manifest.training_config):
        yield "The pretrained ImageNet weights that training began with are under Apache-2.0."
    for predecessor in predecessors(manifest.training_config):
        yield f"The terms of {predecessor}, from which training went on, hold for these weights too."


def _performance(metrics: Values) -> Iterator[str]:
    yield f"## Metrics on the {metrics['split']} split"
    yield f"{metrics['n']} films of {metrics['groups']} patients or groups; {_refusals(metrics['refused'])}."
    if metrics["split"] != "test":
        yield f"The model was chosen or fitted on the {metrics['split']} split: its metrics there are too good."
    yield headline_table(metrics)
    yield "### Per class"
    yield "Each class against the others. Recall is sensitivity."
    yield class_table(metrics)
    yield confusion_table(metrics)
    yield "### Per source"
    yield SOURCE_NOTE
    yield source_table(metrics)
    yield from pair_table(metrics)


def _of_parts(metrics: Values, parts: Sequence[Part]) -> Iterator[str]:
    """A section for each part that measured something, and the names of the others with the reason."""
    for part in parts:
        if part.name in metrics:
            yield f"## {part.title}"
            yield from (each for each in part.paragraphs(metrics[part.name]) if not each.startswith("!["))
    missing = [f"- {part.title}: {metrics['not_measured'][part.name]}." for part in parts if part.name not in metrics]
    if missing:
        yield "## Not measured"
        yield "\n".join(missing)


def _limits(manifest: ModelManifest, metrics: Values) -> Iterator[str]:
    data, held_out = metrics["data"], held_out_source(manifest.training_config)
    partial = {source: list(each["counts"]) for source, each in data.items() if len(each["counts"]) < len(FINDINGS)}
    single = [f"{source} ({findings[0]})" for source, findings in partial.items() if len(findings) == 1]
    if len(data) > 1 and partial:
        one_class = f" {enumerated(single)} hold{'s' if len(single) == 1 else ''} one class only." if single else ""
        yield (
            f"Class and source are not independent.{one_class} A model can score well here by recognising the hospital"
            + (
                "; the test split has the same sources, so it cannot show that disease was learnt. Expect worse elsewhere."
                if metrics["trained_on_this_folder"] and not held_out
                else "."
            )
        )
    yield from (_SOURCE_LIMITS[source] for source in data if source in _SOURCE_LIMITS)
    yield "The mixture of classes is the collection's, not a clinic's: precision and calibration change with prevalence."
    yield "Side markers, text, borders and resolution differ between sources, and can be learnt in place of disease."
    yield "Age, sex, device and ethnicity are not recorded, so that fairness between groups was not measured."
    yield "Intervals express the chance of having drawn these films from these sources, not the step to another hospital."
    yield from _worst_source(metrics)


def _worst_source(metrics: Values) -> Iterator[str]:
    """The source that the model does worst on, if it does so by more than chance."""
    overall = metrics["headline"]["accuracy"]
    sources = metrics["per_source"]
    name = min(sources, key=lambda source: sources[source]["accuracy"])
    accuracy, (low, high) = sources[name]["accuracy"], sources[name]["interval_95"]["accuracy"]
    if len(sources) > 1 and high < overall:
        yield (
            f"The overall accuracy of {overall:.3f} hides {name}: {accuracy:.3f} ({low:.3f} to {high:.3f}) on its "
            f"{sources[name]['n']} films."
        )


def _limits_of_parts(metrics: Values, parts: Sequence[Part]) -> Iterator[str]:
    """The sentences that the parts derive from their values."""
    for part in parts:
        if part.name in metrics:
            yield from part.limits(metrics[part.name])


def _sources_flagged(data: Values, flag: str) -> list[str]:
    return [source for source, each in data.items() if flag in each["noncommercial"]]


def _refusals(refused: Values) -> str:
    if not refused:
        return "none was refused by the service"
    reasons = ", ".join(f"{reason} {len(films)}" for reason, films in refused.items())
    return f"{sum(map(len, refused.values()))} more were refused by the service ({reasons})"

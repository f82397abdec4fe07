from dataclasses import replace
from datetime import timedelta

import pytest

from service.records.labels import confirmed_labels
from service.records.store import RecordStore
from service.records.values import Feedback, Incident
from tests.support.server.recorded import MOMENT, digest, entry, of_request, prediction, report


def test_of_two_first_reports_at_once_one_is_the_first(store, records_url):
    """They were looked up, by two servers, before either was stored; a film is counted once all the same."""
    store.append(entry(), [prediction()]).result(30)
    other = RecordStore(records_url)
    stores = [store, other]
    reports = [
        each.feedback_report(Feedback(MOMENT, of_request(), label))
        for each, label in zip(stores, ("Normal", "Pneumonia"), strict=True)
    ]
    waiting = [each.append(entry(1), report=new) for each, new in zip(stores, reports, strict=True)]
    stored = sorted((done.result(30) for done in waiting), key=lambda each: not each.is_first)
    assert [(each.is_first, each.is_first_label) for each in stored] == [(True, True), (False, False)]
    assert [each.corrected_from is None for each in stored] == [True, False]
    other.close()


def test_feedback_and_incident_are_first_of_their_kind_and_of_one_label(store):
    store.append(entry(), [prediction()]).result(30)
    about = of_request()
    said = [
        Incident(MOMENT, "case", about),
        Feedback(MOMENT, about, "Normal"),
        Incident(MOMENT, "case", about, "Normal"),
        Feedback(MOMENT, about, "Pneumonia"),
    ]
    stored = [report(store, replace(each, timestamp=MOMENT + timedelta(hours=hour))) for hour, each in enumerate(said)]
    assert [each.is_first for each in stored] == [True, True, False, False]
    assert [each.is_first_label for each in stored] == [False, True, False, False]
    assert [each.corrected_from for each in stored] == [None, None, None, "Normal"]


@pytest.mark.parametrize("seconds", [0, -1])
@pytest.mark.parametrize("kinds", [(Incident, Feedback), (Feedback, Incident), (Feedback, Feedback)])
def test_the_last_label_stored_is_the_last_whatever_the_clocks_say(store, kinds, seconds):
    """Two reports at once, or of two servers: one was answered that it corrects the other, and the export must say the same."""
    store.append(entry(), [prediction()]).result(30)
    moments = MOMENT, MOMENT + timedelta(seconds=seconds)
    new = [
        store.feedback_report(Feedback(moment, of_request(), label))
        if kind is Feedback
        else store.incident_report(Incident(moment, "case", of_request(), label))
        for kind, moment, label in zip(kinds, moments, ("Normal", "Pneumonia"), strict=True)
    ]
    assert [store.append(entry(1), report=each).result(30).corrected_from for each in new] == [None, "Normal"]
    [film] = confirmed_labels(store.database)
    assert (film["label"], film["corrected_from"]) == ("Pneumonia", "Normal")


def test_a_corrected_label_says_what_it_was_before(store):
    """Film 0 is sent twice: its label is that of its last report, of whichever prediction. Film 4 only has an incident."""
    for number, film in enumerate((0, 1, 0, 3, 4, 5)):
        store.append(entry(number), [prediction(number, image_sha256=digest(film))]).result(30)
    hours = iter(range(24))

    def say(kind, number, *values):
        moment = MOMENT + timedelta(hours=next(hours))
        report(
            store,
            kind(moment, of_request(number), *values)
            if kind is Feedback
            else kind(moment, "case", of_request(number), *values),
        )

    say(Feedback, 0, "Normal")
    say(Feedback, 1, "Normal")
    say(Feedback, 3, "Pneumonia")
    say(Incident, 3, "Tuberculosis")
    say(Feedback, 3, "Tuberculosis")
    say(Incident, 1)
    say(Feedback, 2, "Pneumonia")
    say(Incident, 4)
    say(Incident, 5, "Normal")
    found = [(row["request_id"], row["kind"], row["label"], row["corrected_from"]) for row in confirmed_labels(store.database)]
    assert found == [
        ("request-1", "feedback", "Normal", None),
        ("request-3", "feedback", "Tuberculosis", "Pneumonia"),
        ("request-2", "feedback", "Pneumonia", "Normal"),
        ("request-5", "incident", "Normal", None),
    ]
    lately = confirmed_labels(store.database, since=MOMENT + timedelta(hours=6))
    assert [(row["request_id"], row["corrected_from"]) for row in lately] == [("request-2", "Normal"), ("request-5", None)]

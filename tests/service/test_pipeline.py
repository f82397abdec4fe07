from service.film.limits import DecodeLimits
from service.model.decision import ReviewReason
from service.model.model import Model
from service.model.observer import Observer
from service.model.predictor import Predictor
from service.pipeline import Pipeline
from tests.support.encoded_films import dicom_file, film


def test_a_film_without_a_valid_window_is_flagged_and_the_log_says_why_and_nothing_of_the_patient(bundle, caplog):
    observers = Observer.from_bundle(bundle), Observer(None)
    predictor = Predictor.from_bundle(bundle)
    for width in (0, 256):
        data = dicom_file(film(), PatientName="Doe^Jane", WindowCenter=128, WindowWidth=width)
        for observer in observers:
            caplog.clear()
            prediction = Pipeline(Model(bundle, predictor, observer), DecodeLimits()).predict(data, "balanced")
            is_flagged = ReviewReason.IMAGE_QUALITY in prediction.review_reasons
            logged = [record.getMessage() for record in caplog.records if record.name == "service.pipeline"]
            why = "is not shown as its header asks: it has no window of a centre and a width of at least 1"
            expected = (True, [f"Film {prediction.image_sha256} {why}"]) if width == 0 else (False, [])
            assert (is_flagged, logged) == expected
            assert "Doe" not in caplog.text

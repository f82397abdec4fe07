import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi_lut

from service.film.dicom.voi import Voi, Window, read_voi
from tests.support.encoded_films import dicom_bytes, dicom_dataset

STORED = np.arange(256, dtype=np.uint8).reshape(16, 16)


def dataset_with(**attributes: object) -> Dataset:
    return dicom_dataset(STORED, **attributes)


def read(dataset: Dataset, lowest: float = 0, highest: float = 65535) -> tuple[Voi | None, str]:
    """As of a file. lowest, highest: of what comes before the VOI LUT."""
    return read_voi(pydicom.dcmread(io.BytesIO(dicom_bytes(dataset))), lowest, highest)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None, "", "sigmoid"])
@pytest.mark.parametrize(("center", "width"), [(128, 256), (100, 50), (40.5, 1), (-20, 90), (300, 3000)])
def test_windows_agree_with_pydicom(function, center, width):
    attributes = {} if function is None else {"VOILUTFunction": function}
    dataset = dataset_with(WindowCenter=center, WindowWidth=width, **attributes)
    voi, _ = read(dataset)
    assert voi is not None
    if function == "":  # which pydicom refuses
        del dataset.VOILUTFunction
    expected = apply_voi_lut(STORED, dataset) / 255  # of which 0 to 255 is the output range
    assert np.allclose(voi(STORED.astype(np.float64)), expected, atol=1e-9)


def test_the_bounds_of_a_linear_window_are_those_of_the_standard():
    assert Window(2048, 4096, "LINEAR")(np.array([-1.0, 0.0, 2047.5, 4095.0, 5000.0])).tolist() == [0, 0, 0.5, 1, 1]
    assert Window(2048, 4096, "LINEAR_EXACT")(np.array([0.0, 2048.0, 4096.0])).tolist() == [0, 0.5, 1]
    assert Window(2048, 1, "LINEAR")(np.array([2047.5, 2047.6])).tolist() == [0, 1]


def test_a_sigmoid_does_not_overflow_far_from_its_centre():
    with np.errstate(all="raise"):
        assert Window(0, 1, "SIGMOID")(np.array([-1e6, 1e6])).tolist() == [0, 1]


NO_WINDOW = "it has no window of a centre and a width of at least 1"
NO_FUNCTION = "its VOI LUT function is none of LINEAR, LINEAR_EXACT, SIGMOID"


@pytest.mark.parametrize(
    ("width", "function", "fault"), [(0, "SIGMOID", NO_WINDOW), (9, "CUBIC", NO_FUNCTION), (0.5, "LINEAR_EXACT", "")]
)
def test_a_window_that_is_none_is_said_to_be(width, function, fault):
    voi, said = read(dataset_with(WindowCenter=1, WindowWidth=width, VOILUTFunction=function))
    assert said == fault
    assert (voi is None) == bool(fault)

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from service.contract import dicom
from service.contract.errors import UnreadableImage, UnsupportedDicom
from service.contract.radiograph import Radiograph
from tests.encoded_films import dicom_bytes, dicom_dataset, dicom_file, film

FILM = film()
FULL_RANGE = FILM.copy()
FULL_RANGE[0, :2] = 0, 255  # so that showing the range present changes nothing


def test_monochrome2_is_shown_as_stored():
    assert np.array_equal(Radiograph.from_bytes(dicom_file(FULL_RANGE)).pixels, FULL_RANGE)


def test_monochrome1_is_inverted_once():
    data = dicom_file(255 - FULL_RANGE, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FULL_RANGE)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_air_is_dark_and_bone_bright_whatever_the_photometric_interpretation(photometric):
    deep = FULL_RANGE.astype(np.uint16) * 16
    stored = 4080 - deep if photometric == "MONOCHROME1" else deep
    data = dicom_file(stored, PhotometricInterpretation=photometric, BitsStored=12, HighBit=11)
    assert np.abs(Radiograph.from_bytes(data).pixels.astype(int) - FULL_RANGE).max() <= 1


def test_the_window_is_applied():
    data = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    pixels = Radiograph.from_bytes(data).pixels
    assert np.all(pixels[FULL_RANGE <= 74] == 0)
    assert np.all(pixels[FULL_RANGE >= 126] == 255)
    between = pixels[FULL_RANGE == 100]
    assert between.size and np.all((between > 110) & (between < 145))


def test_of_several_windows_the_first_is_applied():
    first = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    both = dicom_file(FULL_RANGE, WindowCenter=[100, 200], WindowWidth=[50, 10])
    assert np.array_equal(Radiograph.from_bytes(both).pixels, Radiograph.from_bytes(first).pixels)


def test_the_window_is_in_rescaled_units():
    plain = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    rescaled = dicom_file(FULL_RANGE, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=-800, WindowWidth=100)
    difference = Radiograph.from_bytes(plain).pixels.astype(int) - Radiograph.from_bytes(rescaled).pixels
    assert np.abs(difference).max() <= 4


def test_signed_values_are_read_as_signed():
    data = dicom_file(FULL_RANGE.astype(np.int16) - 100)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FULL_RANGE)


def test_implicit_vr_and_big_endian_are_read():
    dataset = dicom_dataset(FULL_RANGE)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert np.array_equal(Radiograph.from_bytes(dicom_bytes(dataset)).pixels, FULL_RANGE)
    dataset = dicom_dataset((FULL_RANGE.astype(np.uint16) * 257).byteswap(), BitsAllocated=16, BitsStored=16, HighBit=15)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert np.array_equal(Radiograph.from_bytes(dicom_bytes(dataset)).pixels, FULL_RANGE)


def test_a_uniform_film_is_black_not_an_error():
    assert Radiograph.from_bytes(dicom_file(np.full((120, 120), 7, np.uint8))).pixels.max() == 0


def test_several_frames_are_refused():
    data = dicom_file(np.vstack([FILM, FILM]), Rows=FILM.shape[0], NumberOfFrames=2)
    with pytest.raises(UnsupportedDicom, match="2 frames"):
        Radiograph.from_bytes(data)


def test_colour_is_refused():
    data = dicom_file(np.dstack([FILM] * 3), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    with pytest.raises(UnsupportedDicom, match="RGB"):
        Radiograph.from_bytes(data)


def test_an_object_without_pixels_is_refused():
    with pytest.raises(UnsupportedDicom, match="no image"):
        Radiograph.from_bytes(dicom_file(FILM, PixelData=None))


def test_a_compressed_transfer_syntax_is_refused_by_name():
    dataset = dicom_dataset(FILM)
    dataset.compress(RLELossless)
    with pytest.raises(UnsupportedDicom, match="RLE Lossless"):
        Radiograph.from_bytes(dicom_bytes(dataset))


def test_a_deflated_data_set_is_refused_without_inflating_it():
    dataset = dicom_dataset(np.zeros((4000, 4000), np.uint8))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = dicom_bytes(dataset)
    assert len(data) < 100_000
    for sent in (data, data[:400] + b"not a deflate stream"):
        with pytest.raises(UnsupportedDicom, match="deflated"):
            Radiograph.from_bytes(sent)


def test_pixels_that_contradict_the_header_are_unreadable():
    with pytest.raises(UnreadableImage, match="do not match the header"):
        Radiograph.from_bytes(dicom_file(FILM, Rows=400))


def test_patient_tags_are_never_parsed():
    header = dicom.read_header(dicom_file(FILM))
    assert "PatientName" not in header.dataset

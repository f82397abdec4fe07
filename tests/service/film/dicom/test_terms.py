"""Which words of a header flag a film: body parts of DICOM PS3.16 Annex L and views of PS3.3 C.8.1.1, and what people write."""

import struct

import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from service.film.dicom import header as dicom
from service.film.film import Radiograph
from tests.support.encoded_films import dicom_bytes, dicom_dataset, dicom_file, dicom_with_texts, film

FILM = film(120)

CHESTS = [
    "CHEST", "Chest", "CHEST_PA", "CHEST PA", "CHEST-AP", "CHEST 2V", "CXR", "PCXR", "NECKCHEST", "CHESTABDOMEN",
    "CHEST, ABDOMEN", "ABDOMEN\\CHEST", "XRCHEST", "LUNG", "LUNGS", "LUNGE", "THORAX", "THORACIC", "THORAX AP", "RXTORAX",
    "TORAX", "TÓRAX", "Tórax PA", "TORACE", "TORACIC", "TORACICO", "TORAKS", "PULMON", "PULMÓN", "PULMÃO", "PULMÕES",
    "POLMONI", "POUMON", "PECHO", "BRUST", "BRUSTKORB", "GÖĞÜS", "KLATKA PIERSIOWA", "PŁUCA", "HRUDNÍK", "ГРУДНАЯ КЛЕТКА",
    "ЛЁГКИЕ", "ΘΩΡΑΚΑΣ", "胸部", "胸", "肺", "흉부", "HEART", "MEDIASTINUM", "RIB", "RIBS", "RIB CAGE", "LEFT RIBS",
    "CÔTES", "RIPPEN", "COSTILLAS", "RIBBEN", "ŻEBRA", "KLP", "HRUDNÍ KOŠ", "GRUDNI KOŠ", "ОГП", "ГРЪДЕН КОШ", "БЯЛ ДРОБ",
    "ПЛУЋА", "РЕБРА", "TÜDŐ", "RINDKERE", "KOPSUD", "KRŪTINĖS LĄSTA", "PLAUČIAI", "KRŪŠU KURVIS", "COASTE", "BRJÓSTHOL",
    "폐", "رئة", "قفسه سینه", "ריאות", "ทรวงอก", "छाती", "KIFUA",
]  # fmt: skip

SAYING_NOTHING = [
    "", " ", "*", "?", "-", ".", "0", "NA", "N/A", "n.a.", "NONE", "NULL", "UNK", "UNKNOWN", "Unknown", "OTHER",
    "DEFAULT", "UNSPECIFIED", "NOT SPECIFIED", "NOT AVAILABLE", "DESCONOCIDO", "INCONNU", "UNBEKANNT", "PA",
    "PORTABLE AP", "KEINE ANGABE", "SIN ESPECIFICAR", "NON SPECIFICATO", "НЕИЗВЕСТНО", "不明", "TEST",
]  # fmt: skip

OTHER_PARTS = [
    "HAND", "KNEE", "SKULL", "ABDOMEN", "ABDOMEN\\PELVIS", "HIP", "FOOT", "SHOULDER", "CLAVICLE", "STERNUM", "NECK",
    "BREAST", "EXTREMITY", "WHOLEBODY", "PHANTOM", "TSPINE", "THORACIC SPINE", "THORACIC_SPINE", "THORACOLUMBAR",
    "COLUMNA TORACICA", "COLONNA TORACICA", "BRUSTWIRBELSÄULE", "BWS", "胸椎", "MANO", "GENOU", "HANDGELENK", "HÜFTE",
    "КИСТЬ", "UNKNOWN HAND", "CHEST LAT", "THORAX SEITLICH",
]  # fmt: skip


def denies_frontal_chest(encoding="utf-8", character_set=None, **texts):
    attributes = {} if character_set is None else {"SpecificCharacterSet": character_set}
    data = dicom_with_texts(FILM, {name: text.encode(encoding) for name, text in texts.items()}, **attributes)
    return Radiograph.from_bytes(data).denies_frontal_chest


FRONTAL = [
    "", "PA", "AP", "pa", "PA ERECT", "AP SUPINE", "AP_PORTABLE", "FRONTAL", "CHEST PA", "POSTERO-ANTERIOR",
    "AP LORDOTIC", "DECUBITO SUPINO", "DILATED", "BILATERAL", "PLATE", "COLLAR", "SEMI ERECT", "PA LEFT", "WHATEVER", "*",
]  # fmt: skip

NOT_FRONTAL = [
    "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "lao", "LAO 45", "LATERAL", "LAT", "L LAT",
    "LLAT", "LAT.", "LEFT LATERAL", "LATERALE", "LATERO-LATERAL", "OBLIQUE", "OBL", "PA OBL", "OBLICUA", "OBLIQUA",
    "SCHRAEG", "SCHRÄG", "SEITLICH", "PROFIL", "PERFIL", "PROFILO", "DECUBITUS", "DECUB", "L DECUBITUS",
    "DECUBITO LATERAL", "AP LLD", "БОКОВАЯ", "側面", "CC", "MLO",
    "LLATERAL", "CROSSTABLE", "XTLAT", "ZIJDELINGS", "SIDEBILDE", "SIVUKUVA", "BOČNÁ", "ŠIKMÁ", "OLDALIRÁNYÚ", "FERDE", "YAN",
    "ΠΡΟΦΙΛ", "ПРОФИЛ", "ŠONINĖ", "KÜLGVAADE", "جانبي", "ด้านข้าง", "NGHIÊNG",
]  # fmt: skip


WORDS = [("BodyPartExamined", part, False) for part in (*CHESTS, *SAYING_NOTHING)]
WORDS += [("BodyPartExamined", part, True) for part in OTHER_PARTS]
WORDS += [("ViewPosition", view, False) for view in FRONTAL] + [("ViewPosition", view, True) for view in NOT_FRONTAL]
WORDS += [("PatientPosition", position, position != "HFS") for position in ("HFDR", "HFDL", "FFDR", "FFDL", "HFS")]


@pytest.mark.parametrize(("keyword", "text", "denies"), WORDS)
def test_parts_views_and_positions_are_told_in_the_languages_of_the_field(keyword, text, denies):
    assert denies_frontal_chest(**{keyword: text}) == denies


@pytest.mark.parametrize(
    ("chest", "other", "encoding", "character_set"),
    [
        ("TÓRAX", "HÜFTE", "latin-1", "ISO_IR 100"),
        ("TÓRAX", "HÜFTE", "utf-8", "ISO_IR 192"),
        ("TÓRAX", "HÜFTE", "latin-1", None),
        ("TÓRAX", "HÜFTE", "utf-8", None),
        ("TÓRAX", "HÜFTE", "latin-1", "ISO_IR 192"),
        ("TÓRAX", "HÜFTE", "utf-8", "ISO_IR 100"),
        ("TO\u0301RAX", "HU\u0308FTE", "utf-8", "ISO_IR 192"),
        ("ГРУДНАЯ КЛЕТКА", "КИСТЬ", "iso8859-5", "ISO_IR 144"),
        ("胸部", "腹部", "gb18030", "GB18030"),
        ("胸部", "腹部", "iso2022_jp", ["", "ISO 2022 IR 87"]),
    ],
)
def test_a_body_part_is_read_in_the_character_set_that_is_declared_or_used(chest, other, encoding, character_set):
    assert not denies_frontal_chest(encoding, character_set, BodyPartExamined=chest)
    assert denies_frontal_chest(encoding, character_set, BodyPartExamined=other)


def code(value, meaning, **more):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99LOCAL", meaning
    for name, sequence in more.items():
        setattr(item, name, sequence)
    return item


def lying(*modifiers):
    return code("102538003", "recumbent", PatientOrientationModifierCodeSequence=[*modifiers])


# Sequence, its items, and whether they deny a frontal chest.
CODES = [
    ("ViewCodeSequence", [code("399173006", "left lateral")], True),
    ("ViewCodeSequence", [code("R-102CD", "zijaanzicht")], True),
    ("ViewCodeSequence", [code("399135007", "")], True),
    ("ViewCodeSequence", [code("399162004", "cranio-caudal")], True),
    ("ViewCodeSequence", [code("1", "LAT")], True),
    ("AnatomicRegionSequence", [code("85562004", "Hand")], True),
    ("AnatomicRegionSequence", [code("122495006", "Thoracic spine")], True),
    ("PatientOrientationCodeSequence", [lying(code("102536004", "left lateral decubitus"))], True),
    ("ViewCodeSequence", [code("272479007", "postero-anterior")], False),
    ("ViewCodeSequence", [code("399348003", "antero-posterior")], False),
    ("ViewCodeSequence", [], False),
    ("ViewCodeSequence", [Dataset()], False),
    ("AnatomicRegionSequence", [code("816094009", "Rintakehän alue")], False),
    ("AnatomicRegionSequence", [code("T-D3000", "Chest")], False),
    ("AnatomicRegionSequence", [code("T-28000", "x")], False),
    ("AnatomicRegionSequence", [code("99", "")], False),
    ("PatientOrientationCodeSequence", [code("C86043", "erect")], False),
    ("PatientOrientationCodeSequence", [lying(code("40199007", "supine"))], False),
]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("is_undefined_length", [False, True])
def test_views_positions_and_parts_that_are_said_in_codes_are_heeded(syntax, is_undefined_length):
    for sequence, items, is_other in CODES:
        dataset = dicom_dataset(FILM, BodyPartExamined="CHEST", **{sequence: items})
        dataset[sequence].is_undefined_length = is_undefined_length
        assert Radiograph.from_bytes(dicom_bytes(dataset, syntax)).denies_frontal_chest == is_other, items


@pytest.mark.parametrize("value", [b"no items", b"\xfe\xff\x00\xe0\x00\x00", b"\xfe\xff\x00\xe0\xff\xff\x00\x00\x08"])
def test_a_code_sequence_that_is_damaged_says_nothing(value):
    head = b"\x54\x00\x20\x02SQ\0\0"
    data = dicom_file(FILM, ViewCodeSequence=[])
    assert data.count(head + bytes(4)) == 1
    header = dicom.read_header(data.replace(head + bytes(4), head + struct.pack("<I", len(value)) + value))
    assert (header.width_px, header.denies_frontal_chest) == (120, False)


def test_a_code_sequence_too_long_to_be_one_is_not_taken_apart():
    lateral = code("399173006", "left lateral")
    for empty_items, is_heeded in ((100, True), (600, False)):  # of 8 bytes each
        data = dicom_file(FILM, ViewCodeSequence=[lateral, *(Dataset() for _ in range(empty_items))])
        assert dicom.read_header(data).denies_frontal_chest == is_heeded


@pytest.mark.filterwarnings("ignore:The value length")
def test_a_meaning_of_a_megabyte_says_nothing():
    # In implicit VR a text may claim any length, and in a sequence of undefined length it is read.
    dataset = dicom_dataset(FILM, ViewCodeSequence=[code("1", "lateral " * 130_000)])
    dataset["ViewCodeSequence"].is_undefined_length = True
    assert not Radiograph.from_bytes(dicom_bytes(dataset, uid.ImplicitVRLittleEndian)).denies_frontal_chest

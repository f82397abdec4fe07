"""Words that name the chest, and words that name a view that is not frontal, in many languages. Knows nothing of data sets.

Sources: DICOM PS3.16 Annex L (body parts), CID 4010 (views), CID 20 (positions); PS3.3 C.8.1.1 (view positions).
"""

# ruff: noqa: RUF001 (Cyrillic and Greek letters that look like Latin ones)

import re

from service.film.dicom.values import plain, without_accents


def _terms(*patterns: str) -> re.Pattern[str]:
    """Patterns of words in capitals, to be searched for in what `plain` gives."""
    return re.compile("|".join(without_accents(pattern) for pattern in patterns))


# The chest, and its parts that no radiograph shows alone: lungs, heart, mediastinum, ribs.
_CHEST = _terms(
    "CHEST", r"\bCHST\b", "CXR", r"\bLUNG", "HEART", "MEDIASTIN", r"\bRIBS?\b",
    "THORA", "TORA[XCK]", r"\bTHX\b", "PULM", r"\bCOST[AEIO]",  # Latin, and languages that took its words
    r"\bPECHO\b", r"\bPEITO\b", r"\bPETTO\b", "POLMON", "POUMON", "POITRINE", "CAGE", r"\bCOTES?\b",  # Romance languages
    "PLAMAN", "COASTE",  # Romanian
    r"\bBRUST\b", "BRUSTKORB", "RIPPE", "RIBBEN", "LONGEN", "BORSTKAS", "BRYSTKASS", "BROSTKORG", "BRJOSTHOL",  # Germanic
    "KEUHKO", "RINTAKEHA", "RINDKERE", "KOPSU", "MELLKAS", r"\bTUDO", r"\bBORDA",  # Finnish, Estonian, Hungarian
    "AKCIGER", "GOGUS",  # Turkish
    "KRUTIN", "PLAUC", "KRUSKURV", "KRUSU KURV", "PLAUS",  # Lithuanian, Latvian
    "KLATK", r"\bKLP\b", r"\bPLUC", "PŁUC", "HRUDNI", r"\bPLIC", r"\bPLJUC", "PRSNI", "GRUDN", r"\bZEBR",  # Slavic languages
    "ГРУДН", "ГРУДЬ", "ГРЪДЕН", "ГРЪДН", "КЛЕТК", "ЛЕГК", "ЛЕГЕН", "БЕЛИ ДРОБ", "БЯЛ ДРОБ", r"\bПЛУ[ЋЧ]", r"\bРЕБР", "ТОРАКС",
    r"\bОГ[КП]\b",
    "ΘΩΡΑ", "ΠΝΕΥΜΟΝ",
    r"\bDADA\b", r"\bPARU\b", "NGUC", r"\bPHOI\b", "KIFUA",  # Indonesian, Vietnamese, Swahili
    "胸[部腔郭片]", r"\b胸\b", "肺", "흉부", "가슴", r"\b폐\b",
    "صدر", "رئة", "سینه", r"\bریه", "חזה", "ריאות",  # Arabic, Persian, Hebrew
    "ทรวงอก", "ปอด", "छाती", "বুক",  # Thai, Hindi, Bengali
)  # fmt: skip

# The spine of the chest is another film, though named after it (THORACIC SPINE, COLONNA TORACICA).
_SPINE = _terms("SPIN", "VERTEB", "WIRBEL", "WERVEL", "COLUMN", "COLUN", "COLONN", "RACHIS", "LUMB", "LOMB", "KREG", "ПОЗВОН")

# Words that name no part: nothing is known, ...
_SILENT = frozenset(
    {
        "N", "A", "NA", "ND", "NS", "NO", "NOT", "NONE", "NIL", "NULL", "UNK", "UNKNOWN", "UNDEFINED", "UNSPECIFIED",
        "SPECIFIED", "APPLICABLE", "AVAILABLE", "OTHER", "OTHERS", "ANY", "DEFAULT", "GENERAL", "MISC", "MISCELLANEOUS",
        "STANDARD", "ROUTINE", "EMPTY", "BLANK", "BODY", "PART", "X", "XX", "XXX", "DESCONOCIDO", "NINGUNO", "OTRO",
        "DESCONHECIDO", "OUTRO", "INCONNU", "AUCUN", "AUTRE", "SCONOSCIUTO", "ALTRO", "UNBEKANNT", "ANDERE", "SONSTIGE",
        "ONBEKEND", "SIN", "ESPECIFICAR", "ESPECIFICADO", "INDEFINIDO", "NON", "PRECISE", "SPECIFICATO", "KEINE", "ANGABE",
        "NIEOKRESLONE", "BILINMIYOR", "НЕ", "УКАЗАНО", "НЕИЗВЕСТНО", "不明", "未知", "TEST", "IMAGE",
        # ... how the film was taken, or of which side.
        "PA", "AP", "FRONTAL", "ERECT", "SUPINE", "PORTABLE", "BEDSIDE", "L", "R", "LEFT", "RIGHT", "BILATERAL",
    }
)  # fmt: skip

# Views that are not frontal, by what their names begin with, ...
_OTHER_VIEW = _terms(
    r"\b([LR]|XT)?LAT\b", r"\b(MEDIO|[LR])?LATER[AO]", r"\bCROSS ?TABLE", r"\bXTL\b", r"\bSWIMMER", r"\bSAG(IT|\b)",
    "PROFIL", "PERFIL", r"\bOBL(I[QCK]|\b)",
    r"\bSEIT", "SCHRAE?G", r"\bZIJDE", r"\bDWARS", r"\bSID(EBILD|OBILD|A\b)", r"\bSIVU", r"\bKULG",  # Germanic, Finnic
    r"\bOLDAL", r"\bFERDE\b", r"\bYAN\b", "SONIN", r"\bSANU\b",  # Hungarian, Turkish, Lithuanian, Latvian
    "BOCZN", "BOCN", "SKOSN", "SIKM", "БОКОВ", r"\bБІЧН", r"\bКОС[АО]", "ПРОФИЛ", "ПРОФІЛ", "ΠΛΑΓΙ", "ΠΡΟΦΙΛ",
    "[側侧][面位臥卧]", "斜", "측면", "NGHIENG", "ด้านข้าง", "جانب",
    r"\b[LR](L|LD|LO|AO|PO)\b",  # the defined terms: laterals, lateral decubitus, obliques
    r"\bOA[DIGS]\b", r"\bOP[DIGS]\b",  # the obliques of Romance languages: oblicua anterior derecha, oblique antérieure gauche
    r"\b(CC|MLO|ML|LM|LMO|XCCL|XCCM|SIO)\b", "CRANIO", r"\bTANGENT",  # views of other parts
)  # fmt: skip

# ... and lying on the side, unless the word means that the patient lies on the back, as it may in Romance languages.
_DECUBITUS = _terms("DECUB")
_ON_THE_BACK = _terms("SUPIN")

# Codes of chest and lung, in SNOMED CT and its older notation (SRT): for meanings in languages that are missing above.
_CHEST_CODES = frozenset({"816094009", "51185008", "T-D3000", "39607008", "T-28000"})

# Codes of laterals, obliques and lateral decubitus.
_OTHER_VIEW_CODES = frozenset(
    {
        "399067008", "R-102CD", "399173006", "R-10236", "399198007", "R-10232", "399352003", "R-10228", "399260004", "R-10224",
        "399182000", "R-102C1", "399184004", "R-10238", "399236003", "R-10234", "399135007", "R-10220", "399356000", "R-40985",
        "399006002", "R-10212", "399038007", "R-10210", "399312000", "R-10208", "399059000", "R-10216", "399160007", "R-10204",
        "260427002", "R-40783", "260426006", "R-40782", "399368009", "R-10226", "399099002", "R-10230", "30730003", "G-A145",
        "32185000", "F-10318", "102536004", "F-10319", "102535000", "F-10317",
    }
)  # fmt: skip


def names_other_part(text: str, code: str = "") -> bool:
    """Whether a body part's name and code are of something else than the chest. True for an unknown name.

    The chest beside other parts (CHESTABDOMEN) is a chest.
    """
    words = plain(text)
    if _SPINE.search(words):
        return True
    return code not in _CHEST_CODES and not _CHEST.search(words) and not _SILENT.issuperset(words.split())


def names_other_view(text: str, code: str = "") -> bool:
    """Whether a view's name or code is of a lateral, oblique or decubitus view. False for an unknown name."""
    words = plain(text)
    is_on_the_side = bool(_DECUBITUS.search(words)) and not _ON_THE_BACK.search(words)
    return code in _OTHER_VIEW_CODES or is_on_the_side or bool(_OTHER_VIEW.search(words))

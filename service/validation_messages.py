"""Plain words for pydantic's validation errors: what the value must be."""

from collections.abc import Mapping

from pydantic_core import ErrorDetails

_WHOLE_NUMBER = "must be a whole number"
_MOMENT = "must be a moment in ISO 8601 with a time zone, such as 2026-01-31T08:00:00Z"
_NETWORK = "must be a network such as 10.0.0.0/8 or 2001:db8::/32"

# Kind of error -> words; names in braces come from pydantic's context of the error.
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_type": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_too_short": "must have {min_length} characters or more",
    "too_short": "must have {min_length} characters or more",
    "model_type": "must be a JSON object",
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "timezone_aware": _MOMENT,
    "ip_v4_network": _NETWORK,
    "ip_v6_network": _NETWORK,
    "value_error": "{error}",
}
_ELSE = "cannot be read"


def wanted(error: ErrorDetails, patterns: Mapping[str, str] = {}) -> str:
    """The words that follow a value's name and a colon, as in "film: must be true or false".

    patterns: regular expression of a field -> the words for it.
    """
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return patterns.get(context["pattern"], _ELSE)
    return _WORDS.get(error["type"], _ELSE).format_map(context)

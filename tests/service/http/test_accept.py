"""Content negotiation by the Accept header (RFC 9110, 12.5.1), without a server."""

import pytest

from service.http.accept import MAX_RANGES, preferred_type

JSON, PNG = "application/json", "image/png"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["application/*"], JSON),
        (["image/png"], PNG),
        (["image/*"], PNG),
        (["IMAGE/PNG ; Q=0.9"], PNG),
        # The weights decide, wherever they stand.
        (["application/json, image/png;q=0"], JSON),
        (["image/png;q=0.4, application/json;q=0.5"], JSON),
        (["application/json;q=0.4, image/png;q=0.5"], PNG),
        (["image/webp, image/*, */*;q=0.8"], PNG),
        # A weight of nothing is no acceptance, however far the other ranges reach.
        (["image/png;q=0"], JSON),
        (["image/png; q = 0"], JSON),
        (["image/png;q=0, image/*"], JSON),
        (["image/*;q=0, image/png"], PNG),
        (["application/json;q=0, */*"], PNG),
        # Of equal weight: what is named more closely, then what is named first.
        (["*/*, image/png"], PNG),
        (["application/json, image/png"], JSON),
        (["image/png, application/json"], PNG),
        # Several lines are one list.
        (["application/json;q=0.5", "image/png"], PNG),
        (["image/png;q=0.5", "application/json"], JSON),
        # What neither is, is answered as JSON; so is what cannot be read.
        (["text/html"], JSON),
        (["*/*;q=0"], JSON),
        (["image/png;q=high"], JSON),
        (["image/png;q=1.5"], JSON),
        (["image/png;q=nan"], JSON),
        (["image/png;q"], JSON),
        (["png"], JSON),
        ([";;;, ,"], JSON),
        (["image/png\u00e9"], JSON),
        (["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"], JSON),  # Java's URLConnection
    ],
    ids=str,
)
def test_the_type_that_weighs_most_is_answered_and_json_where_none_does(accept, wanted):
    assert preferred_type(accept, (JSON, PNG)) == wanted


def test_a_header_made_to_be_slow_is_read_up_to_a_limit():
    assert preferred_type([",".join(["text/html"] * (MAX_RANGES - 1) + ["image/png"])], [JSON, PNG]) == PNG
    assert preferred_type([",".join(["text/html"] * MAX_RANGES + ["image/png"])], [JSON, PNG]) == JSON

import pytest

from tests.support.encoded_films import SYNTAXES


@pytest.fixture(params=SYNTAXES, ids=lambda syntax: syntax.name)
def syntax(request):
    """Each of the uncompressed transfer syntaxes, unless a test names others."""
    return request.param

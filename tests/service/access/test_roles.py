import pytest

from service.access.roles import PUBLIC, ROLES_OF, Role, endpoint_of, required_roles


@pytest.mark.parametrize("role", Role)
def test_each_role_may_call_what_the_report_says(role):
    allowed = {path for path, roles in ROLES_OF.items() if role in roles}
    assert (
        allowed
        == {
            Role.ADMIN: set(ROLES_OF),
            Role.CLINICIAN: {"/predict", "/predict/batch", "/predict/explain", "/feedback", "/incidents", "/model/info"},
            Role.AUDIT: {"/audit", "/model/info"},
        }[role]
    )


@pytest.mark.parametrize("path", [*sorted(PUBLIC), "/ui/main.js", "/ui/parts/api.js", "/static_content/swagger-ui.css"])
def test_public_paths_need_no_role(path):
    assert required_roles(path) is None


NO_ENDPOINTS = ["/nowhere", "/uix", "//", "//predict", "/predict//", "/docs/", "/Health", "/health/x"]
NO_FILES = ["/ui/", "/ui/main.js/", "/ui/../audit", "/ui/%2e%2e/audit", "/ui/.env", "/ui//x"]


@pytest.mark.parametrize("path", [*NO_ENDPOINTS, *NO_FILES])
def test_whatever_is_not_named_needs_a_known_caller(path):
    assert required_roles(path) == frozenset(Role)
    assert endpoint_of(path) == "unknown"


@pytest.mark.parametrize("path", ROLES_OF)
def test_a_slash_at_the_end_opens_no_other_door(path):
    assert required_roles(f"{path}/") == ROLES_OF[path]
    assert endpoint_of(f"{path}/") == path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.errors import SettingsError
from service.records.database import MIGRATIONS, SCHEMA_VERSION, Database
from service.records.schema import metadata


def test_tables_are_made_once_and_are_those_of_the_schema(records_url):
    for _ in range(2):
        database = Database(records_url)
        database.open(upgrade=True)
        with database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        database.dispose()


def test_the_schema_version_is_the_newest_migration():
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


def test_missing_or_newer_tables_are_refused_with_the_remedy(records_url):
    database = Database(records_url)
    with pytest.raises(SettingsError, match=r"(version None|no file).*cxr records upgrade"):
        database.open(upgrade=False)
    database.open(upgrade=True)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="9999"):
        database.open(upgrade=True)
    database.dispose()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "no database URL"),
        ("mysql://root:secret@localhost/test", "'mysql'"),
        ("postgresql://root:secret@localhost:99999/test", "the port 99999, which is not between 1 and 65535"),
        ("postgresql://root:secret@localhost/test?ssl=on", 'cannot be used: invalid connection option "ssl"'),
        ("sqlite:///file:records.db?mode=ro&uri=true", "which SQLite's URL does not take"),
        ("sqlite:///records.db?journal=off", "which SQLite's URL does not take"),
        ("sqlite://", "no file"),
        ("sqlite:////proc/no/records.db", "cannot be written"),
        ("sqlite:////dev/null/records.db", "cannot be written"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_with_the_remedy(url, complaint):
    with pytest.raises(SettingsError, match=complaint) as refused:
        Database(url).open(upgrade=True)
    assert "CXR_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)

"""The work queue: procrastinate's own tables, types and functions.

Revises: 002

The SQL is taken from the installed library when the migration runs, so queue and library always fit each other.
docs/MIGRATION_GUIDE.md tells what an upgrade of the library needs.
"""

from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy import text

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None

CREATE = """
DO $gleanset_queue$
BEGIN
    IF to_regclass('procrastinate_jobs') IS NULL THEN
        EXECUTE $gleanset_queue_schema$
{schema}
        $gleanset_queue_schema$;
    END IF;
END
$gleanset_queue$
"""

# Functions fall with CASCADE where a trigger or a default uses them, types where a function does.
DROP = r"""
DO $gleanset_queue$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('DROP TABLE IF EXISTS %s CASCADE', oid::regclass) FROM pg_class
        WHERE relname LIKE 'procrastinate\_%' AND relkind = 'r' AND relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE command;
    END LOOP;
    FOR command IN
        SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc
        WHERE proname LIKE 'procrastinate\_%' AND pronamespace = current_schema()::regnamespace
    LOOP
        EXECUTE command;
    END LOOP;
    FOR command IN
        SELECT format('DROP TYPE IF EXISTS %s CASCADE', oid::regtype) FROM pg_type
        WHERE typname LIKE 'procrastinate\_%' AND typtype IN ('c', 'e')
        AND typnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE command;
    END LOOP;
END
$gleanset_queue$
"""


def upgrade() -> None:
    op.execute(verbatim(CREATE.format(schema=SchemaManager.get_schema().strip())))


def downgrade() -> None:
    op.execute(verbatim(DROP))


def verbatim(sql: str):
    """SQL in which a colon is a colon and never the start of a parameter."""
    return text(sql.replace(":", r"\:"))

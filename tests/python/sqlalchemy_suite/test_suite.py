"""All tests of the suite."""

from sqlalchemy import DDL, MetaData, event
from sqlalchemy.testing.suite import *  # noqa: F403
from sqlalchemy.testing.suite import ComponentReflectionTest as _ComponentReflectionTest


class ComponentReflectionTest(_ComponentReflectionTest):
    @classmethod
    def define_views(cls, metadata: MetaData, schema: str | None) -> None:
        """The same views as in the suite, without an index on the materialized one."""
        for table, kind in (("users", ""), ("email_addresses", ""), ("dingalings", "MATERIALIZED ")):
            event.listen(metadata, "after_create", DDL(f"CREATE {kind}VIEW {table}_v AS SELECT * FROM {table}"))
            event.listen(metadata, "before_drop", DDL(f"DROP {kind}VIEW {table}_v"))

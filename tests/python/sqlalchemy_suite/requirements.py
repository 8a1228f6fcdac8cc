"""What the suite may count on, and why not on the rest.

`CLOSED` and `SKIPPED` are all that is left out; docs/sqlalchemy.md has the same reasons.
"""

from collections.abc import Callable
from inspect import getsource

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

OPEN = """
    aggregate_order_by array_type arraysize autocommit boolean_col_expressions create_or_replace_view create_table_as
    ctes ctes_with_values date_historic datetime_historic datetime_interval datetime_literals datetime_timezone
    datetime_timezone_historic except_ fetch_expression fetch_first fetch_no_order_by foreign_keys infinity_floats
    intersect isolation_level json_type like_escapes materialized_views mod_operator_as_percent_sign nested_aggregates
    nullsordering order_by_label_with_expression percent_schema_names precision_numerics_enotation_small
    precision_numerics_many_significant_digits precision_numerics_retains_significant_digits regexp_match regexp_replace
    skip_autocommit_rollback supports_bitwise_and supports_bitwise_not supports_bitwise_or supports_bitwise_shift
    supports_bitwise_xor supports_distinct_on table_ddl_if_exists table_value_constructor timestamp_microseconds
    tuple_in unicode_ddl uuid_data_type views window_functions window_range window_range_numeric
"""
"""What the suite takes to be missing unless it is said to be there."""

CLOSED = {
    "no foreign keys, unique columns, checks and indexes": """
        check_constraint_reflection cross_schema_fk_reflection deferrable_fks
        fk_constraint_option_reflection_ondelete_noaction fk_constraint_option_reflection_ondelete_restrict
        fk_constraint_option_reflection_onupdate_restrict foreign_key_constraint_name_reflection
        foreign_key_constraint_option_reflection_ondelete foreign_key_constraint_option_reflection_onupdate
        foreign_key_constraint_reflection foreign_keys_reflect_as_index index_ddl_if_exists index_reflection
        index_reflects_included_columns indexes_check_column_order indexes_with_ascdesc indexes_with_expressions
        inline_check_constraint_reflection materialized_views_reflect_pk non_updating_cascade on_update_cascade
        recursive_fk_cascade reflect_indexes_with_ascdesc reflect_indexes_with_ascdesc_as_expression
        reflect_indexes_with_expressions repeated_column_foreign_keys repeated_remote_col_foreign_keys
        unique_constraint_reflection unique_constraints_reflect_as_index unique_index_reflect_as_unique_constraints
    """,
    "no RETURNING": """
        delete_returning insert_executemany_returning insert_returning insertmanyvalues update_returning
    """,
    "no numbers for primary keys, and no DEFAULT VALUES": """
        autoincrement_insert dbapi_lastrowid empty_inserts empty_inserts_executemany emulated_lastrowid
        emulated_lastrowid_even_with_sequences identity_columns identity_columns_standard implements_get_lastrowid
        sequences sequences_optional supports_lastrowid
    """,
    "one schema, without a name in SQL": """
        default_schema_name_switch implicit_default_schema schema_create_delete schema_reflection schemas
    """,
    "no temporary tables and views": """
        create_temp_table_as has_temp_table temp_table_names temp_table_reflect_indexes temp_table_reflection
        temporary_tables temporary_views
    """,
    "no comments": """
        comment_reflection comment_reflection_full_unicode constraint_comment_reflection temp_table_comment_reflection
    """,
    "no computed columns": """
        computed_columns computed_columns_default_persisted computed_columns_reflect_persisted computed_columns_stored
        computed_columns_virtual
    """,
    "DESCRIBE does not say defaults, lengths and the names of constraints": """
        expression_server_defaults reflect_table_options reflects_pk_names server_defaults
    """,
    "tables have columns": "reflect_tables_no_columns",
    "text is ordered by its bytes": "column_collation_reflection order_by_collation",
    "text has one type": "nvarchar_types",
    "times of the day have no zone": "time_timezone",
    "JSON is text, whose parts cannot be reached": "json_array_indexes legacy_unconditional_json_extract",
    "JSON comes as str": "json_deserializer_binary",
    "WITH stands before SELECT alone": "ctes_on_dml ctes_with_update_delete",
    "no UPDATE ... FROM and DELETE ... USING": "delete_from update_from",
    "no FETCH ... WITH TIES and PERCENT": "fetch_offset_with_options fetch_percent fetch_ties",
    "no savepoints and no two-phase commit": "savepoints two_phase_transactions",
    "results are in memory when a statement has run": "server_side_cursors",
    "names fold to lower case": "denormalized_names",
    "RANGE of a window takes numbers": "window_range_non_numeric",
    "no asyncio in the dialect": "async_dialect",
    "FLOAT has 32 bits": "float_or_double_precision_behaves_generically",
}
"""Why a requirement is closed, and those that are."""

SKIPPED = {
    "JSON is text, whose parts cannot be reached": """
        JSONTest::test_index_cross_casts JSONTest::test_index_typed_access JSONTest::test_index_typed_comparison
        JSONTest::test_path_typed_comparison JSONTest::test_single_element_round_trip
    """,
    "columns cannot be intervals": """
        IntervalTest::test_arithmetic_operation_table_date_and_literal_interval
        IntervalTest::test_arithmetic_operation_table_interval_and_literal_interval IntervalTest::test_literal
        PrecisionIntervalTest::test_arithmetic_operation_table_date_and_literal_interval
        PrecisionIntervalTest::test_arithmetic_operation_table_interval_and_literal_interval
        PrecisionIntervalTest::test_literal
    """,
    "a quotient of decimals is a DOUBLE": """
        TrueDivTest::test_truediv_divisor[numeric_38_digit_divisor-typed]
        TrueDivTest::test_truediv_divisor[numeric_38_digit_divisor-untyped_function]
        TrueDivTest::test_truediv_divisor[numeric_many_decimals-typed]
        TrueDivTest::test_truediv_divisor[numeric_many_decimals-untyped_function]
    """,
    "no numbers for primary keys, and no DEFAULT VALUES": """
        IdentityAutoincrementTest::test_autoincrement_with_identity
        InsertBehaviorTest::test_insert_from_select_autoinc InsertBehaviorTest::test_insert_from_select_autoinc_no_rows
    """,
    "DESCRIBE does not say defaults, lengths and the names of constraints": """
        ComponentReflectionTestExtra::test_string_length_reflection
    """,
    "no foreign keys, unique columns, checks and indexes": """
        LongNameBlowoutTest::test_long_convention_name[ix-_exclusions_02]
    """,
    "no WITH RECURSIVE": "CTETest::test_select_recursive_round_trip",
    "definitions and writes do not share a transaction": "TableViaSelectTest::test_view_dependencies_with_metadata",
}
"""Why a test is skipped that no requirement leaves out, and those that are."""


def _always(rule: Callable[[], object]) -> property:
    return property(lambda self: rule())


class Requirements(SuiteRequirements):
    """All requirements of the suite, decided here if it does not decide them itself."""


for name in OPEN.split():
    setattr(Requirements, name, _always(exclusions.open))
for reason, names in CLOSED.items():
    for name in names.split():
        skip = exclusions.skip_if(exclusions.BooleanPredicate(True, reason))
        setattr(Requirements, name, _always(lambda skip=skip: skip))


def undecided() -> list[str]:
    """The requirements that the suite closes and nobody has decided here."""
    decided = {*OPEN.split(), *(name for names in CLOSED.values() for name in names.split())}
    return [
        name
        for name, rule in vars(SuiteRequirements).items()
        if isinstance(rule, property) and name not in decided and "exclusions.closed()" in getsource(rule.fget)
    ]

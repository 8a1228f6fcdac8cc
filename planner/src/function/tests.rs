//! Tests our functions and operators value by value; most are also compared with DuckDB from Python.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{ColumnarValue, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use sqlparser::ast;

use super::registry;
use crate::bind::config_options;
use crate::lower::tests::context::bind;
use crate::scalar::{OnFailure, cast_array, compile};
use crate::statement::{parse_query, sql_type};

/// Evaluates an expression without columns; returns its value as text, or `error`.
fn value(expr: &str) -> String {
    let sql = format!("SELECT CAST({expr} AS VARCHAR) AS x");
    let bound = bind(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let LogicalPlan::Projection(projection) = &bound.logical else { panic!("{sql}: not a projection") };
    let scalar = compile(&projection.expr[0], projection.input.schema()).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
    let result = scalar.evaluate(&row.expect("a row without columns"));
    if !result.errors.is_empty() {
        return "error".to_owned();
    }
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(result.values.as_ref(), &options).expect("values can be shown");
    formatter.value(0).to_string()
}

fn check(cases: &[(&str, &str)]) {
    for (expr, expected) in cases {
        assert_eq!(value(expr), *expected, "{expr}");
    }
}

const DIFFERENCE: &str = "(TIMESTAMP '2024-01-02 12:00' - TIMESTAMP '2024-01-01')";

#[test]
fn a_difference_of_times_is_compared_with_an_interval() {
    for (comparison, expected) in [
        ("> INTERVAL '1 day'", "true"),
        ("= INTERVAL '1 day 12 hours'", "true"),
        ("IN (INTERVAL '36 hours')", "true"),
        ("BETWEEN INTERVAL '36 hours' AND INTERVAL '1 month'", "true"),
        ("IS DISTINCT FROM INTERVAL '36 hours'", "false"),
        ("< INTERVAL '1 month'", "true"),
    ] {
        assert_eq!(value(&format!("{DIFFERENCE} {comparison}")), expected, "{comparison}");
    }
}

#[test]
fn the_greatest_interval_is_the_longest_as_it_is_written() {
    check(&[
        ("INTERVAL '60 days' < INTERVAL '1 month'", "false"),
        ("greatest(INTERVAL '1 month', INTERVAL '45 days')", "45 days"),
        ("greatest(INTERVAL '1 month', INTERVAL '30 days')", "1 month"),
        ("least(INTERVAL '1 day', INTERVAL '25 hours', NULL)", "1 day"),
        ("nullif(INTERVAL '30 days', INTERVAL '1 month')", "NULL"),
        ("nullif(INTERVAL '30 days', INTERVAL '2 months')", "30 days"),
        ("CASE INTERVAL '30 days' WHEN INTERVAL '1 month' THEN 1 END", "1"),
    ]);
    assert_eq!(value(&format!("greatest({DIFFERENCE}, INTERVAL '1 day')")), "1 day 12:00:00");
}

#[test]
fn bins_begin_at_their_origin() {
    check(&[
        ("date_bin(INTERVAL '15 minutes', TIMESTAMP '2024-01-01 10:20:00')", "2024-01-01 10:15:00"),
        ("date_bin(INTERVAL '1 day', DATE '9999-12-31')", "9999-12-31 00:00:00"),
        ("date_bin(INTERVAL '1 day', TIMESTAMP '290000-05-05 10:00')", "290000-05-05 00:00:00"),
        (
            "date_bin(INTERVAL '1 day', TIMESTAMP '1969-12-31 10:00', TIMESTAMP '2001-01-01 12:00')",
            "1969-12-30 12:00:00",
        ),
        ("date_bin(INTERVAL '1 month', TIMESTAMP '2024-02-29 10:00')", "2024-02-01 00:00:00"),
        ("date_bin(INTERVAL '3 months', TIMESTAMP '2024-03-01', TIMESTAMP '2024-01-31')", "2024-01-31 00:00:00"),
        ("date_bin(INTERVAL '1 month', TIMESTAMP '2024-03-30', TIMESTAMP '2024-01-31')", "2024-02-29 00:00:00"),
        ("date_bin(INTERVAL '15 minutes', TIME '10:20:00')", "10:15:00"),
        ("date_bin(INTERVAL '15 minutes', TIME '00:00:00', TIME '00:10:00')", "23:55:00"),
        ("date_bin(INTERVAL '0 days', TIMESTAMP '2024-01-01')", "error"),
        ("date_bin(INTERVAL '1 month 1 day', TIMESTAMP '2024-01-01')", "error"),
        ("date_bin(NULL, TIMESTAMP '2024-01-01')", "NULL"),
    ]);
}

#[test]
fn timestamps_are_made_of_numbers_and_texts() {
    check(&[
        ("to_timestamp(1.5)", "1970-01-01 00:00:01.5"),
        ("to_timestamp(-1)", "1969-12-31 23:59:59"),
        ("to_timestamp(253402214400)", "9999-12-31 00:00:00"),
        ("to_timestamp('9999-12-31 10:00')", "9999-12-31 10:00:00"),
        ("to_timestamp('31/12/9999', '%Y', '%d/%m/%Y')", "9999-12-31 00:00:00"),
        ("to_timestamp('x')", "error"),
        ("to_timestamp(CAST('nan' AS DOUBLE))", "error"),
        ("to_timestamp_seconds(253402214400)", "9999-12-31 00:00:00"),
        ("to_timestamp_millis(TIMESTAMP '9999-12-31 00:00:00.0005')", "9999-12-31 00:00:00.001"),
        ("to_unixtime(DATE '9999-12-31')", "253402214400"),
        ("to_unixtime(TIMESTAMP '1969-12-31 23:59:59.5')", "-1"),
        ("to_char(DATE '9999-12-31', '%d.%m.%Y %H')", "31.12.9999 00"),
        ("to_char(TIMESTAMP '0001-01-01', '%Y')", "0001"),
        ("to_char(TIMESTAMP '2024-01-01', NULL)", "NULL"),
        ("make_date(9999, 12, 31)", "9999-12-31"),
        ("make_date(2024, 2, 30)", "error"),
        ("DATE '9999-12-31' + 9223372036854775807", "error"),
    ]);
}

#[test]
fn powers_bind_tighter_than_products_and_looser_than_signs() {
    check(&[
        ("2 ^ 3 ^ 2", "64.0"),
        ("2 * 3 ** 2", "18.0"),
        ("-2 ^ 2", "4.0"),
        ("2 ^ -1", "0.5"),
        ("10 - 2 ^ 2", "6.0"),
        ("-1 - -1", "0"),
        ("- - 2", "2"),
        ("-5 % 3", "-2"),
        ("-CAST(2 AS TINYINT)::BIGINT", "-2"),
        ("xor(5, 3)", "6"),
        ("xor(CAST(-1 AS TINYINT), CAST(200 AS UTINYINT))", "-201"),
        ("mod(-5, 3)", "-2"),
        ("mod(5, 0)", "NULL"),
        ("NULL ^ 2", "NULL"),
    ]);
}

#[test]
fn a_backslash_is_one_of_the_regular_expression() {
    check(&[
        (r"'C:Users' ~ 'C:\\Users'", "false"),
        (r"'C:\Users' ~ 'C:\\Users'", "true"),
        (r"'C:\users' ~* 'C:\\Users'", "true"),
        (r"'C:Users' !~ 'C:\\Users'", "true"),
        (r"'C:Users' !~* 'C:\\Users'", "true"),
        (r"regexp_like('axb', 'a\.b')", "false"),
        (r"'a\b' LIKE 'a\\b'", "true"),
        (r"'ab' LIKE 'a\\b'", "false"),
        ("CAST(NULL AS VARCHAR) ~ '.*'", "NULL"),
        ("'a' ~ NULL", "NULL"),
    ]);
}

#[test]
fn numbers_keep_their_types() {
    check(&[
        ("round(CAST(1.255 AS DECIMAL(10,3)), 2)", "1.26"),
        ("round(CAST(1.255 AS DECIMAL(10,3)), 5)", "1.255"),
        ("round(CAST(9999 AS DECIMAL(4,0)), -1)", "10000"),
        ("round(CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0)), -1)", "error"),
        ("round(CAST(2.675 AS DOUBLE), 2)", "2.67"),
        ("round(CAST(127 AS TINYINT), -1)", "error"),
        ("ceil(CAST(99.5 AS DECIMAL(4,2)))", "100"),
        ("floor(CAST(-1.5 AS DECIMAL(10,2)))", "-2"),
        ("floor(5)", "5.0"),
        ("abs(CAST(-128 AS TINYINT))", "error"),
        ("sign(CAST('nan' AS DOUBLE))", "0"),
        ("sqrt(-1)", "nan"),
        ("nullif(CAST(1 AS TINYINT), CAST(1 AS DECIMAL(10,2)))", "NULL"),
        ("greatest(CAST(1e-20 AS DOUBLE), CAST(0 AS DECIMAL(10,2)))", "1e-20"),
    ]);
}

const NULL_LIST: &str = "CAST(NULL AS BIGINT[])";

#[test]
fn a_null_list_is_not_an_empty_one() {
    for (call, expected) in [
        ("list_contains(?, 1)", "NULL"),
        ("list_has_any(?, [1])", "NULL"),
        ("array_has_any([], ?)", "NULL"),
        ("list_has_all([1], ?)", "NULL"),
        ("array_has_all(?, [])", "NULL"),
        ("list_intersect(?, [1])", "NULL"),
        ("list_intersect([1], ?)", "[]"),
        ("list_concat(?, ?)", "[]"),
        ("array_cat(?, [1], NULL)", "[1]"),
        ("? || [1]", "NULL"),
        ("[1] || ?", "NULL"),
        ("list_sort(?)", "NULL"),
        ("length(?)", "NULL"),
        ("list_resize(?, 2)", "NULL"),
    ] {
        assert_eq!(value(&call.replace('?', NULL_LIST)), expected, "{call}");
    }
    check(&[
        ("list_has_any(NULL, [1])", "NULL"),
        ("list_intersect([1], NULL)", "[]"),
        ("list_concat(NULL, NULL)", "NULL"),
        ("[1] || NULL", "NULL"),
        ("[[1]] || NULL", "NULL"),
    ]);
}

#[test]
fn null_is_not_found_in_a_list() {
    check(&[
        ("list_contains([3, NULL, 1], 12)", "false"),
        ("list_contains([3, NULL, 1], NULL)", "NULL"),
        ("array_has([], NULL)", "false"),
        ("array_contains([], CAST(NULL AS BIGINT))", "false"),
        ("list_has_any([NULL], [NULL])", "false"),
        ("list_has_any([NULL, 1], [1, NULL])", "true"),
        ("list_has_all([], [NULL])", "true"),
        ("list_has_all([1], [NULL, 1])", "true"),
        ("list_has_all([1], [NULL, 2])", "false"),
        ("list_intersect([3, NULL, 1], [3, NULL, 1])", "[3, 1]"),
        ("list_intersect([NULL], [NULL])", "[]"),
    ]);
}

#[test]
fn elements_of_lists_are_compared_as_other_values() {
    check(&[
        ("list_contains([0e0], -0e0)", "true"),
        ("list_contains([CAST('nan' AS DOUBLE)], -CAST('nan' AS DOUBLE))", "true"),
        ("list_contains([INTERVAL '1 month'], INTERVAL '30 days')", "true"),
        ("list_contains([1], 1.5e0)", "false"),
        ("list_contains([CAST(1 AS TINYINT)], CAST(1 AS DECIMAL(4,1)))", "true"),
        ("list_has_any([[1, NULL]], [[1, NULL]])", "true"),
        ("list_intersect([3, 1, 2, 5], [1, 2, 3])", "[3, 1, 2]"),
        ("list_intersect([1, 2], [3, 2, 1, 1])", "[2, 1]"),
        ("[1] || [1.5e0]", "[1.0, 1.5]"),
        ("[[1]] || []", "[[1]]"),
    ]);
    for refused in
        ["list_contains([1], '1')", "list_has_any([1], ['1'])", "list_concat([1], ['a'])", "list_concat([[1]], [2])"]
    {
        assert!(bind(&format!("SELECT {refused} AS x")).is_err(), "{refused}");
    }
}

#[test]
fn nulls_come_last_in_a_sorted_list() {
    check(&[
        ("list_sort([3, NULL, 1])", "[1, 3, NULL]"),
        ("array_sort([3, NULL, 1], 'DESC')", "[3, 1, NULL]"),
        ("list_sort([3, NULL, 1], 'asc', 'nulls first')", "[NULL, 1, 3]"),
        ("list_sort([[NULL], [1], NULL])", "[[1], [NULL], NULL]"),
        ("list_sort([INTERVAL '31 days', INTERVAL '1 month', INTERVAL '1 day'])", "[1 day, 1 month, 31 days]"),
        ("list_sort([1, 2], NULL)", "NULL"),
        ("list_sort([1, 2], 'up')", "error"),
    ]);
}

#[test]
fn the_length_of_a_list_is_not_that_of_its_text() {
    check(&[
        ("length([1, NULL])", "2"),
        ("len([])", "0"),
        ("length('h\u{e9}')", "2"),
        ("list_resize([3, 1], NULL)", "[]"),
    ]);
    let refused =
        ["char_length([1])", "character_length([1])", "concat([1], [2])", "concat_ws(',', [1])", "reverse([1])"];
    for refused in
        refused.into_iter().chain(["left([1], 1)", "length(struct(1))", "length(12)", "length(CAST('a' AS BLOB))"])
    {
        assert!(bind(&format!("SELECT {refused} AS x")).is_err(), "{refused}");
    }
}

#[test]
fn case_compares_its_operand_with_each_value_alone() {
    let far = "WHEN TIMESTAMP '0001-01-01 00:00:00' THEN 1";
    let near = "WHEN CAST('2024-03-31 01:30:00' AS TIMESTAMP(9)) THEN 2";
    check(&[
        (&format!("CASE TIMESTAMP '2024-03-31 01:30:00' {far} {near} END"), "2"),
        ("CASE CAST(1 AS DECIMAL(4,1)) WHEN 1e-20 THEN 1 WHEN 1 THEN 2 END", "2"),
        ("CASE 9007199254740993 WHEN CAST(1 AS TINYINT) THEN 1 WHEN 9007199254740993 THEN 2 WHEN 0.5 THEN 3 END", "2"),
        ("CASE NULL WHEN 1 THEN 1 WHEN 1.5 THEN 2 ELSE 3 END", "3"),
    ]);
}

/// Calls a function on a column of lists that begins with a NULL beneath which there are elements.
fn over_a_null_with_elements(name: &str, wanted: ArrayRef) -> ArrayRef {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(9)]),
        Some(vec![Some(7), Some(8)]),
        Some(vec![Some(2), None, Some(1)]),
    ]);
    let (field, offsets, values, _) = lists.into_parts();
    let lists = ListArray::new(field, offsets, values, Some(vec![true, false, true].into()));
    let lists: ArrayRef = Arc::new(lists.slice(1, 2));
    let function = registry().scalar(name).expect("a function");
    let args = [lists, wanted];
    let fields: Vec<FieldRef> =
        args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type().clone(), true))).collect();
    let arguments = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &[None, None] };
    let return_field = function.return_field_from_args(arguments).expect("a type");
    let called = ScalarFunctionArgs {
        args: args.into_iter().map(ColumnarValue::Array).collect(),
        arg_fields: fields,
        number_rows: 2,
        return_field,
        config_options: Arc::new(config_options()),
    };
    function.invoke_with_args(called).and_then(|values| values.into_array(2)).expect("values")
}

#[test]
fn what_is_beneath_a_null_list_is_not_seen() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, 1]));
    let one_of_each = [Some(vec![Some(7)]), Some(vec![Some(1)])];
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(one_of_each));
    let shown = |values: ArrayRef| {
        let formatter =
            ArrayFormatter::try_new(&values, &FormatOptions::default().with_null("NULL")).expect("a format");
        [0, 1].map(|row| formatter.value(row).to_string()).join(" ")
    };
    assert_eq!(shown(over_a_null_with_elements("array_has", numbers)), "NULL true");
    for (name, expected) in [
        ("array_has_any", "NULL true"),
        ("array_has_all", "NULL true"),
        ("array_intersect", "NULL [1]"),
        ("array_concat", "[7] [2, NULL, 1, 1]"),
    ] {
        assert_eq!(shown(over_a_null_with_elements(name, Arc::clone(&lists))), expected, "{name}");
    }
}

/// Returns a value of each type, and NULL.
fn samples() -> Vec<ArrayRef> {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None]));
    let types = "TINYINT SMALLINT INT BIGINT UTINYINT USMALLINT UINTEGER UBIGINT REAL DOUBLE DECIMAL(10,2) DECIMAL(38,0) \
                 BOOLEAN VARCHAR BLOB DATE TIME TIMESTAMP_S TIMESTAMP_MS TIMESTAMP TIMESTAMP_NS TIMESTAMPTZ INTERVAL";
    let dates: ArrayRef = Arc::new(StringArray::from(vec![Some("2024-01-05 10:20"), None]));
    let mut samples = vec![lists];
    for name in types.split_whitespace() {
        let query = parse_query(&format!("SELECT CAST(1 AS {name})"), 0).expect("a query");
        let ast::SetExpr::Select(select) = *query.body else { panic!("{name}: no query") };
        let ast::SelectItem::UnnamedExpr(ast::Expr::Cast { data_type, .. }) = &select.projection[0] else {
            panic!("{name}: no cast")
        };
        let data_type = sql_type(data_type).expect("a type");
        let from = match &data_type {
            DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) => &dates,
            number if number.is_numeric() || *number == DataType::Boolean => &numbers,
            _ => &texts,
        };
        samples.push(cast_array(from, &data_type, OnFailure::Error).unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    samples
}

/// Returns a description of a call's result if it is not of the type that the function declares.
fn undeclared(function: &ScalarUDF, args: &[&ArrayRef]) -> Option<String> {
    let fields: Vec<FieldRef> =
        args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type().clone(), true))).collect();
    let fields = fields_with_udf(&fields, function).ok()?;
    let coerced = args.iter().zip(&fields).map(|(arg, field)| cast_array(arg, field.data_type(), OnFailure::Null).ok());
    let args = coerced.map(|arg| arg.map(ColumnarValue::Array)).collect::<Option<Vec<_>>>()?;
    let literals = vec![None; fields.len()];
    let declared =
        function.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals }).ok()?;
    let types: Vec<_> = fields.iter().map(|field| field.data_type().to_string()).collect();
    let called = ScalarFunctionArgs {
        args,
        arg_fields: fields,
        number_rows: 2,
        return_field: Arc::clone(&declared),
        config_options: Arc::new(config_options()),
    };
    let given = catch_unwind(AssertUnwindSafe(|| function.invoke_with_args(called)));
    let given = match given {
        Ok(given) => given.ok()?.data_type(),
        Err(_) => return Some(format!("{}({}) panics", function.name(), types.join(", "))),
    };
    let is_declared = given == *declared.data_type();
    (!is_declared).then(|| format!("{}({}): {} gives {given}", function.name(), types.join(", "), declared.data_type()))
}

#[test]
fn an_own_name_calls_the_same_function() {
    for name in registry().scalar_names() {
        let own = registry().own_name(&name, false).unwrap_or_else(|| name.clone());
        assert_eq!(registry().scalar(&own), registry().scalar(&name), "{name} {own}");
    }
    for name in registry().aggregate_names() {
        let own = registry().own_name(&name, true).unwrap_or_else(|| name.clone());
        assert_eq!(registry().aggregate(&own), registry().aggregate(&name), "{name} {own}");
    }
    for name in registry().window_names() {
        let own = registry().own_name(&name, true).unwrap_or_else(|| name.clone());
        assert_eq!(registry().window(&own), registry().window(&name), "{name} {own}");
    }
}

#[test]
fn every_function_gives_the_type_that_it_declares() {
    let samples = samples();
    let mut wrong = Vec::new();
    for name in registry().scalar_names() {
        let function = registry().scalar(&name).expect("a name of the registry");
        for first in &samples {
            wrong.extend(undeclared(&function, &[first]));
            for second in &samples {
                wrong.extend(undeclared(&function, &[first, second]));
            }
            wrong.extend(undeclared(&function, &[first, first, first]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

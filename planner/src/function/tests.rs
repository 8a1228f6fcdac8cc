//! Our functions and operators, value by value; most are checked against DuckDB from Python.

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

/// The value of an expression without columns as text, or `error`.
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

/// A value of each type, and NULL.
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

/// What a call gives where it is not of the type that it declares.
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

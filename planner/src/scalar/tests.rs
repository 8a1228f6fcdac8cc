//! Tests that scalars give each row an outcome that depends on the row alone, and that casts behave as DuckDB's.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use laminardb_dataflow::{Evaluated, Scalar};

use super::{Compiled, compile};
use crate::lower::tests::context::bind;

/// Compiles the first column of a query without clauses, over the columns of its relation.
fn scalar(sql: &str) -> Arc<dyn Scalar> {
    let bound = bind(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let LogicalPlan::Projection(projection) = &bound.logical else { panic!("{sql}: not a projection") };
    compile(&projection.expr[0], projection.input.schema()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn shown(values: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(values.as_ref(), &options).expect("values can be shown");
    (0..values.len()).map(|row| formatter.value(row).to_string()).collect()
}

/// Evaluates an expression without columns; returns its value or `error`.
fn value(expr: &str) -> String {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
    let result = scalar(&format!("SELECT {expr} AS x")).evaluate(&row.expect("a row without columns"));
    if result.errors.is_empty() { shown(&result.values).swap_remove(0) } else { "error".to_owned() }
}

fn check(cases: &[(&str, &str)]) {
    for (expr, expected) in cases {
        assert_eq!(value(expr), *expected, "{expr}");
    }
}

/// Makes rows of `log` with the columns id, tk, x and i.
fn log(rows: &[(i64, Option<i64>, Option<i64>, Option<i32>)]) -> RecordBatch {
    let relation = crate::lower::tests::context::relations().swap_remove(3);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))),
        Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.3))),
    ];
    RecordBatch::try_new(relation.schema, columns).expect("the columns of the relation")
}

/// Returns the value of each row, or its error.
fn outcomes(scalar: &dyn Scalar, batch: &RecordBatch) -> Vec<Result<String, String>> {
    let Evaluated { values, errors } = scalar.evaluate(batch);
    assert_eq!(values.len(), batch.num_rows(), "{}", scalar.text());
    assert_eq!(values.data_type(), scalar.data_type(), "{}", scalar.text());
    assert!(errors.is_sorted_by(|a, b| a.row < b.row), "each row once, in order");
    let mut outcomes: Vec<_> = shown(&values).into_iter().map(Ok).collect();
    for error in errors {
        assert!(values.is_null(error.row), "no value where it failed");
        outcomes[error.row] = Err(error.message);
    }
    outcomes
}

/// Makes a batch of numbers that often cause failures: zero, the limits of the types, NULL.
fn edges() -> RecordBatch {
    let numbers =
        [Some(0), Some(1), Some(-1), None, Some(7), Some(i64::MAX), Some(i64::MIN), Some(300), Some(i64::MAX / 2 + 1)];
    let mut rows = Vec::new();
    for (at, x) in numbers.into_iter().enumerate() {
        for (step, tk) in numbers.into_iter().enumerate() {
            let i = [Some(i32::MAX), Some(0), None, Some(i32::MIN), Some(5)][(at + step) % 5];
            rows.push(((at * 10 + step) as i64, tk, x, i));
        }
    }
    log(&rows)
}

const FALLIBLE: &[&str] = &[
    "x + tk",
    "x - tk",
    "x * tk",
    "x / tk",
    "x % tk",
    "-x",
    "i + i",
    "abs(x)",
    "CAST(x AS TINYINT)",
    "CAST(x AS INT) + i",
    "TRY_CAST(x AS TINYINT)",
    "tk <> 0 AND 10 / tk > 0",
    "x < 100 AND x > -100 AND CAST(x AS TINYINT) > 0",
    "x > 100 OR x < -100 OR x IS NULL OR CAST(x AS TINYINT) > 0",
    "CAST(x AS TINYINT) > 0 AND CAST(tk AS TINYINT) > 0",
    "CASE WHEN x BETWEEN -100 AND 100 THEN CAST(x AS TINYINT) ELSE 0 END",
    "CASE WHEN tk > 0 THEN x + tk WHEN tk < 0 THEN x - tk END",
    "coalesce(tk, x + 1)",
    "coalesce(tk, CAST(x AS TINYINT), x * 2)",
    "nullif(x + 1, tk)",
    "x IN (1, 7, tk + 1)",
    "x BETWEEN tk - 1 AND tk + 1",
    "CAST(CASE WHEN x = 7 THEN 'seven' ELSE CAST(x AS TEXT) END AS BIGINT)",
    "NOT (x + 1 > tk)",
    "x + 1 IS NULL",
    "lpad('ab', x)",
    "lpad('ab', i % 7, CAST(tk AS TEXT))",
    "rpad(CAST(tk AS TEXT), x, 'é')",
    "array_repeat(tk, x)",
    "array_repeat(make_array(tk, x), tk)",
    "array_resize(make_array(tk), x, i)",
];

#[test]
fn a_row_has_one_outcome_whatever_shares_its_batch() {
    let batch = edges();
    let rows = batch.num_rows();
    for expr in FALLIBLE {
        let scalar = scalar(&format!("SELECT {expr} AS y FROM log"));
        let whole = outcomes(scalar.as_ref(), &batch);
        let alone: Vec<_> = (0..rows).flat_map(|row| outcomes(scalar.as_ref(), &batch.slice(row, 1))).collect();
        assert_eq!(whole, alone, "{expr}");
        for cut in [1, 2, 9, 40, rows - 1] {
            let mut parts = outcomes(scalar.as_ref(), &batch.slice(0, cut));
            parts.extend(outcomes(scalar.as_ref(), &batch.slice(cut, rows - cut)));
            assert_eq!(whole, parts, "{expr} cut at {cut}");
        }
        // The rows in reverse order, and then once more in the original order.
        let turned: Vec<_> = (0..rows).rev().map(|row| batch.slice(row, 1)).collect();
        let turned = concat_batches(&batch.schema(), turned.iter().chain([&batch])).expect("one schema");
        let expected: Vec<_> = whole.iter().rev().chain(&whole).cloned().collect();
        assert_eq!(outcomes(scalar.as_ref(), &turned), expected, "{expr} turned");
    }
}

#[test]
fn a_size_is_looked_at_before_anything_is_made() {
    check(&[
        ("lpad('abc', 2)", "ab"),
        ("lpad('abc', -1)", ""),
        ("lpad('abc', NULL)", "NULL"),
        ("rpad('abc', 5, 'xy')", "abcxy"),
        ("rpad('abc', 1000000000000)", "error"),
        ("repeat('ab', 2)", "abab"),
        ("repeat('ab', -1)", ""),
        ("repeat('ab', NULL)", "NULL"),
        ("repeat('ab', 1000000000)", "error"),
        ("range(1, 4)", "[1, 2, 3]"),
        ("range(3, 1, -1)", "[3, 2]"),
        ("generate_series(1, 3)", "[1, 2, 3]"),
        ("generate_series(3)", "[0, 1, 2, 3]"),
        ("generate_series(NULL, 3)", "NULL"),
        ("range(1, 9223372036854775807)", "error"),
        ("range(9223372036854775807, -9223372036854775807, -1)", "error"),
        ("generate_series(TIMESTAMP '0001-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', INTERVAL '1 us')", "error"),
        ("range(DATE '2024-01-01', DATE '2024-03-01', INTERVAL '1 month')", "[2024-01-01, 2024-02-01]"),
        ("array_repeat(7, -1)", "[]"),
        ("array_repeat(7, 1000000000)", "error"),
        ("array_repeat(make_array(1, 2, 3), 100000000)", "error"),
        ("array_resize(make_array(7), 2)", "[7, NULL]"),
        ("array_resize(make_array(7), 1000000000)", "error"),
        ("array_resize(make_array(7), -1)", "error"),
    ]);
    let batch = edges();
    let scalar = scalar("SELECT lpad('ab', x * 10000) AS y FROM log");
    // Together the texts are too large for one run of `function::size`, so they are made in several.
    let lengths: Vec<_> =
        outcomes(scalar.as_ref(), &batch).iter().map(|y| y.as_ref().map_or(-1, |y| y.len() as i64)).collect();
    let expected = |x: i64| x.checked_mul(10_000).map_or(-1, |length| length.max(0));
    let x = batch.column(2).as_primitive::<Int64Type>();
    let expected: Vec<_> = x.iter().map(|x| x.map_or("NULL".len() as i64, expected)).collect();
    assert_eq!(lengths, expected);
}

/// An expression that panics on some rows, as Arrow's kernels do when a text is too long for their offsets.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Panicking;

impl std::fmt::Display for Panicking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("panicking")
    }
}

impl PhysicalExpr for Panicking {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        assert!(ids.values().iter().all(|id| id % 10 != 3), "a row of three");
        Ok(ColumnarValue::Array(Arc::new(ids.clone())))
    }

    fn return_field(&self, _schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("id", DataType::Int64, true)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("panicking")
    }
}

#[test]
fn a_panic_in_a_kernel_is_an_error_of_its_row() {
    let scalar =
        Compiled { expr: Arc::new(Panicking), data_type: DataType::Int64, text: "panicking".to_owned(), column: None };
    let outcome = |id: i64| if id % 10 == 3 { Err("a row of three".to_owned()) } else { Ok(id.to_string()) };
    let batch = edges();
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let expected: Vec<_> = ids.values().iter().map(|id| outcome(*id)).collect();
    assert_eq!(outcomes(&scalar, &batch), expected);
}

#[test]
fn exactly_the_rows_that_fail_are_reported() {
    let batch = log(&[
        (1, Some(1), Some(i64::MAX), None),
        (2, None, Some(i64::MAX), None),
        (3, Some(-1), Some(i64::MAX), None),
        (4, Some(-1), Some(i64::MIN), None),
        (5, Some(0), Some(5), None),
    ]);
    let failing = |expr: &str| -> Vec<usize> {
        let scalar = scalar(&format!("SELECT {expr} AS y FROM log"));
        scalar.evaluate(&batch).errors.into_iter().map(|error| error.row).collect()
    };
    assert_eq!(failing("x + tk"), [0, 3]);
    assert_eq!(failing("x / tk"), [3], "the quotient of the least integer and -1 does not fit");
    assert_eq!(failing("x % tk"), [0; 0], "but the remainder does");
    assert_eq!(failing("-x"), [3]);
    assert_eq!(failing("CAST(x AS INT)"), [0, 1, 2, 3]);
    assert_eq!(failing("id = 5 OR x + 1 > tk"), [0, 1, 2]);
    assert_eq!(failing("id > 3 AND x + 1 > tk"), [0; 0]);
    assert_eq!(failing("CASE WHEN id = 1 THEN x + 1 END"), [0]);
    assert_eq!(failing("coalesce(tk, x + 1)"), [1]);
}

#[test]
fn division_and_modulo_by_zero_are_null() {
    check(&[
        ("1 / 0", "NULL"),
        ("1 % 0", "NULL"),
        ("CAST(1 AS DOUBLE) / 0", "NULL"),
        ("CAST(1 AS DOUBLE) / CAST('-0.0' AS DOUBLE)", "NULL"),
        ("CAST(1 AS DOUBLE) % 0", "NULL"),
        ("CAST(1 AS REAL) / CAST(0 AS REAL)", "NULL"),
        ("CAST(1 AS DECIMAL(10,2)) / CAST(0 AS DECIMAL(10,2))", "NULL"),
        ("CAST(1 AS DECIMAL(10,2)) % 0", "NULL"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("7 % -3", "1"),
        ("-7 % 3", "-1"),
        ("(1 / 0) IS NULL", "true"),
    ]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    check(&[
        ("9223372036854775807 + 1", "error"),
        ("-9223372036854775807 - 2", "error"),
        ("4611686018427387904 * 2", "error"),
        ("(-9223372036854775807 - 1) / -1", "error"),
        ("(-9223372036854775807 - 1) % -1", "0"),
        ("-(-9223372036854775807 - 1)", "error"),
        ("abs(-9223372036854775807 - 1)", "error"),
        ("CAST(2147483647 AS INT) + CAST(1 AS INT)", "error"),
        ("CAST(99 AS DECIMAL(38,0)) * CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0))", "error"),
    ]);
}

/// The expected values are DuckDB's; a case whose name says otherwise is our own rule.
#[test]
fn casts_are_those_of_duckdb() {
    check(&[
        ("CAST(CAST(2.5 AS DOUBLE) AS INT)", "2"),
        ("CAST(CAST(3.5 AS DOUBLE) AS INT)", "4"),
        ("CAST(CAST(-2.5 AS DOUBLE) AS INT)", "-2"),
        ("CAST(CAST('2.5' AS DECIMAL(2,1)) AS INT)", "3"),
        ("CAST(CAST('-2.5' AS DECIMAL(2,1)) AS INT)", "-3"),
        ("CAST(CAST('1.45' AS DECIMAL(5,2)) AS DECIMAL(5,1))", "1.5"),
        ("CAST(CAST('-1.45' AS DECIMAL(5,2)) AS DECIMAL(5,1))", "-1.5"),
        ("CAST(CAST(1.45 AS DOUBLE) AS DECIMAL(5,1))", "1.5"),
        ("CAST('2.5' AS INT)", "3"),
        ("CAST('-2.5' AS INT)", "-3"),
        ("CAST(' 12 ' AS INT)", "12"),
        ("CAST('1e3' AS INT)", "1000"),
        ("CAST('1.5e-2147483648' AS INT)", "0"),
        ("CAST('12x' AS INT)", "error"),
        ("TRY_CAST('12x' AS INT)", "NULL"),
        ("CAST('' AS INT)", "error"),
        ("CAST(300 AS TINYINT)", "error"),
        ("TRY_CAST(300 AS TINYINT)", "NULL"),
        ("CAST(CAST(127.5 AS DOUBLE) AS TINYINT)", "error"),
        ("CAST(CAST(127.4 AS DOUBLE) AS TINYINT)", "127"),
        ("CAST(CAST('nan' AS DOUBLE) AS INT)", "error"),
        ("CAST(CAST('1e300' AS DOUBLE) AS REAL)", "error"),
        ("CAST(true AS INT)", "1"),
        ("CAST(2 AS BOOLEAN)", "true"),
        ("CAST('t' AS BOOLEAN)", "true"),
        ("CAST('TRUE' AS BOOLEAN)", "true"),
        ("CAST('maybe' AS BOOLEAN)", "error"),
        ("CAST(CAST(0.1 AS DOUBLE) AS TEXT)", "0.1"),
        ("CAST(CAST('1e16' AS DOUBLE) AS TEXT)", "1e+16"),
        ("CAST(CAST('123456789012345' AS DOUBLE) AS TEXT)", "123456789012345.0"),
        ("CAST(CAST('1e-5' AS DOUBLE) AS TEXT)", "1e-05"),
        ("CAST(CAST(1 AS DOUBLE) AS TEXT)", "1.0"),
        ("CAST(CAST('1.1' AS DECIMAL(4,2)) AS TEXT)", "1.10"),
        ("CAST(true AS TEXT)", "true"),
        ("CAST(DATE '2024-02-29' AS TEXT)", "2024-02-29"),
        ("CAST(TIMESTAMP '2024-02-29 12:00:00' AS TEXT)", "2024-02-29 12:00:00"),
        ("CAST(TIMESTAMP '2024-02-29 12:00:00.120' AS TEXT)", "2024-02-29 12:00:00.12"),
        ("CAST(CAST('2024-02-29' AS DATE) AS TEXT)", "2024-02-29"),
        ("CAST('2024-02-30' AS DATE)", "error"),
        ("CAST(CAST(TIMESTAMP '2024-02-29 12:00:00' AS DATE) AS TEXT)", "2024-02-29"),
        ("CAST(CAST(DATE '2024-02-29' AS TIMESTAMP) AS TEXT)", "2024-02-29 00:00:00"),
        ("CAST(10 AS DECIMAL(2,1))", "error"),
        ("CAST(9 AS DECIMAL(2,1))", "9.0"),
        ("CAST('9.99' AS DECIMAL(3,1))", "10.0"),
        ("CAST('9.95' AS DECIMAL(3,1))", "10.0"),
        ("CAST('1,5' AS DECIMAL(3,1))", "error"),
        ("CAST(CAST(16777217 AS INT) AS REAL) = 16777216", "true"),
        ("CAST(DATE '2024-01-31' + INTERVAL '1 month' AS TEXT)", "2024-02-29 00:00:00"),
    ]);
}

/// Which texts are numbers, and which of them fit a type: text, as BIGINT, as DECIMAL(10,2).
#[test]
fn numbers_are_read_from_text() {
    let cases = [
        ("0", "0", "0.00"),
        ("-0", "0", "0.00"),
        ("+0", "0", "0.00"),
        ("007", "7", "7.00"),
        ("1.", "1", "1.00"),
        (".5", "1", "0.50"),
        ("+.5", "1", "0.50"),
        ("-.5", "-1", "-0.50"),
        ("-1.5", "-2", "-1.50"),
        ("1.005", "1", "1.01"),
        ("1.5e3", "1500", "1500.00"),
        ("1E-3", "0", "0.00"),
        ("1e+3", "1000", "1000.00"),
        ("12e-1", "1", "1.20"),
        ("0.0999e3", "100", "99.90"),
        (" 12 ", "12", "12.00"),
        ("\t1e1\n", "10", "10.00"),
        ("", "error", "error"),
        ("-", "error", "error"),
        ("+", "error", "error"),
        (".", "error", "error"),
        ("e1", "error", "error"),
        ("1e", "error", "error"),
        ("1e+", "error", "error"),
        ("1e1.5", "error", "error"),
        ("1e1e1", "error", "error"),
        ("--1", "error", "error"),
        ("+-1", "error", "error"),
        ("1.2.3", "error", "error"),
        ("1 0", "error", "error"),
        ("1_0", "error", "error"),
        ("0x1", "error", "error"),
        ("NaN", "error", "error"),
        ("inf", "error", "error"),
        ("١", "error", "error"),
        ("1e٣", "error", "error"),
        ("99999999.994", "100000000", "99999999.99"),
        ("99999999.995", "100000000", "error"),
        ("1e7", "10000000", "10000000.00"),
        ("1e8", "100000000", "error"),
        ("1e38", "error", "error"),
        ("1e99", "error", "error"),
        ("1e100", "error", "error"),
        ("1e2147483648", "error", "error"),
        ("1e99999999999999999999", "error", "error"),
        ("0e99", "0", "0.00"),
        ("0e100", "0", "0.00"),
        ("0e2147483648", "0", "0.00"),
        ("0e99999999999999999999", "0", "0.00"),
        ("1e-99", "0", "0.00"),
        ("1e-101", "0", "0.00"),
        ("1e-2147483648", "0", "0.00"),
        ("1.5e-2147483648", "0", "0.00"),
        ("1e-99999999999999999999", "0", "0.00"),
        ("9223372036854775807", "9223372036854775807", "error"),
        ("9223372036854775807.4", "9223372036854775807", "error"),
        ("9223372036854775807.5", "error", "error"),
        ("-9223372036854775808.4", "-9223372036854775808", "error"),
        ("92233720368547758.07e2", "9223372036854775807", "error"),
        ("0000000000000000000000000000000000000001", "1", "1.00"),
        ("0000000000000000000000000000000000000001.0", "1", "1.00"),
        ("1.000000000000000000000000000000000000", "1", "1.00"),
        ("0.1111111111111111111111111111111111111111111111111111111111111111111111111111111111", "0", "0.11"),
        ("28948022309329048855892746252171976963317496166410141009864396001978282409984.001", "error", "error"),
    ];
    for (text, integer, decimal) in cases {
        assert_eq!(value(&format!("CAST('{text}' AS BIGINT)")), integer, "{text:?} as BIGINT");
        assert_eq!(value(&format!("CAST('{text}' AS DECIMAL(10,2))")), decimal, "{text:?} as DECIMAL(10,2)");
    }
}

/// Zero is zero with any exponent, and what is far below a half rounds to it, as an integer and as a decimal.
#[test]
fn an_exponent_beyond_all_digits_is_no_error() {
    for text in ["0e99", "0e99999999999999999999", "1e-99", "1.5e-2147483648", "1e-99999999999999999999"] {
        check(&[(&format!("CAST('{text}' AS BIGINT)"), "0"), (&format!("CAST('{text}' AS DECIMAL(10,2))"), "0.00")]);
    }
}

/// Arrow multiplies modulo 2^256: 2^254 with a fraction was the decimal 0.00, and 78 digits after the point an error.
#[test]
fn a_text_of_many_digits_is_the_decimal_it_says_or_none() {
    let ones = "1".repeat(100);
    check(&[
        (
            "CAST('28948022309329048855892746252171976963317496166410141009864396001978282409984.001' AS DECIMAL(10,2))",
            "error",
        ),
        (&format!("CAST('0.{ones}' AS DECIMAL(10,2))"), "0.11"),
        (&format!("CAST('7.{ones}' AS BIGINT)"), "7"),
        (&format!("TRY_CAST('{ones}.5' AS DECIMAL(38,0))"), "NULL"),
    ]);
}

/// The number was taken for days and subtracted.
#[test]
fn a_date_joined_to_a_number_is_no_other_date() {
    check(&[
        ("DATE '2024-01-01' || 'a'", "2024-01-01a"),
        ("DATE '2024-01-01' || NULL", "NULL"),
        ("NULL || DATE '2024-01-01'", "NULL"),
        ("DATE '2024-01-01' - 1", "2023-12-31"),
    ]);
    let error = bind("SELECT DATE '2024-01-01' || 1 AS x").expect_err("it is neither text nor a sum");
    assert!(error.to_string().contains("Date32 || Int64"), "{error}");
}

#[test]
fn patterns() {
    check(&[
        ("'abc' LIKE 'a%'", "true"),
        ("'abc' LIKE 'A%'", "false"),
        ("'abc' ILIKE 'A%'", "true"),
        (r"'a%c' LIKE 'a\%c'", "true"),
        (r"'abc' LIKE 'a\%c'", "false"),
        ("'abc' NOT LIKE '_b_'", "false"),
        ("NULL LIKE 'a'", "NULL"),
        ("'abc' ~ '^a.c$'", "true"),
        ("'abc' ~ 'b'", "true"),
        ("'abc' ~* 'B'", "true"),
        ("'abc' !~ 'b'", "false"),
        ("regexp_like('abc', 'b+')", "true"),
        ("regexp_replace('aXbX', 'X', '-')", "a-bX"),
        ("regexp_replace('aXbx', 'X', '-', 'gi')", "a-b-"),
        (r"regexp_replace('ab', '(a)(b)', '\2\1\0')", "baab"),
        (r"regexp_replace('ab', '(a)', '\10\\1')", r"a0\1b"),
        (r"regexp_replace('a', 'a', '\%\1&\')", r"\%&\"),
        ("regexp_replace('a', '(a)', '$1${1}$$')", "$1${1}$$"),
        ("regexp_replace('a', 'a', NULL)", "NULL"),
    ]);
    // The patterns come from a column, and one of them is invalid on one row only.
    let relation = crate::lower::tests::context::relations().swap_remove(2);
    let text = |values: [&str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let numbers = Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef;
    let batch = RecordBatch::try_new(relation.schema, vec![Arc::clone(&numbers), numbers, text(["b", "x", "("])]);
    let scalar = scalar("SELECT 'abc' ~ c AS y FROM bag");
    let outcomes = outcomes(scalar.as_ref(), &batch.expect("the columns of the relation"));
    assert_eq!(outcomes[..2], [Ok("true".to_owned()), Ok("false".to_owned())]);
    assert!(outcomes[2].is_err());
}

#[test]
fn guards_decide_for_their_own_row() {
    check(&[
        ("false AND CAST('x' AS INT) > 0", "false"),
        ("true OR CAST('x' AS INT) > 0", "true"),
        ("NULL AND CAST('x' AS INT) > 0", "error"),
        ("true AND CAST('x' AS INT) > 0", "error"),
        ("CAST('x' AS INT) > 0 AND false", "error"),
        ("CASE WHEN true THEN 1 ELSE CAST('x' AS INT) END", "1"),
        ("coalesce(1, CAST('x' AS INT))", "1"),
        ("coalesce(NULL, CAST('x' AS INT))", "error"),
        ("NULL AND false", "false"),
        ("NULL OR true", "true"),
    ]);
}

/// Returns an operand with so many levels that the operators around it are in pieces of their own.
fn deep(before: &str, after: &str) -> String {
    format!("{before}{}x{}{after}", "abs(".repeat(7), ")".repeat(7))
}

#[test]
fn texts_tell_expressions_apart() {
    let text = |expr: &str| scalar(&format!("SELECT {expr} AS y FROM log")).text().to_owned();
    assert_eq!(text("x + 1"), text("log.x + 1"));
    for (one, other) in [
        ("x + 1", "tk + 1"),
        ("x = 1", "x <> 1"),
        ("CAST(x AS INT)", "CAST(x AS SMALLINT)"),
        ("'1'", "1"),
        ("x / 2", "x % 2"),
        ("list_contains([CAST(NULL AS BIGINT)], x)", "list_contains(CAST([] AS BIGINT[]), x)"),
        ("list_contains([NULL, NULL], x)", "list_contains([NULL], x)"),
        ("list_contains([[1, 2]], [x])", "list_contains([[1], [2]], [x])"),
        ("array_to_string(['a, b'], CAST(x AS VARCHAR))", "array_to_string(['a', 'b'], CAST(x AS VARCHAR))"),
        ("[{'a': 'x,b:y', 'b': 'z'}]", "[{'a': 'x', 'b': 'y,b:z'}]"),
        ("x & (tk | 1)", "(x & tk) | 1"),
        ("x << (tk << 1)", "(x << tk) << 1"),
        ("(x > 1) = ((x > 2) IS NULL)", "((x > 1) = (x > 2)) IS NULL"),
        ("((x > 1) = (x > 2)) = (x > 3)", "(x > 1) = ((x > 2) = (x > 3))"),
        ("NOT ((x > 1) IN (x > 2, NULL))", "(NOT (x > 1)) IN (x > 2, NULL)"),
        (&deep("x & (", " | 1)"), &deep("(x & ", ") | 1")),
    ] {
        assert_ne!(text(one), text(other));
    }
    assert_eq!(scalar("SELECT tk FROM log").column(), Some(1));
    assert_eq!(scalar("SELECT tk + 0 AS y FROM log").column(), None);
}

#[test]
fn either_zero_divides_to_null_and_nan_is_the_greatest() {
    let relation = crate::lower::tests::context::relations().swap_remove(0);
    let floats = Float64Array::from(vec![Some(-0.0), Some(0.0), Some(f64::NAN), None]);
    let batch = RecordBatch::try_new(
        relation.schema,
        vec![
            Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
            Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
            Arc::new(StringArray::from(vec!["a", "b", "c", "d"])),
            Arc::new(floats),
        ],
    )
    .expect("the columns of the relation");
    let run = |expr: &str| shown(&scalar(&format!("SELECT {expr} AS y FROM t")).evaluate(&batch).values);
    assert_eq!(run("v > 1e300"), ["false", "false", "true", "NULL"]);
    assert_eq!(run("1 / v IS NULL"), ["true", "true", "false", "true"]);
    assert_eq!(run("v = 0"), ["true", "true", "false", "NULL"]);
    assert_eq!(run("v < 0.0"), ["false", "false", "false", "NULL"]);
    assert_eq!(run("v BETWEEN 0 AND 1"), ["true", "true", "false", "NULL"]);
    assert_eq!(run("v IS DISTINCT FROM 0.0"), ["false", "false", "true", "true"]);
}

/// Makes rows of `t` with the floats `v`.
fn floats(v: &[Option<f64>]) -> RecordBatch {
    let relation = crate::lower::tests::context::relations().swap_remove(0);
    let numbers = Arc::new(Int64Array::from_iter_values(0..v.len() as i64)) as ArrayRef;
    let texts = Arc::new(StringArray::from(vec!["a"; v.len()]));
    let columns = vec![Arc::clone(&numbers), numbers, texts, Arc::new(Float64Array::from(v.to_vec())) as ArrayRef];
    RecordBatch::try_new(relation.schema, columns).expect("the columns of the relation")
}

fn odd_nan() -> f64 {
    f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1)
}

#[test]
fn all_nans_are_one_number() {
    let batch = floats(&[Some(f64::NAN), Some(odd_nan()), Some(1.0), None]);
    let run = |expr: &str| shown(&scalar(&format!("SELECT {expr} AS y FROM t")).evaluate(&batch).values);
    assert_eq!(run("v = CAST('NaN' AS DOUBLE)"), ["true", "true", "false", "NULL"]);
    assert_eq!(run("v > 1e300"), ["true", "true", "false", "NULL"]);
    assert_eq!(run("CAST(v AS REAL) = CAST('NaN' AS REAL)"), ["true", "true", "false", "NULL"]);
}

/// DataFusion looks up literals of long lists by their bits, which differ for equal numbers such as 0.0 and -0.0.
#[test]
fn a_number_is_in_a_list_exactly_when_it_equals_one_of_it() {
    let batch = floats(&[Some(0.0), Some(-0.0), Some(f64::NAN), Some(odd_nan()), Some(1.5), Some(7.0), None]);
    let items = ["0.0", "-0.0", "CAST('NaN' AS DOUBLE)", "1.5", "NULL", "2.0", "3.0", "v + 1", "4.0", "5.0", "6.0"];
    for column in ["v", "CAST(v AS REAL)", "abs(v)", "v * -1"] {
        for start in 0..items.len() {
            for length in [1, 2, 4, 9, 11] {
                let list: Vec<_> = items.iter().cycle().skip(start).take(length).copied().collect();
                for not in ["", "NOT "] {
                    let in_list = format!("{column} {not}IN ({})", list.join(", "));
                    let equal: Vec<_> = list.iter().map(|item| format!("{column} = {item}")).collect();
                    let chain = format!("{not}({})", equal.join(" OR "));
                    let run = |expr: &str| outcomes(scalar(&format!("SELECT {expr} AS y FROM t")).as_ref(), &batch);
                    assert_eq!(run(&in_list), run(&chain), "{in_list}");
                }
            }
        }
    }
}

/// The list's table of literals must be made after its casts are replaced by ours.
#[test]
fn casts_in_a_list_round() {
    let batch = floats(&[Some(2.75)]);
    let run = |expr: &str| shown(&scalar(&format!("SELECT {expr} AS y FROM t")).evaluate(&batch).values);
    for list in ["CAST(v AS BIGINT)", "CAST(2.75 AS BIGINT), 100, 101, 102", "CAST(2.75 AS BIGINT)"] {
        assert_eq!(run(&format!("k + 3 IN ({list})")), ["true"], "{list}");
        assert_eq!(run(&format!("k + 2 IN ({list})")), ["false"], "{list}");
    }
}

#[test]
fn case_and_nullif_compare_as_equality_does() {
    let batch = floats(&[Some(0.0), Some(-0.0), Some(f64::NAN), Some(odd_nan()), Some(1.5), None]);
    let run = |expr: &str| shown(&scalar(&format!("SELECT {expr} AS y FROM t")).evaluate(&batch).values);
    let nan = "CAST('NaN' AS DOUBLE)";
    assert_eq!(
        run(&format!("CASE v WHEN -0.0 THEN 'zero' WHEN {nan} THEN 'nan' WHEN 1.5 THEN 'more' ELSE 'none' END")),
        ["zero", "zero", "nan", "nan", "more", "none"]
    );
    assert_eq!(run("CASE v WHEN v * 0 THEN 1 ELSE 2 END"), ["1", "1", "1", "1", "2", "2"]);
    assert_eq!(run("nullif(v, 0.0) IS NULL"), ["true", "true", "false", "false", "false", "true"]);
    assert_eq!(run(&format!("nullif(v, {nan}) IS NULL")), ["false", "false", "true", "true", "false", "true"]);
    // An operand of another type is compared by the usual rules.
    let texts = "CASE s WHEN 'a' THEN 'one' WHEN 'b' THEN 'two' WHEN 'c' THEN 'three' END";
    assert_eq!(run(texts), ["one"; 6]);
}

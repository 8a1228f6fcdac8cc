//! Tests each rule on random expressions over a grid of values: values, NULLs and failing rows must stay the same.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, IntervalMonthDayNanoArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{Expr, binary_expr, cast, col, in_list, lit, when};

use crate::rewrite::can_fail::can_fail;
use crate::rewrite::conditions::{all, movable};
use crate::rewrite::factor_disjunction::factored;
use crate::rewrite::fold_constants::fold;
use crate::rewrite::gather_in_list::gathered;
use crate::rewrite::guard_aggregate::under;
use crate::rewrite::simplify_boolean::simplified;
use crate::scalar;
use datafusion::common::tree_node::TreeNode;

/// Draws pseudo-random numbers; the same seed gives the same numbers.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // The multiplier and increment are those of Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

/// Returns the number of cases, multiplied by the factor in the environment if it is set.
fn cases(number: u64) -> u64 {
    let factor = std::env::var("LAMINARDB_TEST_CASES_FACTOR").ok().and_then(|factor| factor.parse::<u64>().ok());
    number * factor.unwrap_or(1)
}

/// Makes a batch of all combinations of three truth values; the values of the other types are taken in turn.
fn grid() -> RecordBatch {
    const ROWS: usize = 27 * 7;
    let truth = |row: usize| [Some(true), Some(false), None][row % 3];
    let pick = |row: usize, turns: usize, of: usize| (row / turns + row / 27) % of;
    let integers = [Some(1), Some(2), None, Some(i64::MAX), Some(i64::MIN), Some(0), Some(-1)];
    let floats = [Some(0.0), Some(-0.0), Some(f64::NAN), None, Some(2.5)];
    let texts = [Some("7"), Some("a%"), None, Some("a\\b"), Some("")];
    let decimals = [Some(150), None, Some(-150), Some(9_999_999_999), Some(0)];
    let times = [Some(500_000), None, Some(253_370_764_800_000_000), Some(-1), Some(0)];
    let span = |months, days, nanoseconds| Some(IntervalMonthDayNano { months, days, nanoseconds });
    let spans = [span(1, 0, 0), span(0, 30, 0), None, span(0, 0, 86_400_000_000_000), span(0, 1, 0)];
    let rows = || 0..ROWS;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("p", Arc::new(BooleanArray::from_iter(rows().map(truth)))),
        ("q", Arc::new(BooleanArray::from_iter(rows().map(|row| truth(row / 3))))),
        ("r", Arc::new(BooleanArray::from_iter(rows().map(|row| truth(row / 9))))),
        ("x", Arc::new(Int64Array::from_iter(rows().map(|row| integers[pick(row, 1, 7)])))),
        ("f", Arc::new(Float64Array::from_iter(rows().map(|row| floats[pick(row, 2, 5)])))),
        ("s", Arc::new(StringArray::from_iter(rows().map(|row| texts[pick(row, 3, 5)])))),
        (
            "d",
            Arc::new(
                Decimal128Array::from_iter(rows().map(|row| decimals[pick(row, 5, 5)]))
                    .with_precision_and_scale(10, 2)
                    .expect("digits that fit"),
            ),
        ),
        ("t", Arc::new(TimestampMicrosecondArray::from_iter(rows().map(|row| times[pick(row, 7, 5)])))),
        ("i", Arc::new(IntervalMonthDayNanoArray::from_iter(rows().map(|row| spans[pick(row, 4, 5)])))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, values)| (name, values, true)))
        .expect("columns of one length")
}

/// Draws a Boolean expression over the columns of [`grid`].
fn condition(draw: &mut Draw, depth: usize) -> Expr {
    if depth == 0 || draw.below(5) == 0 {
        return leaf(draw);
    }
    let part = |draw: &mut Draw| condition(draw, depth - 1);
    match draw.below(12) {
        0..=3 => part(draw).and(part(draw)),
        4..=7 => part(draw).or(part(draw)),
        8 | 9 => Expr::Not(Box::new(part(draw))),
        10 => part(draw).is_null(),
        _ => when(part(draw), part(draw)).otherwise(part(draw)).expect("a CASE of Booleans"),
    }
}

fn leaf(draw: &mut Draw) -> Expr {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    let comparison = draw.of(&[Eq, Eq, Eq, NotEq, Lt, LtEq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom]);
    let truth = |value| Expr::Literal(ScalarValue::Boolean(value), None);
    match draw.below(16) {
        0..=3 => col(draw.of(&["p", "q", "r"])),
        4 => truth(draw.of(&[Some(true), Some(false), None])),
        5 | 6 => binary_expr(col("x"), comparison, lit(draw.of(&[0i64, 1, 2, i64::MAX]))),
        7 => binary_expr(col("f"), comparison, lit(draw.of(&[0.0, -0.0, f64::NAN, 2.5]))),
        8 => binary_expr(lit(draw.of(&["7", "a%", ""])), comparison, col("s")),
        9 => binary_expr(col("d"), comparison, Expr::Literal(ScalarValue::Decimal128(Some(150), 10, 2), None)),
        10 => {
            let times = [Some(500_000), Some(0), None];
            binary_expr(
                col("t"),
                comparison,
                Expr::Literal(ScalarValue::TimestampMicrosecond(draw.of(&times), None), None),
            )
        }
        11 => in_list(col("x"), vec![lit(1i64), lit(draw.of(&[0i64, 2]))], draw.below(2) == 0),
        12 => Expr::Like(Like::new(draw.below(2) == 0, Box::new(col("s")), Box::new(lit("a%")), None, false)),
        13 => col("x").between(lit(0i64), lit(2i64)),
        // The first fails on some rows, the second on every row that evaluates it.
        14 => binary_expr(cast(col("s"), DataType::Int64), comparison, lit(draw.of(&[1i64, 7]))),
        _ => match draw.below(3) {
            0 => binary_expr(cast(lit("no number"), DataType::Int64), comparison, lit(1i64)),
            _ => binary_expr(col("x") + lit(1i64), comparison, lit(1i64)),
        },
    }
}

/// Returns the outcome of a condition for each row: a value, or that it fails.
fn outcomes(expr: &Expr, schema: &DFSchema, batch: &RecordBatch) -> Vec<Result<Option<bool>, ()>> {
    let evaluated = scalar::compile(expr, schema).unwrap_or_else(|error| panic!("{expr}: {error}")).evaluate(batch);
    let values = evaluated.values.as_boolean();
    let mut outcomes: Vec<_> =
        (0..batch.num_rows()).map(|row| Ok((!values.is_null(row)).then(|| values.value(row)))).collect();
    for error in evaluated.errors {
        outcomes[error.row] = Err(());
    }
    outcomes
}

fn schema_of(batch: &RecordBatch) -> DFSchema {
    DFSchema::try_from(batch.schema().as_ref().clone()).expect("distinct names")
}

/// Compares random conditions with what `rewrite` makes of them; it must rewrite at least some.
fn check(rewrite: impl Fn(&Expr, &DFSchema) -> Option<Expr>) {
    check_drawn(|draw| condition(draw, 4), rewrite);
}

fn check_drawn(draw: impl Fn(&mut Draw) -> Expr, rewrite: impl Fn(&Expr, &DFSchema) -> Option<Expr>) {
    let batch = grid();
    let schema = schema_of(&batch);
    let mut rewritten = 0;
    for seed in 0..cases(200) {
        let expr = draw(&mut Draw(seed));
        let Some(other) = rewrite(&expr, &schema) else { continue };
        if other == expr {
            continue;
        }
        rewritten += 1;
        let (before, after) = (outcomes(&expr, &schema, &batch), outcomes(&other, &schema, &batch));
        let differs = before.iter().zip(&after).position(|(before, after)| before != after);
        if let Some(row) = differs {
            let values = batch.slice(row, 1);
            panic!("seed {seed}: {expr}\nbecame {other}\n{:?} became {:?} for {values:?}", before[row], after[row]);
        }
    }
    assert!(rewritten > 4, "only {rewritten} conditions were rewritten");
}

#[test]
fn simplified_conditions_are_the_same() {
    check(|expr, schema| Some(simplified(expr.clone(), schema).expect("a condition").data));
}

/// Draws a chain of OR whose operands mostly test the same value.
fn chain(draw: &mut Draw) -> Expr {
    let literal =
        |draw: &mut Draw| Expr::Literal(ScalarValue::Int64(draw.of(&[Some(0), Some(1), Some(-1), None])), None);
    let operand = |draw: &mut Draw| match draw.below(8) {
        0..=2 => col("x").eq(literal(draw)),
        3 | 4 => literal(draw).eq(col("x")),
        5 | 6 => in_list(col("x"), vec![literal(draw), literal(draw)], draw.below(4) == 0),
        _ => leaf(draw),
    };
    (0..2 + draw.below(3)).map(|_| operand(draw)).reduce(Expr::or).expect("at least two operands")
}

#[test]
fn gathered_lists_are_the_same() {
    check_drawn(chain, |expr, _| {
        let gathered = expr.clone().transform_down(|expr| Ok(gathered(expr)));
        Some(gathered.expect("a condition").data)
    });
}

#[test]
fn factored_disjunctions_are_the_same() {
    // Few random disjunctions share something, so the same conjunct is added to each branch.
    check(|expr, schema| {
        let shared = |branch: Expr| col("q").and(branch);
        let both = shared(expr.clone()).or(shared(col("p")));
        let (factored, batch) = (factored(&both, schema)?, grid());
        assert_eq!(outcomes(&both, schema, &batch), outcomes(&factored, schema, &batch), "{both}\n{factored}");
        Some(expr.clone().or(lit(false)))
    });
}

#[test]
fn folded_constants_are_the_same() {
    check(|expr, _| fold(expr.clone(), true).ok().map(|folded| folded.data));
}

#[test]
fn what_can_be_moved_is_the_same_together() {
    check(|expr, schema| all(movable(expr.clone(), schema)));
}

/// Evaluates each movable condition as a separate filter: no row passes or fails that the conjunction keeps out.
#[test]
fn what_can_be_moved_fails_only_where_the_whole_does() {
    let batch = grid();
    let schema = schema_of(&batch);
    for seed in 0..cases(200) {
        let parts: Vec<Expr> = (0..3).map(|part| condition(&mut Draw(seed * 3 + part), 1)).collect();
        let whole = all(parts).expect("three parts");
        let expected = outcomes(&whole, &schema, &batch);
        // A condition over the same columns stays before this one, because `push_down_filter` keeps the order.
        let conditions = movable(whole.clone(), &schema);
        for (at, condition) in conditions.iter().enumerate() {
            let columns = condition.column_refs();
            let before = conditions[..at].iter().filter(|other| other.column_refs().is_subset(&columns));
            let alone = all(before.chain([condition]).cloned()).expect("a condition");
            for (row, outcome) in outcomes(&alone, &schema, &batch).into_iter().enumerate() {
                let fails_alone = outcome.is_err() && expected[row].is_ok();
                let lost = expected[row] == Ok(Some(true)) && outcome != Ok(Some(true));
                assert!(!fails_alone && !lost, "seed {seed}: {whole}\n{alone}\nrow {row}: {:?}", batch.slice(row, 1));
            }
        }
    }
}

#[test]
fn what_cannot_fail_does_not() {
    let batch = grid();
    let schema = schema_of(&batch);
    let mut safe = 0;
    for seed in 0..cases(200) {
        let expr = condition(&mut Draw(seed), 3);
        if !can_fail(&expr, &schema) {
            safe += 1;
            assert!(outcomes(&expr, &schema, &batch).iter().all(Result::is_ok), "{expr}");
        }
    }
    assert!(safe > 20, "only {safe} of the conditions are said not to fail");
}

#[test]
fn a_guarded_argument_is_that_where_the_filter_holds() {
    let batch = grid();
    let schema = schema_of(&batch);
    for seed in 0..cases(60) {
        let (filter, argument) = (condition(&mut Draw(seed), 2), condition(&mut Draw(seed + 500), 2));
        let guarded = outcomes(&under(argument.clone(), filter.clone()), &schema, &batch);
        let (filtered, plain) = (outcomes(&filter, &schema, &batch), outcomes(&argument, &schema, &batch));
        for row in 0..batch.num_rows() {
            let expected = match filtered[row] {
                Ok(Some(true)) => plain[row],
                Ok(_) => Ok(None),
                Err(()) => Err(()),
            };
            assert_eq!(guarded[row], expected, "{argument} under {filter}");
        }
    }
}

//! Random expressions, by type, over the columns in scope.

use laminardb_tests::random::Random;

/// What a column holds. Decimals have their scale fixed, so that set operations and views on views stay plannable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Integer,
    Text,
    Double,
    Decimal,
    Boolean,
    Date,
    Timestamp,
}

/// All of them.
pub(crate) const TYPES: [Type; 7] =
    [Type::Integer, Type::Text, Type::Double, Type::Decimal, Type::Boolean, Type::Date, Type::Timestamp];

/// Column names as they are written in a query, and their types.
pub(crate) type Scope = Vec<(String, Type)>;

impl Type {
    /// Its name in SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Type::Integer => "BIGINT",
            Type::Text => "VARCHAR",
            Type::Double => "DOUBLE",
            Type::Decimal => "DECIMAL(12, 2)",
            Type::Boolean => "BOOLEAN",
            Type::Date => "DATE",
            Type::Timestamp => "TIMESTAMP",
        }
    }

    /// One of few values, so that keys meet.
    pub(crate) fn literal(self, random: &mut Random) -> String {
        match self {
            Type::Integer => (random.below(8) as i64 - 3).to_string(),
            Type::Text => format!("'{}'", random.pick(&["", "a", "b", "ab", "Ab", "ü", "a longer text than the rest"])),
            Type::Double => (*random.pick(&[
                "0.0",
                "CAST('-0.0' AS DOUBLE)",
                "CAST('NaN' AS DOUBLE)",
                "CAST('Infinity' AS DOUBLE)",
                "CAST('-Infinity' AS DOUBLE)",
                "1.5",
                "-2.25",
                "0.1",
                "1e300",
                "3e-310",
            ]))
            .to_owned(),
            Type::Decimal => {
                format!("CAST('{}' AS {})", random.pick(&["0", "0.10", "-0.10", "7.35", "12345678.90"]), self.sql())
            }
            Type::Boolean => (*random.pick(&["TRUE", "FALSE"])).to_owned(),
            Type::Date => format!("DATE '{}'", random.pick(&["1969-12-31", "2024-02-29", "2024-03-01", "0044-03-15"])),
            Type::Timestamp => format!(
                "TIMESTAMP '{}'",
                random.pick(&["1969-12-31 23:59:59.999999", "2024-02-29 12:00:00", "2024-03-01 00:00:00"])
            ),
        }
    }

    /// The same or NULL.
    pub(crate) fn value(self, random: &mut Random) -> String {
        if random.once_in(7) { "NULL".to_owned() } else { self.literal(random) }
    }
}

/// A column of the type, if there is one.
pub(crate) fn column(random: &mut Random, scope: &Scope, wanted: Type) -> Option<String> {
    let there: Vec<&String> = scope.iter().filter(|(_, of)| *of == wanted).map(|(name, _)| name).collect();
    if there.is_empty() { None } else { Some((*random.pick(&there)).clone()) }
}

/// An expression of the type; `depth` bounds how it nests.
pub(crate) fn expression(random: &mut Random, scope: &Scope, wanted: Type, depth: usize) -> String {
    let leaf = match column(random, scope, wanted) {
        Some(column) => column,
        None => format!("CAST({} AS {})", wanted.literal(random), wanted.sql()),
    };
    if depth == 0 || random.once_in(2) {
        return leaf;
    }
    let depth = depth - 1;
    match random.below(6) {
        0 => {
            let other = expression(random, scope, wanted, depth);
            return format!("coalesce({leaf}, {other})");
        }
        1 => {
            let (condition, other) = (predicate(random, scope, depth), expression(random, scope, wanted, depth));
            return format!("CASE WHEN {condition} THEN {leaf} ELSE {other} END");
        }
        2 => {
            let other = wanted.literal(random);
            return format!("nullif({leaf}, {other})");
        }
        _ => {}
    }
    if let Some(from) = cast(random, scope, wanted) {
        return from;
    }
    let forms: &[&str] = match wanted {
        Type::Integer => &["(@ + 1)", "(@ * 2)", "(- @)", "(@ % 3)", "(@ / 2)", "(3 / @)", "abs(@)"],
        Type::Text => &["(@ || 'q')", "upper(@)", "substr(@, 1, 2)", "trim(@)", "replace(@, 'a', 'b')", "lower(@)"],
        Type::Double => &["(@ * 2.0)", "(@ + 0.5)", "(- @)", "abs(@)", "(@ / 3.0)", "(1.0 / @)", "floor(@)"],
        Type::Decimal => &["(- @)", "abs(@)"],
        Type::Boolean => &["(NOT @)", "(@ IS TRUE)", "(@ IS NOT FALSE)"],
        Type::Date => &["(@ + 1)", "(@ - 30)"],
        Type::Timestamp => &["(@ + INTERVAL '1 hour')", "date_trunc('month', @)", "(@ - INTERVAL '1 month')"],
    };
    random.pick(forms).replace('@', &leaf)
}

/// A value of another type made one of this, now and then.
fn cast(random: &mut Random, scope: &Scope, wanted: Type) -> Option<String> {
    if !random.once_in(3) {
        return None;
    }
    let (from, form) = match wanted {
        Type::Integer => *random.pick(&[
            (Type::Text, "length(@)"),
            (Type::Date, "CAST(extract(year FROM @) AS BIGINT)"),
            (Type::Boolean, "CAST(@ AS BIGINT)"),
            (Type::Decimal, "CAST(@ AS BIGINT)"),
        ]),
        Type::Text => *random.pick(&[
            (Type::Integer, "CAST(@ AS VARCHAR)"),
            (Type::Decimal, "CAST(@ AS VARCHAR)"),
            (Type::Date, "CAST(@ AS VARCHAR)"),
            (Type::Boolean, "CAST(@ AS VARCHAR)"),
        ]),
        Type::Double => *random.pick(&[(Type::Integer, "CAST(@ AS DOUBLE)"), (Type::Decimal, "CAST(@ AS DOUBLE)")]),
        Type::Decimal => (Type::Integer, "CAST(@ AS DECIMAL(12, 2))"),
        Type::Boolean => return Some(predicate(random, scope, 0)),
        Type::Date => (Type::Timestamp, "CAST(@ AS DATE)"),
        Type::Timestamp => (Type::Date, "CAST(@ AS TIMESTAMP)"),
    };
    column(random, scope, from).map(|column| form.replace('@', &column))
}

/// A condition over the columns in scope.
pub(crate) fn predicate(random: &mut Random, scope: &Scope, depth: usize) -> String {
    if depth > 0 && random.once_in(3) {
        let one = predicate(random, scope, depth - 1);
        let other = predicate(random, scope, depth - 1);
        return match random.below(3) {
            0 => format!("({one} AND {other})"),
            1 => format!("({one} OR {other})"),
            _ => format!("(NOT {one})"),
        };
    }
    let wanted = random.pick(scope).1;
    let left = expression(random, scope, wanted, depth);
    let comparisons = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
    match (random.below(7), wanted) {
        (0, _) => format!("({left} IS NULL)"),
        (1, _) => format!("({left} IS NOT NULL)"),
        (2, Type::Text) => format!("({left} LIKE '{}')", random.pick(&["a%", "%b", "_", "%longer%"])),
        (2, Type::Boolean) => left,
        (2, _) => format!("({left} BETWEEN {} AND {})", wanted.literal(random), wanted.literal(random)),
        (3, Type::Integer | Type::Text | Type::Date) => {
            format!("({left} IN ({}, {}))", wanted.literal(random), wanted.literal(random))
        }
        (4, _) => {
            let right = expression(random, scope, wanted, depth);
            format!("({left} {} {right})", random.pick(&comparisons))
        }
        _ => format!("({left} {} {})", random.pick(&comparisons), wanted.literal(random)),
    }
}

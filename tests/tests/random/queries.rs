//! Random queries of every supported shape, over relations and views.

use laminardb_tests::random::Random;

use crate::expressions::{Scope, TYPES, Type, column, expression, predicate};

/// What a query may read.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// Its name.
    pub(crate) name: String,
    /// What it stands for in a query that reads no view.
    pub(crate) flat: String,
    /// Its columns.
    pub(crate) columns: Vec<(String, Type)>,
    /// Joins of joins would be too large to recompute at each step.
    pub(crate) large: bool,
}

impl Relation {
    fn scope(&self, alias: &str) -> Scope {
        self.columns.iter().map(|(name, of)| (format!("{alias}.{name}"), *of)).collect()
    }
}

/// A query, and the same one without views.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// As the view is defined.
    pub(crate) text: String,
    /// With the definitions of the views in place of their names.
    pub(crate) flat: String,
    /// What it gives.
    pub(crate) columns: Vec<(String, Type)>,
    /// The names it reads.
    pub(crate) reads: Vec<String>,
    large: bool,
}

impl Query {
    /// The view of this query.
    pub(crate) fn relation(&self, name: &str) -> Relation {
        let (flat, columns) = (format!("({})", self.flat), self.columns.clone());
        Relation { name: name.to_owned(), flat, columns, large: self.large }
    }
}

/// Expressions and the types that they have.
type Select = Vec<(String, Type)>;

/// A query under construction: `{n}` stands for the nth relation read.
struct Draft<'a> {
    random: &'a mut Random,
    relations: &'a [Relation],
    read: Vec<Relation>,
    large: bool,
}

/// A random query over `relations`.
pub(crate) fn query(random: &mut Random, relations: &[Relation]) -> Query {
    let mut draft = Draft { random, relations, read: Vec::new(), large: false };
    let (text, columns) = match draft.random.below(10) {
        0 | 1 => draft.linear(),
        2 | 3 => draft.aggregate(),
        4 => draft.distinct(),
        5 => draft.set_operation(),
        6 | 7 => draft.join(),
        8 => draft.subquery(),
        _ => draft.top_k(),
    };
    let with = |of: fn(&Relation) -> &str| {
        let parts = draft.read.iter().enumerate();
        parts.fold(text.clone(), |text, (idx, relation)| text.replace(&format!("{{{idx}}}"), of(relation)))
    };
    let reads = draft.read.iter().map(|relation| relation.name.clone()).collect();
    Query { text: with(|r| &r.name), flat: with(|r| &r.flat), columns, reads, large: draft.large }
}

/// `one AS c0, other AS c1`, and what that gives.
fn listed(select: Select) -> (String, Vec<(String, Type)>) {
    let text: Vec<String> = select.iter().enumerate().map(|(idx, (text, _))| format!("{text} AS c{idx}")).collect();
    (text.join(", "), select.into_iter().enumerate().map(|(idx, (_, of))| (format!("c{idx}"), of)).collect())
}

impl Draft<'_> {
    /// A relation to read, as `{n} AS alias`, and its columns.
    fn from(&mut self, alias: &str) -> (String, Scope) {
        let joined = alias != "l" || self.large;
        let may_read: Vec<&Relation> = self.relations.iter().filter(|relation| !(joined && relation.large)).collect();
        let relation = (*self.random.pick::<&Relation>(&may_read)).clone();
        let scope = relation.scope(alias);
        self.large |= relation.large;
        self.read.push(relation);
        (format!("{{{}}} AS {alias}", self.read.len() - 1), scope)
    }

    /// `WHERE` a condition, or nothing.
    fn filter(&mut self, scope: &Scope) -> String {
        if self.random.once_in(2) {
            return String::new();
        }
        format!(" WHERE {}", predicate(self.random, scope, 2))
    }

    /// Some expressions; of a type that is in scope three times in four.
    fn expressions(&mut self, scope: &Scope, count: usize) -> Select {
        let of = |random: &mut Random| if random.once_in(4) { *random.pick(&TYPES) } else { random.pick(scope).1 };
        let one = |_| {
            let of = of(self.random);
            (expression(self.random, scope, of, 2), of)
        };
        (0..count).map(one).collect()
    }

    fn linear(&mut self) -> (String, Vec<(String, Type)>) {
        let (from, scope) = self.from("l");
        let count = 1 + self.random.below(4);
        let (select, columns) = listed(self.expressions(&scope, count));
        let filter = self.filter(&scope);
        (format!("SELECT {select} FROM {from}{filter}"), columns)
    }

    fn distinct(&mut self) -> (String, Vec<(String, Type)>) {
        let (text, columns) = self.linear();
        (text.replacen("SELECT", "SELECT DISTINCT", 1), columns)
    }

    fn top_k(&mut self) -> (String, Vec<(String, Type)>) {
        let (text, columns) = self.linear();
        let mut order: Vec<String> = Vec::new();
        // By every column, so that rows that tie are equal.
        for (name, _) in &columns {
            let direction = self.random.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            let place = self.random.below(order.len() + 1);
            order.insert(place, format!("{name}{direction}"));
        }
        let offset = if self.random.once_in(2) { " OFFSET 2" } else { "" };
        (format!("{text} ORDER BY {} LIMIT {}{offset}", order.join(", "), 1 + self.random.below(5)), columns)
    }

    fn aggregate(&mut self) -> (String, Vec<(String, Type)>) {
        let (from, scope) = self.from("l");
        let filter = self.filter(&scope);
        self.grouped(&scope, &format!("{from}{filter}"))
    }

    /// Groups of what `from` gives.
    fn grouped(&mut self, scope: &Scope, from: &str) -> (String, Vec<(String, Type)>) {
        let keys = self.random.below(3);
        let keys = self.expressions(scope, keys);
        let mut select = keys.clone();
        for _ in 0..=self.random.below(3) {
            select.push(self.aggregate_of(scope));
        }
        let (select, columns) = listed(select);
        let mut text = format!("SELECT {select} FROM {from}");
        if !keys.is_empty() {
            let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
            text += &format!(" GROUP BY {}", places.join(", "));
            if self.random.once_in(4) {
                text += *self.random.pick(&[" HAVING count(*) > 1", " HAVING count(*) % 2 = 0"]);
            }
        }
        (text, columns)
    }

    fn aggregate_of(&mut self, scope: &Scope) -> (String, Type) {
        let of = self.random.pick(scope).1;
        let argument = expression(self.random, scope, of, 1);
        let distinct = if self.random.once_in(4) { "DISTINCT " } else { "" };
        let number = matches!(of, Type::Integer | Type::Double | Type::Decimal);
        let moments = ["avg", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "stddev", "avg"];
        let (text, gives) = match self.random.below(8) {
            0 => ("count(*)".to_owned(), Type::Integer),
            1 => (format!("count({distinct}{argument})"), Type::Integer),
            2 | 3 if of == Type::Decimal => {
                (format!("CAST(sum({distinct}{argument}) AS {})", Type::Decimal.sql()), Type::Decimal)
            }
            2 | 3 if number => (format!("sum({distinct}{argument})"), of),
            4 | 5 if number => (format!("{}({distinct}{argument})", self.random.pick(&moments)), Type::Double),
            2..=5 if of == Type::Boolean => {
                (format!("{}({argument})", self.random.pick(&["bool_and", "bool_or", "every"])), Type::Boolean)
            }
            _ => (format!("{}({argument})", self.random.pick(&["min", "max"])), of),
        };
        if text.starts_with("CAST") || !self.random.once_in(4) {
            return (text, gives);
        }
        let condition = predicate(self.random, scope, 1);
        (format!("{text} FILTER (WHERE {condition})"), gives)
    }

    fn set_operation(&mut self) -> (String, Vec<(String, Type)>) {
        let (from, scope) = self.from("l");
        let (other_from, other_scope) = self.from("r");
        let (mut select, mut other) = (Vec::new(), Vec::new());
        for _ in 0..=self.random.below(2) {
            let of = self.random.pick(&scope).1;
            select.push((expression(self.random, &scope, of, 1), of));
            other.push((expression(self.random, &other_scope, of, 1), of));
        }
        let operator = ["UNION", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL"];
        let operator = *self.random.pick(&operator);
        let (filter, other_filter) = (self.filter(&scope), self.filter(&other_scope));
        let ((select, columns), (other, _)) = (listed(select), listed(other));
        (
            format!("SELECT {select} FROM {from}{filter} {operator} SELECT {other} FROM {other_from}{other_filter}"),
            columns,
        )
    }

    /// `left.x = right.y` of a type that both have.
    fn equal(&mut self, left: &Scope, right: &Scope) -> String {
        let both: Vec<Type> =
            TYPES.into_iter().filter(|of| [left, right].iter().all(|s| s.iter().any(|(_, o)| o == of))).collect();
        if both.is_empty() {
            return "TRUE".to_owned();
        }
        let of = *self.random.pick(&both);
        let operator = if self.random.once_in(6) { "IS NOT DISTINCT FROM" } else { "=" };
        let one = column(self.random, left, of).expect("the type is there");
        let other = column(self.random, right, of).expect("the type is there");
        format!("{one} {operator} {other}")
    }

    fn join(&mut self) -> (String, Vec<(String, Type)>) {
        let (left_from, left) = self.from("l");
        let (right_from, right) = self.from("r");
        let both: Scope = left.iter().chain(&right).cloned().collect();
        let mut on = self.equal(&left, &right);
        if self.random.once_in(3) {
            on = format!("{on} AND {}", predicate(self.random, &both, 1));
        }
        let kind = *self.random.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let from = format!("{left_from} {kind} {right_from} ON {on}");
        let filter = if self.random.once_in(2) { self.filter(&both) } else { String::new() };
        if self.random.once_in(3) {
            return self.grouped(&both, &format!("{from}{filter}"));
        }
        self.large = true;
        let count = 1 + self.random.below(4);
        let (select, columns) = listed(self.expressions(&both, count));
        (format!("SELECT {select} FROM {from}{filter}"), columns)
    }

    /// A condition, or a value, from a subquery.
    fn subquery(&mut self) -> (String, Vec<(String, Type)>) {
        let (from, scope) = self.from("l");
        let (other_from, other) = self.from("r");
        let equal = self.equal(&scope, &other).replace("IS NOT DISTINCT FROM", "=");
        let count = 1 + self.random.below(3);
        let mut select = self.expressions(&scope, count);
        let not = *self.random.pick(&["", "NOT "]);
        let of = self.random.pick(&other).1;
        let inner = column(self.random, &other, of).expect("the type is there");
        let outer = expression(self.random, &scope, of, 0);
        let inner_filter = self.filter(&other);
        let condition = match self.random.below(5) {
            0 => format!("{not}EXISTS (SELECT 1 FROM {other_from} WHERE {equal})"),
            1 => format!("{outer} {not}IN (SELECT {inner} FROM {other_from}{inner_filter})"),
            2 => format!("{outer} <= (SELECT max({inner}) FROM {other_from}{inner_filter})"),
            3 => format!("(SELECT count(*) FROM {other_from} WHERE {equal}) > 1"),
            _ => {
                select.push((format!("(SELECT min({inner}) FROM {other_from} WHERE {equal})"), of));
                "TRUE".to_owned()
            }
        };
        let (select, columns) = listed(select);
        (format!("SELECT {select} FROM {from} WHERE {condition}"), columns)
    }
}

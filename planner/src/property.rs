//! Facts about the rows of each plan node: unique keys, whether rows are ever deleted, NULLs, and an estimated number
//! of rows.
//!
//! Everything here is derived from what the store enforces (primary keys, NOT NULL, append-only sources) and from the
//! operators; nothing is assumed about computed columns. NULLs count as equal in a unique key.

use arrow::datatypes::Schema;
use laminardb_dataflow::CollectionId;
use laminardb_dataflow::plan::{
    Arrangement, Join, JoinColumn, Linear, NodeId, Operator, Reduce, SemiJoinKind, SetOperator, Step, TopK,
};

/// Row count assumed for a relation of unknown size; only ratios between estimates matter.
const UNKNOWN_ROWS: f64 = 1000.0;
/// Share of rows that a filter is assumed to keep.
const FILTERED: f64 = 0.25;
/// Maximum number of unique keys kept per node; without it, joins would multiply them without bound.
const MOST_KEYS: usize = 8;

/// Facts about the rows of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Properties {
    /// Sets of columns, each ascending; no two rows agree on all columns of a set. An empty set means at most one row.
    pub unique_keys: Vec<Vec<usize>>,
    /// Whether rows are never deleted.
    pub append_only: bool,
    /// For each column, whether it can be NULL.
    pub nullable: Vec<bool>,
    /// For each column, whether it is known to have the same value in all rows.
    pub constant: Vec<bool>,
    /// Whether the node only filters, projects and unites relations, so that no state needs to be kept for it.
    pub linear: bool,
    /// Estimated number of rows, used to order joins.
    pub rows: f64,
    /// Estimated share of the underlying rows that the filters keep.
    pub kept: f64,
}

impl Properties {
    /// Returns the facts about a collection: columns that `schema` declares NOT NULL are, and `key` is unique.
    pub fn of_collection(collection: CollectionId, schema: &Schema, key: Option<&[usize]>, append_only: bool) -> Self {
        Properties {
            unique_keys: key.map(sorted).into_iter().collect(),
            append_only,
            nullable: schema.fields().iter().map(|field| field.is_nullable()).collect(),
            constant: vec![false; schema.fields().len()],
            linear: matches!(collection, CollectionId::Relation(_)),
            rows: UNKNOWN_ROWS,
            kept: 1.0,
        }
    }

    /// Returns whether no two rows agree on all of `columns`.
    pub fn unique_on(&self, columns: &[usize]) -> bool {
        self.unique_keys.iter().any(|key| key.iter().all(|column| columns.contains(column)))
    }

    /// Returns the unique key with the fewest columns; among equally short ones, the first in column order.
    pub fn best_key(&self) -> Option<&Vec<usize>> {
        self.unique_keys.iter().min_by_key(|key| (key.len(), (*key).clone()))
    }

    /// Adds a unique key without its constant columns, which tell no rows apart; drops keys that it makes redundant.
    pub fn add_key(&mut self, key: &[usize]) {
        let key: Vec<usize> = sorted(key).into_iter().filter(|column| !self.constant[*column]).collect();
        if self.unique_on(&key) {
            return;
        }
        self.unique_keys.retain(|other| !key.iter().all(|column| other.contains(column)));
        if self.unique_keys.len() < MOST_KEYS {
            self.unique_keys.push(key);
        }
    }

    fn of_new_rows(width: usize) -> Self {
        Properties {
            unique_keys: Vec::new(),
            append_only: false,
            nullable: vec![true; width],
            constant: vec![false; width],
            linear: false,
            rows: UNKNOWN_ROWS,
            kept: 1.0,
        }
    }
}

fn sorted(columns: &[usize]) -> Vec<usize> {
    let mut columns = columns.to_vec();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The nodes and arrangements that precede a node, from which its properties are derived.
pub struct Known<'a> {
    /// Properties of the nodes so far.
    pub nodes: &'a [Properties],
    /// The arrangements so far.
    pub arrangements: &'a [Arrangement],
}

impl Known<'_> {
    fn of(&self, id: NodeId) -> &Properties {
        &self.nodes[id.0]
    }

    /// Derives the properties of a node with `operator` and `width` columns. It knows nothing about an `Input`; its
    /// properties come from [`Properties::of_collection`].
    pub fn derive(&self, operator: &Operator, width: usize) -> Properties {
        match operator {
            Operator::Input(_) => Properties::of_new_rows(width),
            Operator::Constant(rows) => Properties {
                unique_keys: if rows.num_rows() <= 1 { vec![Vec::new()] } else { Vec::new() },
                append_only: true,
                nullable: rows.columns().iter().map(|column| column.null_count() > 0).collect(),
                constant: vec![rows.num_rows() <= 1; width],
                linear: true,
                rows: rows.num_rows() as f64,
                kept: 1.0,
            },
            Operator::Linear(Linear { input, steps }) => {
                steps.iter().fold(self.of(*input).clone(), |properties, step| step_properties(&properties, step))
            }
            Operator::Union(union) => self.union(&union.inputs, width),
            Operator::Join(join) => self.join(join),
            Operator::SemiJoin(semi) => {
                let left = self.arranged(&self.arrangements[semi.left.0]);
                let right = self.of(semi.right);
                let append_only = semi.kind == SemiJoinKind::Semi && left.append_only && right.append_only;
                Properties {
                    append_only,
                    linear: false,
                    kept: left.kept * FILTERED,
                    rows: left.rows * FILTERED,
                    ..left
                }
            }
            Operator::Reduce(reduce) => self.reduce(reduce, width),
            Operator::Set(set) => {
                let (left, right) = (self.of(set.left), self.of(set.right));
                let intersect = matches!(set.operator, SetOperator::Intersect | SetOperator::IntersectAll);
                let append_only = intersect && left.append_only && right.append_only;
                let mut properties = Properties { append_only, linear: false, ..left.clone() };
                if matches!(set.operator, SetOperator::Except | SetOperator::Intersect) {
                    properties.add_key(&(0..width).collect::<Vec<_>>());
                }
                properties
            }
            Operator::TopK(top_k) => self.top_k(top_k),
        }
    }

    fn union(&self, inputs: &[NodeId], width: usize) -> Properties {
        let all = || inputs.iter().map(|input| self.of(*input));
        let nullable = (0..width).map(|column| all().any(|input| input.nullable[column])).collect();
        Properties {
            // Rows of different inputs can agree on a key.
            unique_keys: match inputs {
                [only] => self.of(*only).unique_keys.clone(),
                _ => Vec::new(),
            },
            append_only: all().all(|input| input.append_only),
            nullable,
            constant: vec![false; width],
            linear: all().all(|input| input.linear),
            rows: all().map(|input| input.rows).sum(),
            kept: 1.0,
        }
    }

    /// Returns the properties of an arrangement's rows: key columns first, then value columns.
    fn arranged(&self, arrangement: &Arrangement) -> Properties {
        let columns: Vec<usize> = arrangement.key.iter().chain(&arrangement.value).copied().collect();
        moved(self.of(arrangement.input), &columns)
    }

    fn join(&self, join: &Join) -> Properties {
        let (left_index, right_index) = (&self.arrangements[join.left.0], &self.arrangements[join.right.0]);
        let (left, right) = (self.arranged(left_index), self.arranged(right_index));
        let keys = left_index.key.len();
        let key: Vec<usize> = (0..keys).collect();
        // Finds where a column of one side's rows is in the output, if it is there at all.
        let find = |column: usize, side: fn(usize) -> JoinColumn| {
            let wanted = if column < keys { JoinColumn::Key(column) } else { side(column - keys) };
            join.output.iter().position(|output| *output == wanted)
        };
        let place = |columns: &[usize], side: fn(usize) -> JoinColumn| -> Option<Vec<usize>> {
            columns.iter().map(|column| find(*column, side)).collect()
        };
        // `left_once`: each left row matches at most one right row, so the unique keys of the left side remain unique.
        let (left_once, right_once) = (right.unique_on(&key), left.unique_on(&key));
        let rows = match (left_once, right_once) {
            (true, _) => left.rows * right.kept,
            (_, true) => right.rows * left.kept,
            _ if keys == 0 => left.rows * right.rows,
            _ => 10.0 * left.rows.min(right.rows),
        };
        let mut properties = Properties {
            unique_keys: Vec::new(),
            append_only: left.append_only && right.append_only,
            nullable: join.output.iter().map(|column| nullable_output(*column, keys, &left, &right)).collect(),
            constant: join.output.iter().map(|column| constant_output(*column, keys, &left, &right)).collect(),
            linear: false,
            rows,
            kept: left.kept * right.kept,
        };
        let left_keys: Vec<Vec<usize>> = left.unique_keys.iter().filter_map(|k| place(k, JoinColumn::Left)).collect();
        let right_keys: Vec<Vec<usize>> =
            right.unique_keys.iter().filter_map(|k| place(k, JoinColumn::Right)).collect();
        if left_once {
            left_keys.iter().for_each(|key| properties.add_key(key));
        }
        if right_once {
            right_keys.iter().for_each(|key| properties.add_key(key));
        }
        for left in &left_keys {
            for right in &right_keys {
                properties.add_key(&[left.as_slice(), right].concat());
            }
        }
        properties
    }

    fn reduce(&self, reduce: &Reduce, width: usize) -> Properties {
        let input = self.of(reduce.input);
        let keys = reduce.key.len();
        let nullable = (0..width).map(|column| column >= keys || input.nullable[reduce.key[column]]).collect();
        let constant = (0..width).map(|column| column < keys && input.constant[reduce.key[column]]).collect();
        let mut properties = Properties {
            unique_keys: Vec::new(),
            constant,
            append_only: reduce.aggregates.is_empty() && input.append_only,
            nullable,
            linear: false,
            rows: if keys == 0 { 1.0 } else { (input.rows * 0.3).max(1.0) },
            kept: 1.0,
        };
        properties.add_key(&(0..keys).collect::<Vec<_>>());
        // A unique key of the input stays unique if all its columns are grouping columns.
        for key in &input.unique_keys {
            let places: Option<Vec<usize>> =
                key.iter().map(|column| reduce.key.iter().position(|group| group == column)).collect();
            if let Some(places) = places {
                properties.add_key(&places);
            }
        }
        properties
    }

    fn top_k(&self, top_k: &TopK) -> Properties {
        let input = self.of(top_k.input);
        let mut properties = Properties { append_only: false, linear: false, ..input.clone() };
        if top_k.limit.is_some_and(|limit| limit <= 1) {
            properties.add_key(&top_k.group);
        }
        if let (true, Some(limit)) = (top_k.group.is_empty(), top_k.limit) {
            properties.rows = properties.rows.min(limit as f64);
        }
        properties
    }
}

fn nullable_output(column: JoinColumn, keys: usize, left: &Properties, right: &Properties) -> bool {
    match column {
        JoinColumn::Key(key) => left.nullable[key] && right.nullable[key],
        JoinColumn::Left(value) => left.nullable[keys + value],
        JoinColumn::Right(value) => right.nullable[keys + value],
    }
}

fn constant_output(column: JoinColumn, keys: usize, left: &Properties, right: &Properties) -> bool {
    match column {
        JoinColumn::Key(key) => left.constant[key] || right.constant[key],
        JoinColumn::Left(value) => left.constant[keys + value],
        JoinColumn::Right(value) => right.constant[keys + value],
    }
}

/// Returns the properties after the rows of `input` are cut down to `columns`, which become columns 0, 1, ...
fn moved(input: &Properties, columns: &[usize]) -> Properties {
    let place = |column: &usize| columns.iter().position(|other| other == column);
    let keys = input.unique_keys.iter().filter_map(|key| key.iter().map(place).collect::<Option<Vec<usize>>>());
    let mut properties = Properties {
        unique_keys: Vec::new(),
        nullable: columns.iter().map(|column| input.nullable[*column]).collect(),
        constant: columns.iter().map(|column| input.constant[*column]).collect(),
        ..input.clone()
    };
    keys.for_each(|key| properties.add_key(&key));
    properties
}

fn step_properties(input: &Properties, step: &Step) -> Properties {
    match step {
        Step::Filter(_) => Properties { rows: input.rows * FILTERED, kept: input.kept * FILTERED, ..input.clone() },
        Step::Project { columns, .. } => {
            let sources: Vec<Option<usize>> = columns.iter().map(|column| column.column()).collect();
            let place = |column: &usize| sources.iter().position(|source| *source == Some(*column));
            let mut properties = Properties {
                unique_keys: Vec::new(),
                nullable: sources.iter().map(|source| source.is_none_or(|column| input.nullable[column])).collect(),
                constant: sources.iter().map(|source| source.is_some_and(|column| input.constant[column])).collect(),
                ..input.clone()
            };
            for key in &input.unique_keys {
                if let Some(key) = key.iter().map(place).collect::<Option<Vec<usize>>>() {
                    properties.add_key(&key);
                }
            }
            properties
        }
    }
}

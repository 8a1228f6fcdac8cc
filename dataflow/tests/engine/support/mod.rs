//! Plans built by hand over rows of integers, and a sink that records what it receives.

pub(crate) mod naive;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use laminardb_dataflow::plan::{DataflowPlan, Linear, Node, NodeId, Operator, Output, OutputState, Step};
use laminardb_dataflow::update::PerRow;
use laminardb_dataflow::{
    CancelToken, ChangeSink, CollectionId, Diff, Diffs, Engine, EngineConfig, Evaluated, RelationId, RowError, Scalar,
    Time, UpdateBatch, ViewId, ViewSnapshot,
};
use parking_lot::Mutex;

/// A row of integers, NULL as `None`.
pub(crate) type Row = Vec<Option<i64>>;
/// Multiplicities of rows.
pub(crate) type Bag = BTreeMap<Row, Diff>;

/// Columns a, b, c, ... of integers.
pub(crate) fn schema(columns: usize) -> SchemaRef {
    let names = "abcdefghijklmnopqrstuvwxyz";
    let field = |i: usize| Field::new(&names[i..=i], DataType::Int64, true);
    Arc::new(Schema::new((0..columns).map(field).collect::<Vec<_>>()))
}

/// Returns rows and their multiplicities as a batch.
pub(crate) fn batch(columns: usize, rows: &[(Row, Diff)]) -> (RecordBatch, Diffs) {
    let column = |c: usize| Arc::new(rows.iter().map(|(row, _)| row[c]).collect::<Int64Array>()) as ArrayRef;
    let columns: Vec<ArrayRef> = (0..columns).map(column).collect();
    let rows_out = RecordBatch::try_new(schema(columns.len()), columns).expect("columns fit");
    (rows_out, PerRow::from_vec(rows.iter().map(|(_, diff)| *diff).collect()))
}

/// Rows inserted once, none NULL.
pub(crate) fn insert(rows: &[&[i64]]) -> (RecordBatch, Diffs) {
    let rows: Vec<(Row, Diff)> = rows.iter().map(|row| (row.iter().map(|x| Some(*x)).collect(), 1)).collect();
    batch(rows[0].0.len(), &rows)
}

/// A change of one relation.
pub(crate) fn change(relation: u64, (rows, diffs): (RecordBatch, Diffs)) -> Vec<(RelationId, RecordBatch, Diffs)> {
    vec![(RelationId(relation), rows, diffs)]
}

/// Adds a row to a bag `count` times.
pub(crate) fn put(bag: &mut Bag, row: Row, count: Diff) {
    let Some(there) = bag.get_mut(&row) else {
        if count != 0 {
            bag.insert(row, count);
        }
        return;
    };
    *there += count;
    if *there == 0 {
        bag.remove(&row);
    }
}

/// Adds a batch to a bag.
pub(crate) fn add(bag: &mut Bag, rows: &RecordBatch, diffs: &Diffs) {
    for position in 0..rows.num_rows() {
        let value = |column: &ArrayRef| {
            let column = column.as_primitive::<Int64Type>();
            arrow::array::Array::is_valid(column, position).then(|| column.value(position))
        };
        let row: Row = rows.columns().iter().map(value).collect();
        put(bag, row, diffs.at(position));
    }
}

/// Returns the rows of a snapshot.
pub(crate) fn bag_of(snapshot: &ViewSnapshot) -> Bag {
    let mut bag = Bag::new();
    for (rows, diffs) in &snapshot.rows {
        add(&mut bag, rows, diffs);
    }
    bag
}

/// Returns a bag that contains each row once.
pub(crate) fn bag(rows: &[&[i64]]) -> Bag {
    let mut bag = Bag::new();
    for row in rows {
        *bag.entry(row.iter().map(|x| Some(*x)).collect()).or_default() += 1;
    }
    bag
}

/// The function that an expression computes from one row.
type RowFunction = Arc<dyn Fn(&Row) -> Result<Option<i64>, String> + Send + Sync>;

/// An expression over a row of integers; booleans are 0 and 1.
#[derive(Clone)]
pub(crate) struct Expression {
    text: String,
    data_type: DataType,
    column: Option<usize>,
    function: RowFunction,
}

impl Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Scalar for Expression {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        let mut errors = Vec::new();
        let mut values: Vec<Option<i64>> = Vec::new();
        for row in 0..batch.num_rows() {
            let mut one = Bag::new();
            add(&mut one, &batch.slice(row, 1), &PerRow::Same(1));
            let (cells, _) = one.pop_first().expect("one row");
            values.push((self.function)(&cells).unwrap_or_else(|message| {
                errors.push(RowError { row, message });
                None
            }));
        }
        let values: ArrayRef = match self.data_type {
            DataType::Boolean => Arc::new(values.iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()),
            _ => Arc::new(values.into_iter().collect::<Int64Array>()),
        };
        Evaluated { values, errors }
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn column(&self) -> Option<usize> {
        self.column
    }
}

/// An integer expression.
pub(crate) fn compute(
    text: &str,
    function: impl Fn(&Row) -> Result<Option<i64>, String> + Send + Sync + 'static,
) -> Arc<dyn Scalar> {
    let function = Arc::new(function);
    Arc::new(Expression { text: text.to_owned(), data_type: DataType::Int64, column: None, function })
}

/// A condition.
pub(crate) fn condition(
    text: &str,
    function: impl Fn(&Row) -> Result<Option<i64>, String> + Send + Sync + 'static,
) -> Arc<dyn Scalar> {
    let function = Arc::new(function);
    Arc::new(Expression { text: text.to_owned(), data_type: DataType::Boolean, column: None, function })
}

/// A column.
pub(crate) fn column(position: usize) -> Arc<dyn Scalar> {
    let function = Arc::new(move |row: &Row| Ok(row[position]));
    let text = format!("#{position}");
    Arc::new(Expression { text, data_type: DataType::Int64, column: Some(position), function })
}

/// Builds plans node by node.
#[derive(Default)]
pub(crate) struct PlanBuilder {
    nodes: Vec<Node>,
    arrangements: Vec<laminardb_dataflow::plan::Arrangement>,
}

impl PlanBuilder {
    /// Adds a node with integer columns.
    pub(crate) fn node(&mut self, operator: Operator, columns: usize) -> NodeId {
        self.nodes.push(Node { operator, schema: schema(columns) });
        NodeId(self.nodes.len() - 1)
    }

    /// All changes of a relation.
    pub(crate) fn relation(&mut self, relation: u64, columns: usize) -> NodeId {
        self.node(Operator::Input(CollectionId::Relation(RelationId(relation))), columns)
    }

    /// All changes of a view.
    pub(crate) fn view(&mut self, view: u64, columns: usize) -> NodeId {
        self.node(Operator::Input(CollectionId::View(ViewId(view))), columns)
    }

    /// Rows where a condition is true.
    pub(crate) fn filter(&mut self, input: NodeId, predicate: Arc<dyn Scalar>) -> NodeId {
        let columns = self.nodes[input.0].schema.fields().len();
        self.node(Operator::Linear(Linear { input, steps: vec![Step::Filter(predicate)] }), columns)
    }

    /// Computed columns.
    pub(crate) fn project(&mut self, input: NodeId, columns: Vec<Arc<dyn Scalar>>) -> NodeId {
        let count = columns.len();
        let step = Step::Project { columns, schema: schema(count) };
        self.node(Operator::Linear(Linear { input, steps: vec![step] }), count)
    }

    /// Adds an index.
    pub(crate) fn arrange(
        &mut self,
        input: NodeId,
        key: &[usize],
        value: &[usize],
    ) -> laminardb_dataflow::plan::ArrangementId {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.arrangements.push(laminardb_dataflow::plan::Arrangement { input, key, value });
        laminardb_dataflow::plan::ArrangementId(self.arrangements.len() - 1)
    }

    /// The plan that ends in `node`.
    pub(crate) fn finish(self, node: NodeId, state: OutputState) -> Arc<DataflowPlan> {
        let output = Output { node, unique_key: None, state };
        Arc::new(DataflowPlan { nodes: self.nodes, arrangements: self.arrangements, output })
    }
}

/// Changes of one view: by worker and time, in order of arrival.
type Delivered = Vec<(usize, Time, Bag)>;

/// Records everything an engine delivers, and checks its order.
#[derive(Default)]
pub(crate) struct Recorder {
    changes: Mutex<BTreeMap<ViewId, Delivered>>,
    counts: Mutex<BTreeMap<ViewId, u64>>,
    frontiers: Mutex<BTreeMap<(ViewId, usize), Time>>,
    stopped: Mutex<Vec<String>>,
}

impl Recorder {
    /// Returns all changes of a view by time, summed over all workers.
    pub(crate) fn changes(&self, view: u64) -> BTreeMap<Time, Bag> {
        let mut times: BTreeMap<Time, Bag> = BTreeMap::new();
        for (_, time, changes) in self.changes.lock().get(&ViewId(view)).into_iter().flatten() {
            let bag = times.entry(*time).or_default();
            for (row, diff) in changes {
                *bag.entry(row.clone()).or_default() += diff;
            }
        }
        times.values_mut().for_each(|bag| bag.retain(|_, diff| *diff != 0));
        times.retain(|_, bag| !bag.is_empty());
        times
    }

    /// Returns the sum of all changes of a view.
    pub(crate) fn sum(&self, view: u64) -> Bag {
        let mut sum = Bag::new();
        for (row, diff) in self.changes(view).into_values().flatten() {
            *sum.entry(row).or_default() += diff;
        }
        sum.retain(|_, diff| *diff != 0);
        sum
    }

    /// Returns how many rows the changes of a view added and removed, whether it is watched or not.
    pub(crate) fn counted(&self, view: u64) -> u64 {
        *self.counts.lock().get(&ViewId(view)).unwrap_or(&0)
    }

    /// Returns the frontier of a view on a worker.
    pub(crate) fn frontier(&self, view: u64, worker: usize) -> Time {
        self.frontiers.lock().get(&(ViewId(view), worker)).copied().unwrap_or_default()
    }

    /// Forgets everything, so that ids can be used again.
    pub(crate) fn forget(&self) {
        self.changes.lock().clear();
        self.counts.lock().clear();
        self.frontiers.lock().clear();
    }

    /// Returns the reasons for which the engine said that it stopped.
    pub(crate) fn stopped(&self) -> Vec<String> {
        self.stopped.lock().clone()
    }
}

impl ChangeSink for Recorder {
    fn changes(&self, worker: usize, view: ViewId, time: Time, changes: &UpdateBatch) {
        let frontier = self.frontiers.lock().get(&(view, worker)).copied().unwrap_or_default();
        assert!(time >= frontier, "changes of a closed time");
        let mut bag = Bag::new();
        add(&mut bag, &changes.rows, &changes.diffs);
        self.changes.lock().entry(view).or_default().push((worker, time, bag));
    }

    fn changed(&self, _: usize, view: ViewId, rows: u64) {
        *self.counts.lock().entry(view).or_default() += rows;
    }

    fn frontier(&self, worker: usize, view: ViewId, frontier: Time) {
        let before = self.frontiers.lock().insert((view, worker), frontier);
        assert!(before.is_none_or(|before| before < frontier), "the frontier moves forward");
    }

    fn stopped(&self, reason: &str) {
        self.stopped.lock().push(reason.to_owned());
    }
}

/// Starts an engine, and returns it with the recorder of what it delivers.
pub(crate) fn start(workers: usize) -> (Engine, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let config = EngineConfig { workers: NonZeroUsize::new(workers).expect("at least one worker"), memory_limit: None };
    let sink: Arc<dyn ChangeSink> = Arc::<Recorder>::clone(&recorder);
    (Engine::start(config, sink).expect("threads start"), recorder)
}

/// Waits until all views are complete.
pub(crate) fn settle(engine: &Engine) {
    engine.wait(engine.last_time(), None, &CancelToken::new()).expect("the engine runs");
}

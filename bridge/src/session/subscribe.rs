//! Subscribes: finds or installs a view, watches it and takes its contents, all under one commit lock.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use laminardb_dataflow::PendingSnapshot;
use laminardb_dataflow::plan::{DataflowPlan, Node, NodeId, Operator, Output, OutputState};
use laminardb_dataflow::{CollectionId, Diffs, RelationId, Time, ViewId};
use laminardb_planner::bind::{ViewOrder, all_rows, bind_query};
use laminardb_planner::catalog::{Definition, RelationInfo, RelationKind};
use laminardb_planner::lower::{ViewPlan, plan_view};
use laminardb_planner::stack::on_big_stack;
use laminardb_planner::statement::{OnError, Query, Statement};
use laminardb_planner::{BoundQuery, Params, budget, rewrite};

use super::Session;
use super::read::live_error_text;
use super::statements::{first_words, parse};
use crate::catalog::{CatalogState, Entry};
use crate::commit::Frozen;
use crate::database::{Cancel, Definitions, NewView};
use crate::error::Error;
use crate::query::Contents;
use crate::store::Scan;
use crate::subscription::{Bounds, ChangeBatch, End, Shape, Starting, SubscribeOptions, Subscription, repeat};

/// The object of a subscription.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A query, or only the name of a relation.
    Sql(&'a str, &'a Params),
    /// A relation or view by name.
    Relation(&'a str),
}

/// The view that a subscription follows.
struct Followed {
    id: ViewId,
    name: String,
    plan: Arc<DataflowPlan>,
    shape: Shape,
    /// The query that evaluates the contents of a view that keeps none; `None` if they are those of its only input.
    query: Option<Arc<BoundQuery>>,
    /// The order of the rows that the view keeps.
    order: ViewOrder,
    /// Names of the relations that the query refers to.
    reads: Vec<String>,
    /// The view to install, if the subscription needs a view of its own.
    new: Option<NewView>,
    /// Views whose failing rows end the subscription, with their names.
    strict: Vec<(ViewId, String)>,
}

/// What a subscription is to.
enum Planned {
    /// A query that reads no relation.
    Constants(Arc<BoundQuery>),
    View(Box<Followed>),
}

/// A followed view whose contents have been taken and may not have arrived yet.
struct Opening {
    starting: Starting,
    time: Time,
    rows: SnapshotSource,
    /// Views whose failing rows were requested, with their names.
    errors: Option<(Vec<(ViewId, String)>, PendingSnapshot)>,
}

/// Source of the contents that a subscription starts with.
enum SnapshotSource {
    /// No contents are wanted.
    None,
    /// The rows that the view keeps.
    Kept(PendingSnapshot),
    /// Scans from which the contents are computed.
    Computed(Vec<(RelationId, Scan)>),
}

impl Session {
    /// Subscribes to a query or a relation. The subscription delivers the contents, if wanted, and then every later
    /// change.
    pub fn subscribe(&self, target: Target<'_>, options: SubscribeOptions) -> Result<Subscription, Error> {
        self.database.check_usable()?;
        let subscribed = || budget::planning(&self.cancel, || self.subscribe_to(target, options));
        self.database.ended_as(on_big_stack(subscribed))
    }
}

impl Session {
    fn subscribe_to(&self, target: Target<'_>, options: SubscribeOptions) -> Result<Subscription, Error> {
        if options.snapshot {
            self.refuse_in_transaction("a subscription cannot start with the rows there are")?;
        }
        let mut tries = 0;
        loop {
            // Planned without the definitions, because it may take long; only if what the query reads was replaced each
            // time meanwhile do others have to wait.
            let held = self.settled(tries)?;
            tries += 1;
            let catalog = self.database.catalog();
            let (planned, text) = match target {
                Target::Relation(name) => (self.plan_entry(&catalog, catalog.named(name)?)?, name),
                Target::Sql(text, params) => match catalog.named(text.trim()) {
                    Ok(entry) => (self.plan_entry(&catalog, entry)?, text),
                    Err(_) => (self.plan_text(&catalog, text, params)?, text),
                },
            };
            let followed = match planned {
                Planned::Constants(query) => {
                    drop(held);
                    return self.subscribe_to_constants(&query, text, options);
                }
                Planned::View(followed) => followed,
            };
            let definitions = held.map_or_else(|| self.definitions(), Ok)?;
            if self.database.catalog().agrees_with(&catalog, &followed.reads) {
                return self.follow(definitions, *followed, text, options);
            }
        }
    }

    /// Plans a subscription to the one query of a text.
    fn plan_text(&self, catalog: &CatalogState, text: &str, params: &Params) -> Result<Planned, Error> {
        let statements = parse(text, params, self.database.memory_limit)?;
        let [parsed] = &statements[..] else {
            return Err(Error::QueryFailed("a subscription needs one query".to_owned()));
        };
        let Statement::Query(query) = &parsed.statement else {
            return Err(Error::QueryFailed(format!("only a query can be subscribed to: {}", first_words(text))));
        };
        let bound = bind_query(query, catalog, params)?;
        self.plan_query(catalog, (Arc::new(bound), query))
    }

    /// Plans a subscription to a relation or view: to its maintained view, or to one that is installed for the
    /// subscription.
    fn plan_entry(&self, catalog: &CatalogState, entry: &Entry) -> Result<Planned, Error> {
        let reads = vec![entry.name().to_owned()];
        let followed = match (&entry.maintained, &entry.info.definition) {
            (Some(view), definition) => {
                let query = match definition {
                    Definition::Inline { query, .. } => Some(Arc::clone(query)),
                    Definition::Base(_) | Definition::Maintained(_) => None,
                };
                Followed {
                    id: view.id,
                    name: entry.name().to_owned(),
                    plan: Arc::clone(&view.plan),
                    shape: new_shape(&entry.info.schema, view.unique_key.clone())?,
                    query,
                    order: entry.info.order.clone(),
                    strict: catalog.strict_views(&reads),
                    reads,
                    new: None,
                }
            }
            (None, Definition::Inline { query, .. }) => {
                let Some(made_from) = &entry.made_from else {
                    return Err(Error::Internal(format!("view {} has no definition", entry.name())));
                };
                let mut query = BoundQuery::clone(query);
                query.schema = Arc::clone(&entry.info.schema);
                query.relations = reads;
                return self.plan_query(catalog, (Arc::new(query), &*made_from.create.query));
            }
            (None, Definition::Base(id)) => {
                let key = &entry.info.primary_key;
                let key = (!key.is_empty()).then(|| key.clone());
                let plan = identity(*id, &entry.info.schema, key, entry.info.append_only);
                self.new_followed(catalog, &plan, None, &entry.info.schema, reads)?
            }
            (None, Definition::Maintained(_)) => {
                return Err(Error::Internal(format!("view {} is not in the engine", entry.name())));
            }
        };
        Ok(Planned::View(Box::new(followed)))
    }

    /// Plans a subscription to a query by a view that is installed for it. `written` is the query as it was parsed.
    fn plan_query(
        &self,
        catalog: &CatalogState,
        (query, written): (Arc<BoundQuery>, &Query),
    ) -> Result<Planned, Error> {
        if let Some(function) = &query.volatile {
            let why = format!("{function} cannot be maintained: its value is not a function of the rows");
            return Err(Error::StreamFailed(why));
        }
        if query.inputs.is_empty() {
            return Ok(Planned::Constants(query));
        }
        let plan = plan_view(&query, catalog)?;
        let schema = Arc::clone(&query.schema);
        let reads = query.relations.clone();
        let order = if plan.linear { ViewOrder::default() } else { ViewOrder::of_view(written, &query)? };
        let followed = self.new_followed(catalog, &plan, Some(query), &schema, reads)?;
        Ok(Planned::View(Box::new(Followed { order, ..followed })))
    }

    /// Subscribes to a query that reads no relation: the subscription delivers its rows, if wanted, and ends.
    fn subscribe_to_constants(
        &self,
        query: &BoundQuery,
        text: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let starting = Starting::constant(Arc::clone(&query.schema));
        let listed = self.database.queries.begin(text, Cancel::Subscription(starting.watched()));
        starting.when_over(move || drop(listed));
        let time = self.database.engine.last_time();
        let snapshot = if options.snapshot { self.constants(query, time)? } else { Vec::new() };
        // Closing the database may have cancelled its subscriptions before this one was listed.
        self.database.check_open()?;
        Ok(starting.start(time, snapshot))
    }

    /// Returns the rows of a query that reads no relation, as contents as of `time`.
    fn constants(&self, query: &BoundQuery, time: Time) -> Result<Vec<ChangeBatch>, Error> {
        let schema = &query.schema;
        let batches = self.database.executor.run(rewrite::optimise(query)?, Contents::new(), schema, &self.cancel)?;
        let rows: Vec<_> = batches.into_iter().map(|batch| (batch, Diffs::Same(1))).collect();
        new_shape(schema, None)?.snapshot(&rows, time).map_err(cannot_read)
    }

    /// Plans a view for the subscription; it is installed later, by [`Session::open_followed`].
    fn new_followed(
        &self,
        catalog: &CatalogState,
        plan: &ViewPlan,
        query: Option<Arc<BoundQuery>>,
        schema: &SchemaRef,
        reads: Vec<String>,
    ) -> Result<Followed, Error> {
        let new = self.database.new_view(catalog, plan, schema, &reads, OnError::Fail, "of the subscription")?;
        let id = new.maintained.id;
        let name = "of the subscription".to_owned();
        let mut strict = catalog.strict_views(&reads);
        if new.maintained.can_fail {
            strict.push((id, name.clone()));
        }
        let dataflow = Arc::clone(&new.maintained.plan);
        let shape = new_shape(schema, plan.unique_key.clone())?;
        let order = ViewOrder::default();
        Ok(Followed { id, name, plan: dataflow, shape, query, order, reads, new: Some(new), strict })
    }

    /// Opens a followed view, waits for its contents without any lock, and starts the subscription. If the contents
    /// cannot be computed or a strict view has failing rows, returns a subscription that ends with this reason.
    fn follow(
        &self,
        definitions: Definitions<'_>,
        mut followed: Followed,
        text: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let opening =
            self.database.committer.frozen(|frozen| self.open_followed(frozen, &mut followed, text, options))?;
        drop(definitions);
        let Opening { starting, time, rows, errors } = opening;
        if let Some((views, mut pending)) = errors {
            let snapshots = match pending.wait(&self.cancel, None).map_err(Error::from) {
                Err(Error::Dropped(_)) => return Ok(starting.fail(End::Dropped(followed.name))),
                snapshots => snapshots?,
            };
            for ((_, name), snapshot) in views.iter().zip(snapshots) {
                if let Some(error) = snapshot.errors.iter().find(|error| error.count > 0) {
                    return Ok(starting.fail(End::Failed(live_error_text(name, error))));
                }
            }
        }
        match self.contents_of(&followed, rows, time) {
            Ok(snapshot) => Ok(starting.start(time, snapshot)),
            Err(Error::QueryFailed(reason)) => Ok(starting.fail(End::Failed(reason))),
            Err(Error::Dropped(_)) => Ok(starting.fail(End::Dropped(followed.name))),
            Err(other) => Err(other),
        }
    }

    /// Installs the view if it is the subscription's own, watches it, and takes the source of its contents.
    fn open_followed(
        &self,
        frozen: &mut Frozen<'_>,
        followed: &mut Followed,
        text: &str,
        options: SubscribeOptions,
    ) -> Result<Opening, Error> {
        let id = followed.id;
        let anonymous = followed.new.is_some();
        if let Some(new) = followed.new.take() {
            self.database.install(new, frozen)?;
            self.database.anonymous.lock().push((id, followed.reads.clone()));
        }
        // The commit lock is held until this call returns, so no change is missed between watching and collecting.
        let time = self.database.watch(id)?;
        let schema = Arc::clone(followed.shape.schema());
        let bounds = Bounds { memory: self.database.memory_limit, ..options.bounds };
        let Some(starting) = Starting::new(&self.database.hub, id, schema, bounds) else {
            self.database.release(id, anonymous);
            return Err(Error::Internal(format!("view {} is not in the hub", followed.name)));
        };
        let listed = self.database.queries.begin(text, Cancel::Subscription(starting.watched()));
        let database = Arc::clone(&self.database);
        starting.on_release(&self.database.hub, id, move |_| {
            database.release(id, anonymous);
            drop(listed);
        });
        let rows = match (&followed.plan.output.state, options.snapshot) {
            (_, false) => SnapshotSource::None,
            (OutputState::Nothing, true) => SnapshotSource::Computed(self.scan_inputs(frozen, &followed.plan)?),
            (OutputState::Arrangement { .. } | OutputState::Reduce(_), true) => {
                SnapshotSource::Kept(self.database.engine.snapshot(&[id])?)
            }
        };
        let checked: Vec<ViewId> = followed.strict.iter().map(|(view, _)| *view).collect();
        let errors = match &checked[..] {
            [] => None,
            views => Some((followed.strict.clone(), self.database.engine.snapshot_errors(views)?)),
        };
        Ok(Opening { starting, time, rows, errors })
    }

    /// Takes scans of the committed rows of all relations that the plan reads.
    fn scan_inputs(&self, frozen: &mut Frozen<'_>, plan: &DataflowPlan) -> Result<Vec<(RelationId, Scan)>, Error> {
        let mut scans = Vec::new();
        for input in plan.inputs() {
            if let CollectionId::Relation(id) = input {
                let dropped = || Error::Dropped("a relation of the query".to_owned());
                scans.push((id, frozen.committed_scan(id).ok_or_else(dropped)?));
            }
        }
        Ok(scans)
    }

    /// Returns the contents as of `time`.
    fn contents_of(&self, followed: &Followed, rows: SnapshotSource, time: Time) -> Result<Vec<ChangeBatch>, Error> {
        let rows = match rows {
            SnapshotSource::None => return Ok(Vec::new()),
            SnapshotSource::Kept(mut pending) => {
                let mut snapshots = pending.wait(&self.cancel, None)?;
                let rows = snapshots.pop().map(|snapshot| snapshot.rows).unwrap_or_default();
                if followed.order.is_empty() { rows } else { self.in_order(followed, &rows)? }
            }
            SnapshotSource::Computed(scans) => {
                let batches = match &followed.query {
                    None => scans.iter().flat_map(|(_, scan)| scan.batches()).collect(),
                    Some(query) => {
                        let input = |(id, scan): &(RelationId, Scan)| (CollectionId::Relation(*id), scan.batches());
                        let contents: Contents = scans.iter().map(input).collect();
                        self.database.executor.run(
                            rewrite::optimise(query)?,
                            contents,
                            followed.shape.schema(),
                            &self.cancel,
                        )?
                    }
                };
                batches.into_iter().map(|batch| (batch, Diffs::Same(1))).collect()
            }
        };
        followed.shape.snapshot(&rows, time).map_err(cannot_read)
    }

    /// Returns the rows that a view keeps, in the view's order.
    fn in_order(&self, followed: &Followed, rows: &[(RecordBatch, Diffs)]) -> Result<Vec<(RecordBatch, Diffs)>, Error> {
        let schema = followed.shape.schema();
        // Columns are named by their positions, since the names of a query's columns may repeat.
        let fields = schema.fields().iter().enumerate();
        let fields: Vec<Field> = fields.map(|(at, field)| Field::clone(field).with_name(at.to_string())).collect();
        let view = RelationInfo {
            name: followed.name.clone(),
            kind: RelationKind::MaterializedView,
            schema: Arc::new(Schema::new(fields)),
            primary_key: Vec::new(),
            json_columns: Vec::new(),
            append_only: false,
            order: followed.order.clone(),
            definition: Definition::Maintained(followed.id),
        };
        let plan = rewrite::optimise(&all_rows(&Arc::new(view))?)?;
        let batches = rows.iter().map(|(rows, diffs)| repeat(rows, diffs)).collect::<Result<Vec<_>, _>>();
        let contents = Contents::from([(CollectionId::View(followed.id), batches.map_err(cannot_read)?)]);
        let batches = self.database.executor.run(plan, contents, schema, &self.cancel)?;
        Ok(batches.into_iter().map(|batch| (batch, Diffs::Same(1))).collect())
    }
}

fn new_shape(schema: &SchemaRef, unique_key: Option<Vec<usize>>) -> Result<Shape, Error> {
    Shape::new(Arc::clone(schema), unique_key)
        .map_err(|error| Error::StreamFailed(format!("columns of these types cannot be maintained: {error}")))
}

fn cannot_read(error: arrow::error::ArrowError) -> Error {
    Error::Internal(format!("cannot read a view: {error}"))
}

/// Returns the plan of a view of all rows of a relation.
fn identity(relation: RelationId, schema: &SchemaRef, unique_key: Option<Vec<usize>>, append_only: bool) -> ViewPlan {
    let node = Node { operator: Operator::Input(CollectionId::Relation(relation)), schema: Arc::clone(schema) };
    let output = Output { node: NodeId(0), unique_key: unique_key.clone(), state: OutputState::Nothing };
    let plan = DataflowPlan { nodes: vec![node], arrangements: Vec::new(), output };
    ViewPlan { plan: Arc::new(plan), schema: Arc::clone(schema), unique_key, append_only, linear: true }
}

//! `QueryStream`: the answer of one query in batches, made as they are read.
//!
//! What the query reads is taken at one moment, when the stream is made. Then the stream's own thread runs the query;
//! it waits with each batch until the one before is taken.
//!
//! ```text
//! thread --batches of one query--> channel of one --> QueryStream::next
//!    ^                                                    |
//!    +------------------ Control: it is over -------------+
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use crossbeam_channel::{Receiver, Sender, TryRecvError, after, bounded, never, select};

use laminardb_dataflow::CancelToken;
use laminardb_dataflow::lock::{Mutex, Rank};
use laminardb_planner::stack::on_big_stack;
use laminardb_planner::statement::{Query, Statement};
use laminardb_planner::{Params, budget};

use super::Session;
use super::outcome::{Outcome, QueryOutput};
use super::read::{Bound, ReadSet, reads_of};
use super::statements::{empty_statement, read_statements};
use crate::database::{Cancel, Database, Running};
use crate::error::Error;
use crate::query::{Contents, Plan, ended_early, spawn};

/// Maximum number of rows in a batch.
const MAX_ROWS: usize = 65_536;

/// Result of waiting for rows.
#[derive(Clone, Debug)]
pub enum NextRows {
    /// Rows, at least one.
    Batch(RecordBatch),
    /// Nothing came within the timeout.
    TimedOut,
    /// Nothing more will come.
    Ended,
}

/// The answer of a query in batches. It keeps its database alive; dropping it ends the query.
pub struct QueryStream {
    schema: SchemaRef,
    batches: Receiver<Result<RecordBatch, Error>>,
    over: Receiver<Infallible>,
    control: Arc<Control>,
    _database: Arc<Database>,
}

/// State shared by a stream, its thread and the list of queries.
struct Control {
    /// Cancelled when the stream was ended, by a reader or from outside, or a reader has reached its end.
    over: CancelToken,
    /// Whether a reader has reached the end. A batch that another reader has received before is still delivered then,
    /// unlike after a cancellation.
    is_read: AtomicBool,
    /// Whether the thread has sent everything, including the error that ended the query.
    is_complete: AtomicBool,
    /// Sender of a channel without messages; dropped to wake all threads that wait on the other end.
    open: Mutex<Option<Sender<Infallible>>>,
    /// The stream's entry in the list of running queries.
    listed: Mutex<Option<Running>>,
}

impl Control {
    fn new(open: Sender<Infallible>) -> Self {
        Control {
            over: CancelToken::new(),
            is_read: AtomicBool::new(false),
            is_complete: AtomicBool::new(false),
            open: Mutex::new(Rank::Leaf, Some(open)),
            listed: Mutex::new(Rank::Leaf, None),
        }
    }

    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Ends the stream, for any reason: it was read to its end, it was cancelled, or the database was closed. Wakes all
    /// waiting threads, and takes the stream off the list of running queries.
    fn end(&self) {
        self.over.cancel();
        drop(self.open.lock().take());
        // Dropped after the lock is released, because dropping it takes the lock of the list.
        let listed = self.listed.lock().take();
        drop(listed);
    }
}

impl Session {
    /// Runs statements that only read, and returns the answer of the last one in batches. All batches are of one time:
    /// that of the call, or a later one if a view that the query reads is replaced before it has reached that time.
    pub fn stream(&self, sql: &str, params: &Params) -> Result<QueryStream, Error> {
        on_big_stack(|| self.begin_stream(sql, params))
    }

    fn begin_stream(&self, sql: &str, params: &Params) -> Result<QueryStream, Error> {
        self.database.check_usable()?;
        let mut statements = read_statements(sql, params, self.database.memory_limit)?;
        let last = statements.pop().ok_or_else(empty_statement)?;
        for parsed in &statements {
            self.database.ended_as(self.run_statement(parsed, params))?;
        }
        let Statement::Query(query) = &last.statement else {
            return match self.database.ended_as(self.run_statement(&last, params))? {
                Outcome::Query(output) | Outcome::Metadata(output) => Ok(self.stream_of(output, &last.text)),
                Outcome::Ddl { .. } | Outcome::Rows(_) => unreachable!("reads give rows"),
            };
        };
        let begun = self.database.ended_as(self.begin_query(query, params, 0))?;
        let (sender, receiver) = bounded(1);
        let stream = self.listed_stream(Arc::clone(&begun.bound.query.schema), receiver, &last.text);
        let producer = Producer {
            session: self.database.session().with_cancel(&stream.control.over),
            batches: sender,
            over: stream.over.clone(),
            control: Arc::clone(&stream.control),
            schema: Arc::clone(&stream.schema),
            query: Query::clone(query),
            params: params.clone(),
        };
        spawn("laminardb-stream", move || producer.run(begun))?;
        Ok(stream)
    }

    /// Makes a stream of an answer that is complete already.
    fn stream_of(&self, output: QueryOutput, text: &str) -> QueryStream {
        let parts: Vec<RecordBatch> = output.batches.iter().flat_map(parts).collect();
        let (sender, receiver) = bounded(parts.len());
        for part in parts {
            sender.send(Ok(part)).expect("the receiver is there, and there is room");
        }
        let stream = self.listed_stream(output.schema, receiver, text);
        stream.control.is_complete.store(true, Ordering::Release);
        stream
    }

    /// Makes a stream that receives `batches`, listed as a running query under `text` until it is over.
    fn listed_stream(
        &self,
        schema: SchemaRef,
        batches: Receiver<Result<RecordBatch, Error>>,
        text: &str,
    ) -> QueryStream {
        let (open, over) = bounded(0);
        let control = Arc::new(Control::new(open));
        // Weak, because the control holds its entry in the list, which holds this function.
        let ended = Arc::downgrade(&control);
        let end = move || ended.upgrade().iter().for_each(|control| control.end());
        let listed = self.database.queries.begin(text, Cancel::Call(Arc::new(end)));
        *control.listed.lock() = Some(listed);
        if self.database.is_closed() {
            // The database may have cancelled its running queries before this one was listed.
            control.end();
        }
        QueryStream { schema, batches, over, control, _database: Arc::clone(&self.database) }
    }
}

impl QueryStream {
    /// Returns the columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns whether the stream is neither cancelled nor read to its end.
    pub fn is_active(&self) -> bool {
        !self.control.is_over()
    }

    /// Waits for the next batch, at most for `timeout`; `None` waits without limit. An error ends the stream and is
    /// returned once.
    pub fn next(&self, timeout: Option<Duration>) -> Result<NextRows, Error> {
        let late = timeout.map_or_else(never, after);
        select! {
            recv(self.batches) -> batch => self.taken(batch.ok()),
            recv(self.over) -> _ => Ok(NextRows::Ended),
            recv(late) -> _ => Ok(NextRows::TimedOut),
        }
    }

    /// Returns the next batch if it is there; never waits.
    pub fn try_next(&self) -> Result<NextRows, Error> {
        match self.batches.try_recv() {
            Err(TryRecvError::Empty) if !self.control.is_over() => Ok(NextRows::TimedOut),
            batch => self.taken(batch.ok()),
        }
    }

    /// Ends the stream and wakes blocked readers. Never waits; calling it again does nothing.
    pub fn cancel(&self) {
        self.control.end();
    }

    /// Returns what a batch, or the end of the channel (`None`), means to the reader: nothing is delivered after a
    /// cancellation.
    fn taken(&self, batch: Option<Result<RecordBatch, Error>>) -> Result<NextRows, Error> {
        if self.control.is_over() && !self.control.is_read.load(Ordering::Acquire) {
            return Ok(NextRows::Ended);
        }
        match batch {
            Some(Ok(batch)) => Ok(NextRows::Batch(batch)),
            Some(Err(error)) => {
                self.control.is_read.store(true, Ordering::Release);
                self.control.end();
                Err(error)
            }
            None => {
                let was_read = self.control.is_read.swap(true, Ordering::AcqRel);
                self.control.end();
                if was_read || self.control.is_complete.load(Ordering::Acquire) {
                    Ok(NextRows::Ended)
                } else {
                    // The channel was closed before the thread had sent everything: the thread has panicked.
                    Err(ended_early())
                }
            }
        }
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// A bound query that has taken what it reads.
struct Begun {
    bound: Bound,
    plan: Plan,
    taken: ReadSet,
    /// Number of times that the query was bound.
    tries: usize,
}

impl Session {
    /// Binds a query, which was bound in `tries` before, and takes what it reads. If that was replaced after the query
    /// was bound, binds it again.
    fn begin_query(&self, query: &Query, params: &Params, mut tries: usize) -> Result<Begun, Error> {
        loop {
            let definitions = self.settled(tries)?;
            tries += 1;
            let (bound, (plan, mut reads)) = budget::planning(&self.cancel, || {
                let bound = self.bind(query, params)?;
                let reads = reads_of(&bound.catalog, &bound.query)?;
                Ok::<_, Error>((bound, reads))
            })?;
            match self.database.committer.frozen_for(self.actor(), |frozen| reads.take(frozen, &self.database.engine)) {
                Err(Error::Dropped(_)) if self.database.has_changed_since(&bound.catalog) => {}
                taken => {
                    let mut taken = taken?;
                    taken.hold(definitions, &self.cancel)?;
                    return Ok(Begun { bound, plan, taken, tries });
                }
            }
        }
    }
}

/// The part of a stream that runs on its thread.
struct Producer {
    /// A session of the stream's own, outside any transaction; its calls end with the stream.
    session: Session,
    batches: Sender<Result<RecordBatch, Error>>,
    over: Receiver<Infallible>,
    control: Arc<Control>,
    schema: SchemaRef,
    query: Query,
    params: Params,
}

impl Producer {
    /// Runs the query and sends its batches, or the error with which it ends.
    fn run(self, begun: Begun) {
        let mut give = |batch: RecordBatch| parts(&batch).try_for_each(|part| self.send(Ok(part)));
        let database = &self.session.database;
        let done = self.contents(begun).and_then(|(plan, contents)| {
            database.executor.run_each(plan, &contents, &self.schema, &self.session.cancel, &mut give)
        });
        if let Err(error) = database.ended_as(done) {
            // Sending fails only if the stream is over, and then no reader needs the error.
            drop(self.send(Err(error)));
        }
        self.control.is_complete.store(true, Ordering::Release);
    }

    /// Waits for the views and returns the rows that the query reads. If a view is replaced before that, binds the
    /// query again and reads what exists by then.
    fn contents(&self, mut begun: Begun) -> Result<(Plan, Contents), Error> {
        loop {
            let Begun { bound, plan, taken, tries } = begun;
            let failed = match taken.wait(&self.session.cancel) {
                Ok(contents) => return Ok((plan, contents)),
                Err(failed) => failed,
            };
            if !matches!(failed, Error::Dropped(_)) || !self.session.database.has_changed_since(&bound.catalog) {
                return Err(failed);
            }
            begun = self.session.begin_query(&self.query, &self.params, tries)?;
            if begun.bound.query.schema != self.schema {
                // The stream has announced other columns to its reader.
                return Err(failed);
            }
        }
    }

    /// Sends a batch or an error, waiting until the channel has room. Fails if the stream is over.
    fn send(&self, batch: Result<RecordBatch, Error>) -> Result<(), Error> {
        select! {
            send(self.batches, batch) -> sent => sent.map_err(|_| Error::Interrupted),
            recv(self.over) -> _ => Err(Error::Interrupted),
        }
    }
}

/// Returns the batch in parts of at most [`MAX_ROWS`] rows.
fn parts(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let starts = (0..rows).step_by(MAX_ROWS);
    let batch = batch.clone();
    starts.map(move |start| batch.slice(start, MAX_ROWS.min(rows - start)))
}

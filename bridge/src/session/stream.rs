//! `QueryStream`: the answer of one query, batch by batch, as it is read.
//!
//! What is read is taken at one moment, when the stream is made; then a thread of the stream runs the query, and waits
//! after each batch until it is taken.
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
use laminardb_planner::Params;
use laminardb_planner::statement::{Query, Statement};
use parking_lot::Mutex;

use super::Session;
use super::outcome::{Outcome, QueryOutput};
use super::read::{Bound, ReadSet, reads_of};
use super::statements::{empty_statement, read_statements};
use crate::database::{Cancel, Database, Running};
use crate::error::Error;
use crate::query::{Contents, Plan, ended_early, spawn};

/// No batch has more rows.
const MAX_ROWS: usize = 65_536;

/// What waiting for rows found.
#[derive(Clone, Debug)]
pub enum NextRows {
    /// Rows; never none.
    Batch(RecordBatch),
    /// Nothing came in the time given.
    TimedOut,
    /// No more will come.
    Ended,
}

/// The answer of a query in batches. Keeps its database alive; dropping it ends the query.
pub struct QueryStream {
    schema: SchemaRef,
    batches: Receiver<Result<RecordBatch, Error>>,
    over: Receiver<Infallible>,
    control: Arc<Control>,
    _database: Arc<Database>,
}

/// What a stream, its thread and the list of queries share.
#[derive(Default)]
struct Control {
    /// Cancelled when nobody wants more of the answer, or a reader has met its end.
    over: CancelToken,
    /// A reader has met its end; another may still have a batch in hand.
    is_read: AtomicBool,
    /// The thread has sent all, the error that ended the query included.
    is_complete: AtomicBool,
    /// Dropped to wake all who wait.
    open: Mutex<Option<Sender<Infallible>>>,
    listed: Mutex<Option<Running>>,
}

impl Control {
    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Ends the stream, whether it was read, cancelled, or its session closed.
    fn end(&self) {
        self.over.cancel();
        drop(self.open.lock().take());
        let listed = self.listed.lock().take();
        drop(listed);
    }
}

impl Session {
    /// The answer of statements that only read, the last one's, in batches; all of one time, that of this call, or a
    /// later one if a view that is read is replaced before it has reached that time.
    pub fn stream(&self, sql: &str, params: &Params) -> Result<QueryStream, Error> {
        self.database.check_usable()?;
        let mut statements = read_statements(sql, params)?;
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
        let begun = self.database.ended_as(self.begin_query(query, params))?;
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

    /// A stream of an answer that is there.
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

    fn listed_stream(
        &self,
        schema: SchemaRef,
        batches: Receiver<Result<RecordBatch, Error>>,
        text: &str,
    ) -> QueryStream {
        let (open, over) = bounded(0);
        let control = Arc::new(Control { open: Mutex::new(Some(open)), ..Control::default() });
        // Weak: the control holds its place in the list.
        let ended = Arc::downgrade(&control);
        let end = move || ended.upgrade().iter().for_each(|control| control.end());
        let listed = self.database.queries.begin(text, Cancel::Call(Arc::new(end)));
        *control.listed.lock() = Some(listed);
        if self.database.is_closed() {
            // The session may have looked for its streams before this one was listed.
            control.end();
        }
        QueryStream { schema, batches, over, control, _database: Arc::clone(&self.database) }
    }
}

impl QueryStream {
    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Until it is cancelled or a reader has met its end.
    pub fn is_active(&self) -> bool {
        !self.control.is_over()
    }

    /// Waits for the next batch, at most `timeout` (`None`: for ever). An error ends the stream, and is raised once.
    pub fn next(&self, timeout: Option<Duration>) -> Result<NextRows, Error> {
        let late = timeout.map_or_else(never, after);
        select! {
            recv(self.batches) -> batch => self.taken(batch.ok()),
            recv(self.over) -> _ => Ok(NextRows::Ended),
            recv(late) -> _ => Ok(NextRows::TimedOut),
        }
    }

    /// The next batch if it is there; never waits.
    pub fn try_next(&self) -> Result<NextRows, Error> {
        match self.batches.try_recv() {
            Err(TryRecvError::Empty) if !self.control.is_over() => Ok(NextRows::TimedOut),
            batch => self.taken(batch.ok()),
        }
    }

    /// Ends it; a blocked reader wakes. Idempotent, never waits.
    pub fn cancel(&self) {
        self.control.end();
    }

    /// What a batch, or the end of the channel, means to the reader.
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

/// A query that has taken what it reads.
struct Begun {
    bound: Bound,
    plan: Plan,
    taken: ReadSet,
}

impl Session {
    /// Binds a query and takes what it reads. That may be replaced after it was bound; then it is bound to what there is
    /// now.
    fn begin_query(&self, query: &Query, params: &Params) -> Result<Begun, Error> {
        let mut tries = 0;
        loop {
            let _definitions = self.settled(tries)?;
            tries += 1;
            let bound = self.bind(query, params)?;
            let (plan, mut reads) = reads_of(&bound.catalog, &bound.query)?;
            match self.database.committer.frozen_for(self.actor(), |frozen| reads.take(frozen, &self.database.engine)) {
                Err(Error::Dropped(_)) if self.database.has_changed_since(&bound.catalog) => {}
                taken => return Ok(Begun { bound, plan, taken: taken? }),
            }
        }
    }
}

/// The thread's part.
struct Producer {
    /// Of its own: what the stream reads was taken before.
    session: Session,
    batches: Sender<Result<RecordBatch, Error>>,
    over: Receiver<Infallible>,
    control: Arc<Control>,
    schema: SchemaRef,
    query: Query,
    params: Params,
}

impl Producer {
    fn run(self, begun: Begun) {
        let mut give = |batch: RecordBatch| parts(&batch).try_for_each(|part| self.send(Ok(part)));
        let database = &self.session.database;
        let done = self.contents(begun).and_then(|(plan, contents)| {
            database.executor.run_each(plan, &contents, &self.schema, &self.session.cancel, &mut give)
        });
        if let Err(error) = database.ended_as(done) {
            // Without a reader there is nobody to tell.
            drop(self.send(Err(error)));
        }
        self.control.is_complete.store(true, Ordering::Release);
    }

    /// The rows that the query reads, once the views are there. A view that is replaced before is read as it is then.
    fn contents(&self, mut begun: Begun) -> Result<(Plan, Contents), Error> {
        loop {
            let Begun { bound, plan, taken } = begun;
            let failed = match taken.wait(&self.session.cancel) {
                Ok(contents) => return Ok((plan, contents)),
                Err(failed) => failed,
            };
            if !matches!(failed, Error::Dropped(_)) || !self.session.database.has_changed_since(&bound.catalog) {
                return Err(failed);
            }
            begun = self.session.begin_query(&self.query, &self.params)?;
            if begun.bound.query.schema != self.schema {
                // The reader was promised other columns.
                return Err(failed);
            }
        }
    }

    /// Waits for the reader to have room.
    fn send(&self, batch: Result<RecordBatch, Error>) -> Result<(), Error> {
        select! {
            send(self.batches, batch) -> sent => sent.map_err(|_| Error::Interrupted),
            recv(self.over) -> _ => Err(Error::Interrupted),
        }
    }
}

/// The batch in parts that are not too large.
fn parts(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let starts = (0..rows).step_by(MAX_ROWS);
    let batch = batch.clone();
    starts.map(move |start| batch.slice(start, MAX_ROWS.min(rows - start)))
}

//! The two candidates of a comparison behind one interface: our engine, and a thread that runs the hand-written flow.
//!
//! Each candidate runs its dataflow on a thread of its own and receives its commands from here, so a step costs both
//! the same two hand-overs between threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use laminardb_dataflow::plan::DataflowPlan;
use laminardb_dataflow::{CancelToken, ChangeSink, Diffs, Engine, EngineConfig, RelationId, Time, UpdateBatch, ViewId};

use crate::flow::{Candidate, Flow};

/// A candidate that maintains one view over numbered inputs.
pub(crate) trait Driver {
    /// Inserts rows into an input, at the time that the next `finish` closes.
    fn send(&mut self, input: usize, rows: &RecordBatch);
    /// Closes the time and waits until its results are out.
    fn finish(&mut self);
    /// Reads all rows of the view as Arrow columns and returns their number.
    fn snapshot(&mut self) -> usize;
}

/// The hand-written flow, on a thread of its own.
pub(crate) struct Typed {
    requests: Option<Sender<Request>>,
    replies: Receiver<usize>,
    thread: Option<JoinHandle<()>>,
}

enum Request {
    Send(usize, RecordBatch),
    Finish,
    Snapshot,
}

impl Typed {
    pub(crate) fn start(candidate: Candidate) -> Typed {
        let (requests, received) = unbounded();
        let (reply, replies) = bounded(1);
        let thread = std::thread::spawn(move || run(candidate, &received, &reply));
        Typed { requests: Some(requests), replies, thread: Some(thread) }
    }

    fn request(&self, request: Request) {
        self.requests.as_ref().expect("open until dropped").send(request).expect("the thread lives until then");
    }
}

fn run(candidate: Candidate, requests: &Receiver<Request>, replies: &Sender<usize>) {
    let (requests, replies) = (requests.clone(), replies.clone());
    timely::execute_directly(move |worker| {
        let mut flow: Flow = candidate(worker);
        let mut time = 0;
        while let Some(request) = receive(&requests) {
            match request {
                Request::Send(input, rows) => {
                    (flow.send)(input, &rows);
                    worker.step();
                }
                Request::Finish => {
                    flow.finish(worker, time);
                    time += 1;
                    replies.send(0).expect("someone waits");
                }
                Request::Snapshot => {
                    let rows = flow.snapshot.as_mut().map_or(0, |snapshot| snapshot());
                    replies.send(rows).expect("someone waits");
                }
            }
        }
    });
}

/// Returns the next message, or `None` if there are no more. Before the thread sleeps it polls for 60 microseconds, as
/// the workers and readers of our engine do.
fn receive<T>(messages: &Receiver<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(60) {
        match messages.try_recv() {
            Ok(message) => return Some(message),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    messages.recv().ok()
}

impl Driver for Typed {
    fn send(&mut self, input: usize, rows: &RecordBatch) {
        self.request(Request::Send(input, rows.clone()));
    }

    fn finish(&mut self) {
        self.request(Request::Finish);
        receive(&self.replies).expect("the thread replies");
    }

    fn snapshot(&mut self) -> usize {
        self.request(Request::Snapshot);
        receive(&self.replies).expect("the thread replies")
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the yardstick does not panic");
        }
    }
}

/// Our engine with one view.
pub(crate) struct Ours {
    engine: Engine,
    pending: Vec<(RelationId, RecordBatch, Diffs)>,
    closed: Receiver<(usize, Time)>,
    frontiers: Vec<Time>,
}

const VIEW: ViewId = ViewId(1);

struct Frontiers(Sender<(usize, Time)>);

impl ChangeSink for Frontiers {
    fn changes(&self, _: usize, _: ViewId, _: Time, changes: &UpdateBatch) {
        std::hint::black_box(changes);
    }

    fn frontier(&self, worker: usize, _: ViewId, frontier: Time) {
        // Sending fails when the bench is over, and then the frontier is not needed.
        let _ = self.0.send((worker, frontier));
    }

    fn stopped(&self, reason: &str) {
        panic!("the engine stopped: {reason}");
    }
}

impl Ours {
    /// Starts an engine that maintains the plan as its view; input `n` of the plan is relation `n`.
    pub(crate) fn start(plan: DataflowPlan, workers: usize) -> Ours {
        let workers = NonZeroUsize::new(workers).expect("at least one worker");
        let (sender, closed) = unbounded();
        let engine = Engine::start(EngineConfig { workers, memory_limit: None }, Arc::new(Frontiers(sender)))
            .expect("threads start");
        let contents = (0..plan.inputs().len() as u64).map(|input| (RelationId(input), Vec::new())).collect();
        engine.install(VIEW, Arc::new(plan), contents).expect("the plan is well formed");
        engine.watch(VIEW, true).expect("the view is installed");
        Ours { engine, pending: Vec::new(), closed, frontiers: vec![Time(0); workers.get()] }
    }

    /// Returns the number of bytes that the view's kept state takes per row.
    pub(crate) fn bytes_per_row(&self) -> f64 {
        let report = self.engine.report().expect("the engine runs");
        let state = report.views[0].state;
        state.bytes as f64 / state.rows.max(1) as f64
    }
}

impl Driver for Ours {
    fn send(&mut self, input: usize, rows: &RecordBatch) {
        self.pending.push((RelationId(input as u64), rows.clone(), Diffs::Same(1)));
    }

    fn finish(&mut self) {
        let time = self.engine.commit(std::mem::take(&mut self.pending)).expect("the engine runs");
        while self.frontiers.iter().any(|frontier| *frontier <= time) {
            let (worker, frontier) = receive(&self.closed).expect("the engine runs");
            self.frontiers[worker] = frontier;
        }
    }

    fn snapshot(&mut self) -> usize {
        let mut pending = self.engine.snapshot(&[VIEW]).expect("the engine runs");
        let snapshots = pending.wait(&CancelToken::new(), None).expect("the view keeps its rows");
        snapshots[0].rows.iter().map(|(rows, _)| rows.num_rows()).sum()
    }
}

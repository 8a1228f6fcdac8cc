//! Runs a part of a dataflow under timely with several workers, fed by a script.

use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::dataflow::{InputHandle, Scope, Stream};

use super::rows::{Change, Row, changes_of, to_batch};
use crate::update::PerRow;
use crate::{Time, UpdateBatch};

/// The changes of some inputs over time.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Of each input.
    pub(crate) schemas: Vec<SchemaRef>,
    /// Of each input, by ascending time.
    pub(crate) changes: Vec<Vec<Change>>,
    /// The last time; the first is 1.
    pub(crate) times: Time,
    /// After these times the workers finish what is in flight; after others more is sent at once.
    pub(crate) drained: Vec<Time>,
}

/// Builds the part under test: streams in, streams out.
pub(crate) type Fragment = dyn for<'s> Fn(Scope<'s, Time>, Vec<Stream<'s, Time, UpdateBatch>>) -> Vec<Stream<'s, Time, UpdateBatch>>
    + Send
    + Sync;

/// The changes each output of the fragment has made when all of the script is done.
pub(crate) fn run(workers: usize, script: &Script, fragment: Arc<Fragment>) -> Vec<Vec<Change>> {
    let outputs: Arc<Mutex<Vec<Vec<Change>>>> = Arc::default();
    let (script, captured) = (script.clone(), Arc::clone(&outputs));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut inputs: Vec<InputHandle<Time, NoopBuilder<UpdateBatch>>> =
            script.schemas.iter().map(|_| InputHandle::new_with_builder()).collect();
        let probe = worker.dataflow::<Time, _, _>(|scope| {
            let streams = inputs.iter_mut().map(|input| input.to_stream(scope)).collect();
            let probe = ProbeHandle::new();
            let streams = fragment(scope, streams);
            captured.lock().expect("no worker panicked").resize_with(streams.len(), Vec::new);
            for (output, stream) in streams.into_iter().enumerate() {
                capture(stream, output, Arc::clone(&captured)).probe_with(&probe);
            }
            probe
        });
        for time in 1..=script.times {
            for (input, handle) in inputs.iter_mut().enumerate() {
                handle.advance_to(time);
                for mut batch in share(&script, input, time, worker.index(), worker.peers()) {
                    handle.send_batch(&mut batch);
                }
                handle.advance_to(time + 1);
            }
            if script.drained.contains(&time) {
                worker.step_while(|| probe.less_than(&(time + 1)));
            }
        }
    });
    drop(guards.expect("timely starts"));
    Arc::into_inner(outputs).expect("the workers have ended").into_inner().expect("no worker panicked")
}

/// This worker's batches of an input at a time: every n-th row, cut in two, some with diffs of one kind.
fn share(script: &Script, input: usize, time: Time, worker: usize, workers: usize) -> Vec<UpdateBatch> {
    let at_time = script.changes[input].iter().filter(|(_, at, _)| *at == time);
    let mine: Vec<&Change> = at_time.enumerate().filter(|(i, _)| i % workers == worker).map(|(_, c)| c).collect();
    let (front, back) = mine.split_at(mine.len() / 2);
    let batch = |changes: &[&Change]| {
        let rows: Vec<&Row> = changes.iter().map(|(row, _, _)| row).collect();
        let diffs = changes.iter().map(|(_, _, diff)| *diff).collect();
        UpdateBatch {
            rows: to_batch(&script.schemas[input], &rows),
            times: PerRow::Same(time),
            diffs: PerRow::from_vec(diffs),
        }
    };
    [front, back].into_iter().filter(|part| !part.is_empty()).map(batch).collect()
}

fn capture<'scope>(
    stream: Stream<'scope, Time, UpdateBatch>,
    output: usize,
    captured: Arc<Mutex<Vec<Vec<Change>>>>,
) -> Stream<'scope, Time, Vec<()>> {
    stream.unary::<NoopBuilder<Vec<()>>, _, _, _>(Pipeline, "Capture", move |_, _| {
        move |input, _| {
            input.for_each(|capability, batch| {
                let changes = changes_of(batch);
                assert!(!changes.is_empty(), "batches on edges are not empty");
                let least = capability.least().expect("data travels with a time");
                assert!(changes.iter().all(|(_, time, diff)| time >= least && *diff != 0));
                let mut captured = captured.lock().expect("no worker panicked");
                captured[output].extend(changes);
            });
        }
    })
}

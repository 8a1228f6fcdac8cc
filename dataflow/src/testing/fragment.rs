//! Runs a part of a dataflow under timely with several workers, fed by a script.

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::TraceReader;
use parking_lot::Mutex;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::dataflow::{InputHandle, Scope, Stream};
use timely::progress::frontier::AntichainRef;

use super::rows::{Change, Row, accumulate, changes_of, times, to_batch};
use crate::arrangement::{self, ArrangementSize, Layout, Trace, arrange};
use crate::fuel::{Fuel, Meter};
use crate::update::PerRow;
use crate::work::Work;
use crate::{Time, UpdateBatch};

/// The changes of some inputs over time.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The schema of each input.
    pub(crate) schemas: Vec<SchemaRef>,
    /// The changes of each input, by ascending time.
    pub(crate) changes: Vec<Vec<Change>>,
    /// The last time; the first is 1.
    pub(crate) times: Time,
    /// After these times the workers finish what is in flight; after other times more is sent at once.
    pub(crate) drained: Vec<Time>,
}

/// Builds the part under test: streams in, streams out.
pub(crate) type Fragment = dyn for<'s> Fn(Scope<'s, Time>, Vec<Stream<'s, Time, UpdateBatch>>) -> Vec<Stream<'s, Time, UpdateBatch>>
    + Send
    + Sync;

/// Returns the changes of each output of the fragment when all of the script is done.
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
            captured.lock().resize_with(streams.len(), Vec::new);
            for (output, stream) in streams.into_iter().enumerate() {
                capture(stream, output, Arc::clone(&captured)).probe_with(&probe);
            }
            probe
        });
        for time in times(1, script.times) {
            for (input, handle) in inputs.iter_mut().enumerate() {
                handle.advance_to(time);
                send(handle, &script.schemas[input], &script.at(input, time), worker.index(), worker.peers());
                handle.advance_to(time + 1);
            }
            if script.drained.contains(&time) {
                worker.step_or_park_while(None, || probe.less_than(&(time + 1)));
            }
        }
    });
    drop(guards.expect("timely starts"));
    Arc::into_inner(outputs).expect("the workers have ended").into_inner()
}

/// Builds the part under test with the fuel that its operators share.
pub(crate) type FueledFragment = dyn for<'s> Fn(Scope<'s, Time>, Vec<Stream<'s, Time, UpdateBatch>>, &Rc<Fuel>) -> Stream<'s, Time, UpdateBatch>
    + Send
    + Sync;

/// Runs a fragment on one worker. Returns its changes, and the largest number of rows that its operators have processed
/// in one step of the worker.
pub(crate) fn run_in_pieces(script: &Script, fragment: Arc<FueledFragment>) -> (Vec<Change>, u64) {
    let outputs = Arc::new(Mutex::new(vec![Vec::new()]));
    let (script, captured) = (script.clone(), Arc::clone(&outputs));
    let largest = timely::execute_directly(move |worker| {
        let mut inputs: Vec<InputHandle<Time, NoopBuilder<UpdateBatch>>> =
            script.schemas.iter().map(|_| InputHandle::new_with_builder()).collect();
        let meter = Meter::new();
        let fuel = Fuel::new(&meter);
        let probe = worker.dataflow::<Time, _, _>(|scope| {
            let streams = inputs.iter_mut().map(|input| input.to_stream(scope)).collect();
            capture(fragment(scope, streams, &fuel), 0, Arc::clone(&captured)).probe().0
        });
        for time in times(1, script.times) {
            for (input, handle) in inputs.iter_mut().enumerate() {
                handle.advance_to(time);
                send(handle, &script.schemas[input], &script.at(input, time), 0, 1);
                handle.advance_to(time + 1);
            }
            while probe.less_than(&(time + 1)) || fuel.has_backlog() {
                worker.step();
                meter.look();
            }
        }
        meter.take_largest()
    });
    let changes = outputs.lock().remove(0);
    (changes, largest)
}

/// What a late fragment reads: arrangements of some inputs, then the other inputs as streams.
pub(crate) type LateFragment = dyn for<'s> Fn(Vec<Arranged<'s, Trace>>, Vec<Stream<'s, Time, UpdateBatch>>) -> Stream<'s, Time, UpdateBatch>
    + Send
    + Sync;

/// Runs a fragment that is built after time `opening`, like a view that is created late. It imports arrangements of the
/// inputs that have a layout, whose history is compacted by then, and gets the contents at `opening` of the other
/// inputs. Returns its changes, and what the arrangements hold at the end.
pub(crate) fn run_late(
    workers: usize,
    script: &Script,
    opening: Time,
    layouts: Vec<Option<Arc<Layout>>>,
    fragment: Arc<LateFragment>,
) -> (Vec<Change>, Vec<ArrangementSize>) {
    let (outputs, sizes) = (Arc::new(Mutex::new(vec![Vec::new()])), Arc::new(Mutex::new(Vec::new())));
    let (script, captured, measured) = (script.clone(), Arc::clone(&outputs), Arc::clone(&sizes));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut inputs: Vec<InputHandle<Time, NoopBuilder<UpdateBatch>>> =
            script.schemas.iter().map(|_| InputHandle::new_with_builder()).collect();
        let probe = ProbeHandle::new();
        let mut traces: Vec<Trace> = worker.dataflow::<Time, _, _>(|scope| {
            let indexed = inputs.iter_mut().zip(&layouts).filter_map(|(input, layout)| Some((input, layout.as_ref()?)));
            let arranged =
                indexed.map(|(input, layout)| arrange(input.to_stream(scope), layout, "Index", Work::new("arrange")));
            arranged
                .map(|a| {
                    a.stream.probe_with(&probe);
                    a.trace
                })
                .collect()
        });
        for time in times(1, script.times) {
            if time == opening + 1 {
                worker.dataflow::<Time, _, _>(|scope| {
                    let imported = traces.iter_mut().map(|trace| trace.import_core(scope, "Import").0).collect();
                    let late = inputs.iter_mut().zip(&layouts).filter(|(_, layout)| layout.is_none());
                    let streams = late.map(|(input, _)| input.to_stream(scope)).collect();
                    capture(fragment(imported, streams), 0, Arc::clone(&captured)).probe_with(&probe);
                });
            }
            for (input, handle) in inputs.iter_mut().enumerate() {
                let indexed = layouts[input].is_some();
                if time == opening + 1 && !indexed {
                    handle.advance_to(opening);
                    let contents = accumulate(&script.changes[input], opening).into_iter();
                    let contents: Vec<Change> = contents.map(|(row, diff)| (row, opening, diff)).collect();
                    let contents: Vec<&Change> = contents.iter().collect();
                    send(handle, &script.schemas[input], &contents, worker.index(), worker.peers());
                }
                if time > opening || indexed {
                    handle.advance_to(time);
                    send(handle, &script.schemas[input], &script.at(input, time), worker.index(), worker.peers());
                    handle.advance_to(time + 1);
                }
            }
            if time == opening || script.drained.contains(&time) {
                worker.step_or_park_while(None, || probe.less_than(&(time + 1)));
                for trace in &mut traces {
                    trace.set_logical_compaction(AntichainRef::new(&[time]));
                    trace.set_physical_compaction(AntichainRef::new(&[time + 1]));
                }
            }
        }
        measured.lock().extend(traces.iter().map(arrangement::size));
    });
    drop(guards.expect("timely starts"));
    let changes = outputs.lock().remove(0);
    (changes, Arc::into_inner(sizes).expect("the workers have ended").into_inner())
}

impl Script {
    fn at(&self, input: usize, time: Time) -> Vec<&Change> {
        self.changes[input].iter().filter(|(_, at, _)| *at == time).collect()
    }
}

/// Sends this worker's share of some changes: every n-th, in two batches, some with diffs of one kind.
fn send(
    handle: &mut InputHandle<Time, NoopBuilder<UpdateBatch>>,
    schema: &SchemaRef,
    changes: &[&Change],
    worker: usize,
    workers: usize,
) {
    let mine: Vec<&Change> = changes.iter().skip(worker).step_by(workers).copied().collect();
    let (front, back) = mine.split_at(mine.len() / 2);
    for part in [front, back] {
        if let Some((_, time, _)) = part.first() {
            let rows: Vec<&Row> = part.iter().map(|(row, _, _)| row).collect();
            let diffs = PerRow::from_vec(part.iter().map(|(_, _, diff)| *diff).collect());
            handle.send_batch(&mut UpdateBatch { rows: to_batch(schema, &rows), times: PerRow::Same(*time), diffs });
        }
    }
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
                let mut captured = captured.lock();
                captured[output].extend(changes);
            });
        }
    })
}

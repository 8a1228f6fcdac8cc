//! A dataflow to be measured: its inputs, its progress and its results, in the same form for every candidate.

use std::time::Instant;

use arrow::array::RecordBatch;
use timely::dataflow::operators::probe::Handle as ProbeHandle;
use timely::worker::Worker;

/// The parts of a dataflow that the harness uses.
pub(crate) struct Flow {
    /// Sends rows, each inserted once at the current time, to the input of the given number.
    pub(crate) send: Box<dyn FnMut(usize, &RecordBatch)>,
    /// Moves all inputs to a time.
    pub(crate) advance: Box<dyn FnMut(u64)>,
    /// Shows up to which time the results are complete.
    pub(crate) probe: ProbeHandle<u64>,
    /// Reads the whole arrangement as Arrow columns and returns the number of rows; `None` unless the flow is for
    /// loading.
    pub(crate) snapshot: Option<Box<dyn FnMut() -> usize>>,
}

/// Function that builds a flow on a worker.
pub(crate) type Candidate = fn(&mut Worker) -> Flow;

impl Flow {
    /// Closes time `time` and works until its results are out.
    pub(crate) fn finish(&mut self, worker: &mut Worker, time: u64) {
        (self.advance)(time + 1);
        while self.probe.less_than(&(time + 1)) {
            worker.step();
        }
    }
}

/// Durations of repeated small steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    /// Duration of each step in seconds, ascending.
    pub(crate) seconds: Vec<f64>,
}

impl Steps {
    /// Calls `step` `repeat` times with the number of the call, and measures each call.
    pub(crate) fn of(repeat: usize, mut step: impl FnMut(usize)) -> Steps {
        let mut seconds: Vec<f64> = (0..repeat)
            .map(|turn| {
                let start = Instant::now();
                step(turn);
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        Steps { seconds }
    }

    /// Returns the time in microseconds that `share` (0 to 1) of the steps do not exceed.
    pub(crate) fn micros(&self, share: f64) -> f64 {
        let last = self.seconds.len() - 1;
        self.seconds[((self.seconds.len() as f64 * share) as usize).min(last)] * 1e6
    }
}

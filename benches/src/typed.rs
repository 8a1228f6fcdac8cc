//! The yardstick: the same flows, written by hand on differential's own statically typed layout.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringBuilder};
use arrow::datatypes::Int64Type;
use differential_dataflow::operators::CountTotal;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::cursor::cursor_list;
use differential_dataflow::trace::implementations::ord_neu::{OrdKeyBatcher, OrdKeySpine, OrdValBatcher, OrdValSpine};
use differential_dataflow::trace::{Cursor, TraceReader};
use timely::container::{CapacityContainerBuilder, NoopBuilder, PushInto};
use timely::dataflow::InputHandle;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::progress::frontier::AntichainRef;
use timely::worker::Worker;

use crate::flow::Flow;

type Time = u64;
type Updates<V, R> = Vec<((u64, V), Time, R)>;
type Record = (i64, String);
type Bid = (i64, i64, i64);
type Auction = (String, i64);
type Joined = ((u64, (i64, i64, i64, String, i64)), Time, i64);
type CountSum = (i64, i64);
type Counted = ((u64, CountSum), Time, i64);

fn integers(rows: &RecordBatch, column: usize) -> &[i64] {
    rows.column(column).as_primitive::<Int64Type>().values()
}

/// Returns the hash by which a key is assigned to a worker.
fn route(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

fn arranged<'s, V: differential_dataflow::ExchangeData + std::hash::Hash>(
    updates: Stream<'s, Time, Updates<V, i64>>,
) -> Arranged<'s, TraceAgent<OrdValSpine<u64, V, Time, i64>>> {
    arrange_core(
        updates,
        Exchange::new(|update: &((u64, V), Time, i64)| route(update.0.0)),
        "Arrange",
        OrdValBatcher::<u64, V, Time, i64>::new,
    )
}

fn records(rows: &RecordBatch, time: Time) -> Updates<Record, i64> {
    let strings = rows.column(2).as_string::<i32>();
    (0..rows.num_rows())
        .map(|row| {
            let record = (integers(rows, 1)[row], strings.value(row).to_owned());
            ((integers(rows, 0)[row] as u64, record), time, 1)
        })
        .collect()
}

fn bids(rows: &RecordBatch, time: Time) -> Updates<Bid, i64> {
    let [auction, bidder, price, ts] = [0, 1, 2, 3].map(|column| integers(rows, column));
    (0..rows.num_rows()).map(|row| ((auction[row] as u64, (bidder[row], price[row], ts[row])), time, 1)).collect()
}

fn auctions(rows: &RecordBatch, time: Time) -> Updates<Auction, i64> {
    let items = rows.column(1).as_string::<i32>();
    (0..rows.num_rows())
        .map(|row| {
            let auction = (items.value(row).to_owned(), integers(rows, 2)[row]);
            ((integers(rows, 0)[row] as u64, auction), time, 1)
        })
        .collect()
}

fn counts(rows: &RecordBatch, time: Time) -> Updates<(), CountSum> {
    (0..rows.num_rows()).map(|row| ((integers(rows, 0)[row] as u64, ()), time, (1, integers(rows, 1)[row]))).collect()
}

/// Builds a flow that arranges (k, v, s) by k.
pub(crate) fn load(worker: &mut Worker) -> Flow {
    let mut input = InputHandle::<Time, NoopBuilder<Updates<Record, i64>>>::new_with_builder();
    let probe = ProbeHandle::new();
    let mut trace = worker.dataflow::<Time, _, _>(|scope| {
        let arranged = arranged(input.to_stream(scope));
        arranged.stream.probe_with(&probe);
        arranged.trace
    });
    let input = Rc::new(RefCell::new(input));
    let advanced = Rc::clone(&input);
    Flow {
        send: Box::new(move |_, rows| {
            let mut input = input.borrow_mut();
            let time = *input.time();
            input.send_batch(&mut records(rows, time));
            input.flush();
        }),
        advance: Box::new(move |time| {
            let mut input = advanced.borrow_mut();
            input.advance_to(time);
            input.flush();
        }),
        probe,
        snapshot: Some(Box::new(move || snapshot(&mut trace))),
    }
}

/// Reads the arrangement into Arrow columns of 8,192 rows, and returns the number of rows.
fn snapshot(trace: &mut TraceAgent<OrdValSpine<u64, Record, Time, i64>>) -> usize {
    let batches = trace.batches_through(AntichainRef::new(&[])).expect("nothing is compacted beyond the end");
    let (mut cursor, storage) = cursor_list(batches);
    let (mut keys, mut values, mut strings, mut rows) = (Vec::new(), Vec::new(), StringBuilder::new(), 0);
    while cursor.key_valid(&storage) {
        while cursor.val_valid(&storage) {
            let mut count = 0;
            cursor.map_times(&storage, |_, diff| count += *diff);
            if count > 0 {
                let (value, string) = cursor.val(&storage);
                keys.push(*cursor.key(&storage) as i64);
                values.push(*value);
                strings.append_value(string);
                rows += 1;
                if keys.len() == 8192 {
                    columns(&mut keys, &mut values, &mut strings);
                }
            }
            cursor.step_val(&storage);
        }
        cursor.step_key(&storage);
    }
    columns(&mut keys, &mut values, &mut strings);
    rows
}

fn columns(keys: &mut Vec<i64>, values: &mut Vec<i64>, strings: &mut StringBuilder) {
    let columns: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(std::mem::take(keys))),
        Arc::new(Int64Array::from(std::mem::take(values))),
        Arc::new(strings.finish()),
    ];
    std::hint::black_box(columns);
}

/// Builds a flow that joins bids (input 0) and auctions (input 1) on the auction, into Arrow columns.
pub(crate) fn join(worker: &mut Worker) -> Flow {
    let mut bid = InputHandle::<Time, NoopBuilder<Updates<Bid, i64>>>::new_with_builder();
    let mut auction = InputHandle::<Time, NoopBuilder<Updates<Auction, i64>>>::new_with_builder();
    let probe = ProbeHandle::new();
    worker.dataflow::<Time, _, _>(|scope| {
        let (bids, auctions) = (arranged(bid.to_stream(scope)), arranged(auction.to_stream(scope)));
        let joined = join_traces::<_, _, _, _, CapacityContainerBuilder<Vec<Joined>>>(
            bids,
            auctions,
            "Join",
            |key, bid, auction, time, left, right, out| {
                out.push_into(((*key, (bid.0, bid.1, bid.2, auction.0.clone(), auction.1)), time, *left * *right));
            },
        );
        let sink = joined.unary_frontier::<NoopBuilder<Vec<()>>, _, _, _>(Pipeline, "ToArrow", |_, _| {
            |(input, _frontier), _output| input.for_each(|_, joined| to_arrow(joined))
        });
        sink.probe_with(&probe);
    });
    let inputs = Rc::new(RefCell::new((bid, auction)));
    let advanced = Rc::clone(&inputs);
    Flow {
        send: Box::new(move |to, rows| {
            let (bid, auction) = &mut *inputs.borrow_mut();
            if to == 0 {
                let time = *bid.time();
                bid.send_batch(&mut bids(rows, time));
            } else {
                let time = *auction.time();
                auction.send_batch(&mut auctions(rows, time));
            }
        }),
        advance: Box::new(move |time| {
            let (bid, auction) = &mut *advanced.borrow_mut();
            bid.advance_to(time);
            auction.advance_to(time);
            bid.flush();
            auction.flush();
        }),
        probe,
        snapshot: None,
    }
}

fn to_arrow(joined: &[Joined]) {
    let column =
        |value: fn(&Joined) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(joined.iter().map(value))) };
    let mut items = StringBuilder::with_capacity(joined.len(), joined.len() * 16);
    joined.iter().for_each(|row| items.append_value(&row.0.1.3));
    let columns = [
        column(|row| row.0.0 as i64),
        column(|row| row.0.1.0),
        column(|row| row.0.1.1),
        column(|row| row.0.1.2),
        Arc::new(items.finish()),
        column(|row| row.0.1.4),
    ];
    std::hint::black_box(columns);
}

/// Builds a flow that computes count(*) and sum(v) by k with `count_total`, into Arrow columns. The counts and sums are
/// carried as differences.
pub(crate) fn reduce(worker: &mut Worker) -> Flow {
    let mut input = InputHandle::<Time, NoopBuilder<Updates<(), CountSum>>>::new_with_builder();
    let probe = ProbeHandle::new();
    worker.dataflow::<Time, _, _>(|scope| {
        let arranged = arrange_core::<_, _, _, OrdKeySpine<u64, Time, CountSum>>(
            input.to_stream(scope),
            Exchange::new(|update: &((u64, ()), Time, CountSum)| route(update.0.0)),
            "Arrange",
            OrdKeyBatcher::<u64, Time, CountSum>::new,
        );
        let counted = arranged.count_total_core::<i64>().inner;
        let sink = counted.unary_frontier::<NoopBuilder<Vec<()>>, _, _, _>(Pipeline, "ToArrow", |_, _| {
            |(input, _frontier), _output| input.for_each(|_, counted| counts_to_arrow(counted))
        });
        sink.probe_with(&probe);
    });
    let input = Rc::new(RefCell::new(input));
    let advanced = Rc::clone(&input);
    Flow {
        send: Box::new(move |_, rows| {
            let mut input = input.borrow_mut();
            let time = *input.time();
            input.send_batch(&mut counts(rows, time));
        }),
        advance: Box::new(move |time| {
            let mut input = advanced.borrow_mut();
            input.advance_to(time);
            input.flush();
        }),
        probe,
        snapshot: None,
    }
}

fn counts_to_arrow(counted: &[Counted]) {
    let column =
        |value: fn(&Counted) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(counted.iter().map(value))) };
    let columns = [column(|row| row.0.0 as i64), column(|row| row.0.1.0), column(|row| row.0.1.1), column(|row| row.2)];
    std::hint::black_box(columns);
}

//! Tests of reads that hold a dataflow while times that follow the read are on their way to it.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Bag, PlanBuilder, bag, bag_of, change, condition, insert, settle, start};
use laminardb_dataflow::plan::{Aggregate, AggregateFunction, DataflowPlan, Operator, OutputState, Reduce};
use laminardb_dataflow::{CancelToken, ViewId};
use parking_lot::Mutex;

/// Returns the plan of a view that keeps the rows of relation 1.
fn kept() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.relation(1, 2);
    plan.finish(input, OutputState::Arrangement { key: vec![0] })
}

/// Returns the plan of a view that counts the rows of view 1 by their first column; it keeps no history.
fn counted() -> Arc<DataflowPlan> {
    let mut plan = PlanBuilder::default();
    let input = plan.view(1, 2);
    let count = Aggregate {
        function: AggregateFunction::Count,
        argument: None,
        distinct: false,
        filter: None,
        data_type: arrow::datatypes::DataType::Int64,
    };
    let reduce = Reduce { input, key: vec![0], aggregates: vec![count], monotonic: false };
    let groups = plan.node(Operator::Reduce(reduce), 2);
    plan.finish(groups, OutputState::Reduce(groups))
}

/// Returns the plan of a view of relation 9: a worker that gets a row of it waits until it can lock `gate`.
fn waiting_for(gate: &Arc<Mutex<()>>) -> Arc<DataflowPlan> {
    let gate = Arc::clone(gate);
    let mut plan = PlanBuilder::default();
    let input = plan.relation(9, 1);
    let passed = condition("gate", move |_| {
        drop(gate.lock());
        Ok(Some(1))
    });
    let passed = plan.filter(input, passed);
    plan.finish(passed, OutputState::Nothing)
}

#[test]
fn a_read_of_a_view_over_a_view_sees_its_time_though_the_lower_view_completes_several_at_once() {
    for workers in [1, 2] {
        let (engine, _) = start(workers);
        let gate = Arc::new(Mutex::new(()));
        engine.install(ViewId(1), kept(), vec![]).expect("a good plan");
        engine.install(ViewId(2), counted(), vec![]).expect("a good plan");
        engine.install(ViewId(9), waiting_for(&gate), vec![]).expect("a good plan");
        settle(&engine);
        let closed = gate.lock();
        // While the workers wait for the gate, commits and reads of several times pile up, to be found all at once.
        engine.commit(change(9, insert(&[&[0]]))).expect("runs");
        let mut reads = Vec::new();
        for row in 1..=3 {
            engine.commit(change(1, insert(&[&[1, row]]))).expect("runs");
            reads.push((engine.snapshot(&[ViewId(2)]).expect("installed"), bag(&[&[1, row]])));
            // Nothing is read at this time, so the lower view need not say that it is closed.
            engine.commit(change(8, insert(&[&[row]]))).expect("runs");
            drop(engine.snapshot(&[ViewId(1)]).expect("installed"));
        }
        drop(closed);
        for (mut read, expected) in reads {
            let snapshots = read.wait(&CancelToken::new(), Some(Duration::from_secs(60))).expect("it is answered");
            assert_eq!(snapshots.iter().map(bag_of).collect::<Vec<Bag>>(), [expected]);
        }
        engine.shutdown();
    }
}

//! Multisets of rows, and subscriptions whose changes are added up in one.

use std::collections::BTreeMap;
use std::time::Duration;

use laminardb_bridge::{ChangeBatch, Error, Next, Op, Params, SubscribeOptions, Subscription, Target, Time};

use crate::{Database, text};

/// A multiset of rows as text: each row with the number of times it occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bag(BTreeMap<String, i64>);

impl Bag {
    /// Returns the multiset of `rows`.
    pub fn of(rows: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut bag = Bag::default();
        for row in rows {
            bag.add(row.into(), 1);
        }
        bag
    }

    /// Adds `diff` to the number of times that a row occurs.
    pub fn add(&mut self, row: String, diff: i64) {
        let count = self.0.entry(row.clone()).or_default();
        *count += diff;
        if *count == 0 {
            self.0.remove(&row);
        }
    }

    /// Returns the rows that occur a negative number of times.
    pub fn negative(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, count)| **count < 0).map(|(row, _)| row.as_str()).collect()
    }
}

/// A subscription, with the contents of the view according to what it has delivered.
pub struct Follower {
    subscription: Subscription,
    contents: Bag,
    time: Time,
    /// Number of changed rows taken so far, without those of the snapshot.
    pub changes: usize,
}

impl Follower {
    /// Subscribes to a relation or view, starting with its snapshot.
    #[track_caller]
    pub fn of(database: &Database, name: &str) -> Self {
        Self::start(database.session.subscribe(Target::Relation(name), SubscribeOptions::default()), name)
    }

    /// Subscribes to a query, starting with its snapshot.
    #[track_caller]
    pub fn of_query(database: &Database, sql: &str) -> Self {
        let target = Target::Sql(sql, &Params::none());
        Self::start(database.session.subscribe(target, SubscribeOptions::default()), sql)
    }

    #[track_caller]
    fn start(subscribed: Result<Subscription, Error>, what: &str) -> Self {
        match subscribed {
            Ok(subscription) => Follower { subscription, contents: Bag::default(), time: Time::ZERO, changes: 0 },
            Err(error) => panic!("cannot subscribe to {what}: {}", error.message()),
        }
    }

    /// Takes all batches that are there, without waiting, and returns the contents.
    #[track_caller]
    pub fn catch_up(&mut self) -> &Bag {
        loop {
            match self.subscription.try_next() {
                Ok(Next::Batch(batch)) => self.apply(&batch),
                Ok(Next::TimedOut | Next::Ended) => return &self.contents,
                Err(error) => panic!("the subscription failed: {}", error.message()),
            }
        }
    }

    /// Waits for the next batch, takes it, and returns it as `op row` lines; returns `None` at the end of the
    /// subscription.
    #[track_caller]
    pub fn changes(&mut self) -> Option<Vec<String>> {
        match self.subscription.next(Some(Duration::from_secs(60))) {
            Ok(Next::Batch(batch)) => {
                self.apply(&batch);
                Some(lines(&batch))
            }
            Ok(Next::Ended) => None,
            Ok(Next::TimedOut) => panic!("nothing came"),
            Err(error) => panic!("the subscription failed: {}", error.message()),
        }
    }

    /// Takes batches until the subscription ends with an error, as it must, and returns the error.
    #[track_caller]
    pub fn failure(&mut self) -> Error {
        loop {
            match self.subscription.next(Some(Duration::from_secs(60))) {
                Ok(Next::Batch(batch)) => self.apply(&batch),
                Ok(other) => panic!("must fail, but gave {other:?}"),
                Err(error) => return error,
            }
        }
    }

    /// Returns the subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Adds a batch to the contents, and checks that times and ops are right and no row occurs a negative number of
    /// times.
    #[track_caller]
    fn apply(&mut self, batch: &ChangeBatch) {
        assert!(batch.rows.num_rows() > 0, "a batch is never empty");
        assert_eq!(batch.ops.len(), batch.rows.num_rows());
        assert!(batch.time >= self.time, "time {} after {}", batch.time, self.time);
        assert!(
            batch.is_snapshot || batch.time > self.time || self.time == Time::ZERO,
            "time {} is given twice",
            batch.time
        );
        self.time = batch.time;
        check_ops(batch);
        for (row, op) in text::rows(&batch.rows).into_iter().zip(&*batch.ops) {
            self.contents.add(row, op.diff());
            self.changes += usize::from(!batch.is_snapshot);
        }
        assert!(self.contents.negative().is_empty(), "rows were taken away that are not there: {:?}", self.contents);
    }
}

/// Returns one line `op row` for each row of a batch.
pub fn lines(batch: &ChangeBatch) -> Vec<String> {
    let rows = text::rows(&batch.rows).into_iter();
    rows.zip(&*batch.ops).map(|(row, op)| format!("{} {row}", op.name())).collect()
}

/// Checks that the two halves of an update are adjacent, and that no row both comes and goes at one time.
#[track_caller]
fn check_ops(batch: &ChangeBatch) {
    let ops = &batch.ops;
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::UpdateDelete => assert_eq!(ops.get(at + 1), Some(&Op::UpdateInsert), "a pair is parted"),
            Op::UpdateInsert => assert_eq!(at.checked_sub(1).map(|at| ops[at]), Some(Op::UpdateDelete)),
            Op::Insert | Op::Delete => assert!(!batch.is_snapshot || *op == Op::Insert),
        }
    }
    let mut signs: BTreeMap<String, i64> = BTreeMap::new();
    for (row, op) in text::rows(&batch.rows).into_iter().zip(&**ops) {
        let sign = signs.entry(row.clone()).or_insert(op.diff());
        assert_eq!(*sign, op.diff(), "{row} both comes and goes at time {}", batch.time);
    }
}

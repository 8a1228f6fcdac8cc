//! Fuel: how many rows an operator may process before its worker looks at its commands again.
//!
//! ```text
//! worker: commands --> inputs of flows without backlog, a piece each --> timely step: a piece for each operator
//! operator with rows left: says how many (backlog), activates itself
//! ```
//!
//! An operator that could process many rows at once takes a [`Tank::grant`] at each activation, processes about as many
//! rows, keeps its place and activates itself. What it leaves is its backlog: nothing more enters its dataflow until
//! the backlog is gone, so the operators upstream cannot pile up rows before one that is slower. The dataflows that have
//! a backlog share what a worker may process in a round, and so do the operators of one dataflow, so that many of them
//! take no longer than one. Where rows take long, pieces have fewer of them, so that a round takes a bounded time. A
//! change passes through a dataflow in several rounds: while a short one is under way, the rounds are *hurried*, and
//! dataflows that take long process small pieces.

use std::cell::Cell;
use std::rc::Rc;

use crate::gate::Gate;
use crate::memory::{Account, Accounts};
use crate::stopwatch::{self, Stopwatch};

/// Greatest number of rows that an operator processes in one activation, and that enter an input before the worker looks
/// at its commands again. Small in tests, so that tests meet operators that stop in the middle, and so that what pieces
/// touch depends on no clock.
pub(crate) const PIECE_ROWS: usize = if cfg!(test) { 100 } else { 1 << 13 };

/// Number of rows that all dataflows of a worker together may process before it looks at its commands, roughly: an
/// operator with rows left does a small piece even so.
const ROUND_ROWS: usize = 4 * PIECE_ROWS;

/// Number of rows that an operator may process when its dataflow has used up its part of the round, or the round is
/// hurried.
const SMALL_PIECE: usize = PIECE_ROWS / 32;

/// Number of rows that an operator may process in any case, however long they take.
const LEAST_PIECE: usize = if cfg!(test) { SMALL_PIECE } else { 16 };

/// How many nanoseconds all dataflows of a worker together may work before it looks at its commands, roughly. Tests count
/// rows and steps, which no clock may decide.
const ROUND_NANOS: u64 = if cfg!(test) { u64::MAX / 8 } else { 1_200_000 };

/// Number of rows of backlog above which operators that multiply rows stop producing.
const FULL: usize = 4 * PIECE_ROWS;

/// What the dataflows of one worker have processed since the worker last looked at its commands.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    touched: Cell<u64>,
    largest: Cell<u64>,
    /// Counts the looks.
    round: Cell<u64>,
    /// Number of dataflows that have a backlog.
    busy: Cell<usize>,
    /// Whether the round is hurried.
    is_hurried: Cell<bool>,
    accounts: Accounts,
}

impl Meter {
    /// Returns a meter at zero.
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Adds rows that were processed.
    pub(crate) fn touched(&self, rows: usize) {
        self.touched.set(self.touched.get() + rows as u64);
    }

    /// Records that the worker looks at its commands.
    pub(crate) fn look(&self) {
        self.accounts.leave();
        self.largest.set(self.largest.get().max(self.touched.take()));
        self.round.set(self.round.get() + 1);
    }

    /// Says whether the next step is part of a hurried round.
    pub(crate) fn hurry(&self, is_hurried: bool) {
        self.is_hurried.set(is_hurried);
    }

    /// Returns how many rows each of `sharers` may process when these take a piece of work together that may take long.
    pub(crate) fn part_of_piece(&self, sharers: usize) -> usize {
        if self.is_hurried.get() { SMALL_PIECE } else { (PIECE_ROWS / sharers.max(1)).max(SMALL_PIECE) }
    }

    /// Returns the largest number of rows processed between two looks since the last call.
    pub(crate) fn take_largest(&self) -> u64 {
        self.look();
        self.largest.take()
    }
}

/// What the operators of a dataflow have done in a round.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    rows: usize,
    /// Nanoseconds, of the operators that are measured.
    nanos: u64,
}

/// The fuel of one dataflow on one worker, shared by its operators.
#[derive(Debug, Default)]
pub(crate) struct Fuel {
    /// Rows that operators hold and could process if they had more fuel.
    backlog: Cell<usize>,
    /// The last round in which operators have processed rows, and how much.
    spent: Cell<(u64, Spent)>,
    /// Nanoseconds that its operators without fuel take for a row that passes all of them.
    unfueled: Cell<u64>,
    /// Whether the dataflow takes long.
    is_slow: Cell<bool>,
    meter: Rc<Meter>,
    gate: Gate,
    /// What the dataflow has allocated.
    account: Account,
}

impl Fuel {
    /// Returns the fuel of a dataflow of the worker with this meter.
    pub(crate) fn new(meter: &Rc<Meter>) -> Rc<Self> {
        Rc::new(Fuel { meter: Rc::clone(meter), ..Fuel::default() })
    }

    /// Returns the gate of the dataflow's states.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Has what is allocated from now on counted as the dataflow's, until another one begins to work.
    pub(crate) fn works(&self) {
        self.meter.accounts.enter(&self.account);
    }

    /// Returns the bytes that the dataflow has allocated less those that it has freed.
    pub(crate) fn bytes(&self) -> i64 {
        self.account.bytes()
    }

    /// Whether operators hold rows that they could process.
    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog.get() > 0
    }

    /// Returns how many rows may enter the dataflow when rows enter `entering` dataflows.
    pub(crate) fn room(&self, entering: usize) -> usize {
        if self.meter.is_hurried.get() && self.is_slow.get() {
            return SMALL_PIECE;
        }
        let entering = entering.max(1);
        // Operators without fuel process at once what enters.
        let in_time = ROUND_NANOS / entering as u64 / self.unfueled.get().max(1);
        usize::try_from(in_time).unwrap_or(usize::MAX).min(PIECE_ROWS / entering).max(SMALL_PIECE)
    }

    /// Says whether the dataflow takes long, so that it does less in hurried rounds.
    pub(crate) fn set_slow(&self, is_slow: bool) {
        self.is_slow.set(is_slow);
    }

    /// Returns what its operators have done since the worker last looked at its commands.
    fn spent(&self) -> Spent {
        let (round, spent) = self.spent.get();
        if round == self.meter.round.get() { spent } else { Spent::default() }
    }

    /// Adds to what its operators have done.
    fn spend(&self, rows: usize, nanos: u64) {
        let Spent { rows: rows_before, nanos: nanos_before } = self.spent();
        let spent = Spent { rows: rows_before + rows, nanos: nanos_before + nanos };
        self.spent.set((self.meter.round.get(), spent));
    }

    /// Sets how many rows of backlog there are.
    fn set_backlog(&self, rows: usize) {
        let before = self.backlog.replace(rows);
        let busy = self.meter.busy.get() + usize::from(rows > 0) - usize::from(before > 0);
        self.meter.busy.set(busy);
    }
}

/// One operator's access to the fuel of its dataflow.
#[derive(Debug)]
pub(crate) struct Tank {
    fuel: Rc<Fuel>,
    /// The operator's part of the backlog.
    left: Cell<usize>,
    /// Rows that have arrived since the last grant.
    arrived: Cell<usize>,
    /// Measures activations that have many rows to process, so that small changes do not ask the clock.
    watch: Stopwatch,
}

impl Tank {
    /// Returns the access of a new operator.
    pub(crate) fn new(fuel: &Rc<Fuel>) -> Self {
        Tank { fuel: Rc::clone(fuel), left: Cell::new(0), arrived: Cell::new(0), watch: Stopwatch::default() }
    }

    /// Records that the operator begins to work, and that rows have arrived.
    pub(crate) fn arrived(&self, rows: usize) {
        self.fuel.works();
        self.arrived.set(self.arrived.get() + rows);
    }

    /// Returns how many rows the operator may process in this activation, or in the part of it that begins; at least
    /// one.
    pub(crate) fn grant(&self) -> usize {
        self.fuel.works();
        let goes_on = self.watch.is_running();
        self.fuel.spend(0, self.watch.end());
        if self.arrived.take() >= stopwatch::LEAST || self.left.get() > 0 || goes_on {
            self.watch.begin();
        }
        let meter = &self.fuel.meter;
        let rows_in = |nanos| self.watch.rows_in(nanos).unwrap_or(PIECE_ROWS);
        let least = rows_in(ROUND_NANOS / 4).clamp(LEAST_PIECE, SMALL_PIECE);
        if meter.is_hurried.get() && self.fuel.is_slow.get() {
            return least;
        }
        let (busy, spent) = (meter.busy.get().max(1), self.fuel.spent());
        let part = (ROUND_ROWS / busy).saturating_sub(spent.rows);
        let whole = ROUND_ROWS.saturating_sub(usize::try_from(meter.touched.get()).unwrap_or(usize::MAX));
        let nanos = (ROUND_NANOS / busy as u64).saturating_sub(spent.nanos);
        part.min(whole).min(rows_in(nanos)).clamp(least, PIECE_ROWS)
    }

    /// Runs `work`, in which an operator without fuel processes `rows` rows. How long it takes bounds what enters.
    pub(crate) fn process_all<R>(&self, rows: usize, work: impl FnOnce() -> R) -> R {
        self.touched(rows);
        if rows < stopwatch::LEAST {
            return work();
        }
        let before = self.watch.nanos_per_row();
        self.watch.begin();
        self.watch.count(rows);
        let done = work();
        self.fuel.spend(0, self.watch.end());
        let unfueled = &self.fuel.unfueled;
        unfueled.set(unfueled.get() + self.watch.nanos_per_row() - before);
        done
    }

    /// Returns the gate of the dataflow's states.
    pub(crate) fn gate(&self) -> &Gate {
        &self.fuel.gate
    }

    /// Whether operators of the dataflow, this one aside, hold so many rows that this one should not add to them.
    pub(crate) fn is_full(&self) -> bool {
        self.fuel.backlog.get() - self.left.get() >= FULL
    }

    /// Records that the operator has processed rows.
    pub(crate) fn touched(&self, rows: usize) {
        self.fuel.meter.touched(rows);
        self.fuel.spend(rows, 0);
        self.watch.count(rows);
    }

    /// Ends an activation, and sets the operator's backlog: how many rows it could process at once, if it had the fuel.
    pub(crate) fn leaves(&self, rows: usize) {
        self.fuel.spend(0, self.watch.end());
        let others = self.fuel.backlog.get() - self.left.replace(rows);
        self.fuel.set_backlog(others + rows);
    }
}

impl Drop for Tank {
    fn drop(&mut self) {
        self.leaves(0);
    }
}

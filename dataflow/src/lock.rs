//! Locks with a rank: a thread takes them in ascending order of their ranks, so no circle of threads can wait for each
//! other. Debug builds check this at every lock, and panic with both names; release builds have no trace of it.
//!
//! They are parking_lot's locks with the parts of its interface that are used here. A [`Rank`] can also be held alone
//! ([`Held`]), for a right that is handed out under a lock and kept after it.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

#[cfg(debug_assertions)]
use std::cell::RefCell;
#[cfg(debug_assertions)]
use std::marker::PhantomData;

use parking_lot::WaitTimeoutResult;

/// The ranks of all locks of the bridge and the engine, in the order in which a thread takes them. A thread never holds
/// two locks of the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The right to use the storage directory.
    Directory,
    /// The state of that right.
    DirectoryState,
    /// The right to change the set of relations, or to rely on it.
    Definitions,
    /// The state of that right.
    DefinitionsState,
    /// The transaction that a session takes part in.
    SessionTransaction,
    /// The commit lock, which protects the store.
    Commit,
    /// The catalog.
    Catalog,
    /// The views that are installed for one subscription each.
    SubscriptionViews,
    /// The numbers of subscriptions of the views.
    Watched,
    /// The views that the hub knows.
    HubViews,
    /// One view in the hub.
    HubView,
    /// The queue of a subscription.
    Queue,
    /// The changes of one closed time.
    Changes,
    /// The open time and the commands of the engine.
    Engine,
    /// How many workers have answered each read.
    Answers,
    /// The threads of the engine.
    Threads,
    /// Any lock under which no other is taken but that of a token.
    Leaf,
    /// The waits that a token wakes.
    TokenWaits,
    /// When the condition of a token was last checked.
    TokenPoll,
}

#[cfg(debug_assertions)]
thread_local! {
    /// The ranks that the thread holds, ascending.
    static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
}

/// Marks a rank as held by the thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Held {
    #[cfg(debug_assertions)]
    rank: Rank,
    /// The rank must be given back by the thread that took it.
    #[cfg(debug_assertions)]
    _of_thread: PhantomData<*const ()>,
}

impl Held {
    /// Marks `rank` as held. In debug builds, panics if the thread holds this rank or a later one.
    #[inline]
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only debug builds check the order"))]
    pub fn new(rank: Rank) -> Held {
        #[cfg(debug_assertions)]
        HELD.with_borrow_mut(|held| {
            if let Some(last) = held.last()
                && *last >= rank
                && !std::thread::panicking()
            {
                let last = *last;
                panic!("lock {rank:?} is taken while {last:?} is held: see the order of locks in docs/architecture.md");
            }
            let position = held.partition_point(|other| *other <= rank);
            held.insert(position, rank);
        });
        Held {
            #[cfg(debug_assertions)]
            rank,
            #[cfg(debug_assertions)]
            _of_thread: PhantomData,
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        // Fails only while the thread ends; then nothing is taken any more.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            let position = held.iter().rposition(|rank| *rank == self.rank).expect("held since it was made");
            held.remove(position);
        });
    }
}

/// A [`parking_lot::Mutex`] with a rank.
#[derive(Debug)]
pub struct Mutex<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    inner: parking_lot::Mutex<T>,
}

/// The guard of a [`Mutex`].
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    // Released in this order.
    inner: parking_lot::MutexGuard<'a, T>,
    #[cfg_attr(not(debug_assertions), expect(dead_code, reason = "only debug builds check the order"))]
    held: Held,
}

impl<T> Mutex<T> {
    /// Makes a lock with this rank.
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only debug builds check the order"))]
    pub const fn new(rank: Rank, value: T) -> Self {
        Mutex {
            #[cfg(debug_assertions)]
            rank,
            inner: parking_lot::Mutex::new(value),
        }
    }

    /// Takes the lock. In debug builds, panics if the thread holds one of the same or a later rank.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(debug_assertions)]
        let held = Held::new(self.rank);
        #[cfg(not(debug_assertions))]
        let held = Held {};
        MutexGuard { inner: self.inner.lock(), held }
    }
}

impl<T> MutexGuard<'_, T> {
    /// Runs `work` while the lock is released, and takes it again.
    pub fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
        #[cfg(debug_assertions)]
        let rank = guard.held.rank;
        parking_lot::MutexGuard::unlocked(&mut guard.inner, || {
            // `work` may take any lock that the thread could have taken before this one.
            #[cfg(debug_assertions)]
            let _released = Released::new(rank);
            work()
        })
    }
}

/// Takes a rank from those that the thread holds, and gives it back when it is dropped.
#[cfg(debug_assertions)]
struct Released(Rank);

#[cfg(debug_assertions)]
impl Released {
    fn new(rank: Rank) -> Self {
        HELD.with_borrow_mut(|held| {
            let position = held.iter().rposition(|other| *other == rank).expect("the guard holds it");
            held.remove(position);
        });
        Released(rank)
    }
}

#[cfg(debug_assertions)]
impl Drop for Released {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            let position = held.partition_point(|other| *other <= self.0);
            held.insert(position, self.0);
        });
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A [`parking_lot::RwLock`] with a rank.
#[derive(Debug)]
pub struct RwLock<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    inner: parking_lot::RwLock<T>,
}

/// The guard of one side of an [`RwLock`].
#[derive(Debug)]
pub struct RwLockGuard<G> {
    // Released in this order.
    inner: G,
    _held: Held,
}

impl<T> RwLock<T> {
    /// Makes a lock with this rank.
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only debug builds check the order"))]
    pub const fn new(rank: Rank, value: T) -> Self {
        RwLock {
            #[cfg(debug_assertions)]
            rank,
            inner: parking_lot::RwLock::new(value),
        }
    }

    fn held(&self) -> Held {
        #[cfg(debug_assertions)]
        let held = Held::new(self.rank);
        #[cfg(not(debug_assertions))]
        let held = Held {};
        held
    }

    /// Takes the lock to read. In debug builds, panics as [`Mutex::lock`] does.
    pub fn read(&self) -> RwLockGuard<parking_lot::RwLockReadGuard<'_, T>> {
        let held = self.held();
        RwLockGuard { inner: self.inner.read(), _held: held }
    }

    /// Takes the lock to write. In debug builds, panics as [`Mutex::lock`] does.
    pub fn write(&self) -> RwLockGuard<parking_lot::RwLockWriteGuard<'_, T>> {
        let held = self.held();
        RwLockGuard { inner: self.inner.write(), _held: held }
    }
}

impl<G: Deref> Deref for RwLockGuard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.inner
    }
}

impl<G: DerefMut> DerefMut for RwLockGuard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.inner
    }
}

/// A [`parking_lot::Condvar`] for a [`Mutex`]. A thread that waits takes no lock, so the rank stays held meanwhile.
#[derive(Debug, Default)]
pub struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// Makes a condition variable that nobody waits on.
    pub const fn new() -> Self {
        Condvar(parking_lot::Condvar::new())
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until the thread is woken.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(&mut guard.inner);
    }

    /// Waits until the thread is woken or `until` has passed.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> WaitTimeoutResult {
        self.0.wait_until(&mut guard.inner, until)
    }

    /// Waits while `condition` returns true.
    pub fn wait_while<T>(&self, guard: &mut MutexGuard<'_, T>, condition: impl FnMut(&mut T) -> bool) {
        self.0.wait_while(&mut guard.inner, condition);
    }

    /// Waits while `condition` returns true, at most until `until`.
    pub fn wait_while_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        until: Instant,
    ) -> WaitTimeoutResult {
        self.0.wait_while_until(&mut guard.inner, condition, until)
    }

    /// Waits while `condition` returns true, at most for `timeout`.
    pub fn wait_while_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        self.0.wait_while_for(&mut guard.inner, condition, timeout)
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Returns the text of the panic of `work`.
    fn panics(work: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("the order is wrong");
        *panic.downcast::<String>().expect("panics of locks have texts")
    }

    #[test]
    fn a_lock_out_of_order_panics_with_both_names() {
        let (commit, engine) = (Mutex::new(Rank::Commit, ()), Mutex::new(Rank::Engine, ()));
        let catalog = RwLock::new(Rank::Catalog, 1);
        {
            let _commit = commit.lock();
            assert_eq!(*catalog.read(), 1);
            let _engine = engine.lock();
        }
        let text = panics(|| {
            let _engine = engine.lock();
            *catalog.write() = 2;
        });
        assert!(text.contains("lock Catalog is taken while Engine is held"), "{text}");
        let text = panics(|| {
            let _right = Held::new(Rank::Definitions);
            let _again = Held::new(Rank::Definitions);
        });
        assert!(text.contains("lock Definitions is taken while Definitions is held"), "{text}");
        let _commit = commit.lock();
    }

    #[test]
    fn locks_may_be_released_in_any_order_and_a_released_one_counts_no_more() {
        let (commit, engine) = (Mutex::new(Rank::Commit, ()), Mutex::new(Rank::Engine, ()));
        let first = commit.lock();
        let mut second = engine.lock();
        drop(first);
        MutexGuard::unlocked(&mut second, || drop(commit.lock()));
        let text = panics(|| drop(commit.lock()));
        assert!(text.contains("Commit is taken while Engine"), "{text}");
    }
}

//! `CancelToken`: cancels calls that work for long or wait, and wakes those that wait.
//!
//! A call that works checks its token now and then. A call that waits uses [`Monitor::wait_for`] or
//! [`CancelToken::receive`], which return as soon as the token is cancelled. Only tokens made by
//! [`CancelToken::polled`] are polled during a wait.
#![expect(clippy::disallowed_methods, reason = "waits have deadlines, and signals are polled by the clock")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select};

use crate::lock::{Condvar, Mutex, MutexGuard, Rank};

/// Cancels the calls that received it. Clones are the same token; it may be used from any thread.
#[derive(Clone)]
pub struct CancelToken(Arc<Inner>);

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken(Arc::new(Inner::new(Vec::new(), None)))
    }
}

struct Inner {
    is_cancelled: AtomicBool,
    /// Tokens whose cancellation cancels this token too.
    parents: Vec<CancelToken>,
    /// Waits that cancelling wakes; each removes itself when it ends.
    waits: Mutex<Vec<Weak<dyn Wake>>>,
    poll: Option<Poll>,
}

impl Inner {
    fn new(parents: Vec<CancelToken>, poll: Option<Poll>) -> Self {
        let waits = Mutex::new(Rank::TokenWaits, Vec::new());
        Inner { is_cancelled: AtomicBool::new(false), parents, waits, poll }
    }
}

/// A condition that cancels a token but wakes no thread when it becomes true, so that waits must check it.
struct Poll {
    /// Time between two checks.
    every: Duration,
    /// Returns true if the token is to be cancelled.
    look: Box<dyn Fn() -> bool + Send + Sync>,
    /// When the condition was last checked.
    last: Mutex<Instant>,
    /// Number of checks that are running.
    running: AtomicUsize,
}

impl Poll {
    /// Checks the condition if the last check is long enough ago; returns whether it is true.
    fn finds(&self) -> bool {
        let mut last = self.last.lock();
        if last.elapsed() < self.every {
            return false;
        }
        *last = Instant::now();
        // Released before the call, which may run code that polls this token again.
        drop(last);
        let _counted = Counted::new(&self.running);
        (self.look)()
    }
}

/// Counts a check as running until it is dropped, also by a panic.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(running: &'a AtomicUsize) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Counted(running)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns when a wait that begins now and lasts for `timeout` is over, or `None` if it has no limit.
pub fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Failure of a call whose token was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// Reason why a wait ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The token was cancelled.
    Cancelled,
    /// The deadline has passed.
    TimedOut,
}

/// Result of [`CancelToken::receive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// All senders are gone, and no message is left.
    Disconnected,
    /// The token was cancelled.
    Cancelled,
    /// The deadline has passed.
    TimedOut,
}

/// Wakes a thread that may be waiting, so that it checks its token again.
trait Wake: Send + Sync {
    fn wake(&self);
}

impl CancelToken {
    /// Makes a token that is not cancelled.
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Makes a token that is also cancelled when `look` returns true. The thread of a call that waits with the token or
    /// checks it calls `look` at most once in `every`, holding no lock. For signals of an interpreter, which wake no
    /// thread.
    pub fn polled(every: Duration, look: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let last = Mutex::new(Rank::TokenPoll, Instant::now());
        let poll = Poll { every, look: Box::new(look), last, running: AtomicUsize::new(0) };
        CancelToken(Arc::new(Inner::new(Vec::new(), Some(poll))))
    }

    /// Makes a token that is cancelled when this one is, and can also be cancelled alone.
    pub fn child(&self) -> Self {
        CancelToken::child_of([self])
    }

    /// Makes a token that is cancelled when any of `parents` is, and can also be cancelled alone.
    pub fn child_of<'a>(parents: impl IntoIterator<Item = &'a CancelToken>) -> Self {
        let parents = parents.into_iter().cloned().collect();
        CancelToken(Arc::new(Inner::new(parents, None)))
    }

    /// Cancels the calls under way, and later ones until [`CancelToken::reset`]. Does not wait for them to end.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::SeqCst);
        // Woken without the lock of the list: waking takes the lock of the state that is waited for, and a thread that
        // holds that lock may be adding itself to the list.
        let waits: Vec<_> = self.0.waits.lock().iter().filter_map(Weak::upgrade).collect();
        waits.iter().for_each(|wait| wait.wake());
    }

    /// Makes the token usable again; its parents stay as they are.
    pub fn reset(&self) {
        self.0.is_cancelled.store(false, Ordering::SeqCst);
    }

    /// Returns whether this token or one of its ancestors was cancelled.
    pub fn is_cancelled(&self) -> bool {
        let own = self.0.is_cancelled.load(Ordering::SeqCst);
        own || self.0.parents.iter().any(CancelToken::is_cancelled)
    }

    /// Returns whether the call is checking the condition of its token or of an ancestor. The condition may be code of
    /// the caller's that works for long, and meanwhile the call does not go on.
    pub fn is_polling(&self) -> bool {
        let own = self.0.poll.as_ref().is_some_and(|poll| poll.running.load(Ordering::SeqCst) > 0);
        own || self.0.parents.iter().any(CancelToken::is_polling)
    }

    /// Fails if the token was cancelled; for loops that work for long. Polls as waits do, so the caller must hold no
    /// lock that the polled function could take.
    pub fn check(&self) -> Result<(), Cancelled> {
        self.poll();
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Waits for a message until the token is cancelled or the deadline has passed; `None` means no deadline. A message
    /// that is there already is received in any case.
    pub fn receive<T>(&self, messages: &Receiver<T>, deadline: Option<Instant>) -> Received<T> {
        let (ping, pinged) = crossbeam_channel::bounded(1);
        // Listed before the first check, so that no cancellation goes unnoticed.
        let _listed = self.list(&(Arc::new(Ping(ping)) as Arc<dyn Wake>));
        loop {
            if let Ok(message) = messages.try_recv() {
                return Received::Message(message);
            }
            if self.is_cancelled() {
                return Received::Cancelled;
            }
            let until = self.next_look(deadline);
            let late = until.map_or_else(never, at);
            select! {
                recv(messages) -> message => return message.map_or(Received::Disconnected, Received::Message),
                recv(pinged) -> _ => {}
                recv(late) -> _ => {
                    if has_passed(deadline) {
                        return Received::TimedOut;
                    }
                    self.poll();
                }
            }
        }
    }

    /// Lists `wait` to be woken when this token or an ancestor is cancelled, until the result is dropped.
    fn list<'a>(&'a self, wait: &Arc<dyn Wake>) -> Listed<'a> {
        let wait = Arc::downgrade(wait);
        self.for_lineage(&mut |token| token.0.waits.lock().push(Weak::clone(&wait)));
        Listed { token: self, wait }
    }

    /// Visits this token and its ancestors.
    fn for_lineage(&self, visit: &mut dyn FnMut(&CancelToken)) {
        visit(self);
        self.0.parents.iter().for_each(|parent| parent.for_lineage(visit));
    }

    /// Returns when a wait must wake by itself, for its deadline or for the next poll; `None` if it need not.
    fn next_look(&self, deadline: Option<Instant>) -> Option<Instant> {
        let mut next = deadline;
        self.for_lineage(&mut |token| {
            if let Some(poll) = &token.0.poll {
                let look = *poll.last.lock() + poll.every;
                next = Some(next.map_or(look, |next| next.min(look)));
            }
        });
        next
    }

    /// Polls what is due, and cancels each token whose condition is true. The caller must hold no lock.
    fn poll(&self) {
        self.for_lineage(&mut |token| {
            if token.0.poll.as_ref().is_some_and(Poll::finds) {
                token.cancel();
            }
        });
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken").field("is_cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// A wait in the lists of a token and its ancestors; dropping it removes the wait from them.
struct Listed<'a> {
    token: &'a CancelToken,
    wait: Weak<dyn Wake>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.token.for_lineage(&mut |token| {
            let mut waits = token.0.waits.lock();
            if let Some(position) = waits.iter().position(|wait| wait.ptr_eq(&self.wait)) {
                waits.swap_remove(position);
            }
        });
    }
}

/// Wakes the thread that receives from the other end of the channel.
struct Ping(Sender<()>);

impl Wake for Ping {
    fn wake(&self) {
        // Fails only if the channel holds a ping that was not received yet, which wakes the thread as well.
        let _ = self.0.try_send(());
    }
}

/// State behind a lock, with a condition variable on which threads wait for the state to change.
#[derive(Debug)]
pub struct Monitor<T> {
    state: Mutex<T>,
    changed: Condvar,
}

impl<T: Send + 'static> Monitor<T> {
    /// Makes a monitor of `state`, whose lock has this rank. It is shared, because tokens refer to the monitors of their waits without keeping
    /// them alive.
    pub fn new(rank: Rank, state: T) -> Arc<Self> {
        Arc::new(Monitor { state: Mutex::new(rank, state), changed: Condvar::new() })
    }

    /// Locks the state. The wait for the lock cannot be cancelled, so a caller must not wait for anything while holding
    /// it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock()
    }

    /// Makes all waits check the state again; to be called after the state was changed under the lock.
    pub fn notify_all(&self) {
        self.changed.notify_all();
    }

    /// Makes all waits check again after a change outside the state that they depend on.
    pub fn notify_of_other(&self) {
        // A wait holds the lock from its check until it can be woken, so taking the lock makes sure that no wait misses
        // this.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until `ready` returns a value, the token is cancelled or the deadline has passed; `None` means no
    /// deadline. Returns the value, with the lock under which `ready` saw the state. If the state is ready, its value
    /// is returned in any case.
    pub fn wait_for<R>(
        self: &Arc<Self>,
        cancel: &CancelToken,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> Result<(MutexGuard<'_, T>, R), Unready> {
        let mut state = self.state.lock();
        if let Some(found) = ready(&mut state) {
            return Ok((state, found));
        }
        let wait: Arc<dyn Wake> = Arc::clone(self) as _;
        let _listed = cancel.list(&wait);
        loop {
            if let Some(found) = ready(&mut state) {
                return Ok((state, found));
            }
            // Checked under the lock, which cancelling takes before it wakes: no cancellation is missed in between.
            if cancel.is_cancelled() {
                return Err(Unready::Cancelled);
            }
            let Some(until) = cancel.next_look(deadline) else {
                self.changed.wait(&mut state);
                continue;
            };
            if self.changed.wait_until(&mut state, until).timed_out() {
                if has_passed(deadline) {
                    return ready(&mut state).map(|found| (state, found)).ok_or(Unready::TimedOut);
                }
                // Polled without the lock: cancelling the token wakes this wait, which takes the lock.
                MutexGuard::unlocked(&mut state, || cancel.poll());
            }
        }
    }
}

impl<T: Send + 'static> Wake for Monitor<T> {
    fn wake(&self) {
        self.notify_of_other();
    }
}

fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    /// Starts a wait that only the token can end, and returns its thread once the wait is listed; the thread returns
    /// how the wait ended.
    fn waits_on(cancel: &CancelToken) -> thread::JoinHandle<Unready> {
        let cancel = cancel.clone();
        let monitor = Monitor::new(Rank::Leaf, ());
        let listed = Arc::clone(&cancel.0);
        let before = listed.waits.lock().len();
        let waiting = thread::spawn(move || {
            monitor.wait_for(&cancel, None, |()| None::<()>).map(|_| ()).expect_err("it is never ready")
        });
        while listed.waits.lock().len() == before {
            thread::yield_now();
        }
        waiting
    }

    #[test]
    fn cancelling_wakes_every_wait_of_a_token_and_of_its_children() {
        let token = CancelToken::new();
        let (child, sibling) = (token.child(), token.child());
        let waiting = [waits_on(&token), waits_on(&child), waits_on(&child.child())];
        sibling.cancel();
        assert!(!token.is_cancelled() && !child.is_cancelled());
        token.cancel();
        assert!(waiting.into_iter().all(|wait| wait.join().expect("no panic") == Unready::Cancelled));
        assert!(token.0.waits.lock().is_empty() && child.0.waits.lock().is_empty());
        token.reset();
        assert!(!child.is_cancelled() && sibling.is_cancelled());
    }

    #[test]
    fn a_message_and_a_ready_state_count_though_the_token_is_cancelled() {
        let token = CancelToken::new();
        let (sender, receiver) = crossbeam_channel::unbounded();
        sender.send(7).expect("the receiver is there");
        token.cancel();
        assert_eq!(token.receive(&receiver, None), Received::Message(7));
        assert_eq!(token.receive(&receiver, None), Received::Cancelled);
        drop(sender);
        token.reset();
        assert_eq!(token.receive(&receiver, None), Received::Disconnected);
        token.cancel();
        let monitor = Monitor::new(Rank::Leaf, 3);
        assert_eq!(monitor.wait_for(&token, None, |state| Some(*state)).map(|(_, found)| found), Ok(3));
    }

    #[test]
    fn a_receive_is_woken_by_its_token() {
        let token = CancelToken::new();
        let (_sender, receiver) = crossbeam_channel::bounded::<()>(0);
        let waiting = token.child();
        let thread = thread::spawn(move || waiting.receive(&receiver, None));
        while token.0.waits.lock().is_empty() {
            thread::yield_now();
        }
        token.cancel();
        assert_eq!(thread.join().expect("no panic"), Received::Cancelled);
    }

    #[test]
    fn a_deadline_ends_a_wait_and_a_poll_cancels_its_token() {
        let now = Some(Instant::now());
        let monitor = Monitor::new(Rank::Leaf, ());
        assert_eq!(monitor.wait_for(&CancelToken::new(), now, |()| None::<()>).err(), Some(Unready::TimedOut));
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let look = move || counted.fetch_add(1, Ordering::Relaxed) == 2;
        let polled = CancelToken::polled(Duration::from_millis(1), look);
        assert_eq!(monitor.wait_for(&polled.child(), None, |()| None::<()>).err(), Some(Unready::Cancelled));
        assert_eq!(looks.load(Ordering::Relaxed), 3);
        assert!(polled.is_cancelled());
    }
}

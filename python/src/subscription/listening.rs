//! The callback subscriptions of one database, which live as long as anybody has a handle of it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::callback::Delivery;

/// Held by every handle of a database: the connection, its writers, subscriptions and iterators.
///
/// The threads of the subscriptions do not hold it: they would keep themselves alive, and nobody could end them.
#[derive(Default)]
pub(crate) struct Listening(Mutex<Vec<Weak<Delivery>>>);

impl Listening {
    /// Registers `delivery` to be ended when the last handle is dropped.
    pub(super) fn add(&self, delivery: &Arc<Delivery>) {
        let mut deliveries = self.0.lock();
        deliveries.retain(|known| known.strong_count() > 0);
        deliveries.push(Arc::downgrade(delivery));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        for delivery in self.0.get_mut().drain(..).filter_map(|delivery| delivery.upgrade()) {
            delivery.cancel();
        }
    }
}

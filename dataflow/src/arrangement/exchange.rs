//! Sends each update to the worker that has its key.

use std::sync::Arc;

use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::progress::Stamp;

use crate::UpdateBatch;
use crate::row_bytes::{KeyCodec, hash_bytes};

/// The pact of operators whose state is partitioned by key.
pub type KeyExchange = DistributorPact<Box<dyn FnOnce(usize) -> KeyDistributor>>;

/// Returns a pact that sends all updates with one key to one worker, the same worker for every stream that is exchanged
/// by keys of these types.
pub fn exchange_by(key: Arc<KeyCodec>) -> KeyExchange {
    DistributorPact(Box::new(move |_| KeyDistributor { key, rows: Vec::new() }))
}

/// Splits batches by the hash of their keys.
pub struct KeyDistributor {
    key: Arc<KeyCodec>,
    /// The rows of the current batch for each worker; kept to reuse the allocations.
    rows: Vec<Vec<u32>>,
}

/// Returns the worker of a hash, chosen by middle bits. Chunks are sorted by the top bits, and hash tables pick their
/// buckets by the lowest bits, so the keys of one worker stay spread in both.
#[inline]
fn worker_of(hash: u64, workers: usize) -> usize {
    (((hash & 0xffff_ffff) * workers as u64) >> 32) as usize
}

/// Returns the worker that holds the rows of an empty key.
pub(crate) fn worker_of_no_columns(workers: usize) -> usize {
    worker_of(hash_bytes(&[]), workers)
}

impl KeyDistributor {
    fn assign<U: Copy>(&mut self, batch: &UpdateBatch<U>, workers: usize) {
        self.rows.resize_with(workers, Vec::new);
        let keys = self.key.encode(&batch.rows);
        for row in 0..keys.len() {
            let hash = hash_bytes(keys.row(row));
            let row = u32::try_from(row).expect("batches have less than 2^32 rows");
            self.rows[worker_of(hash, workers)].push(row);
        }
    }
}

impl<U: Copy + Default> Distributor<UpdateBatch<U>> for KeyDistributor {
    fn partition<T: Clone, P: Push<Message<T, UpdateBatch<U>>>>(
        &mut self,
        batch: &mut UpdateBatch<U>,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let batch = std::mem::take(batch);
        self.assign(&batch, pushers.len());
        for (rows, pusher) in self.rows.iter_mut().zip(pushers) {
            if rows.len() == batch.len() {
                // All rows go to this worker, so the columns are shared and not copied.
                Message::push_at(&mut batch.clone(), stamp.clone(), pusher);
            } else if !rows.is_empty() {
                Message::push_at(&mut batch.take(rows), stamp.clone(), pusher);
            }
            rows.clear();
        }
    }

    fn flush<T: Clone, P: Push<Message<T, UpdateBatch<U>>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

//! Divides changes and first contents among the workers.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::update::PerRow;
use crate::{Diff, Diffs, RelationId, Time, UpdateBatch};

/// Maximum number of rows of a small batch. Small batches are joined and go to one worker, larger ones are divided.
const SMALL_ROWS: usize = 1 << 12;
/// Maximum number of rows of first contents that go to one worker before the next one gets some.
const SHARE_ROWS: usize = 1 << 16;

/// Groups changes by relation, in the order of first use, and joins runs of small batches.
pub(super) fn group(changes: Vec<(RelationId, UpdateBatch)>) -> Vec<(RelationId, Vec<UpdateBatch>)> {
    let mut groups: Vec<(RelationId, Vec<UpdateBatch>)> = Vec::new();
    for (relation, batch) in changes {
        match groups.iter_mut().find(|(r, _)| *r == relation) {
            Some((_, batches)) => batches.push(batch),
            None => groups.push((relation, vec![batch])),
        }
    }
    for (_, batches) in &mut groups {
        *batches = join_small(std::mem::take(batches));
    }
    groups
}

fn join_small(batches: Vec<UpdateBatch>) -> Vec<UpdateBatch> {
    let mut joined = Vec::new();
    let (mut run, mut rows) = (Vec::new(), 0);
    for batch in batches {
        if rows + batch.len() > SMALL_ROWS {
            joined.extend(join(std::mem::take(&mut run)));
            rows = 0;
        }
        rows += batch.len();
        run.push(batch);
    }
    joined.extend(join(run));
    joined
}

fn join(mut batches: Vec<UpdateBatch>) -> Option<UpdateBatch> {
    if batches.len() <= 1 {
        return batches.pop();
    }
    let schema = batches[0].rows.schema();
    let rows = concat_batches(&schema, batches.iter().map(|b| &b.rows)).expect("batches of one relation");
    let diffs: Vec<Diff> = batches.iter().flat_map(|b| (0..b.len()).map(|row| b.diffs.at(row))).collect();
    Some(UpdateBatch { rows, times: batches[0].times.clone(), diffs: PerRow::from_vec(diffs) })
}

/// Divides the changes into one share per worker. Small batches go to one worker, the next one at each time; large
/// ones are split among all. Every share names all relations, also those of which it has no rows: a worker has to know
/// which dataflows the others work on.
pub(super) fn divide(
    changes: Vec<(RelationId, Vec<UpdateBatch>)>,
    time: Time,
    workers: usize,
) -> Vec<Vec<(RelationId, Vec<UpdateBatch>)>> {
    if workers == 1 {
        return vec![changes];
    }
    let turn = usize::try_from(time.0 % workers as u64).expect("less than the number of workers");
    let mut shares: Vec<Vec<(RelationId, Vec<UpdateBatch>)>> = vec![Vec::new(); workers];
    for (relation, batches) in changes {
        let mut parts: Vec<Vec<UpdateBatch>> = vec![Vec::new(); workers];
        for batch in batches {
            if batch.len() <= SMALL_ROWS {
                parts[turn].push(batch);
                continue;
            }
            let rows = batch.len().div_ceil(workers);
            for (worker, start) in (0..batch.len()).step_by(rows).enumerate() {
                parts[worker].push(batch.slice(start, rows.min(batch.len() - start)));
            }
        }
        for (share, part) in shares.iter_mut().zip(parts) {
            share.push((relation, part));
        }
    }
    shares
}

/// Divides a view's first contents into one share per worker, in pieces of at most [`SHARE_ROWS`] rows.
pub(crate) fn share(
    contents: Vec<(RelationId, Vec<(RecordBatch, Diffs)>)>,
    time: Time,
    workers: usize,
) -> Vec<Vec<(RelationId, Vec<UpdateBatch>)>> {
    let mut shares: Vec<Vec<(RelationId, Vec<UpdateBatch>)>> = vec![Vec::new(); workers];
    let mut turn = 0;
    for (relation, batches) in contents {
        for share in &mut shares {
            share.push((relation, Vec::new()));
        }
        for (rows, diffs) in batches {
            let batch = UpdateBatch { rows, times: PerRow::Same(time), diffs };
            for start in (0..batch.len()).step_by(SHARE_ROWS) {
                let piece = batch.slice(start, SHARE_ROWS.min(batch.len() - start));
                shares[turn].last_mut().expect("just added").1.push(piece);
                turn = (turn + 1) % workers;
            }
        }
    }
    shares
}

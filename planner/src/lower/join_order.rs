//! Chooses the order of inner joins, as a pure function of a few facts.
//!
//! The order is left-deep: one leaf at a time is joined to the result so far. Starting from each leaf, the next one is
//! chosen greedily; the order with the smallest estimated intermediate results wins. The first of equally good orders
//! wins, so that FROM order decides ties. There are no statistics: estimates come from unique keys and filters.

use std::collections::BTreeSet;

/// The known facts about one leaf.
#[derive(Clone, Debug)]
pub(super) struct LeafFacts {
    /// Estimated number of rows.
    pub(super) rows: f64,
    /// Share of the rows that its filters keep.
    pub(super) kept: f64,
    /// The leaf's unique keys, in graph columns.
    pub(super) unique_keys: Vec<BTreeSet<usize>>,
}

/// An equality between leaves.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    /// The leaves that each side reads.
    pub(super) leaves: [BTreeSet<usize>; 2],
    /// The graph columns of the sides, if both are plain columns.
    pub(super) columns: Option<[usize; 2]>,
}

/// The number of leaves that are tried as the next one, over all orders. If there are more joins, fewer orders are made,
/// so that the time is quadratic in the number of leaves.
const TRIED: usize = 40_000;

/// The result of joining some of the leaves.
struct Joined {
    rows: f64,
    kept: f64,
    unique_keys: Vec<BTreeSet<usize>>,
}

/// Returns the leaves in the order in which to join them.
pub(super) fn join_order(leaves: &[LeafFacts], edges: &[Edge]) -> Vec<usize> {
    let mut best: Option<(f64, Vec<usize>)> = None;
    let edges = by_leaf(leaves.len(), edges);
    for start in starts(leaves) {
        let (cost, order) = from_start(start, leaves, &edges);
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, order));
        }
    }
    best.map(|(_, order)| order).unwrap_or_default()
}

/// Returns the leaves from which orders are made, ascending: all or, of very many, those with the fewest rows.
fn starts(leaves: &[LeafFacts]) -> Vec<usize> {
    let mut starts: Vec<usize> = (0..leaves.len()).collect();
    starts.sort_by(|a, b| leaves[*a].rows.total_cmp(&leaves[*b].rows));
    starts.truncate((TRIED / leaves.len().pow(2).max(1)).max(1));
    starts.sort_unstable();
    starts
}

/// An edge as seen from one leaf, which is one of its sides.
struct Neighbour<'a> {
    /// The leaves of the other side.
    leaves: &'a BTreeSet<usize>,
    /// The graph columns of the other side and of the leaf, if both are plain columns.
    columns: Option<[usize; 2]>,
}

/// Returns for each leaf the edges of which it is one side.
fn by_leaf(leaves: usize, edges: &[Edge]) -> Vec<Vec<Neighbour<'_>>> {
    let mut neighbours: Vec<Vec<Neighbour<'_>>> = (0..leaves).map(|_| Vec::new()).collect();
    for edge in edges {
        let [a, b] = &edge.leaves;
        if let (1, Some(leaf)) = (b.len(), b.first()) {
            neighbours[*leaf].push(Neighbour { leaves: a, columns: edge.columns });
        }
        if let (1, Some(leaf)) = (a.len(), a.first()) {
            let columns = edge.columns.map(|[a, b]| [b, a]);
            neighbours[*leaf].push(Neighbour { leaves: b, columns });
        }
    }
    neighbours
}

fn from_start(start: usize, leaves: &[LeafFacts], edges: &[Vec<Neighbour<'_>>]) -> (f64, Vec<usize>) {
    let first = &leaves[start];
    let mut joined = Joined { rows: first.rows, kept: first.kept, unique_keys: first.unique_keys.clone() };
    let (mut cost, mut order) = (0.0, vec![start]);
    let mut done = BTreeSet::from([start]);
    while order.len() < leaves.len() {
        let rest = (0..leaves.len()).filter(|leaf| !done.contains(leaf));
        let candidates = rest.map(|leaf| (leaf, joined.with(&leaves[leaf], &done, &edges[leaf])));
        let (leaf, (connected, next)) = candidates
            .reduce(|best, other| if better(&other.1, &best.1) { other } else { best })
            .expect("a leaf is left");
        done.insert(leaf);
        // The last result is not arranged here, so it costs nothing; a cross product costs wherever it is.
        if order.len() + 1 < leaves.len() || !connected {
            cost += next.rows;
        }
        order.push(leaf);
        joined = next;
    }
    (cost, order)
}

/// Returns whether `candidate` is better: connected beats unconnected, then fewer rows win.
fn better(candidate: &(bool, Joined), best: &(bool, Joined)) -> bool {
    match (candidate.0, best.0) {
        (true, false) => true,
        (false, true) => false,
        _ => candidate.1.rows < best.1.rows,
    }
}

impl Joined {
    /// Joins a leaf, of which `edges` are known, to the leaves `done`; returns whether an equality connects it, and the
    /// new result.
    fn with(&self, facts: &LeafFacts, done: &BTreeSet<usize>, edges: &[Neighbour<'_>]) -> (bool, Joined) {
        let (mut connected, mut here, mut there) = (false, BTreeSet::new(), BTreeSet::new());
        for edge in edges.iter().filter(|edge| edge.leaves.is_subset(done)) {
            connected = true;
            if let Some([mine, its]) = edge.columns {
                here.insert(mine);
                there.insert(its);
            }
        }
        let covers = |keys: &[BTreeSet<usize>], columns: &BTreeSet<usize>| keys.iter().any(|k| k.is_subset(columns));
        let leaf_once = covers(&facts.unique_keys, &there);
        let joined_once = covers(&self.unique_keys, &here);
        let rows = match (leaf_once, joined_once) {
            (true, _) => self.rows * facts.kept,
            (_, true) => facts.rows * self.kept,
            _ if connected => 10.0 * self.rows.min(facts.rows),
            _ => self.rows * facts.rows,
        };
        let unique_keys = match (leaf_once, joined_once) {
            (true, true) => self.unique_keys.iter().chain(&facts.unique_keys).cloned().collect(),
            (true, false) => self.unique_keys.clone(),
            (false, true) => facts.unique_keys.clone(),
            (false, false) => {
                let pair = self.unique_keys.first().zip(facts.unique_keys.first());
                pair.map(|(mine, its)| mine | its).into_iter().collect()
            }
        };
        (connected, Joined { rows: rows.max(1.0), kept: self.kept * facts.kept, unique_keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(first: usize, key: &[usize], kept: f64) -> LeafFacts {
        let key = key.iter().map(|column| first + column).collect();
        LeafFacts { rows: 1000.0 * kept, kept, unique_keys: vec![key] }
    }

    fn edge(leaves: [usize; 2], columns: [usize; 2]) -> Edge {
        Edge { leaves: leaves.map(|leaf| BTreeSet::from([leaf])), columns: Some(columns) }
    }

    #[test]
    fn from_order_decides_between_equals() {
        let leaves = [leaf(0, &[0], 1.0), leaf(10, &[0], 1.0), leaf(20, &[0], 1.0)];
        assert_eq!(join_order(&leaves, &[edge([0, 1], [1, 10]), edge([1, 2], [11, 20])]), [0, 1, 2]);
    }

    #[test]
    fn a_filtered_leaf_comes_first() {
        let leaves = [leaf(0, &[0], 1.0), leaf(10, &[0], 1.0), leaf(20, &[0], 0.25)];
        assert_eq!(join_order(&leaves, &[edge([0, 1], [1, 10]), edge([1, 2], [11, 20])])[2], 0);
    }

    #[test]
    fn no_cross_join_where_an_equality_connects() {
        let leaves = [leaf(0, &[0], 1.0), leaf(10, &[0], 0.25), leaf(20, &[0], 1.0)];
        // 0 and 1 are connected only through 2.
        let order = join_order(&leaves, &[edge([0, 2], [1, 20]), edge([1, 2], [10, 21])]);
        assert_ne!(order[1..], [0, 2]);
        assert!(order[0] == 2 || order[1] == 2, "{order:?}");
    }
}

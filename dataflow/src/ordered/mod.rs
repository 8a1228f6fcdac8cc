//! Ordered multisets: the values of a MIN or MAX, the rows of a partition in the order of its ORDER BY.
//!
//! A [`Multiset`] is a B+ tree. A leaf holds up to 64 keys beside each other, with how often each is there; an inner node
//! holds for each child a key that separates it from the one before and how many values are below it, so that the rank of
//! a key and the key of a rank are found in O(log n). Most multisets are small and are one leaf.
//!
//! ```text
//! keys.rs       how a node keeps keys: as they are, or as bytes in one buffer with the first eight apart
//!   page.rs     the keys of a node, each with a value
//!     node.rs   leaves and inner nodes: add, split, merge
//!       scan.rs       the entries from a rank on
//!       multiset.rs   the tree as others use it
//! ```

mod keys;
mod multiset;
mod node;
mod page;
mod scan;

pub(crate) use keys::{Bytes, Keys, Plain};
pub(crate) use multiset::{Held, Multiset};

#[cfg(test)]
mod tests;

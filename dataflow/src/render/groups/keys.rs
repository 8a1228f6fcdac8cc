//! The key bytes of groups, by the ids of the groups.

use crate::segments::{LENGTH, Segments, place};

/// Returns whether two keys are equal.
#[inline]
pub(super) fn are_equal(a: &[u8], b: &[u8]) -> bool {
    // Most keys are one column of eight bytes and the byte that tells NULL; two words are compared faster than a slice.
    let is_short = a.len() == b.len() && a.len() <= 2 * size_of::<u64>();
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        (Some(first), Some(other)) if is_short => first == other && a.last_chunk::<8>() == b.last_chunk::<8>(),
        _ => a == b,
    }
}

/// Key bytes by id.
pub(super) enum KeyBytes {
    /// Keys of one length, stored one after another, in segments.
    Fixed { width: usize, segments: Vec<Vec<u8>>, len: usize },
    /// Keys with an allocation each; empty for free ids.
    Each { keys: Segments<Box<[u8]>>, bytes: usize },
}

impl KeyBytes {
    /// Returns room for keys of `width` bytes, or of any length.
    pub(super) fn new(width: Option<usize>) -> Self {
        match width {
            Some(width) => KeyBytes::Fixed { width, segments: Vec::new(), len: 0 },
            None => KeyBytes::Each { keys: Segments::default(), bytes: 0 },
        }
    }

    /// Returns a number that all ids are below.
    pub(super) fn len(&self) -> usize {
        match self {
            KeyBytes::Fixed { len, .. } => *len,
            KeyBytes::Each { keys, .. } => keys.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> &[u8] {
        match self {
            KeyBytes::Fixed { width, segments, .. } => {
                let (segment, place) = place(id as usize);
                &segments[segment][place * width..][..*width]
            }
            KeyBytes::Each { keys, .. } => &keys[id as usize],
        }
    }

    /// Sets the key of an id, at most the first that has none.
    pub(super) fn set(&mut self, id: u32, key: &[u8]) {
        match self {
            KeyBytes::Fixed { width, segments, len } => {
                let (segment, place) = place(id as usize);
                if (id as usize) < *len {
                    segments[segment][place * *width..][..*width].copy_from_slice(key);
                    return;
                }
                if place == 0 {
                    // The first segment grows with its keys, since most groupings have few.
                    let capacity = if segment == 0 { 0 } else { LENGTH * *width };
                    segments.push(Vec::with_capacity(capacity));
                }
                segments[segment].extend_from_slice(key);
                *len += 1;
            }
            KeyBytes::Each { keys, bytes } => {
                *bytes += key.len();
                if id as usize == keys.len() {
                    keys.push(key.into());
                } else {
                    keys[id as usize] = key.into();
                }
            }
        }
    }

    /// Forgets the key of an id.
    pub(super) fn clear(&mut self, id: u32) {
        if let KeyBytes::Each { keys, bytes } = self {
            *bytes -= keys[id as usize].len();
            keys[id as usize] = Box::default();
        }
    }

    /// Drops a part of the keys, which are no longer used, about `rows` of them; returns about how many, 0 if none are
    /// left.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        match self {
            KeyBytes::Fixed { segments, .. } => segments.pop().map_or(0, |_| LENGTH / 16),
            KeyBytes::Each { keys, .. } => keys.free(rows),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            KeyBytes::Fixed { segments, .. } => segments.iter().map(Vec::capacity).sum(),
            KeyBytes::Each { keys, bytes } => keys.bytes() + bytes,
        }
    }
}

//! How a node keeps its keys.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::marker::PhantomData;

/// A way to keep the keys of a node: a slot for each, and a slab for what does not fit into the slots.
pub(crate) trait Keys: 'static {
    /// A borrowed key.
    type Key: ?Sized + Ord;
    /// What a node keeps of each key beside the other keys.
    type Slot: Copy + Debug + Send;
    /// What the slots of a node refer to, and what they have in common.
    type Slab: Debug + Default + Send;
    /// A part of a key that decides most comparisons with the keys of a node: keys are in the order of their heads.
    type Head: Copy + Ord;

    /// Returns the head that a key would have in a node; says where its keys are if they all are on one side of it.
    fn head_of(slab: &Self::Slab, key: &Self::Key) -> Result<Self::Head, Ordering>;
    /// Returns the head of a key that is kept.
    fn head(slot: &Self::Slot) -> Self::Head;
    /// Compares a key that is kept with one that has the same head.
    fn compare_rest(slab: &Self::Slab, slot: &Self::Slot, key: &Self::Key) -> Ordering;
    /// Returns a key that is kept.
    fn key<'a>(slab: &'a Self::Slab, slot: &'a Self::Slot) -> &'a Self::Key;
    /// Keeps a key; `slots` are all that refer to the slab.
    fn put<'a>(slab: &mut Self::Slab, key: &Self::Key, slots: impl Iterator<Item = &'a mut Self::Slot>) -> Self::Slot;
    /// Forgets a key, whose slot must not be used afterwards.
    fn forget(slab: &mut Self::Slab, slot: &Self::Slot);
    /// Moves a key to another slab, to which `fit` must be called before its keys are compared.
    fn carry(from: &mut Self::Slab, slot: &Self::Slot, to: &mut Self::Slab) -> Self::Slot;
    /// Adapts slots to the keys of a node, the first and last of which are given.
    fn fit<'a>(slab: &mut Self::Slab, ends: [Self::Slot; 2], slots: impl Iterator<Item = &'a mut Self::Slot>);
    /// Whether much of the slab is no longer used.
    fn is_wasteful(slab: &Self::Slab) -> bool;
    /// Frees what is no longer used. `slots` must be all that refer to the slab.
    fn repack<'a>(slab: &mut Self::Slab, slots: impl Iterator<Item = &'a mut Self::Slot>);
    /// Whether the slab has so many bytes that its node should be split.
    fn is_large(slab: &Self::Slab) -> bool;
    /// Returns a short key that is greater than `low` and at most `high`; `low` must be less than `high`.
    fn separator<'a>(low: &Self::Key, high: &'a Self::Key) -> &'a Self::Key;
    /// Returns the bytes of a key outside its slot.
    fn outside(key: &Self::Key) -> usize;
}

/// Keys of a fixed size, kept in the slots.
#[derive(Debug)]
pub(crate) struct Plain<K>(PhantomData<K>);

impl<K: Copy + Debug + Ord + Send + 'static> Keys for Plain<K> {
    type Key = K;
    type Slot = K;
    type Slab = ();
    type Head = K;

    #[inline(always)]
    fn head_of((): &(), key: &K) -> Result<K, Ordering> {
        Ok(*key)
    }

    #[inline(always)]
    fn head(slot: &K) -> K {
        *slot
    }

    #[inline(always)]
    fn compare_rest((): &(), _: &K, _: &K) -> Ordering {
        Ordering::Equal
    }

    fn key<'a>((): &'a (), slot: &'a K) -> &'a K {
        slot
    }

    fn put<'a>((): &mut (), key: &K, _: impl Iterator<Item = &'a mut K>) -> K {
        *key
    }

    fn forget((): &mut (), _: &K) {}

    fn carry((): &mut (), slot: &K, (): &mut ()) -> K {
        *slot
    }

    fn fit<'a>((): &mut (), _: [K; 2], _: impl Iterator<Item = &'a mut K>) {}

    fn is_wasteful((): &()) -> bool {
        false
    }

    fn repack<'a>((): &mut (), _: impl Iterator<Item = &'a mut K>) {}

    fn is_large((): &()) -> bool {
        false
    }

    fn separator<'a>(_: &K, high: &'a K) -> &'a K {
        high
    }

    fn outside(_: &K) -> usize {
        0
    }
}

/// Keys that are strings of bytes, kept in one buffer for each node.
#[derive(Debug)]
pub(crate) struct Bytes;

/// Number of bytes from which on a key has a buffer of its own.
const LONG: usize = if cfg!(test) { 24 } else { 1 << 16 };
/// Number of bytes of a slab above which its node is split.
const LARGE: usize = if cfg!(test) { 64 } else { 1 << 13 };
/// Number of unused bytes up to which a slab is left as it is.
const FEW: u32 = if cfg!(test) { 16 } else { 256 };

/// Number of bytes that all keys of a node begin with and that are left out of their heads, at most.
const COMMON: usize = size_of::<u128>();

/// A key of bytes: the eight that decide most comparisons, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BytesSlot {
    /// The eight bytes after those that all keys of the node have in common.
    head: u64,
    /// The place of the key's first byte, or of its buffer if it is long.
    start: u32,
    /// Number of bytes; at most `LONG`, which says that the key has a buffer of its own.
    len: u32,
}

/// The keys of a node.
#[derive(Debug, Default)]
pub(crate) struct BytesSlab {
    bytes: Vec<u8>,
    /// Number of bytes that belong to no key.
    unused: u32,
    /// Number of bytes that all keys begin with; at most `COMMON`. Found when the node is split.
    common: u32,
    /// These bytes, as two numbers.
    start: [u64; 2],
    /// The long keys, of which most nodes have none.
    long: Option<Box<LongKeys>>,
}

/// Keys with buffers of their own; an empty buffer is not used.
#[derive(Debug, Default)]
struct LongKeys(Vec<Box<[u8]>>);

impl BytesSlab {
    fn put_long(&mut self, key: Box<[u8]>) -> u32 {
        let LongKeys(long) = &mut **self.long.get_or_insert_default();
        let place = long.iter().position(|key| key.is_empty()).unwrap_or_else(|| {
            long.push(Box::default());
            long.len() - 1
        });
        long[place] = key;
        place as u32
    }

    fn take_long(&mut self, slot: &BytesSlot) -> Box<[u8]> {
        self.long.as_mut().map(|long| std::mem::take(&mut long.0[slot.start as usize])).unwrap_or_default()
    }

    /// Returns the bytes of a key that is not long.
    #[inline(always)]
    fn short(&self, slot: &BytesSlot) -> &[u8] {
        &self.bytes[slot.start as usize..][..slot.len as usize]
    }

    /// Returns the head of a key.
    #[inline(always)]
    fn head(&self, key: &[u8]) -> u64 {
        number(key.get(self.common as usize..).unwrap_or_default())
    }

    /// Sets how many bytes the keys have in common, of which `key` is one.
    fn set_common<'a>(&mut self, key: &[u8], common: usize, slots: impl Iterator<Item = &'a mut BytesSlot>) {
        self.common = common as u32;
        self.start = common_start(key, common);
        for slot in slots {
            slot.head = self.head(Bytes::key(self, slot));
        }
    }
}

/// Returns the first eight bytes as a number of the same order, with zeros for those that are missing.
#[inline(always)]
fn number(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(chunk)
        }
    }
}

/// Returns the first `common` bytes as two numbers of the same order, with zeros for all others.
#[inline(always)]
fn common_start(key: &[u8], common: usize) -> [u64; 2] {
    let mask = |bytes: usize| if bytes == 0 { 0 } else { u64::MAX << (64 - 8 * bytes) };
    let (first, second) = (number(key), if common > 8 { number(key.get(8..).unwrap_or_default()) } else { 0 });
    [first & mask(common.min(8)), second & mask(common.saturating_sub(8))]
}

/// Returns with how many equal bytes two keys begin.
fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

impl Keys for Bytes {
    type Key = [u8];
    type Slot = BytesSlot;
    type Slab = BytesSlab;
    type Head = u64;

    #[inline(always)]
    fn head_of(slab: &BytesSlab, key: &[u8]) -> Result<u64, Ordering> {
        // A key that is too short counts as if zeros followed it. It is never put after a greater key by that, and keys
        // with equal heads are compared whole.
        match slab.start.cmp(&common_start(key, slab.common as usize)) {
            Ordering::Equal => Ok(slab.head(key)),
            order => Err(order),
        }
    }

    #[inline(always)]
    fn head(slot: &BytesSlot) -> u64 {
        slot.head
    }

    fn compare_rest(slab: &BytesSlab, slot: &BytesSlot, key: &[u8]) -> Ordering {
        Self::key(slab, slot).cmp(key)
    }

    fn key<'a>(slab: &'a BytesSlab, slot: &'a BytesSlot) -> &'a [u8] {
        match (&slab.long, slot.len as usize) {
            (Some(long), LONG) => &long.0[slot.start as usize],
            _ => slab.short(slot),
        }
    }

    fn put<'a>(slab: &mut BytesSlab, key: &[u8], slots: impl Iterator<Item = &'a mut BytesSlot>) -> BytesSlot {
        let common = slab.common as usize;
        if slab.start != common_start(key, common) {
            let bytes = [slab.start[0].to_be_bytes(), slab.start[1].to_be_bytes()].concat();
            slab.set_common(key, shared(&bytes[..common], key), slots);
        }
        let head = slab.head(key);
        if key.len() >= LONG {
            return BytesSlot { head, start: slab.put_long(key.into()), len: LONG as u32 };
        }
        let start = slab.bytes.len() as u32;
        slab.bytes.extend_from_slice(key);
        BytesSlot { head, start, len: key.len() as u32 }
    }

    fn forget(slab: &mut BytesSlab, slot: &BytesSlot) {
        match slot.len as usize {
            LONG => drop(slab.take_long(slot)),
            _ => slab.unused += slot.len,
        }
    }

    fn carry(from: &mut BytesSlab, slot: &BytesSlot, to: &mut BytesSlab) -> BytesSlot {
        match slot.len as usize {
            LONG => BytesSlot { start: to.put_long(from.take_long(slot)), ..*slot },
            _ => {
                from.unused += slot.len;
                let start = to.bytes.len() as u32;
                to.bytes.extend_from_slice(from.short(slot));
                BytesSlot { start, ..*slot }
            }
        }
    }

    fn fit<'a>(slab: &mut BytesSlab, ends: [BytesSlot; 2], slots: impl Iterator<Item = &'a mut BytesSlot>) {
        let [first, last] = ends.each_ref().map(|slot| Self::key(slab, slot));
        let common = shared(first, last).min(COMMON);
        let start = first[..common].to_vec();
        slab.set_common(&start, common, slots);
    }

    fn is_wasteful(slab: &BytesSlab) -> bool {
        slab.unused > FEW && slab.unused as usize > slab.bytes.len() / 2
    }

    fn repack<'a>(slab: &mut BytesSlab, slots: impl Iterator<Item = &'a mut BytesSlot>) {
        let mut bytes = Vec::with_capacity(slab.bytes.len() - slab.unused as usize);
        for slot in slots.filter(|slot| slot.len as usize != LONG) {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(slab.short(slot));
            slot.start = start;
        }
        slab.bytes = bytes;
        slab.unused = 0;
    }

    fn is_large(slab: &BytesSlab) -> bool {
        slab.bytes.len() - slab.unused as usize > LARGE
    }

    fn separator<'a>(low: &[u8], high: &'a [u8]) -> &'a [u8] {
        &high[..high.len().min(shared(low, high) + 1)]
    }

    fn outside(key: &[u8]) -> usize {
        key.len()
    }
}

//! `Node`: a type and the types in it, as a C schema says them; some say what no producer would.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::ffi::FFI_ArrowSchema;

use super::input::Input;
use super::memory::Memory;

/// What the buffers and children of an array of a type are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    Null,
    Bits,
    /// Values of so many bytes.
    Fixed(usize),
    /// Texts, with offsets of so many bytes.
    Texts(usize),
    Views,
    /// Lists or maps, with offsets of so many bytes.
    Lists(usize),
    ListViews(usize),
    /// Lists of so many values.
    FixedLists(usize),
    Struct,
    SparseUnion,
    DenseUnion,
    Runs,
    /// Of a format that is none.
    Unknown,
}

const LEAVES: [(&str, Layout); 47] = [
    ("l", Layout::Fixed(8)),
    ("u", Layout::Texts(4)),
    ("n", Layout::Null),
    ("b", Layout::Bits),
    ("c", Layout::Fixed(1)),
    ("C", Layout::Fixed(1)),
    ("s", Layout::Fixed(2)),
    ("S", Layout::Fixed(2)),
    ("i", Layout::Fixed(4)),
    ("I", Layout::Fixed(4)),
    ("L", Layout::Fixed(8)),
    ("e", Layout::Fixed(2)),
    ("f", Layout::Fixed(4)),
    ("g", Layout::Fixed(8)),
    ("z", Layout::Texts(4)),
    ("Z", Layout::Texts(8)),
    ("U", Layout::Texts(8)),
    ("vu", Layout::Views),
    ("vz", Layout::Views),
    ("d:5,2", Layout::Fixed(16)),
    ("d:38,10", Layout::Fixed(16)),
    ("d:9,-2,32", Layout::Fixed(4)),
    ("d:18,3,64", Layout::Fixed(8)),
    ("d:76,40,256", Layout::Fixed(32)),
    ("d:39,2", Layout::Fixed(16)),
    ("w:3", Layout::Fixed(3)),
    ("w:0", Layout::Fixed(0)),
    ("w:-1", Layout::Unknown),
    ("tdD", Layout::Fixed(4)),
    ("tdm", Layout::Fixed(8)),
    ("tts", Layout::Fixed(4)),
    ("ttm", Layout::Fixed(4)),
    ("ttu", Layout::Fixed(8)),
    ("ttn", Layout::Fixed(8)),
    ("tss:", Layout::Fixed(8)),
    ("tsm:", Layout::Fixed(8)),
    ("tsu:", Layout::Fixed(8)),
    ("tsn:", Layout::Fixed(8)),
    ("tss:UTC", Layout::Fixed(8)),
    ("tsu:UTC", Layout::Fixed(8)),
    ("tsn:Europe/Berlin", Layout::Fixed(8)),
    ("tsm:nowhere", Layout::Fixed(8)),
    ("tDs", Layout::Fixed(8)),
    ("tDn", Layout::Fixed(8)),
    ("tiM", Layout::Fixed(4)),
    ("tiD", Layout::Fixed(8)),
    ("tin", Layout::Fixed(16)),
];

/// How deep types lie in each other, and how many there are side by side.
const DEEPEST: usize = 4;
const WIDEST: usize = 3;

pub(super) struct Node {
    format: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    metadata: Option<Vec<u8>>,
    flags: i64,
    pub(super) layout: Layout,
    pub(super) children: Vec<Node>,
    pub(super) dictionary: Option<Box<Node>>,
    fault: Option<Fault>,
}

/// What is wrong with a schema.
#[derive(Clone, Copy)]
enum Fault {
    Released,
    Children(i64),
    ChildrenMissing,
    ChildMissing,
    ChildNotAligned,
}

impl Node {
    /// Draws a type of rows, or seldom any other.
    pub(super) fn rows(input: &mut Input<'_>) -> Self {
        if input.seldom() {
            return Node::draw(input, 0);
        }
        let count = 1 + input.below(WIDEST);
        let columns = (0..count).map(|_| Node::draw(input, 1)).collect();
        let mut rows = Node::of(b"+s", Layout::Struct, columns, input);
        rows.flags = 0;
        rows
    }

    fn draw(input: &mut Input<'_>, depth: usize) -> Self {
        let choice = input.byte();
        let mut node = match choice {
            0..=199 => Node::leaf(choice.into(), input),
            200..=244 if depth < DEEPEST => Node::nested(choice, input, depth + 1),
            _ => {
                let length = input.below(8);
                let format = input.bytes(length);
                Node::of(&format, Layout::Unknown, Vec::new(), input)
            }
        };
        if input.seldom() && matches!(node.format.as_deref(), Some([b'c' | b'C' | b's' | b'S' | b'i' | b'I' | b'l']))
            || input.seldom()
        {
            node.dictionary = Some(Box::new(Node::draw(input, depth.max(DEEPEST - 1))));
        }
        node
    }

    fn leaf(choice: usize, input: &mut Input<'_>) -> Self {
        let (format, layout) = LEAVES[choice % LEAVES.len()];
        Node::of(format.as_bytes(), layout, Vec::new(), input)
    }

    fn nested(choice: u8, input: &mut Input<'_>, depth: usize) -> Self {
        let size = input.below(4);
        let (format, layout, count) = match choice % 11 {
            0 => ("+l".to_owned(), Layout::Lists(4), 1),
            1 => ("+L".to_owned(), Layout::Lists(8), 1),
            2 => ("+vl".to_owned(), Layout::ListViews(4), 1),
            3 => ("+vL".to_owned(), Layout::ListViews(8), 1),
            4 => (format!("+w:{size}"), Layout::FixedLists(size), 1),
            5 => ("+s".to_owned(), Layout::Struct, size),
            6 => ("+m".to_owned(), Layout::Lists(4), 1),
            7 => (format!("+us:{}", ids(size, input)), Layout::SparseUnion, size),
            8 => (format!("+ud:{}", ids(size, input)), Layout::DenseUnion, size),
            9 => ("+r".to_owned(), Layout::Runs, 2),
            // A dictionary.
            _ => {
                let (format, layout) = LEAVES[4 + size * 2];
                let mut node = Node::of(format.as_bytes(), layout, Vec::new(), input);
                node.dictionary = Some(Box::new(Node::draw(input, depth)));
                return node;
            }
        };
        let count = if input.seldom() { input.below(WIDEST) } else { count };
        let mut children: Vec<Node> = (0..count).map(|_| Node::draw(input, depth)).collect();
        if format == "+m" && !input.seldom() {
            let entries = [Node::leaf(1, input), Node::draw(input, DEEPEST)].into_iter().collect();
            children = vec![Node::of(b"+s", Layout::Struct, entries, input)];
            children[0].flags = 0;
        } else if format == "+r" && !children.is_empty() && !input.seldom() {
            children[0] = Node::leaf([6, 8, 0][size % 3], input);
            children[0].flags = 0;
        }
        Node::of(format.as_bytes(), layout, children, input)
    }

    fn of(format: &[u8], layout: Layout, children: Vec<Node>, input: &mut Input<'_>) -> Self {
        let length = input.below(4);
        let name = if input.seldom() { None } else { Some(input.text(length)) };
        Node {
            format: (!input.seldom() || !input.seldom()).then(|| format.to_vec()),
            name,
            metadata: input.seldom().then(|| metadata(input)),
            flags: if input.seldom() { input.number() } else { 2 },
            layout,
            children,
            dictionary: None,
            fault: (input.seldom() && input.seldom()).then(|| Fault::draw(input)),
        }
    }

    /// Returns what the node is as a C struct, whose parts are in `memory`.
    pub(super) fn schema(&self, memory: &mut Memory) -> FFI_ArrowSchema {
        let mut children: Vec<*const FFI_ArrowSchema> = Vec::new();
        for child in &self.children {
            let child = child.schema(memory);
            children.push(memory.schema(child));
        }
        let dictionary = self.dictionary.as_ref().map(|values| values.schema(memory));
        let mut made = FFI_ArrowSchema::empty();
        made.format = self.format.as_ref().map_or(std::ptr::null(), |text| memory.text(text)).cast();
        made.name = self.name.as_ref().map_or(std::ptr::null(), |text| memory.text(text)).cast();
        made.metadata = self.metadata.as_ref().map_or(std::ptr::null(), |bytes| memory.copy(bytes, 0)).cast();
        made.flags = self.flags;
        made.n_children = children.len() as i64;
        made.release = Some(release);
        match self.fault {
            Some(Fault::Released) => made.release = None,
            Some(Fault::Children(count)) => made.n_children = count,
            Some(Fault::ChildMissing) => children.iter_mut().for_each(|child| *child = std::ptr::null()),
            Some(Fault::ChildNotAligned) => {
                children.iter_mut().for_each(|child| *child = child.map_addr(|address| address + 1));
            }
            Some(Fault::ChildrenMissing) | None => {}
        }
        let is_there = !matches!(self.fault, Some(Fault::ChildrenMissing)) && made.n_children == children.len() as i64;
        if is_there {
            made.children = memory.pointers(&children).cast_mut().cast();
        }
        made.dictionary = dictionary.map_or(std::ptr::null_mut(), |values| memory.schema(values));
        made
    }
}

impl Fault {
    fn draw(input: &mut Input<'_>) -> Self {
        match input.below(6) {
            0 => Fault::Released,
            1 => Fault::Children(-1),
            2 => Fault::Children(1 << 40),
            3 => Fault::ChildrenMissing,
            4 => Fault::ChildMissing,
            _ => Fault::ChildNotAligned,
        }
    }
}

/// Returns the ids of the types of a union, mostly right.
fn ids(count: usize, input: &mut Input<'_>) -> String {
    let mut id = |place: usize| if input.seldom() { input.number() % 200 } else { place as i64 };
    let ids: Vec<String> = (0..count).map(|place| id(place).to_string()).collect();
    ids.join(",")
}

/// Returns metadata that are as long as they say, or refused before they are read to the end.
fn metadata(input: &mut Input<'_>) -> Vec<u8> {
    let count = input.below(3);
    let mut bytes = (count as i32).to_ne_bytes().to_vec();
    for _ in 0..2 * count {
        if input.seldom() {
            bytes.extend([-1, i32::MIN, i32::MAX][input.below(3)].to_ne_bytes());
            return bytes;
        }
        let length = input.below(24);
        bytes.extend((length as i32).to_ne_bytes());
        let mut text = input.text(length);
        if input.seldom() {
            let known = &b"ARROW:extension:name"[..length.min(20)];
            text[..known.len()].copy_from_slice(known);
        }
        bytes.extend(text);
    }
    bytes
}

/// Marks a schema as released. What it points to is kept by its memory.
#[expect(unsafe_code, reason = "a function of C")]
unsafe extern "C" fn release(schema: *mut FFI_ArrowSchema) {
    // SAFETY: by the protocol, it is called with a schema that is not released.
    unsafe { (*schema).release = None };
}

/// Counts a release at the number that the private data of an array or a stream points to.
#[expect(unsafe_code, reason = "a pointer of C")]
pub(super) fn count_release(private_data: *mut c_void) {
    // SAFETY: it is null or points to a number that outlives the array.
    if let Some(count) = unsafe { private_data.cast::<AtomicUsize>().as_ref() } {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

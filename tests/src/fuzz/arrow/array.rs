//! Draws C arrays of a type: mostly what the type says, and seldom something else. A buffer that is there is as long as
//! the array says, because that cannot be checked by whoever reads it.

use std::ffi::c_void;

use arrow::ffi::FFI_ArrowArray;

use super::input::Input;
use super::memory::Memory;
use super::node::{Layout, Node, count_release};

/// No array has more values, and no buffer of text more bytes.
const MOST_VALUES: usize = 64;
const MOST_TEXT: i64 = 4096;

/// Draws an array of `length` values; its memory is in `memory`.
pub(super) fn array(node: &Node, length: usize, input: &mut Input<'_>, memory: &mut Memory) -> FFI_ArrowArray {
    let offset = if input.seldom() { input.below(8) } else { 0 };
    let length = if input.seldom() { input.below(4) } else { length.min(MOST_VALUES) };
    let mut drawn = Drawn { length, total: offset + length, buffers: Vec::new(), children: Vec::new() };
    drawn.draw(node, input, memory);
    let mut made = FFI_ArrowArray::empty();
    made.length = length as i64;
    made.offset = offset as i64;
    made.null_count = if input.seldom() { input.below(4) as i64 } else { -1 };
    made.dictionary = match &node.dictionary {
        Some(values) if !input.seldom() => {
            let length = input.below(6);
            let values = array(values, length, input, memory);
            memory.array(values)
        }
        _ => std::ptr::null_mut(),
    };
    let fault = if input.seldom() { 1 + input.below(12) } else { 0 };
    drawn.finish(&mut made, fault, input, memory);
    made.release = Some(release);
    if fault == 1 {
        made.release = None;
    }
    made
}

/// The parts of an array.
struct Drawn {
    length: usize,
    /// The length and what lies before the offset.
    total: usize,
    buffers: Vec<Option<Vec<u8>>>,
    children: Vec<FFI_ArrowArray>,
}

impl Drawn {
    fn draw(&mut self, node: &Node, input: &mut Input<'_>, memory: &mut Memory) {
        let total = self.total;
        if !matches!(node.layout, Layout::Null | Layout::SparseUnion | Layout::DenseUnion | Layout::Runs) {
            let nulls = input.seldom() || input.seldom();
            self.buffers.push(nulls.then(|| input.bytes(total.div_ceil(8))));
        }
        match node.layout {
            Layout::Null | Layout::Struct => self.children(node, total, input, memory),
            Layout::Bits => self.buffers.push(Some(input.bytes(total.div_ceil(8)))),
            Layout::Fixed(width) => {
                self.buffers.push(Some(values(total, width, input)));
                self.children(node, total, input, memory);
            }
            Layout::Texts(width) => {
                let mut offsets = offsets(total, 4, input);
                let last = offsets[total].clamp(-1, MOST_TEXT);
                offsets[total] = last;
                self.buffers.push(Some(integers(&offsets, width)));
                self.buffers.push(Some(input.text(usize::try_from(last).unwrap_or_default())));
            }
            Layout::Views => self.views(input),
            Layout::Lists(width) => {
                let offsets = offsets(total, 3, input);
                self.buffers.push(Some(integers(&offsets, width)));
                self.children(node, usize::try_from(offsets[total]).unwrap_or_default(), input, memory);
            }
            Layout::ListViews(width) => {
                let count = input.below(8);
                let within = |input: &mut Input<'_>, bound| match input.seldom() {
                    true => input.number(),
                    false => input.below(bound + 1) as i64,
                };
                let starts: Vec<i64> = (0..total).map(|_| within(input, count)).collect();
                let most = |start: &i64| count.abs_diff(*start as usize) % 9;
                let sizes: Vec<i64> = starts.iter().map(|start| within(input, most(start))).collect();
                self.buffers.push(Some(integers(&starts, width)));
                self.buffers.push(Some(integers(&sizes, width)));
                self.children(node, count, input, memory);
            }
            Layout::FixedLists(size) => self.children(node, total * size, input, memory),
            Layout::SparseUnion | Layout::DenseUnion => self.union(node, input, memory),
            Layout::Runs => self.runs(node, input, memory),
            Layout::Unknown => {
                for _ in 0..input.below(3) {
                    self.buffers.push(Some(values(total, 8, input)));
                }
                self.children(node, total, input, memory);
            }
        }
    }

    /// Draws each child with `length` values.
    fn children(&mut self, node: &Node, length: usize, input: &mut Input<'_>, memory: &mut Memory) {
        self.children.extend(node.children.iter().map(|child| array(child, length, input, memory)));
    }

    /// Draws texts as views: short ones in themselves, and others in buffers, whose lengths are the last buffer.
    fn views(&mut self, input: &mut Input<'_>) {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for _ in 0..input.below(3) {
            let length = input.below(40);
            texts.push(input.text(length));
        }
        let mut views = Vec::new();
        for _ in 0..self.total {
            let length = input.below(20);
            views.extend((length as i32).to_ne_bytes());
            if length <= 12 {
                let mut text = input.text(length);
                text.resize(12, u8::from(input.seldom()));
                views.extend(text);
                continue;
            }
            let (buffer, start) = (input.below(3), input.below(24));
            let prefix = texts.get(buffer).and_then(|text| text.get(start..start + 4));
            views.extend(prefix.filter(|_| !input.seldom()).unwrap_or(b"none"));
            views.extend((buffer as i32).to_ne_bytes());
            views.extend(if input.seldom() { input.number() as i32 } else { start as i32 }.to_ne_bytes());
        }
        let lengths: Vec<i64> = texts.iter().map(|text| if input.seldom() { -1 } else { text.len() as i64 }).collect();
        self.buffers.push(Some(views));
        self.buffers.extend(texts.into_iter().map(Some));
        self.buffers.push(Some(integers(&lengths, 8)));
    }

    fn union(&mut self, node: &Node, input: &mut Input<'_>, memory: &mut Memory) {
        let total = self.total;
        let count = node.children.len().max(1);
        let id = |input: &mut Input<'_>| if input.seldom() { input.byte() } else { input.below(count) as u8 };
        self.buffers.push(Some((0..total).map(|_| id(input)).collect()));
        if node.layout == Layout::SparseUnion {
            return self.children(node, total, input, memory);
        }
        let length = input.below(6);
        let place = |input: &mut Input<'_>| match input.seldom() {
            true => input.number(),
            false => input.below(length + 1) as i64,
        };
        let places: Vec<i64> = (0..total).map(|_| place(input)).collect();
        self.buffers.push(Some(integers(&places, 4)));
        self.children(node, length, input, memory);
    }

    /// Draws the ends of runs, which mostly ascend up to the length of the array, and their values.
    fn runs(&mut self, node: &Node, input: &mut Input<'_>, memory: &mut Memory) {
        let count = input.below(5);
        let mut end = 0_i64;
        let mut ends: Vec<i64> = Vec::new();
        for _ in 0..count {
            end += if input.seldom() { input.number() % 100 } else { 1 + input.below(4) as i64 };
            ends.push(end);
        }
        if let Some(last) = ends.last_mut()
            && !input.seldom()
        {
            *last = (*last).max(self.total as i64);
        }
        for (place, child) in node.children.iter().enumerate() {
            let mut made = array(child, count, input, memory);
            let fits = made.length.checked_add(made.offset).is_some_and(|total| total <= count as i64);
            if let (0, Layout::Fixed(width @ (2 | 4 | 8)), true) = (place, child.layout, fits) {
                let buffers = [std::ptr::null(), memory.copy(&integers(&ends, width), 0)];
                made.buffers = memory.pointers(&buffers).cast_mut().cast();
                made.n_buffers = 2;
            }
            self.children.push(made);
        }
    }

    /// Makes pointers of the parts, one of them wrong if there is a `fault`.
    fn finish(mut self, made: &mut FFI_ArrowArray, fault: usize, input: &mut Input<'_>, memory: &mut Memory) {
        let mut pointers: Vec<*const c_void> = Vec::new();
        for buffer in &self.buffers {
            let behind = if input.seldom() { 1 + input.below(15) } else { 0 };
            pointers.push(buffer.as_ref().map_or(std::ptr::null(), |bytes| memory.copy(bytes, behind)));
        }
        let mut children: Vec<*const FFI_ArrowArray> = Vec::new();
        for child in self.children.drain(..) {
            children.push(memory.array(child));
        }
        match fault {
            2 => pointers.push(std::ptr::null()),
            // Of views at most the first two are left: the last of the others would be taken for their lengths.
            3 => pointers.truncate(pointers.len().saturating_sub(1).min(2)),
            4 if !pointers.is_empty() => {
                let place = input.below(pointers.len());
                pointers[place] = std::ptr::null();
            }
            5 => children.push(std::ptr::null()),
            6 => drop(children.pop()),
            7 => children.iter_mut().for_each(|child| *child = std::ptr::null()),
            8 => children.iter_mut().for_each(|child| *child = child.map_addr(|address| address + 1)),
            9 => made.length = [-1, i64::MIN, 1 << 31, i64::MAX][input.below(4)],
            10 => made.offset = [-1, i64::MIN, (1 << 47) + 1, i64::MAX][input.below(4)],
            11 => made.null_count = [self.length as i64 + 1, -2, i64::MIN, i64::MAX][input.below(4)],
            _ => {}
        }
        made.n_buffers = pointers.len() as i64;
        made.n_children = children.len() as i64;
        made.buffers = memory.pointers(&pointers).cast_mut().cast();
        made.children = memory.pointers(&children).cast_mut().cast();
        if fault == 12 {
            match input.below(6) {
                0 => made.buffers = std::ptr::null_mut(),
                1 => made.children = std::ptr::null_mut(),
                2 => made.n_buffers = -1,
                3 => made.n_buffers = 1 << 40,
                4 => made.n_children = -1,
                _ => made.n_children = 1 << 40,
            }
        }
    }
}

/// Draws numbers of `width` bytes, most of them small.
fn values(count: usize, width: usize, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * width);
    for _ in 0..count {
        match input.byte() {
            large @ 224.. => {
                bytes.extend(if large % 2 == 0 { input.bytes(width) } else { vec![255 - large % 3; width] });
            }
            small => bytes.extend((0..width).map(|place| if place == 0 { small } else { 0 })),
        }
    }
    bytes
}

/// Draws `count + 1` offsets, which mostly ascend by at most `step`.
fn offsets(count: usize, step: usize, input: &mut Input<'_>) -> Vec<i64> {
    let mut offset = if input.seldom() { input.below(4) as i64 } else { 0 };
    let mut offsets = vec![offset];
    for _ in 0..count {
        offset = if input.seldom() { input.number() } else { offset.saturating_add(input.below(step + 1) as i64) };
        offsets.push(offset);
    }
    offsets
}

/// Returns the lowest `width` bytes of each number.
fn integers(numbers: &[i64], width: usize) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes().into_iter().take(width)).collect()
}

/// Marks an array as released, and counts that. What it points to is kept by its memory.
#[expect(unsafe_code, reason = "a function of C")]
unsafe extern "C" fn release(array: *mut FFI_ArrowArray) {
    // SAFETY: by the protocol, it is called with an array that is not released.
    let array = unsafe { &mut *array };
    array.release = None;
    count_release(array.private_data);
}

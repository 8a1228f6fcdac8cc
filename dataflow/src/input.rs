//! The input of a dataflow: the contents of a collection at installation, followed by its changes.
//!
//! ```text
//! contents -----> first
//!                       \--pump, in pieces--> timely input
//! live events --> backlog /
//! ```
//!
//! Events enter in order of time, and nothing of a later time before the contents have entered.

use std::collections::VecDeque;

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::{InputHandle, Scope};

use crate::update::UpdateStream;
use crate::{CollectionId, Time, UpdateBatch};

/// One event in the life of a collection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Changes at this time.
    Rows(Time, UpdateBatch),
    /// There are no more changes through this time.
    Close(Time),
}

/// Why a call to [`CollectionInput::pump`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// All events have entered, or the contents are not known yet.
    Rest,
    /// More events can enter.
    More,
}

/// One collection entering one dataflow, on one worker.
pub(crate) struct CollectionInput {
    /// The collection that is read; `None` for rows that never change.
    collection: Option<CollectionId>,
    schema: SchemaRef,
    handle: InputHandle<Time, NoopBuilder<UpdateBatch>>,
    /// The contents at installation that have not entered yet; `None` until they are known.
    first: Option<VecDeque<UpdateBatch>>,
    /// The time of the contents; `None` once they have all entered.
    opening: Option<Time>,
    backlog: VecDeque<Event>,
    /// Number of rows of the contents.
    contents: u64,
    /// How many rows of the batch that is next have entered.
    entered: usize,
    /// The last time that was closed by an event, entered or not.
    closed: Time,
}

impl CollectionInput {
    /// Creates an input that starts with the contents as of `opening`, which [`CollectionInput::open`] supplies later.
    pub(crate) fn new<'s>(
        collection: Option<CollectionId>,
        schema: SchemaRef,
        opening: Time,
        scope: Scope<'s, Time>,
    ) -> (Self, UpdateStream<'s>) {
        let mut handle = InputHandle::new_with_builder();
        handle.advance_to(opening);
        let stream = handle.to_stream(scope);
        let input = CollectionInput {
            collection,
            schema,
            handle,
            first: None,
            opening: Some(opening),
            backlog: VecDeque::new(),
            contents: 0,
            entered: 0,
            closed: opening,
        };
        (input, stream)
    }

    /// Returns the collection that is read, or `None` if the rows never change.
    pub(crate) fn collection(&self) -> Option<CollectionId> {
        self.collection
    }

    /// Returns how many rows of the contents have entered, and how many there are as far as is known.
    pub(crate) fn taken_in(&self) -> (u64, u64) {
        let left: usize = self.first.iter().flatten().map(UpdateBatch::len).sum();
        let entered = if self.opening.is_some() { self.entered } else { 0 };
        (self.contents - left as u64 + entered as u64, self.contents)
    }

    /// Whether events may enter now.
    pub(crate) fn has_events(&self) -> bool {
        self.first.is_some() && !self.is_empty()
    }

    /// Whether all events have entered.
    pub(crate) fn is_empty(&self) -> bool {
        self.opening.is_none() && self.backlog.is_empty()
    }

    /// Supplies the contents. Panics if called twice.
    pub(crate) fn open(&mut self, contents: impl IntoIterator<Item = UpdateBatch>) {
        assert!(self.first.is_none(), "contents are given once");
        let first: VecDeque<UpdateBatch> = contents.into_iter().filter(|batch| !batch.is_empty()).collect();
        self.contents = first.iter().map(|batch| batch.len() as u64).sum();
        self.first = Some(first);
    }

    /// Queues a live event; events must be pushed in order of time. Closing a time again has no effect.
    pub(crate) fn push(&mut self, event: Event) {
        if let Event::Close(time) = event {
            if time <= self.closed {
                return;
            }
            self.closed = time;
            if let Some(Event::Close(last)) = self.backlog.back_mut() {
                *last = time;
                return;
            }
        }
        self.backlog.push_back(event);
    }

    /// Sends the next events into the dataflow: at most `room` rows.
    pub(crate) fn pump(&mut self, mut room: usize) -> Pumped {
        let Some(first) = &mut self.first else { return Pumped::Rest };
        if let Some(opening) = self.opening {
            while let Some(batch) = first.front() {
                if room == 0 {
                    return Pumped::More;
                }
                send(&mut self.handle, &self.schema, next_piece(batch, &mut self.entered, &mut room));
                if self.entered == 0 {
                    first.pop_front();
                }
            }
            self.opening = None;
            self.handle.advance_to(opening + 1);
        }
        while let Some(event) = self.backlog.front() {
            match event {
                Event::Rows(..) if room == 0 => return Pumped::More,
                Event::Rows(time, batch) => {
                    // Nothing happened at the times between.
                    if self.handle.time() < time {
                        self.handle.advance_to(*time);
                    }
                    send(&mut self.handle, &self.schema, next_piece(batch, &mut self.entered, &mut room));
                }
                Event::Close(time) => self.handle.advance_to(*time + 1),
            }
            if self.entered == 0 {
                self.backlog.pop_front();
            }
        }
        Pumped::Rest
    }
}

/// Returns the rows of `batch` from `entered` on, as many as there is room for. Sets `entered` to 0 if these are the
/// last.
fn next_piece(batch: &UpdateBatch, entered: &mut usize, room: &mut usize) -> UpdateBatch {
    let start = *entered;
    let rows = (batch.len() - start).min(*room);
    *room -= rows;
    *entered = if start + rows == batch.len() { 0 } else { start + rows };
    if rows == batch.len() { batch.clone() } else { batch.slice(start, rows) }
}

fn send(handle: &mut InputHandle<Time, NoopBuilder<UpdateBatch>>, schema: &SchemaRef, batch: UpdateBatch) {
    if !batch.is_empty() {
        handle.send_batch(&mut batch.with_schema(schema));
    }
}

//! The input of a dataflow: the contents of a collection at installation, then its changes.
//!
//! ```text
//! contents in pieces --> first
//!                            \--> pump --> timely input
//! live events ---------> backlog /
//! ```
//!
//! Events enter in order of time. Nothing of a later time enters before the contents have, nor past a hold: a read
//! that has to see the dataflow before later times are applied.

use std::collections::VecDeque;

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::{InputHandle, Scope};

use crate::render::context::Updates;
use crate::{CollectionId, Time, UpdateBatch};

/// Rows that enter in one go, so that a worker serves commands between pieces of a large load.
pub(crate) const PIECE_ROWS: usize = 1 << 16;

/// What can happen to a collection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Changes at one time.
    Rows(Time, UpdateBatch),
    /// No more changes through a time.
    Close(Time),
}

impl Event {
    fn time(&self) -> Time {
        match self {
            Event::Rows(time, _) | Event::Close(time) => *time,
        }
    }
}

/// How a pump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// All events have entered, or those that are left wait for a read.
    Rest,
    /// There is more to enter.
    More,
}

/// One collection entering one dataflow, on one worker.
pub(crate) struct CollectionInput {
    /// `None` for rows that never change.
    collection: Option<CollectionId>,
    schema: SchemaRef,
    handle: InputHandle<Time, NoopBuilder<UpdateBatch>>,
    /// The contents at installation; `None` until they are known.
    first: Option<VecDeque<UpdateBatch>>,
    /// Time of the contents, until they have entered.
    opening: Option<Time>,
    backlog: VecDeque<Event>,
}

impl CollectionInput {
    /// An input whose contents are those at `opening`, to be given by [`CollectionInput::open`].
    pub(crate) fn new<'s>(
        collection: Option<CollectionId>,
        schema: SchemaRef,
        opening: Time,
        scope: Scope<'s, Time>,
    ) -> (Self, Updates<'s>) {
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
        };
        (input, stream)
    }

    /// The collection, unless the rows never change.
    pub(crate) fn collection(&self) -> Option<CollectionId> {
        self.collection
    }

    /// Gives the contents.
    pub(crate) fn open(&mut self, contents: impl IntoIterator<Item = UpdateBatch>) {
        assert!(self.first.is_none(), "contents are given once");
        let pieces = contents.into_iter().flat_map(|batch| {
            let starts = (0..batch.len()).step_by(PIECE_ROWS);
            starts.map(move |start| batch.slice(start, PIECE_ROWS.min(batch.len() - start))).collect::<Vec<_>>()
        });
        self.first = Some(pieces.collect());
    }

    /// Takes note of a live event; events come in order.
    pub(crate) fn push(&mut self, event: Event) {
        if let (Event::Close(time), Some(Event::Close(last))) = (&event, self.backlog.back_mut()) {
            *last = *time;
            return;
        }
        self.backlog.push_back(event);
    }

    /// Lets the next events enter, none later than `hold`: at most [`PIECE_ROWS`] rows, or one batch.
    pub(crate) fn pump(&mut self, hold: Option<Time>) -> Pumped {
        let Some(first) = &mut self.first else { return Pumped::Rest };
        let mut entered = 0;
        if let Some(opening) = self.opening {
            while let Some(piece) = first.pop_front() {
                entered += piece.len();
                send(&mut self.handle, &self.schema, piece);
                if entered >= PIECE_ROWS {
                    return Pumped::More;
                }
            }
            self.opening = None;
            self.handle.advance_to(opening + 1);
        }
        while entered < PIECE_ROWS {
            let enters = |event: &mut Event| hold.is_none_or(|hold| event.time() <= hold);
            match self.backlog.pop_front_if(enters) {
                Some(Event::Rows(_, batch)) => {
                    entered += batch.len();
                    send(&mut self.handle, &self.schema, batch);
                }
                Some(Event::Close(time)) => self.handle.advance_to(time + 1),
                None => {
                    self.close_through(hold);
                    return Pumped::Rest;
                }
            }
        }
        Pumped::More
    }

    /// A close that waits for a read also closes the time of the read, when no rows are before it.
    fn close_through(&mut self, hold: Option<Time>) {
        if let (Some(Event::Close(_)), Some(hold)) = (self.backlog.front(), hold)
            && *self.handle.time() <= hold
        {
            self.handle.advance_to(hold + 1);
        }
    }
}

fn send(handle: &mut InputHandle<Time, NoopBuilder<UpdateBatch>>, schema: &SchemaRef, batch: UpdateBatch) {
    if !batch.is_empty() {
        handle.send_batch(&mut batch.with_schema(schema));
    }
}

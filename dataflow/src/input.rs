//! The input of a dataflow: the contents of a collection at installation, followed by its changes.
//!
//! ```text
//! contents in pieces --> first
//!                            \--> pump --> timely input
//! live events ---------> backlog /
//! ```
//!
//! Events enter in order of time. Nothing of a later time enters before the contents have entered, nor past a hold: a
//! hold is a read that must see the dataflow before later times are applied.

use std::collections::VecDeque;

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::{InputHandle, Scope};

use crate::update::UpdateStream;
use crate::{CollectionId, Time, UpdateBatch};

/// About how many rows enter before a worker looks at its commands again, so that a large load does not delay them.
pub(crate) const PIECE_ROWS: usize = 1 << 16;

/// One event in the life of a collection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Changes at this time.
    Rows(Time, UpdateBatch),
    /// There are no more changes through this time.
    Close(Time),
}

impl Event {
    fn time(&self) -> Time {
        match self {
            Event::Rows(time, _) | Event::Close(time) => *time,
        }
    }
}

/// Why a call to [`CollectionInput::pump`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// All events that may enter have entered; the rest, if any, waits for a read.
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
        };
        (input, stream)
    }

    /// Returns the collection that is read, or `None` if the rows never change.
    pub(crate) fn collection(&self) -> Option<CollectionId> {
        self.collection
    }

    /// Supplies the contents. Panics if called twice.
    pub(crate) fn open(&mut self, contents: impl IntoIterator<Item = UpdateBatch>) {
        assert!(self.first.is_none(), "contents are given once");
        let pieces = contents.into_iter().flat_map(|batch| {
            let starts = (0..batch.len()).step_by(PIECE_ROWS);
            starts.map(move |start| batch.slice(start, PIECE_ROWS.min(batch.len() - start))).collect::<Vec<_>>()
        });
        self.first = Some(pieces.collect());
    }

    /// Queues a live event; events must be pushed in order of time.
    pub(crate) fn push(&mut self, event: Event) {
        if let (Event::Close(time), Some(Event::Close(last))) = (&event, self.backlog.back_mut()) {
            *last = *time;
            return;
        }
        self.backlog.push_back(event);
    }

    /// Sends the next events up to time `hold` into the dataflow: about [`PIECE_ROWS`] rows, exceeded by at most one
    /// batch.
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

    /// If the next event lies past the hold, closes the times through the hold: events come in order, so these times have
    /// no more rows, and the read that holds the input waits for exactly them. The next event may be rows: a view that
    /// completes several times at once reports only the last of them as closed.
    fn close_through(&mut self, hold: Option<Time>) {
        if let Some(hold) = hold
            && !self.backlog.is_empty()
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

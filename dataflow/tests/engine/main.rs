//! Tests of a whole engine through its handle, with plans built by hand.

mod held;
mod lifecycle;
mod support;
mod views;

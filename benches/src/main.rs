//! Benches: what the engine's parts cost, next to the same work written by hand on differential's typed layout.
#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]

mod flow;
mod rows;
mod typed;

fn main() {}

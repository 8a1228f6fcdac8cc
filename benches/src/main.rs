//! Measures the cost of the engine's parts, next to the same work written by hand on differential's typed layout.
//!
//! `cargo run --release -p laminardb-benches -- [arrangement] [join] [reduce] [latency] [throughput] [--rounds N]`
#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time, and its yardstick is differential's own arrangement")]

mod driver;
mod flow;
mod layout;
mod plans;
mod rows;
mod typed;
mod workload;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ALL: [(&str, fn(usize)); 5] = [
    ("arrangement", layout::arrangement),
    ("join", layout::join),
    ("reduce", layout::reduce),
    ("latency", workload::latency),
    ("throughput", workload::throughput),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        Some(at) => arguments.get(at + 1).and_then(|n| n.parse().ok()),
        None => Some(3),
    };
    let Some(rounds) = rounds else {
        println!("usage: laminardb-benches [arrangement] [join] [reduce] [latency] [throughput] [--rounds N]");
        return ExitCode::from(2);
    };
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let every = !ALL.iter().any(|(name, _)| named(name));
    for (name, bench) in ALL {
        if every || named(name) {
            println!("\n# {name}");
            bench(rounds);
        }
    }
    ExitCode::SUCCESS
}

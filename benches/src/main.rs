//! Measures the cost of the engine's parts, next to the same work written by hand on differential's typed layout.
//!
//! `cargo run --release -p laminardb-benches -- [arrangement] [join] [reduce] [latency] [throughput] [--rounds N]`
#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]

mod driver;
mod flow;
mod layout;
mod plans;
mod rows;
mod typed;
mod workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ALL: [(&str, fn(usize)); 5] = [
    ("arrangement", layout::arrangement),
    ("join", layout::join),
    ("reduce", layout::reduce),
    ("latency", workload::latency),
    ("throughput", workload::throughput),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        Some(at) => arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or_else(|| usage()),
        None => 3,
    };
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let every = !ALL.iter().any(|(name, _)| named(name));
    for (name, bench) in ALL {
        if every || named(name) {
            println!("\n# {name}");
            bench(rounds);
        }
    }
}

fn usage() -> ! {
    println!("usage: laminardb-benches [arrangement] [join] [reduce] [latency] [throughput] [--rounds N]");
    std::process::exit(2);
}

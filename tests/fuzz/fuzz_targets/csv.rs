//! Gives random CSV text to `laminardb_tests::fuzz::csv`.

#![no_main]

use laminardb_tests::fuzz::{csv, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(csv::target, input));

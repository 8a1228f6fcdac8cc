//! Gives random texts of dates, times and intervals to `laminardb_tests::fuzz::iso`.

#![no_main]

use laminardb_tests::fuzz::{iso, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(iso::target, input));

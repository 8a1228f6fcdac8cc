//! Gives random SQL text to `laminardb_tests::fuzz::sql`.

#![no_main]

use laminardb_tests::fuzz::{run, sql};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(sql::target, input));

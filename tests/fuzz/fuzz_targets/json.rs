//! Gives random JSON text to `laminardb_tests::fuzz::json`.

#![no_main]

use laminardb_tests::fuzz::{json, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(json::target, input));

//! Gives random Arrow data through the C interfaces to `laminardb_tests::fuzz::arrow`.

#![no_main]

use laminardb_tests::fuzz::{arrow, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(arrow::target, input));

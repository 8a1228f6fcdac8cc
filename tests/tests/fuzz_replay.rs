//! The inputs that fuzzing has found and that are kept, run once more: those that reach different code, and each that
//! once failed, whose name begins with `past_`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use laminardb_tests::fuzz::{TARGETS, run};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Returns the names in a folder, without endings.
fn names(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(fuzz().join(folder)).expect("the folder is there");
    let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut names: Vec<String> = files.map(|file| stem(file.expect("a readable folder").path())).collect();
    names.sort();
    names
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(other, _)| *other == name).expect("a target of this name");
    let folder = fuzz().join("corpus").join(name);
    let mut inputs: Vec<PathBuf> = Vec::new();
    for file in std::fs::read_dir(&folder).expect("the corpus is there") {
        inputs.push(file.expect("a readable folder").path());
    }
    inputs.sort();
    assert!(inputs.len() >= 20, "{} inputs are no corpus", inputs.len());
    for path in inputs {
        let input = std::fs::read(&path).expect("a readable file");
        let done = catch_unwind(AssertUnwindSafe(|| run(*target, &input)));
        assert!(done.is_ok(), "{} fails, for the reason above", path.display());
    }
}

#[test]
fn arrow_inputs_hold() {
    replay("arrow");
}

#[test]
fn sql_inputs_hold() {
    replay("sql");
}

#[test]
fn json_inputs_hold() {
    replay("json");
}

#[test]
fn csv_inputs_hold() {
    replay("csv");
}

#[test]
fn iso_inputs_hold() {
    replay("iso");
}

#[test]
fn every_target_is_a_binary_and_has_a_corpus() {
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

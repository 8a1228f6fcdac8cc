//! The import law: which of our crates may know which, and where each foreign vocabulary has its one home.

use std::collections::BTreeMap;
use std::process::Command;

use laminardb_tests::sources::sources;
use regex::Regex;
use serde_json::Value;

/// Dependencies of each crate of ours, by name, as `cargo metadata` tells them; dev-dependencies left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("a list of dependencies");
            let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

fn who_uses(crates: &BTreeMap<String, Vec<String>>, prefix: &str) -> Vec<String> {
    let uses = |names: &Vec<String>| names.iter().any(|name| name.starts_with(prefix));
    crates.iter().filter(|(_, names)| uses(names)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn our_crates_depend_in_one_direction() {
    let crates = dependencies();
    let ours = |name: &str| -> Vec<&str> {
        let all = crates.get(name).unwrap_or_else(|| panic!("no crate {name}"));
        let mut ours: Vec<&str> = all.iter().filter_map(|other| other.strip_prefix("laminardb-")).collect();
        ours.sort_unstable();
        ours
    };
    assert_eq!(ours("laminardb-dataflow"), [""; 0]);
    assert_eq!(ours("laminardb-planner"), ["dataflow"]);
    assert_eq!(ours("laminardb-bridge"), ["dataflow", "planner"]);
    assert_eq!(ours("laminardb-python"), ["bridge"]);
    for leaf in ["laminardb-python", "laminardb-tests", "laminardb-benches"] {
        assert_eq!(who_uses(&crates, leaf), [""; 0], "{leaf} is a leaf");
    }
}

#[test]
fn each_foreign_vocabulary_has_one_home() {
    let crates = dependencies();
    // benches/ holds the hand-written differential layout that ours is measured against.
    let expected = [
        ("timely", vec!["laminardb-benches", "laminardb-dataflow"]),
        ("differential", vec!["laminardb-benches", "laminardb-dataflow"]),
        ("sqlparser", vec!["laminardb-planner"]),
        ("datafusion", vec!["laminardb-bridge", "laminardb-planner"]),
        ("pyo3", vec!["laminardb-python"]),
        ("serde_json", vec!["laminardb-bridge"]),
        // Timely asks of a type of time that it implements two traits.
        ("serde_core", vec!["laminardb-bridge", "laminardb-dataflow"]),
    ];
    for (vocabulary, homes) in expected {
        assert_eq!(who_uses(&crates, vocabulary), homes, "who uses {vocabulary}");
    }
}

/// In the bridge, DataFusion is the executor of ad-hoc queries and nothing else.
#[test]
fn the_bridge_knows_datafusion_in_its_query_executor_alone() {
    let users = sources("bridge").into_iter().filter(|(_, text)| text.contains("datafusion::"));
    let users: Vec<String> = users.map(|(file, _)| file).collect();
    assert!(!users.is_empty(), "the executor is gone: this test guards nothing");
    assert!(
        users.iter().all(|file| file == "bridge/src/query.rs" || file.starts_with("bridge/src/query/")),
        "{users:?}"
    );
}

/// Whoever else asks about an operator asks `Operator`, so that a new kind is added in few places.
#[test]
fn kinds_of_operators_are_told_apart_in_four_places() {
    let arm = Regex::new(r"\bOperator::(Union|Join|SemiJoin|Set|TopK)\([^)]*\)\s+(=>|\|)").expect("a pattern");
    let files = ["dataflow", "planner", "bridge", "python"].into_iter().flat_map(sources);
    let files = files.filter(|(file, _)| !file.contains("/tests/") && !file.ends_with("/tests.rs"));
    let asking: Vec<String> = files.filter(|(_, text)| arm.is_match(text)).map(|(file, _)| file).collect();
    let places = [
        "dataflow/src/check.rs",
        "dataflow/src/plan/operator.rs",
        "dataflow/src/render/mod.rs",
        "planner/src/property.rs",
    ];
    assert_eq!(asking, places);
}

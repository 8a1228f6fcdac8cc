//! Every rewrite rule is left out once: queries and views must have the same rows without it.

use std::collections::BTreeMap;

use laminardb_bridge::Params;
use laminardb_planner::rewrite::{rule_names, without_rule};
use laminardb_tests::Bag;
use laminardb_tests::random::seeds;

use crate::Case;
use crate::queries::{Query, query};

/// Of each rule, how many answers were compared, and how many queries are refused without it.
type Counts = BTreeMap<String, (usize, usize)>;

const QUERIES: usize = 3;

impl Case {
    /// The rows of a query that runs once.
    fn bag(&self, sql: &str) -> Result<Bag, String> {
        self.database.query(sql).map(Bag::of).map_err(|error| error.message())
    }

    /// Compares a query that runs once, planned with all rules and without one.
    fn compare_once(&self, query: &Query, rule: &str, counts: &mut Counts) {
        let all = self.bag(&query.flat);
        let fewer = without_rule(rule, || self.bag(&query.flat));
        assert!(all.is_ok(), "{all:?}\n{}\n{}", query.flat, self.log.join(";\n"));
        let counted = counts.entry(rule.to_owned()).or_default();
        if fewer.is_err() {
            counted.1 += 1;
            return;
        }
        counted.0 += 1;
        assert_eq!(fewer, all, "without {rule}: {}\n{}", query.flat, self.log.join(";\n"));
    }

    /// A view of the query planned without a rule; `None` if it cannot be maintained so.
    fn view_without(&mut self, query: &Query, rule: &str) -> Option<String> {
        self.made += 1;
        let name = format!("r{}", self.made);
        let sql = format!("CREATE MATERIALIZED VIEW {name} AS {}", query.flat);
        without_rule(rule, || self.database.session.execute(&sql, &Params::none())).ok()?;
        self.log.push(format!("-- without {rule}\n{sql}"));
        Some(name)
    }
}

/// One case: queries without each rule, then views without each rule, before and after more rows.
fn run(seed: u64, counts: &mut Counts) {
    let mut case = Case::new(seed);
    (0..6).for_each(|_| case.write());
    let relations = case.relations();
    for _ in 0..QUERIES {
        let query = query(&mut case.random, &relations);
        let mut views = Vec::new();
        for rule in rule_names() {
            case.compare_once(&query, &rule, counts);
            views.extend(case.view_without(&query, &rule).map(|name| (name, rule)));
        }
        for _ in 0..2 {
            let expected = case.bag(&query.flat);
            for (name, rule) in &views {
                let read = case.bag(&format!("SELECT * FROM {name}"));
                assert_eq!(read, expected, "without {rule}: {}\n{}", query.flat, case.log.join(";\n"));
            }
            (0..3).for_each(|_| case.write());
        }
        for (name, _) in views {
            case.run(format!("DROP MATERIALIZED VIEW {name}"));
        }
    }
}

#[test]
fn no_rule_changes_an_answer() {
    let mut counts = Counts::new();
    for seed in seeds(3) {
        run(seed, &mut counts);
    }
    for (rule, (compared, refused)) in counts {
        // A rule that most queries need would be tested by few.
        assert!(compared > refused, "{rule}: {compared} compared, {refused} refused without it");
    }
}

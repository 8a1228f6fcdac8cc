//! No circles: no file of a crate needs a file that needs it, directly or through others, and neither does a folder.
//!
//! A file needs the file that defines an item which it imports or names by a path; re-exports are followed. `mod x;`
//! and `pub use` of a name that the file itself does not use are no need, and unit tests may need anything. Methods are
//! not seen: a type whose methods are spread over files can hide a circle.
//!
//! Sources are read line by line as rustfmt writes them. Globs and macros are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use laminardb_tests::sources::sources;
use regex::Regex;

/// The path of a module in its crate, or of an item seen from a module.
type Names = Vec<String>;

/// The items by which one file needs another, by the paths of the two files.
type Edges = BTreeMap<(String, String), BTreeSet<String>>;

/// A file of source code, as far as circles need it.
struct Source {
    path: String,
    /// The names of the items that it defines.
    items: BTreeSet<String>,
    /// The path of each name that it imports.
    uses: BTreeMap<String, Names>,
    /// What its code names: the imports, and the paths written out.
    named: BTreeSet<Names>,
}

impl Source {
    fn read(path: &str, text: &str) -> Source {
        // Unit tests come last.
        let tests = TESTS.find(text).map_or(text.len(), |found| found.start());
        let code: Vec<&str> = text[..tests].lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let items = ITEM.captures_iter(&code).map(|found| found[1].to_owned()).collect();
        let body = IMPORT.replace_all(&code, "");
        let words: BTreeSet<&str> = body.split(|letter: char| !is_of_word(letter)).collect();
        let (mut uses, mut named) = (BTreeMap::new(), BTreeSet::new());
        for found in IMPORT.captures_iter(&code) {
            for (name, names) in imported(&found[2].split_whitespace().collect::<Vec<_>>().join(" ")) {
                if found.get(1).is_none() || words.contains(name.as_str()) {
                    named.insert(names.clone());
                }
                uses.insert(name, names);
            }
        }
        for found in PATH.captures_iter(&body) {
            named.insert(found[1].split("::").map(str::to_owned).collect());
        }
        Source { path: path.to_owned(), items, uses, named }
    }
}

/// The beginning of unit tests.
static TESTS: LazyLock<Regex> = LazyLock::new(|| regex(r"\n#\[cfg\(test\)\]\nmod [a-z0-9_]+ \{"));

/// The definition of an item: what stands at the beginning of a line.
static ITEM: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?m)^(?:pub(?:\([^)]*\))? )?(?:const |unsafe )*(?:struct|enum|trait|type|fn|const|static) ([0-9A-Za-z_]+)")
});

/// An import: whether it is public, and its tree.
static IMPORT: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^ *(pub(?:\([^)]*\))? )?use ([^;]+);"));

/// A path written out in code.
static PATH: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:^|[^0-9A-Za-z_:.])((?:[0-9A-Za-z_]+::)+[0-9A-Za-z_]+)"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is well formed")
}

fn is_of_word(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric()
}

/// Returns the names that a tree of imports such as `a::{b, c::D as E}` brings in, each with its path.
fn imported(tree: &str) -> Vec<(String, Names)> {
    let Some((head, rest)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let mut names: Names = path.split("::").map(str::to_owned).collect();
        names.pop_if(|last| last == "self");
        let name = name.map_or_else(|| names.last().expect("an import has a path").clone(), str::to_owned);
        return vec![(name, names)];
    };
    let inner = rest.trim_end().strip_suffix('}').expect("rustfmt closes what it opens");
    let mut depth = 0;
    let parts = inner.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| imported(&format!("{head}{part}"))).collect()
}

/// The files of a crate by the paths of their modules.
struct Crate(BTreeMap<Names, Source>);

impl Crate {
    /// Reads the sources of a crate of the workspace.
    fn load(name: &str) -> Crate {
        let root = format!("{name}/src/");
        let is_test =
            |path: &str| path.split('/').any(|part| matches!(part.trim_end_matches(".rs"), "tests" | "testing"));
        let files = sources(name);
        let files = files.iter().map(|(path, text)| (path.strip_prefix(&root).expect("below src"), text.as_str()));
        Crate::of(files.filter(|(path, _)| !is_test(path)))
    }

    fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Crate {
        let module = |path: &str| -> Names {
            let parts = path.trim_end_matches(".rs").split('/');
            parts.filter(|part| !matches!(*part, "mod" | "lib")).map(str::to_owned).collect()
        };
        Crate(files.into_iter().map(|(path, text)| (module(path), Source::read(path, text))).collect())
    }

    /// Returns the file and the name of the item that `names` stands for in `module`, or `None` if it is not of this
    /// crate. Only the first name of a path may be a keyword or imported from elsewhere.
    fn resolve(&self, module: &[String], names: &[String], is_first: bool) -> Option<(&Source, String)> {
        let (head, rest) = names.split_first()?;
        match head.as_str() {
            "crate" if is_first => return self.resolve(&[], rest, false),
            "self" if is_first => return self.resolve(module, rest, false),
            "super" => {
                let again = rest.first().is_some_and(|next| next == "super");
                return self.resolve(module.split_last()?.1, rest, again);
            }
            _ => {}
        }
        let source = self.0.get(module)?;
        if source.items.contains(head) {
            return Some((source, head.clone()));
        }
        let child = [module, std::slice::from_ref(head)].concat();
        if self.0.contains_key(&child) {
            return self.resolve(&child, rest, false);
        }
        let import = source.uses.get(head).filter(|names| names[0] != *head)?;
        self.resolve(module, &[import, rest].concat(), true)
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (module, source) in &self.0 {
            for (needed, item) in source.named.iter().filter_map(|names| self.resolve(module, names, true)) {
                if needed.path != source.path {
                    edges.entry((source.path.clone(), needed.path.clone())).or_default().insert(item);
                }
            }
        }
        edges
    }
}

/// Returns the edges between the files and folders at the top of a crate. What `lib.rs` defines, all may use.
fn between_folders(edges: &Edges) -> Edges {
    let top = |path: &str| path.split('/').next().expect("a path has a part").trim_end_matches(".rs").to_owned();
    let mut folders = Edges::new();
    for ((from, to), items) in edges {
        if top(from) != top(to) && top(to) != "lib" {
            folders.entry((top(from), top(to))).or_default().extend(items.iter().cloned());
        }
    }
    folders
}

/// Describes the edges that lie on a circle, one a line.
fn circles(edges: &Edges) -> String {
    let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    edges.keys().for_each(|(from, to)| needs.entry(from).or_default().push(to));
    let line = |((from, to), items): (&(String, String), &BTreeSet<String>)| {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        leads(&needs, to, from).then(|| format!("{from} -> {to}: {}\n", items.join(", ")))
    };
    edges.iter().filter_map(line).collect()
}

/// Whether `from` needs `to`, directly or through others.
fn leads<'a>(needs: &BTreeMap<&'a str, Vec<&'a str>>, from: &'a str, to: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(needs.get(file).into_iter().flatten().filter(|next| seen.insert(**next)));
    }
    seen.contains(to)
}

fn assert_no_circles(name: &str) {
    let edges = Crate::load(name).edges();
    assert!(edges.len() > 100, "only {} edges in {name}: this test guards nothing", edges.len());
    let (files, folders) = (circles(&edges), circles(&between_folders(&edges)));
    assert!(files.is_empty(), "files of {name} need each other:\n{files}");
    assert!(folders.is_empty(), "folders of {name} need each other:\n{folders}");
}

#[test]
fn dataflow_has_no_circles() {
    assert_no_circles("dataflow");
}

#[test]
fn a_circle_is_found_through_imports_paths_and_re_exports() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use a::{A, deep::Deep as Depth};\n"),
        ("a/mod.rs", "pub mod deep;\n\npub use deep::Deep;\n\npub struct A;\n"),
        ("a/deep.rs", "use super::super::{b::{self, B}};\n\npub struct Deep(B);\nfn f() -> b::Other { b::Other }\n"),
        ("b.rs", "// crate::c::C\npub struct B;\npub struct Other;\n\nfn f(_: crate::Depth) {}\n"),
        ("c.rs", "use crate::a::A;\n\npub fn c(_: A) {}\n\n#[cfg(test)]\nmod tests {\n    use crate::d::D;\n}\n"),
        ("d.rs", "use crate::c::c;\n\npub struct D;\n"),
    ];
    let edges = Crate::of(files).edges();
    assert_eq!(circles(&edges), "a/deep.rs -> b.rs: B, Other\nb.rs -> a/deep.rs: Deep\n");
    assert_eq!(circles(&between_folders(&edges)), "a -> b: B, Other\nb -> a: Deep\n");
    let all: Vec<String> = edges.keys().map(|(from, to)| format!("{from} -> {to}")).collect();
    assert_eq!(all, ["a/deep.rs -> b.rs", "b.rs -> a/deep.rs", "c.rs -> a/mod.rs", "d.rs -> c.rs"]);
}

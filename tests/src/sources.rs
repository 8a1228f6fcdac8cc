//! Reads the sources of the workspace, for tests of what may be in them.

use std::path::Path;

/// Returns the path and the text of each source file of a crate, unit tests included, by ascending path. Paths begin with
/// the crate's folder.
pub fn sources(name: &str) -> Vec<(String, String)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut files, mut folders) = (Vec::new(), vec![workspace.join(name).join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the sources are there") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let below = path.strip_prefix(&workspace).expect("below the workspace").display().to_string();
            files.push((below, std::fs::read_to_string(&path).expect("a text file")));
        }
    }
    files.sort();
    files
}

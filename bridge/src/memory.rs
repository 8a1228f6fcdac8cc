//! The default of the memory limit: three quarters of what the machine, or the cgroup of the process, has.
//!
//! The rest is for what is not counted: Python's own objects, the pages that the allocator keeps for the next
//! allocation, and what one piece of work allocates before anybody looks. Where `/proc` does not exist there is no
//! default, and so no limit.

use std::fs;
use std::path::{Path, PathBuf};

pub use laminardb_dataflow::memory::{Counting, MemoryLimit, memory_is_given_back, used, wait_for_freed};

/// Returns the limit of a database that is given none; `None` if nothing is known of the machine.
pub fn default_limit() -> Option<MemoryLimit> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes_of(&text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let files = limit_files(Path::new("/sys/fs/cgroup"), &groups);
    let of_groups = files.iter().filter_map(|file| fs::read_to_string(file).ok()).filter_map(|text| bytes_of(&text));
    let of_memory = of_groups.chain(machine).min().map(|bytes| bytes / 4 * 3);
    let space = fs::read_to_string("/proc/self/limits").ok().and_then(|text| address_space_of(&text));
    let taken =
        fs::read_to_string("/proc/self/status").ok().and_then(|text| kilobytes_of(&text, "VmSize:")).unwrap_or(0);
    // What is not counted takes more of the address space than of the memory: stacks and the allocator's reserve.
    let of_space = space.map(|bytes| bytes.saturating_sub(taken.saturating_sub(used())) / 2);
    of_memory.into_iter().chain(of_space).min().map(MemoryLimit::new)
}

/// Returns the bytes that a line says in kilobytes, in a text as that of `/proc/meminfo`.
fn kilobytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the files that may limit the memory of a process: those of its cgroups and of all groups above them, of the
/// first and the second version. `groups` is the text of `/proc/self/cgroup`.
fn limit_files(root: &Path, groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            v1 if v1.split(',').any(|controller| controller == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be that of the host, where only the top of the mounted tree exists.
        let mut group = top.join(path.trim_start_matches('/'));
        while group.starts_with(&top) {
            files.push(group.join(file));
            if !group.pop() {
                break;
            }
        }
    }
    files
}

/// Returns the bytes in a file of a cgroup; `None` if it says that there is no limit.
fn bytes_of(text: &str) -> Option<u64> {
    // The first version says "no limit" as the largest multiple of a page.
    const NONE: u64 = 1 << 62;
    text.trim().parse().ok().filter(|bytes| *bytes < NONE)
}

/// Returns the soft limit of the address space, from the text of `/proc/self/limits`.
fn address_space_of(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(kilobytes_of("MemFree: 5 kB\nMemTotal:       24689420 kB\n", "MemTotal:"), Some(24_689_420 * 1024));
        assert_eq!(kilobytes_of("MemTotal: much", "MemTotal:"), None);
        assert_eq!(kilobytes_of("", "MemTotal:"), None);
    }

    #[test]
    fn every_group_above_that_of_the_process_may_limit_it() {
        let root = Path::new("/sys/fs/cgroup");
        let files = |groups: &str| {
            let files = limit_files(root, groups);
            files.iter().map(|file| file.strip_prefix(root).expect("below").display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(files("0::/a/b\n"), ["a/b/memory.max", "a/memory.max", "memory.max"]);
        assert_eq!(files("0::/\n"), ["memory.max"]);
        let first = "9:name=systemd:/\n4:memory,hugetlb:/docker/x:y\n3:cpuset:/\n";
        assert_eq!(
            files(first),
            [
                "memory/docker/x:y/memory.limit_in_bytes",
                "memory/docker/memory.limit_in_bytes",
                "memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(files("nonsense"), [""; 0]);
    }

    #[test]
    fn a_group_without_a_limit_has_none() {
        assert_eq!(bytes_of("max\n"), None);
        assert_eq!(bytes_of("9223372036854771712\n"), None);
        assert_eq!(bytes_of("1073741824\n"), Some(1 << 30));
    }

    #[test]
    fn the_limit_of_the_address_space_is_read() {
        let text = |soft: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax address space   {soft}  unlimited  bytes\n")
        };
        assert_eq!(address_space_of(&text("8192000000")), Some(8_192_000_000));
        assert_eq!(address_space_of(&text("unlimited")), None);
        assert_eq!(address_space_of(""), None);
    }
}

//! Functions that a process compiled for itself, from the list it writes for profilers (`perf-PID.map`: lines of
//! `start size name`; tools/perf/Documentation/jit-interface.txt in the kernel's source).

use std::fs;
use std::path::{Path, PathBuf};

/// The functions of one process.
#[derive(Debug, Default)]
pub(super) struct JitMap {
    /// Start, end, and where in `names` the name begins; by rising start.
    functions: Vec<(u64, u64, u32)>,
    /// Every name is ended by a line break.
    names: Vec<u8>,
    /// Size of the list when it was read.
    size: u64,
}

/// A list beyond this is not read: it has to fit into memory.
const MAX_SIZE: u64 = 256 << 20;

impl JitMap {
    /// Reads the list again if it has grown.
    pub(super) fn refresh(&mut self, pid: u32) {
        let inside = pid_inside(pid).unwrap_or(pid);
        let paths = [
            PathBuf::from(format!("/proc/{pid}/root/tmp/perf-{inside}.map")),
            PathBuf::from(format!("/tmp/perf-{pid}.map")),
        ];
        for path in &paths {
            if let Ok(found) = fs::metadata(path) {
                if found.len() != self.size && found.len() <= MAX_SIZE {
                    self.read(path, found.len());
                }
                return;
            }
        }
    }

    fn read(&mut self, path: &Path, size: u64) {
        *self = JitMap {
            size,
            ..JitMap::parse(&fs::read(path).unwrap_or_default())
        };
    }

    fn parse(list: &[u8]) -> JitMap {
        let mut map = JitMap::default();
        for line in list.split(|b| *b == b'\n') {
            let mut words = line.splitn(3, |b| *b == b' ');
            let mut hex = || {
                let digits = std::str::from_utf8(words.next()?).ok()?;
                u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok()
            };
            let (start, size) = (hex(), hex());
            if let (Some(start), Some(size), Some(name), Ok(at)) =
                (start, size, words.next(), u32::try_from(map.names.len()))
            {
                map.functions.push((start, start.saturating_add(size), at));
                map.names.extend_from_slice(name);
                map.names.push(b'\n');
            }
        }
        // Stable, and the last one of a start counts: code is compiled anew.
        map.functions.sort_by_key(|f| f.0);
        map
    }

    /// The function at an address, and how far behind its start.
    pub(super) fn find(&self, address: u64) -> Option<(String, u64)> {
        let after = self.functions.partition_point(|f| f.0 <= address);
        let (start, end, at) = self.functions.get(after.checked_sub(1)?)?;
        if address >= *end {
            return None;
        }
        let name = self
            .names
            .get(*at as usize..)?
            .split(|b| *b == b'\n')
            .next()?;
        Some((String::from_utf8_lossy(name).into_owned(), address - start))
    }
}

/// The number that a process knows itself by, in the innermost of its namespaces.
fn pid_inside(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("NStgid:"))?;
    line.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_ends() {
        let map =
            JitMap::parse(b"2000 10 LFoo;::bar (a b)\n1000 20 first\nrubbish\n2000 8 newer\n");
        assert_eq!(map.find(0x1005), Some(("first".into(), 5)));
        assert_eq!(map.find(0x1020), None);
        assert_eq!(map.find(0x2007), Some(("newer".into(), 7)));
        assert_eq!(map.find(0xfff), None);
    }

    #[test]
    fn a_list_is_read_again_when_it_grows() {
        let pid = std::process::id();
        let path = format!("/tmp/perf-{pid}.map");
        let mut map = JitMap::default();
        fs::write(&path, "1000 10 one\n").unwrap();
        map.refresh(pid);
        assert_eq!(map.find(0x1000), Some(("one".into(), 0)));
        fs::write(&path, "1000 10 one\n3000 10 two\n").unwrap();
        map.refresh(pid);
        fs::remove_file(&path).unwrap();
        assert_eq!(map.find(0x3001), Some(("two".into(), 1)));
    }
}

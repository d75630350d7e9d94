//! What lies where in the memory of a process.

use std::rc::Rc;

/// A part of a process's memory that may hold code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    pub pid: u32,
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Where in the file the first byte comes from.
    pub file_offset: u64,
    /// As the kernel names it: a path in the process's own view of the file system (` (deleted)` behind it where it is gone),
    /// a name in brackets, or nothing.
    pub path: Rc<str>,
    /// 0 where it is not known.
    pub inode: u64,
}

/// The mappings of one process, by rising address.
#[derive(Clone, Debug, Default)]
pub struct ProcessMaps {
    mappings: Vec<MappedFile>,
}

impl ProcessMaps {
    /// Reads proc_pid_maps(5), of which it keeps what is executable.
    pub fn parse(pid: u32, text: &str) -> ProcessMaps {
        let mut mappings: Vec<MappedFile> = Vec::new();
        for mut mapping in text.lines().filter_map(|line| parse_line(pid, line)) {
            // Most paths come many times.
            if let Some(last) = mappings.iter().rev().find(|m| m.path == mapping.path) {
                mapping.path = Rc::clone(&last.path);
            }
            mappings.push(mapping);
        }
        mappings.sort_by_key(|m| m.start);
        ProcessMaps { mappings }
    }

    /// Adds a mapping, in place of what it covers.
    pub fn add(&mut self, mapping: MappedFile) {
        let from = self.mappings.partition_point(|m| m.end <= mapping.start);
        let to = self.mappings.partition_point(|m| m.start < mapping.end);
        let mut parts = Vec::with_capacity(3);
        for old in self.mappings.get(from..to.max(from)).unwrap_or_default() {
            if old.start < mapping.start {
                parts.push(MappedFile {
                    end: mapping.start,
                    ..old.clone()
                });
            }
            if old.end > mapping.end {
                parts.push(MappedFile {
                    start: mapping.end,
                    file_offset: old.file_offset.wrapping_add(mapping.end - old.start),
                    ..old.clone()
                });
            }
        }
        let at = parts.partition_point(|p| p.start < mapping.start);
        parts.insert(at, mapping);
        self.mappings.splice(from..to.max(from), parts);
    }

    /// The mapping that holds an address.
    pub fn find(&self, address: u64) -> Option<&MappedFile> {
        let after = self.mappings.partition_point(|m| m.start <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        (address < mapping.end).then_some(mapping)
    }

    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// All mappings, by rising address.
    pub fn iter(&self) -> impl Iterator<Item = &MappedFile> {
        self.mappings.iter()
    }
}

impl MappedFile {
    /// The offset in the file of an address that the mapping holds.
    pub fn offset_of(&self, address: u64) -> u64 {
        address
            .wrapping_sub(self.start)
            .wrapping_add(self.file_offset)
    }

    /// Whether there is a file behind it, which may be one of code.
    pub fn is_file(&self) -> bool {
        // The kernel's names of memory that has none (mm/shmem.c, drivers/char/mem.c, kernel/events/core.c).
        const MEMORY: [&str; 4] = ["//", "/memfd:", "/SYSV", "/dev/zero"];
        self.path.starts_with('/') && !MEMORY.iter().any(|m| self.path.starts_with(m))
    }
}

/// A line `start-end perms offset dev inode path`; `None` for memory that is not executable.
fn parse_line(pid: u32, line: &str) -> Option<MappedFile> {
    let mut rest = line;
    let mut word = || {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = behind;
        word
    };
    let (range, permissions, offset, _device, inode) = (word(), word(), word(), word(), word());
    if permissions.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let (start, end) = range.split_once('-')?;
    Some(MappedFile {
        pid,
        start: hex(start)?,
        end: hex(end)?,
        file_offset: hex(offset)?,
        path: Rc::from(rest.trim_start()),
        inode: inode.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0c0000000-55d0c0001000 r--p 00000000 08:01 12                         /usr/bin/a b\n\
55d0c0001000-55d0c0003000 r-xp 00001000 08:01 12                         /usr/bin/a b\n\
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n\
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]\n";

    fn shown(maps: &ProcessMaps) -> Vec<(u64, u64, u64, &str)> {
        maps.iter()
            .map(|m| (m.start, m.end, m.file_offset, &*m.path))
            .collect()
    }

    #[test]
    fn executable_parts_are_found_by_address() {
        let maps = ProcessMaps::parse(1, MAPS);
        let binary = maps.find(0x55d0_c000_1010).unwrap();
        assert_eq!((&*binary.path, binary.inode), ("/usr/bin/a b", 12));
        assert_eq!(binary.offset_of(0x55d0_c000_1010), 0x1010);
        assert!(binary.is_file());
        assert!(maps.find(0x55d0_c000_0010).is_none());
        assert!(maps.find(0x55d0_c000_3000).is_none());
        assert_eq!(&*maps.find(0x7f00_0000_0000).unwrap().path, "");
        assert!(!maps.find(0x7ffd_0000_1fff).unwrap().is_file());
    }

    #[test]
    fn a_new_mapping_takes_the_place_of_old_ones() {
        let mapping = |start, end, file_offset, path: &str| MappedFile {
            pid: 1,
            start,
            end,
            file_offset,
            path: Rc::from(path),
            inode: 0,
        };
        let mut maps = ProcessMaps::default();
        maps.add(mapping(0x1000, 0x9000, 0, "/a"));
        maps.add(mapping(0x3000, 0x4000, 0, "/b"));
        assert_eq!(
            shown(&maps),
            [
                (0x1000, 0x3000, 0, "/a"),
                (0x3000, 0x4000, 0, "/b"),
                (0x4000, 0x9000, 0x3000, "/a"),
            ]
        );
        maps.add(mapping(0x2000, 0x5000, 0, "/c"));
        assert_eq!(
            shown(&maps),
            [
                (0x1000, 0x2000, 0, "/a"),
                (0x2000, 0x5000, 0, "/c"),
                (0x5000, 0x9000, 0x4000, "/a"),
            ]
        );
        maps.add(mapping(0x0, 0x1000, 0, "/d"));
        maps.add(mapping(0x9000, 0xa000, 0, "/e"));
        assert_eq!(shown(&maps).len(), 5);
    }

    #[test]
    fn bad_lines_are_no_mappings() {
        assert!(ProcessMaps::parse(1, "nonsense\n1-2 r-xp\n\nz-y r-xp 0 0 0 /a\n").is_empty());
    }
}

//! The memory of processes: read while they live, recorded for when they do not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::files::{FileId, Files, VDSO};
use super::jit::JitMap;
use super::maps::{MappedFile, ProcessMaps};

/// Where an address of a process leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File {
        /// `None` where the file cannot be reached.
        file: Option<FileId>,
        offset: u64,
        path: Rc<str>,
    },
    /// A function that the process compiled itself.
    Jit {
        name: String,
        offset: u64,
    },
    Unknown,
}

/// What is known of the processes that stacks were printed of, or that events told of.
#[derive(Default)]
pub(super) struct Processes {
    table: HashMap<u32, Process>,
    /// The order in which they came into the table: the oldest leaves first.
    order: VecDeque<u32>,
    /// Paths are kept once.
    paths: HashSet<Rc<str>>,
}

#[derive(Default)]
struct Process {
    maps: Rc<ProcessMaps>,
    /// Device and inode of the binary when the maps were read: another one after `exec`.
    binary: Option<(u64, u64)>,
    /// Whether events keep the maps up to date.
    followed: bool,
    /// Whether it has ended, so that another process may have its number.
    ended: bool,
    files: HashMap<(u64, Rc<str>), Option<FileId>>,
    jit: Option<JitMap>,
    /// Whether the list of its own functions was looked at for the stack that is being printed.
    jit_checked: bool,
    /// When the maps were read, and how large the process was.
    read: Option<(Instant, u64)>,
    /// Whether that was for the stack that is being printed.
    just_read: bool,
}

/// An address that no mapping holds makes the maps be read again if the process's size has changed, or after this time.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Processes remembered.
const MAX_PROCESSES: usize = 1 << 14;

impl Processes {
    /// Takes note of a mapping.
    pub(super) fn map(&mut self, mut mapping: MappedFile) {
        if mapping.start >= mapping.end {
            return;
        }
        mapping.path = self.intern(&mapping.path);
        let pid = mapping.pid;
        if !self.is_known(pid) {
            // What it had mapped before the first event.
            self.read(pid);
        }
        Rc::make_mut(&mut self.entry(pid).maps).add(mapping);
    }

    /// The process runs another binary from now on.
    pub(super) fn exec(&mut self, pid: u32) {
        *self.entry(pid) = Process {
            followed: true,
            ..Process::default()
        };
    }

    /// A process has come to be, with the memory of its parent.
    pub(super) fn fork(&mut self, parent: u32, child: u32) {
        if !self.is_known(parent) {
            self.read(parent);
        }
        let parent = self.table.get(&parent).filter(|p| !p.maps.is_empty());
        let Some(maps) = parent.map(|p| Rc::clone(&p.maps)) else {
            return;
        };
        *self.entry(child) = Process {
            maps,
            followed: true,
            ..Process::default()
        };
    }

    /// The process has ended; its stacks may still be printed.
    pub(super) fn exit(&mut self, pid: u32) {
        if let Some(process) = self.table.get_mut(&pid) {
            process.ended = true;
        }
    }

    /// Reads what a process has mapped now, and opens the files.
    pub(super) fn preload(&mut self, pid: u32, files: &mut Files) {
        self.read(pid);
        let Some(process) = self.table.get_mut(&pid) else {
            return;
        };
        let maps = Rc::clone(&process.maps);
        for mapping in maps.iter().filter(|m| m.is_file()) {
            if let Some(file) = process.file(pid, mapping, files) {
                files.hold(file);
            }
        }
    }

    /// Before the first address of a stack.
    pub(super) fn prepare(&mut self, pid: u32) {
        let stale = match self.table.get_mut(&pid) {
            None => true,
            Some(process) => {
                process.just_read = false;
                process.jit_checked = false;
                let binary = binary(pid);
                !process.followed && !process.ended && binary.is_some() && binary != process.binary
            }
        };
        if stale {
            self.read(pid);
        }
    }

    /// Where an address leads.
    pub(super) fn find(&mut self, pid: u32, address: u64, files: &mut Files) -> Place {
        let known = self.table.get(&pid);
        if known.is_some_and(|p| p.maps.find(address).is_none() && p.may_have_changed(pid)) {
            self.read(pid);
        }
        let Some(process) = self.table.get_mut(&pid) else {
            return Place::Unknown;
        };
        let maps = Rc::clone(&process.maps);
        let Some(mapping) = maps.find(address) else {
            return Place::Unknown;
        };
        let path = Rc::clone(&mapping.path);
        if mapping.is_file() {
            return Place::File {
                file: process.file(pid, mapping, files),
                offset: mapping.offset_of(address),
                path,
            };
        }
        if &*path == "[vdso]" {
            return Place::File {
                file: Some(VDSO),
                offset: address.wrapping_sub(mapping.start),
                path,
            };
        }
        let known = |process: &Process| process.jit.as_ref().and_then(|j| j.find(address));
        if known(process).is_none() && !process.ended && !process.jit_checked {
            process.jit_checked = true;
            process.jit.get_or_insert_default().refresh(pid);
        }
        match known(process) {
            Some((name, offset)) => Place::Jit { name, offset },
            None => Place::Unknown,
        }
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        *self = Processes::default();
    }

    fn is_known(&self, pid: u32) -> bool {
        self.table.get(&pid).is_some_and(|p| !p.ended)
    }

    /// Reads the maps of a process that lives; of one that does not, what is known stays.
    fn read(&mut self, pid: u32) {
        let text = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        let maps = ProcessMaps::parse(pid, &String::from_utf8_lossy(&text));
        let process = self.entry(pid);
        process.just_read = true;
        process.read = Some((Instant::now(), size(pid)));
        if !maps.is_empty() {
            *process = Process {
                maps: Rc::new(maps),
                binary: binary(pid),
                followed: process.followed && !process.ended,
                jit: process.jit.take().filter(|_| !process.ended),
                read: process.read,
                just_read: true,
                ..Process::default()
            };
        }
    }

    fn entry(&mut self, pid: u32) -> &mut Process {
        if !self.table.contains_key(&pid) {
            if self.table.len() >= MAX_PROCESSES
                && let Some(oldest) = self.order.pop_front()
            {
                self.table.remove(&oldest);
            }
            self.order.push_back(pid);
        }
        self.table.entry(pid).or_default()
    }

    fn intern(&mut self, path: &Rc<str>) -> Rc<str> {
        if let Some(known) = self.paths.get(path) {
            return Rc::clone(known);
        }
        if self.paths.len() >= MAX_PROCESSES {
            self.paths.clear();
        }
        self.paths.insert(Rc::clone(path));
        Rc::clone(path)
    }
}

impl Process {
    /// Whether more may be mapped than is known.
    fn may_have_changed(&self, pid: u32) -> bool {
        let unchanged = |(when, old): &(Instant, u64)| {
            // Stacks of programs without frame pointers are full of addresses that lead nowhere.
            when.elapsed() < READ_AGAIN && *old == size(pid)
        };
        !self.ended && !self.just_read && !self.read.as_ref().is_some_and(unchanged)
    }

    /// The file of a mapping.
    fn file(&mut self, pid: u32, mapping: &MappedFile, files: &mut Files) -> Option<FileId> {
        let key = (mapping.inode, Rc::clone(&mapping.path));
        if let Some(known) = self.files.get(&key) {
            return *known;
        }
        let found = files.open(paths(pid, mapping, self.ended).into_iter());
        self.files.insert(key, found);
        found
    }
}

/// Where the file of a mapping may be found, each path with the inode it must have. The path in our own view of the file system
/// comes first, because it stays when the process has gone; but it has to be the same file.
fn paths(pid: u32, mapping: &MappedFile, ended: bool) -> Vec<(PathBuf, u64)> {
    let path = &*mapping.path;
    let mut paths = vec![(PathBuf::from(path), mapping.inode)];
    if !ended {
        let memory = format!("{:x}-{:x}", mapping.start, mapping.end);
        paths.push((PathBuf::from(format!("/proc/{pid}/root{path}")), 0));
        paths.push((PathBuf::from(format!("/proc/{pid}/map_files/{memory}")), 0));
        if path.ends_with(" (deleted)") {
            // A new file may have the same path, and the binary is to be had without privileges.
            paths.push((PathBuf::from(format!("/proc/{pid}/exe")), mapping.inode));
        }
    }
    paths
}

/// Device and inode of the binary that a process runs; `None` for one that has ended and for threads of the kernel.
fn binary(pid: u32) -> Option<(u64, u64)> {
    let found = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((found.dev(), found.ino()))
}

/// Pages that a process has mapped (proc_pid_statm(5)); 0 for one that has ended.
fn size(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm.split(' ').next().unwrap_or_default();
    pages.parse().unwrap_or(0)
}

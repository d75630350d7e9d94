//! The running machine, as the printing of values asks for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::rc::Rc;

use beetrace_object::{Clock, Event, Layout, MapRole, Object, StackLayout};

use crate::cgroups::Cgroups;
use crate::clock::WallClock;
use crate::resolve::Resolve;
use crate::symbols::{self, ProcessSource, Symbols};
use crate::users::Users;

/// Answers from `/proc`, `/sys/fs/cgroup`, `/etc/passwd` and the binaries of processes. Making one costs nothing: each source is
/// read when it is first asked for.
///
/// ```
/// use beetrace_object::Object;
/// use beetrace_session::resolve::Resolve;
/// use beetrace_session::system::System;
///
/// let object = Object::default();
/// let mut system = System::new(&object);
/// assert_eq!(system.kernel_symbol(0x10), "0x10");
/// ```
pub struct System<'o> {
    object: &'o Object,
    symbols: Symbols<'o>,
    processes: Option<Box<dyn ProcessSource>>,
    frames: Frames,
    clock: Option<WallClock>,
    users: Users,
    cgroups: Cgroups,
}

impl<'o> System<'o> {
    pub fn new(object: &'o Object) -> System<'o> {
        System {
            object,
            symbols: Symbols::new(&object.config, &object.programs),
            processes: None,
            frames: Frames::default(),
            clock: None,
            users: Users::default(),
            cgroups: Cgroups::default(),
        }
    }

    /// Whether the script prints addresses of processes. Where it does not, there is no need for [`System::preload`] and
    /// [`System::follow`].
    pub fn wants_processes(&self) -> bool {
        let records = self.object.records.iter().flat_map(|r| r.layouts());
        let maps = self.object.maps.iter().filter_map(|m| match &m.role {
            MapRole::User(user) => Some([&user.key, &user.value]),
            _ => None,
        });
        records.chain(maps.flatten()).any(holds_user_address)
    }

    /// Reads what a process has mapped, and opens its binaries: for the process that the run is about.
    pub fn preload(&mut self, pid: u32) {
        self.symbols.preload(pid);
    }

    /// Does the same for all processes that run a binary with a uprobe.
    pub fn preload_targets(&mut self) {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |path: &std::path::Path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.dev(), found.ino()))
        };
        let probes = self.object.programs.iter().flat_map(|p| &p.probes);
        let paths = probes.filter_map(|probe| match &probe.event {
            Event::Uprobe(u) => Some(&u.path),
            Event::Usdt(u) => Some(&u.path),
            _ => None,
        });
        let mut binaries: Vec<(u64, u64)> = paths.filter_map(|p| identity(p)).collect();
        binaries.sort_unstable();
        binaries.dedup();
        if binaries.is_empty() {
            return;
        }
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|n| n.parse().ok());
            let Some(pid) = pid else { continue };
            if identity(&entry.path().join("exe")).is_some_and(|b| binaries.contains(&b)) {
                self.symbols.preload(pid);
            }
        }
    }

    /// Takes note, from now on, of what happens to the memory of processes.
    pub fn follow(&mut self, processes: Box<dyn ProcessSource>) {
        self.processes = Some(processes);
    }
}

fn holds_user_address(layout: &Layout) -> bool {
    match layout {
        Layout::Usym => true,
        Layout::Stack(stack) => stack.user,
        Layout::Array { of, .. } => holds_user_address(of),
        Layout::Tuple(a) | Layout::Record(a) | Layout::Struct(a) => {
            a.members.iter().any(|m| holds_user_address(&m.layout))
        }
        _ => false,
    }
}

impl Resolve for System<'_> {
    fn kernel_symbol(&mut self, address: u64) -> String {
        match self.symbols.kernel(address) {
            Some((name, _)) => name.to_owned(),
            None => symbols::address(address),
        }
    }

    fn user_symbol(&mut self, address: u64, pid: u32, program: u32) -> String {
        self.catch_up();
        let name = self.symbols.user(address, pid, program);
        name.unwrap_or_else(|| symbols::address(address))
    }

    fn stack(&mut self, layout: &StackLayout, id: u64, pid: u32) -> String {
        if id == NO_STACK {
            return "\n".into();
        }
        let frames = self.frames.get(layout.frames, id);
        let frames = frames.as_deref().filter(|f| !f.is_empty());
        if !layout.user {
            return symbols::text(layout, frames, &mut |address| {
                self.symbols.kernel_frame(address)
            });
        }
        use beetrace_object::StackMode::{BuildId, Raw};
        let mut symbolized = match (layout.mode, frames) {
            (Raw | BuildId, _) | (_, None) => Vec::new(),
            (_, Some(frames)) => {
                let limit = usize::try_from(layout.limit).unwrap_or(usize::MAX);
                self.catch_up();
                let addresses: Vec<u64> = symbols::addresses(frames).take(limit).collect();
                self.symbols.user_frames(&addresses, pid)
            }
        }
        .into_iter();
        symbols::text(layout, frames, &mut |_| {
            symbolized.next().unwrap_or_default()
        })
    }

    fn has_frames(&self, map: u32, id: u64) -> bool {
        id == NO_STACK || self.frames.has(map, id)
    }

    fn add_frames(&mut self, map: u32, id: u64, frames: Vec<u8>) {
        self.frames.add(map, id, frames);
    }

    fn timestamp(&mut self, format: &str, nanos: u64, clock: Clock) -> String {
        let wall = self.clock.get_or_insert_with(WallClock::new);
        wall.format(format, nanos, clock)
    }

    fn cgroup_path(&mut self, id: u64, filter: Option<&str>) -> String {
        self.cgroups.path(id, filter)
    }

    fn username(&mut self, uid: u64) -> String {
        self.users.name(uid)
    }

    fn fds(&self) -> Vec<RawFd> {
        self.processes.as_ref().map_or_else(Vec::new, |p| p.fds())
    }

    fn catch_up(&mut self) {
        if let Some(processes) = &mut self.processes {
            processes.drain(&mut |event| self.symbols.event(event));
        }
    }

    fn truncation_trailer(&self) -> &str {
        &self.object.config.str_trunc_trailer
    }
}

/// The id that says that the stack could not be taken.
const NO_STACK: u64 = u64::MAX;

/// A map of frames, and a stack's id in it.
type StackKey = (u32, u64);

/// Frames of stacks, as the engine gave them.
#[derive(Default)]
struct Frames {
    known: RefCell<HashMap<StackKey, Rc<[u8]>>>,
    bytes: Cell<usize>,
    /// Whether a stack was printed since the last one was asked for.
    printing: Cell<bool>,
}

/// Bytes of frames that are kept. They are asked for in batches, then printed: a batch may be larger.
const MAX_FRAMES: usize = 4 << 20;

impl Frames {
    fn has(&self, map: u32, id: u64) -> bool {
        // The only time when none of them is about to be printed.
        if self.printing.replace(false) && self.bytes.get() > MAX_FRAMES {
            self.known.borrow_mut().clear();
            self.bytes.set(0);
        }
        self.known.borrow().contains_key(&(map, id))
    }

    fn add(&mut self, map: u32, id: u64, mut frames: Vec<u8>) {
        // Whole words: the value has the size of the longest stack.
        let used = frames.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        frames.truncate(used.next_multiple_of(32).max(32).min(frames.len()));
        self.bytes.set(self.bytes.get() + frames.len());
        self.known.get_mut().insert((map, id), frames.into());
    }

    fn get(&self, map: u32, id: u64) -> Option<Rc<[u8]>> {
        self.printing.set(true);
        self.known.borrow().get(&(map, id)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beetrace_object::{MapKind, StackMode, UserMap};

    fn layout(mode: StackMode, user: bool) -> StackLayout {
        StackLayout {
            user,
            mode,
            limit: 127,
            frames: 3,
        }
    }

    fn bytes(frames: &[u64]) -> Vec<u8> {
        let used = frames.iter().flat_map(|f| f.to_ne_bytes());
        used.chain([0; 64]).collect()
    }

    #[test]
    fn stacks_by_map_and_id() {
        let object = Object::default();
        let mut system = System::new(&object);
        assert!(system.has_frames(3, u64::MAX));
        assert!(!system.has_frames(3, 7));
        system.add_frames(3, 7, bytes(&[0x10, 0x20]));
        system.add_frames(3, 8, Vec::new());
        assert!(system.has_frames(3, 7) && system.has_frames(3, 8));
        assert!(!system.has_frames(4, 7));
        let raw = layout(StackMode::Raw, true);
        assert_eq!(system.stack(&raw, 7, 0), "\n10\n20\n");
        assert_eq!(system.stack(&raw, u64::MAX, 0), "\n");
        let missing = "\n        <stack was not kept>\n";
        assert_eq!(system.stack(&raw, 8, 0), missing);
        assert_eq!(system.stack(&raw, 9, 0), missing);
        let user = layout(StackMode::Perf, true);
        assert_eq!(
            system.stack(&user, 7, u32::MAX - 5),
            "\n\t10 0x10 ([unknown])\n\t20 0x20 ([unknown])\n"
        );
        let kernel = layout(StackMode::Bpftrace, false);
        assert_eq!(
            system.stack(&kernel, 7, 0),
            "\n        0x10\n        0x20\n"
        );
    }

    #[test]
    fn frames_are_forgotten_between_batches_only() {
        let object = Object::default();
        let mut system = System::new(&object);
        let raw = layout(StackMode::Raw, true);
        let large = vec![1; MAX_FRAMES / 2 + 32];
        for id in 0..4 {
            assert!(!system.has_frames(3, id));
            system.add_frames(3, id, large.clone());
        }
        assert!(system.has_frames(3, 0));
        let limited = StackLayout { limit: 1, ..raw };
        assert_eq!(system.stack(&limited, 0, 0), "\n101010101010101\n");
        assert_eq!(system.stack(&limited, 3, 0), "\n101010101010101\n");
        assert!(!system.has_frames(3, 3));
    }

    #[test]
    fn what_is_not_known_is_a_number() {
        let object = Object::default();
        let mut system = System::new(&object);
        assert_eq!(system.kernel_symbol(0), "0");
        assert_eq!(system.user_symbol(1, u32::MAX - 5, 0), "0x1");
        assert_eq!(system.truncation_trailer(), "..");
    }

    #[test]
    fn processes_matter_where_their_addresses_are_printed() {
        let mut object = Object::default();
        assert!(!System::new(&object).wants_processes());
        let user = UserMap {
            key: Layout::Stack(layout(StackMode::Perf, true)),
            value: Layout::Count,
            scalar: false,
        };
        object.maps.push(beetrace_object::Map {
            name: "@".into(),
            kind: MapKind::Hash,
            key_size: 16,
            value_size: 8,
            max_entries: 1,
            role: MapRole::User(user),
        });
        assert!(System::new(&object).wants_processes());
    }
}

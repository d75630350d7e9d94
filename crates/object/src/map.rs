//! Map definitions.

use serde::{Deserialize, Serialize};

use crate::Layout;

/// Kinds of maps, by the kernel's `enum bpf_map_type` (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum MapKind {
    Hash = 1,
    Array = 2,
    PerfEventArray = 4,
    PerCpuHash = 5,
    PerCpuArray = 6,
    StackTrace = 7,
    LruHash = 9,
    LruPerCpuHash = 10,
    RingBuf = 27,
}

impl MapKind {
    /// Whether every processor has its own value.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self,
            MapKind::PerCpuHash | MapKind::PerCpuArray | MapKind::LruPerCpuHash
        )
    }

    pub fn is_hash(self) -> bool {
        matches!(
            self,
            MapKind::Hash | MapKind::PerCpuHash | MapKind::LruHash | MapKind::LruPerCpuHash
        )
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The script's name with its `@`, or the name of one of ours without.
    pub name: String,
    pub kind: MapKind,
    /// Size in bytes of a key; an array's is 4.
    pub key_size: u32,
    /// Size in bytes of a value, on one processor.
    pub value_size: u32,
    pub max_entries: u32,
    pub role: MapRole,
}

/// What a map is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MapRole {
    /// A map of the script.
    User(UserMap),
    /// The ring buffer of records (or the perf event array where the kernel has no ring buffer).
    Records,
    /// Scratch memory, one value a processor.
    Scratch,
    /// Constants of the programs: filled with these bytes (value 0 of an array) before they run.
    Constants(Vec<u8>),
    /// Tables of strings: value `i` of the array begins at `i * value_size` of the bytes.
    Table(Vec<u8>),
    /// Numbers that user space gives before the run: see [`Parameter`]. Value 0 holds one `u64` each.
    Parameters(Vec<Parameter>),
    /// Frames of stacks, by stack id: `u64` instruction pointers, `value_size / 8` at the most, zero behind the last.
    /// With build ids (`MapRole::Frames { build_id: true }`) 32-byte `struct bpf_stack_build_id`.
    Frames { build_id: bool },
    /// Counters of losses: a per-CPU array of one value that holds a `u64` for each of [`Loss`].
    Losses,
}

/// A map of the script, with its types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserMap {
    pub key: Layout,
    pub value: Layout,
    /// Without keys: printed as `@name: value`. In a hash it is kept under the one key of all zeros; for an array see
    /// [`Map::presence`].
    pub scalar: bool,
}

impl Map {
    /// Where an array that is a map of the script without keys says whether it is set: the offset of a `u64` behind the
    /// value, not zero on a processor that set it. Engines show such a map as one entry without that word, or as empty.
    pub fn presence(&self) -> Option<u32> {
        match &self.role {
            MapRole::User(user) if user.scalar && !self.kind.is_hash() => {
                self.value_size.checked_sub(8)
            }
            _ => None,
        }
    }
}

/// What user space knows only when the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Parameter {
    /// Process id of the command started with `-c`; zero without one.
    ChildPid,
    /// Inode and device of beetrace's own pid namespace.
    PidNamespaceInode,
    PidNamespaceDevice,
    /// `CLOCK_BOOTTIME` in nanoseconds when the run began.
    StartTime,
    /// Offset of `CLOCK_TAI` from `CLOCK_MONOTONIC` in nanoseconds.
    TaiOffset,
    /// Number of possible processors.
    Cpus,
    /// Process id that `-p` named; zero without one.
    TargetPid,
}

/// What programs count when something is lost, in the order of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum Loss {
    /// A record found no room in the ring buffer.
    RecordDropped = 0,
    /// A map was full, or the kernel refused the update.
    MapUpdateFailed = 1,
    /// A stack could not be kept.
    StackFailed = 2,
}

impl Loss {
    pub const ALL: [Loss; 3] = [
        Loss::RecordDropped,
        Loss::MapUpdateFailed,
        Loss::StackFailed,
    ];
}

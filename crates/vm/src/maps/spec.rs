//! What a map is made from, and the limits of each kind.

use beetrace_object as object;

use crate::Errno;

/// Kinds of maps, by the kernel's `enum bpf_map_type` (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MapType {
    Hash = 1,
    Array = 2,
    ProgArray = 3,
    PerfEventArray = 4,
    PerCpuHash = 5,
    PerCpuArray = 6,
    StackTrace = 7,
    LruHash = 9,
    LruPerCpuHash = 10,
    LpmTrie = 11,
    ArrayOfMaps = 12,
    HashOfMaps = 13,
    Queue = 22,
    Stack = 23,
    RingBuf = 27,
    TaskStorage = 29,
    BloomFilter = 30,
}

impl MapType {
    const ALL: [MapType; 17] = [
        MapType::Hash,
        MapType::Array,
        MapType::ProgArray,
        MapType::PerfEventArray,
        MapType::PerCpuHash,
        MapType::PerCpuArray,
        MapType::StackTrace,
        MapType::LruHash,
        MapType::LruPerCpuHash,
        MapType::LpmTrie,
        MapType::ArrayOfMaps,
        MapType::HashOfMaps,
        MapType::Queue,
        MapType::Stack,
        MapType::RingBuf,
        MapType::TaskStorage,
        MapType::BloomFilter,
    ];

    /// The kind with the kernel's number.
    pub fn from_number(n: u32) -> Option<MapType> {
        MapType::ALL.into_iter().find(|&kind| kind as u32 == n)
    }

    /// Whether every processor has its own value.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self,
            MapType::PerCpuHash | MapType::PerCpuArray | MapType::LruPerCpuHash
        )
    }

    /// Whether a full map makes room by forgetting what was used least recently.
    pub fn is_lru(self) -> bool {
        matches!(self, MapType::LruHash | MapType::LruPerCpuHash)
    }
}

/// Bits of `map_flags` (`BPF_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapFlags(pub u32);

impl MapFlags {
    pub const NO_PREALLOC: MapFlags = MapFlags(1 << 0);
    pub const RDONLY: MapFlags = MapFlags(1 << 3);
    pub const WRONLY: MapFlags = MapFlags(1 << 4);
    pub const STACK_BUILD_ID: MapFlags = MapFlags(1 << 5);
    pub const ZERO_SEED: MapFlags = MapFlags(1 << 6);
    pub const RDONLY_PROG: MapFlags = MapFlags(1 << 7);
    pub const WRONLY_PROG: MapFlags = MapFlags(1 << 8);
    pub const MMAPABLE: MapFlags = MapFlags(1 << 10);

    pub fn contains(self, other: MapFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a map is made from. Sizes are in bytes; a value's is that on one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    pub kind: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: MapFlags,
}

/// The longest key or value of a hash on the kernel (`KMALLOC_MAX_SIZE`).
const KMALLOC_MAX: u64 = 4 << 20;
/// The longest value on one processor (`PCPU_MIN_UNIT_SIZE`).
const PER_CPU_MAX: u64 = 32 << 10;
/// Longest stack in a stack trace map (`sysctl_perf_event_max_stack`).
const MAX_FRAMES: u32 = 127;

impl MapSpec {
    /// A map without flags.
    pub fn new(kind: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
        MapSpec {
            kind,
            key_size,
            value_size,
            max_entries,
            flags: MapFlags::default(),
        }
    }

    /// The map of a compiled script.
    pub fn of_object(map: &object::Map) -> MapSpec {
        use object::MapKind;
        let kind = match map.kind {
            MapKind::Hash => MapType::Hash,
            MapKind::Array => MapType::Array,
            MapKind::PerfEventArray => MapType::PerfEventArray,
            MapKind::PerCpuHash => MapType::PerCpuHash,
            MapKind::PerCpuArray => MapType::PerCpuArray,
            MapKind::StackTrace => MapType::StackTrace,
            MapKind::LruHash => MapType::LruHash,
            MapKind::LruPerCpuHash => MapType::LruPerCpuHash,
            MapKind::RingBuf => MapType::RingBuf,
        };
        MapSpec::new(kind, map.key_size, map.value_size, map.max_entries)
    }

    /// Checks sizes and flags as the kernel's `map_alloc_check` of the kind does.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        let MapSpec {
            key_size: key,
            value_size: value,
            max_entries: entries,
            ..
        } = *self;
        let wanted = |ok: bool| if ok { Ok(()) } else { Err(Errno::INVAL) };
        match self.kind {
            MapType::Array | MapType::PerCpuArray => {
                wanted(key == 4 && value > 0 && entries > 0)?;
                self.fits(value)
            }
            MapType::ProgArray | MapType::PerfEventArray | MapType::ArrayOfMaps => {
                let entries = entries > 0 || self.kind == MapType::PerfEventArray;
                wanted(key == 4 && value == 4 && entries)
            }
            MapType::Hash | MapType::PerCpuHash | MapType::LruHash | MapType::LruPerCpuHash => {
                wanted(key > 0 && value > 0 && entries > 0)?;
                wanted(!self.kind.is_lru() || !self.flags.contains(MapFlags::NO_PREALLOC))?;
                if entries > 1 << 31 || u64::from(key) + u64::from(value) >= KMALLOC_MAX {
                    return Err(Errno::TOO_BIG);
                }
                self.fits(value)
            }
            MapType::HashOfMaps => wanted(key > 0 && value == 4 && entries > 0),
            MapType::LpmTrie => {
                let sizes = (5..=260).contains(&key) && value > 0 && entries > 0;
                wanted(sizes && self.flags.contains(MapFlags::NO_PREALLOC))
            }
            MapType::StackTrace => {
                let frame = if self.flags.contains(MapFlags::STACK_BUILD_ID) {
                    32
                } else {
                    8
                };
                wanted(key == 4 && entries > 0 && value >= 8 && value % frame == 0)?;
                wanted(value / frame <= MAX_FRAMES)
            }
            MapType::Queue | MapType::Stack => wanted(key == 0 && value > 0 && entries > 0),
            MapType::BloomFilter => wanted(key == 0 && value > 0 && entries > 0),
            MapType::RingBuf => {
                let pages = entries.is_power_of_two() && entries % 4096 == 0;
                wanted(key == 0 && value == 0 && pages)
            }
            MapType::TaskStorage => {
                let flags = self.flags.contains(MapFlags::NO_PREALLOC);
                wanted(key == 4 && value > 0 && entries == 0 && flags)
            }
        }
    }

    fn fits(&self, value: u32) -> Result<(), Errno> {
        let size = u64::from(value).next_multiple_of(8);
        let most = if self.kind.is_per_cpu() {
            PER_CPU_MAX
        } else {
            KMALLOC_MAX * 512
        };
        if size > most {
            Err(Errno::TOO_BIG)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_kernel() {
        let check = |kind, key, value, entries| MapSpec::new(kind, key, value, entries).check();
        assert_eq!(check(MapType::Array, 8, 8, 1), Err(Errno::INVAL));
        assert_eq!(check(MapType::Array, 4, 8, 1), Ok(()));
        assert_eq!(check(MapType::Hash, 0, 8, 1), Err(Errno::INVAL));
        assert_eq!(check(MapType::RingBuf, 0, 0, 5000), Err(Errno::INVAL));
        assert_eq!(check(MapType::RingBuf, 0, 0, 8192), Ok(()));
        assert_eq!(
            check(MapType::PerCpuArray, 4, 1 << 20, 1),
            Err(Errno::TOO_BIG)
        );
        assert_eq!(check(MapType::LpmTrie, 8, 8, 1), Err(Errno::INVAL));
    }

    #[test]
    fn numbers_find_their_kind() {
        assert_eq!(MapType::from_number(27), Some(MapType::RingBuf));
        assert_eq!(MapType::from_number(8), None);
    }
}

//! Maps: memory that programs share with each other and with user space.
//!
//! One file a family. All kinds are behind [`Store`], whose default is that the kind has no such operation; the
//! errors are the kernel's. Values keep their address as long as their map lives: programs hold pointers to them.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Errno;

mod array;
mod bloom;
mod hash;
mod inner;
mod lpm;
mod perf;
mod programs;
mod queue;
mod ring;
mod slab;
mod spec;
mod stacks;
mod table;
mod task;

pub use perf::PerfEvents;
pub use programs::Programs;
pub use ring::RingBuf;
pub use spec::{MapFlags, MapSpec, MapType};
pub use stacks::StackTraces;
pub(crate) use stacks::{FAST_STACK_CMP, REUSE_STACKID};
pub use task::TaskStorage;

/// Insert or replace.
pub const BPF_ANY: u64 = 0;
/// Insert only.
pub const BPF_NOEXIST: u64 = 1;
/// Replace only.
pub const BPF_EXIST: u64 = 2;
/// The value has a lock, which is taken.
pub const BPF_F_LOCK: u64 = 4;

/// Sees the addresses of a key and its value.
pub(crate) type Visit<'v> = dyn FnMut(NonNull<u8>, NonNull<u8>) -> bool + 'v;

/// What a kind of map can do. Keys and values have the sizes of the map's [`MapSpec`].
pub(crate) trait Store: Send + Sync {
    /// The address of a value, on one processor.
    fn lookup(&self, _key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        None
    }

    /// Changes a value as a program does, on one processor.
    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _cpu: u32) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// The key behind `after` (the first where it is `None` or not in the map), into `next`.
    fn next_key(&self, _after: Option<&[u8]>, _next: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Changes the values of a key as user space does: one, or one a processor, each padded to eight bytes.
    fn update_all(&self, key: &[u8], values: &[u8], flags: u64) -> Result<(), Errno> {
        self.update(key, values, flags, 0)
    }

    /// Shows every key and value, on one processor, until `visit` answers `false`; gives how many it showed.
    fn for_each(&self, _cpu: u32, _visit: &mut Visit<'_>) -> Result<u64, Errno> {
        Err(Errno::INVAL)
    }

    fn push(&self, _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn pop(&self, _value: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn peek(&self, _value: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Address of a byte of the first value, for kinds that programs address directly.
    fn direct_value(&self, _offset: u32) -> Result<u64, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Whether all these bytes are memory that the map gives to programs.
    fn contains(&self, _address: u64, _size: u64) -> bool {
        false
    }

    /// Whether `handle` names a map inside of this one.
    fn knows(&self, _handle: u64) -> bool {
        false
    }

    fn ring(&self) -> Option<&RingBuf> {
        None
    }

    fn perf(&self) -> Option<&PerfEvents> {
        None
    }

    fn programs(&self) -> Option<&Programs> {
        None
    }

    fn stacks(&self) -> Option<&StackTraces> {
        None
    }

    fn tasks(&self) -> Option<&TaskStorage> {
        None
    }

    /// The map that a key of a map of maps holds, and the change of it.
    fn inner(&self, _key: &[u8]) -> Option<Arc<Map>> {
        None
    }

    fn set_inner(&self, _key: &[u8], _map: Arc<Map>, _flags: u64) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }
}

/// A map of any kind.
pub struct Map {
    spec: MapSpec,
    cpus: u32,
    store: Box<dyn Store>,
}

impl Map {
    /// Creates a map for a machine of `cpus` processors.
    ///
    /// # Errors
    ///
    /// `EINVAL` for sizes or flags that the kind does not take, `E2BIG` where they are too large, `ENOMEM`.
    /// Maps of maps are made by [`Map::of_maps`].
    pub fn new(spec: MapSpec, cpus: u32) -> Result<Arc<Map>, Errno> {
        spec.check()?;
        let cpus = cpus.max(1);
        let store: Box<dyn Store> = match spec.kind {
            MapType::Array => Box::new(array::Array::new(&spec, 1)?),
            MapType::PerCpuArray => Box::new(array::Array::new(&spec, cpus)?),
            MapType::Hash | MapType::LruHash => Box::new(hash::Hash::new(&spec, 1)?),
            MapType::PerCpuHash | MapType::LruPerCpuHash => Box::new(hash::Hash::new(&spec, cpus)?),
            MapType::LpmTrie => Box::new(lpm::LpmTrie::new(&spec)?),
            MapType::RingBuf => Box::new(RingBuf::new(&spec)?),
            MapType::PerfEventArray => Box::new(PerfEvents::new(&spec, cpus)),
            MapType::StackTrace => Box::new(StackTraces::new(&spec)?),
            MapType::Queue | MapType::Stack => Box::new(queue::Queue::new(&spec)?),
            MapType::BloomFilter => Box::new(bloom::Bloom::new(&spec)?),
            MapType::ProgArray => Box::new(Programs::new(&spec)),
            MapType::TaskStorage => Box::new(TaskStorage::new(&spec)),
            MapType::ArrayOfMaps | MapType::HashOfMaps => return Err(Errno::INVAL),
        };
        Ok(Arc::new(Map { spec, cpus, store }))
    }

    /// Creates an array or hash whose values are maps like `template`.
    pub fn of_maps(spec: MapSpec, template: &Map) -> Result<Arc<Map>, Errno> {
        spec.check()?;
        let store: Box<dyn Store> = match spec.kind {
            MapType::ArrayOfMaps => Box::new(inner::ArrayOfMaps::new(&spec, template.spec)),
            MapType::HashOfMaps => Box::new(inner::HashOfMaps::new(&spec, template.spec)?),
            _ => return Err(Errno::INVAL),
        };
        let cpus = template.cpus;
        Ok(Arc::new(Map { spec, cpus, store }))
    }

    /// Kind, sizes and flags.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// How many values a key has: one, or one a processor.
    pub fn values_per_key(&self) -> u32 {
        if self.spec.kind.is_per_cpu() {
            self.cpus
        } else {
            1
        }
    }

    /// Bytes of the values of a key as user space sees them.
    pub fn value_bytes(&self) -> usize {
        let size = self.spec.value_size as usize;
        if self.spec.kind.is_per_cpu() {
            size.next_multiple_of(8) * self.cpus as usize
        } else {
            size
        }
    }

    fn key<'k>(&self, key: &'k [u8]) -> Result<&'k [u8], Errno> {
        if key.len() == self.spec.key_size as usize {
            Ok(key)
        } else {
            Err(Errno::INVAL)
        }
    }

    /// The values of a key: one, or one a processor, each padded to eight bytes.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(key).ok()?;
        if let Some(map) = self.store.inner(key) {
            return Some((Map::handle(&map) as u32).to_ne_bytes().to_vec());
        }
        if let Some(stacks) = self.store.stacks() {
            return stacks.get(key);
        }
        let size = self.spec.value_size as usize;
        let padded = self.value_bytes() / self.values_per_key() as usize;
        let mut out = Vec::with_capacity(self.value_bytes());
        for cpu in 0..self.values_per_key() {
            let value = self.store.lookup(key, cpu)?;
            // SAFETY: values are `size` bytes long and stay where they are; programs may change them meanwhile,
            // as they may under a reader of the kernel's maps.
            out.extend_from_slice(unsafe { std::slice::from_raw_parts(value.as_ptr(), size) });
            out.resize(padded * (cpu as usize + 1), 0);
        }
        Some(out)
    }

    /// Changes the values of a key: one, or one a processor, each padded to eight bytes.
    pub fn set(&self, key: &[u8], values: &[u8], flags: u64) -> Result<(), Errno> {
        let key = self.key(key)?;
        if values.len() != self.value_bytes() {
            return Err(Errno::INVAL);
        }
        if flags & BPF_F_LOCK != 0 {
            return Err(Errno::INVAL);
        }
        match self.spec.kind {
            MapType::Queue | MapType::Stack | MapType::BloomFilter => {
                self.store.push(values, flags)
            }
            _ => self.store.update_all(key, values, flags),
        }
    }

    /// Removes a key.
    pub fn remove(&self, key: &[u8]) -> Result<(), Errno> {
        self.store.delete(self.key(key)?)
    }

    /// The key behind `after`; the first where it is `None` or no longer in the map.
    pub fn next_key(&self, after: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut next = vec![0; self.spec.key_size as usize];
        self.store.next_key(after, &mut next).ok()?;
        Some(next)
    }

    /// All keys, in no order. Keys that change meanwhile may be missing.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut last = None;
        // A key removed between two steps starts the walk again, hence the bound.
        while keys.len() <= self.spec.max_entries as usize {
            match self.next_key(last.as_deref()) {
                None => break,
                Some(key) => {
                    keys.push(key.clone());
                    last = Some(key);
                }
            }
        }
        keys
    }

    /// Takes the next value of a queue or stack.
    pub fn pop(&self) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; self.spec.value_size as usize];
        self.store.pop(&mut value)?;
        Ok(value)
    }

    /// The consumer's side, of ring buffers only.
    pub fn ring(&self) -> Option<&RingBuf> {
        self.store.ring()
    }

    /// The consumer's side, of perf event arrays only.
    pub fn perf(&self) -> Option<&PerfEvents> {
        self.store.perf()
    }

    /// The programs, of program arrays only.
    pub fn programs(&self) -> Option<&Programs> {
        self.store.programs()
    }

    /// The stacks, of stack trace maps only.
    pub fn stacks(&self) -> Option<&StackTraces> {
        self.store.stacks()
    }

    /// The values by task, of task storage only.
    pub fn tasks(&self) -> Option<&TaskStorage> {
        self.store.tasks()
    }

    /// The map under a key, of maps of maps only.
    pub fn inner(&self, key: &[u8]) -> Option<Arc<Map>> {
        self.store.inner(self.key(key).ok()?)
    }

    /// Puts a map under a key of a map of maps.
    pub fn set_inner(&self, key: &[u8], map: Arc<Map>, flags: u64) -> Result<(), Errno> {
        self.store.set_inner(self.key(key)?, map, flags)
    }

    /// What a program holds for this map.
    pub(crate) fn handle(map: &Arc<Map>) -> u64 {
        Arc::as_ptr(map) as u64
    }

    pub(crate) fn knows(self: &Arc<Map>, handle: u64) -> bool {
        Map::handle(self) == handle || self.store.knows(handle)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(crate) fn cpus(&self) -> u32 {
        self.cpus
    }

    pub(crate) fn direct_value(&self, offset: u32) -> Result<u64, Errno> {
        self.store.direct_value(offset)
    }

    pub(crate) fn contains(&self, address: u64, size: u64) -> bool {
        self.store.contains(address, size)
    }

    pub(crate) fn is_writable_by_programs(&self) -> bool {
        !self.spec.flags.contains(MapFlags::RDONLY_PROG)
    }
}

/// Locks, also where a thread panicked with the lock held: what the locks guard is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Map").field(&self.spec).finish()
    }
}

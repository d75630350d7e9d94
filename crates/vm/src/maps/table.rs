//! The hash table under the hash maps: buckets of linked elements in a slab.
//!
//! A lock guards a group of buckets; links are atomic only so that they can live in shared memory without `unsafe` at
//! every step. Elements are taken from a free list, as in a preallocated map of the kernel, and never move.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use super::lock;
use super::slab::Slab;
use crate::Errno;

/// Bytes before the key: the next element (index plus one, 0 for none), the hash, whether it was used lately.
const HEADER: usize = 16;
const NEXT: usize = 0;
const HASH: usize = 4;
const USED: usize = 8;
const STATE: usize = 12;

/// `STATE` of an element that is in a bucket.
const LINKED: u32 = 1;

/// Locks of a large table.
const MOST_LOCKS: usize = 64;

pub(crate) struct Table {
    elements: Slab,
    buckets: Slab,
    mask: u32,
    locks: Box<[Mutex<()>]>,
    free: Mutex<Free>,
    key_size: usize,
    value_offset: usize,
}

struct Free {
    /// First of the elements that were given back, index plus one.
    head: u32,
    /// Elements from here on were never used.
    fresh: u32,
    /// Where the search for an element to forget goes on.
    hand: u32,
}

/// A group of buckets, locked.
pub(crate) struct Bucket<'t> {
    table: &'t Table,
    hash: u32,
    _guard: MutexGuard<'t, ()>,
}

impl Table {
    pub(crate) fn new(key_size: usize, value_bytes: usize, entries: u32) -> Result<Table, Errno> {
        let value_offset = HEADER + key_size.next_multiple_of(8);
        let count = entries.next_power_of_two().max(1);
        Ok(Table {
            elements: Slab::new(value_offset + value_bytes, entries as usize)?,
            buckets: Slab::new(8, count.div_ceil(2) as usize)?,
            mask: count - 1,
            locks: (0..MOST_LOCKS.min(count as usize))
                .map(|_| Mutex::new(()))
                .collect(),
            free: Mutex::new(Free {
                head: 0,
                fresh: 0,
                hand: 0,
            }),
            key_size,
            value_offset,
        })
    }

    fn word(slab: &Slab, index: usize, offset: usize) -> &AtomicU32 {
        let at = slab.at(index, offset).cast::<u32>();
        // SAFETY: headers are four-aligned words inside of the slab that only atomic operations touch.
        unsafe { AtomicU32::from_ptr(at.as_ptr()) }
    }

    fn header(&self, element: u32, field: usize) -> &AtomicU32 {
        Table::word(&self.elements, element as usize, field)
    }

    fn head(&self, bucket: u32) -> &AtomicU32 {
        Table::word(
            &self.buckets,
            bucket as usize / 2,
            (bucket as usize % 2) * 4,
        )
    }

    fn lock_hash(&self, hash: u32) -> Bucket<'_> {
        let guard = &self.locks[(hash & self.mask) as usize % self.locks.len()];
        Bucket {
            table: self,
            hash,
            _guard: lock(guard),
        }
    }

    /// Locks the bucket of a key.
    pub(crate) fn bucket(&self, key: &[u8]) -> Bucket<'_> {
        self.lock_hash(hash(key))
    }

    pub(crate) fn value(&self, element: u32, offset: usize) -> NonNull<u8> {
        self.elements
            .at(element as usize, self.value_offset + offset)
    }

    pub(crate) fn key(&self, element: u32) -> NonNull<u8> {
        self.elements.at(element as usize, HEADER)
    }

    pub(crate) fn read_key(&self, element: u32, into: &mut [u8]) {
        self.elements.read(element as usize, HEADER, into);
    }

    pub(crate) fn write_value(&self, element: u32, offset: usize, bytes: &[u8]) {
        let offset = self.value_offset + offset;
        self.elements.write(element as usize, offset, bytes);
    }

    pub(crate) fn clear_value(&self, element: u32, len: usize) {
        self.elements
            .clear(element as usize, self.value_offset, len);
    }

    /// Notes that an element was used, so that it is not forgotten soon.
    pub(crate) fn touch(&self, element: u32) {
        let used = self.header(element, USED);
        if used.load(Relaxed) == 0 {
            used.store(1, Relaxed);
        }
    }

    /// Takes an element that is in no bucket.
    pub(crate) fn take(&self) -> Option<u32> {
        let mut free = lock(&self.free);
        if let Some(element) = free.head.checked_sub(1) {
            free.head = self.header(element, NEXT).load(Relaxed);
            return Some(element);
        }
        let fresh = free.fresh;
        ((fresh as usize) < self.elements.count()).then(|| {
            free.fresh += 1;
            fresh
        })
    }

    fn give_back(&self, element: u32) {
        let mut free = lock(&self.free);
        self.header(element, NEXT).store(free.head, Relaxed);
        free.head = element + 1;
    }

    /// Frees an element that was not used since the last time round; the caller holds no bucket.
    pub(crate) fn forget_one(&self) {
        for _ in 0..self.elements.count().saturating_mul(2) {
            let element = {
                let mut free = lock(&self.free);
                let element = free.hand;
                free.hand = (element + 1) % self.elements.count() as u32;
                element
            };
            if self.header(element, USED).swap(0, Relaxed) != 0 {
                continue;
            }
            let hash = self.header(element, HASH).load(Relaxed);
            let bucket = self.lock_hash(hash);
            let still = self.header(element, HASH).load(Relaxed) == hash
                && self.header(element, STATE).load(Relaxed) == LINKED;
            if still {
                bucket.unlink(element);
                return;
            }
        }
    }

    /// The element behind another in the order of buckets; the first of all for `None`.
    pub(crate) fn following(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let mut first = 0;
        if let Some(key) = key {
            let bucket = self.bucket(key);
            if let Some(element) = bucket.find(key) {
                if let Some(after) = self.header(element, NEXT).load(Relaxed).checked_sub(1) {
                    self.read_key(after, next);
                    return Ok(());
                }
                first = (bucket.hash & self.mask) + 1;
            }
        }
        for bucket in first..=self.mask {
            if self.head(bucket).load(Relaxed) == 0 {
                continue;
            }
            let guard = self.lock_hash(bucket);
            if let Some(element) = self.head(bucket).load(Relaxed).checked_sub(1) {
                self.read_key(element, next);
                return Ok(());
            }
            drop(guard);
        }
        Err(Errno::NOENT)
    }

    /// Shows the elements of every bucket, without a lock held meanwhile.
    pub(crate) fn for_each(&self, visit: &mut dyn FnMut(u32) -> bool) -> u64 {
        let mut shown = 0;
        let mut elements = Vec::new();
        for bucket in 0..=self.mask {
            if self.head(bucket).load(Relaxed) == 0 {
                continue;
            }
            elements.clear();
            {
                let guard = self.lock_hash(bucket);
                elements.extend(guard.elements());
            }
            for &element in &elements {
                shown += 1;
                if !visit(element) {
                    return shown;
                }
            }
        }
        shown
    }

    /// Whether these bytes are of keys and values: the links are none of a program's business.
    pub(crate) fn contains(&self, address: u64, size: u64) -> bool {
        self.elements.contains(address, size, HEADER)
    }
}

impl Bucket<'_> {
    fn head(&self) -> &AtomicU32 {
        self.table.head(self.hash & self.table.mask)
    }

    fn elements(&self) -> impl Iterator<Item = u32> + '_ {
        let mut link = self.head().load(Relaxed);
        std::iter::from_fn(move || {
            let element = link.checked_sub(1)?;
            link = self.table.header(element, NEXT).load(Relaxed);
            Some(element)
        })
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        self.elements().find(|&element| {
            self.table.header(element, HASH).load(Relaxed) == self.hash
                && self.table.elements.equals(element as usize, HEADER, key)
        })
    }

    /// Puts a taken element into the bucket of `key`. Its value must be complete.
    pub(crate) fn link(&self, element: u32, key: &[u8]) {
        let table = self.table;
        debug_assert_eq!(key.len(), table.key_size);
        table.elements.write(element as usize, HEADER, key);
        table.header(element, HASH).store(self.hash, Relaxed);
        table.header(element, USED).store(0, Relaxed);
        table.header(element, STATE).store(LINKED, Relaxed);
        table
            .header(element, NEXT)
            .store(self.head().load(Relaxed), Relaxed);
        self.head().store(element + 1, Relaxed);
    }

    /// Takes an element out of the bucket and frees it.
    pub(crate) fn unlink(&self, element: u32) {
        let table = self.table;
        let after = table.header(element, NEXT).load(Relaxed);
        let before = self
            .elements()
            .find(|&e| table.header(e, NEXT).load(Relaxed) == element + 1);
        match before {
            Some(before) => table.header(before, NEXT).store(after, Relaxed),
            None => self.head().store(after, Relaxed),
        }
        table.header(element, STATE).store(0, Relaxed);
        table.give_back(element);
    }
}

/// Mixes a key, eight bytes a step, by multiplication folded to 64 bits.
pub(crate) fn hash(key: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let (words, rest) = key.as_chunks::<8>();
    let mut h = FACTOR ^ key.len() as u64;
    for word in words {
        h = fold(h ^ u64::from_le_bytes(*word), FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        h = fold(h ^ u64::from_le_bytes(word), FACTOR ^ 0xff51_afd7_ed55_8ccd);
    }
    (h ^ (h >> 32)) as u32
}

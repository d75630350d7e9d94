//! Hash maps: plain and least recently used, of one value or of one a processor.

use std::ptr::NonNull;

use super::table::Table;
use super::{BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST, MapSpec, Store, Visit};
use crate::Errno;

pub(crate) struct Hash {
    table: Table,
    value_size: usize,
    /// Bytes from one processor's value to the next.
    stride: usize,
    /// Values of one key: 1, or the number of processors.
    copies: u32,
    lru: bool,
}

/// The values that an update brings.
#[derive(Clone, Copy)]
enum Values<'v> {
    /// Of one processor; the others' become zero when the key is new.
    One(&'v [u8], u32),
    /// Of all, each padded.
    All(&'v [u8]),
}

impl Hash {
    pub(crate) fn new(spec: &MapSpec, copies: u32) -> Result<Hash, Errno> {
        let value_size = spec.value_size as usize;
        let stride = value_size.next_multiple_of(8);
        let bytes = stride.checked_mul(copies as usize).ok_or(Errno::TOO_BIG)?;
        Ok(Hash {
            table: Table::new(spec.key_size as usize, bytes, spec.max_entries)?,
            value_size,
            stride,
            copies,
            lru: spec.kind.is_lru(),
        })
    }

    fn offset(&self, cpu: u32) -> Option<usize> {
        if self.copies == 1 {
            return Some(0);
        }
        (cpu < self.copies).then(|| cpu as usize * self.stride)
    }

    fn write(&self, element: u32, values: Values<'_>) -> Result<(), Errno> {
        match values {
            Values::One(value, cpu) => {
                let offset = self.offset(cpu).ok_or(Errno::INVAL)?;
                self.table.write_value(element, offset, value);
            }
            Values::All(all) => {
                for (cpu, value) in (0..self.copies).zip(all.chunks(self.stride)) {
                    let value = value.get(..self.value_size).ok_or(Errno::INVAL)?;
                    let offset = self.offset(cpu).ok_or(Errno::INVAL)?;
                    self.table.write_value(element, offset, value);
                }
            }
        }
        Ok(())
    }

    fn put(&self, key: &[u8], values: Values<'_>, flags: u64) -> Result<(), Errno> {
        let flags = flags & !BPF_F_LOCK;
        if flags > BPF_EXIST {
            return Err(Errno::INVAL);
        }
        loop {
            {
                let bucket = self.table.bucket(key);
                if let Some(element) = bucket.find(key) {
                    if flags == BPF_NOEXIST {
                        return Err(Errno::EXIST);
                    }
                    self.touch(element);
                    return self.write(element, values);
                }
                if flags == BPF_EXIST {
                    return Err(Errno::NOENT);
                }
                if let Some(element) = self.table.take() {
                    self.table
                        .clear_value(element, self.stride * self.copies as usize);
                    self.write(element, values)?;
                    bucket.link(element, key);
                    return Ok(());
                }
                if !self.lru {
                    return Err(Errno::TOO_BIG);
                }
            }
            self.table.forget_one();
        }
    }

    fn touch(&self, element: u32) {
        if self.lru {
            self.table.touch(element);
        }
    }
}

impl Store for Hash {
    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        let offset = self.offset(cpu)?;
        let element = self.table.bucket(key).find(key)?;
        self.touch(element);
        Some(self.table.value(element, offset))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        self.put(key, Values::One(value, cpu), flags)
    }

    fn update_all(&self, key: &[u8], values: &[u8], flags: u64) -> Result<(), Errno> {
        self.put(key, Values::All(values), flags)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let bucket = self.table.bucket(key);
        let element = bucket.find(key).ok_or(Errno::NOENT)?;
        bucket.unlink(element);
        Ok(())
    }

    fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.table.following(after, next)
    }

    fn for_each(&self, cpu: u32, visit: &mut Visit<'_>) -> Result<u64, Errno> {
        let offset = self.offset(cpu).ok_or(Errno::INVAL)?;
        Ok(self.table.for_each(&mut |element| {
            visit(self.table.key(element), self.table.value(element, offset))
        }))
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        self.table.contains(address, size)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::maps::{Map, MapType};

    fn map(kind: MapType, entries: u32, cpus: u32) -> std::sync::Arc<Map> {
        Map::new(MapSpec::new(kind, 4, 8, entries), cpus).expect("made")
    }

    fn key(n: u32) -> [u8; 4] {
        n.to_ne_bytes()
    }

    fn value(n: u64) -> [u8; 8] {
        n.to_ne_bytes()
    }

    #[test]
    fn keys_come_and_go() {
        let map = map(MapType::Hash, 2, 1);
        assert_eq!(map.set(&key(1), &value(10), BPF_EXIST), Err(Errno::NOENT));
        assert_eq!(map.set(&key(1), &value(10), 0), Ok(()));
        assert_eq!(map.set(&key(1), &value(11), BPF_NOEXIST), Err(Errno::EXIST));
        assert_eq!(map.set(&key(2), &value(20), BPF_NOEXIST), Ok(()));
        assert_eq!(map.set(&key(3), &value(30), 0), Err(Errno::TOO_BIG));
        assert_eq!(map.get(&key(1)), Some(value(10).to_vec()));
        assert_eq!(map.remove(&key(1)), Ok(()));
        assert_eq!(map.remove(&key(1)), Err(Errno::NOENT));
        assert_eq!(map.set(&key(3), &value(30), 0), Ok(()));
        assert_eq!(map.get(&key(3)), Some(value(30).to_vec()));
    }

    #[test]
    fn values_keep_their_address() {
        let map = map(MapType::Hash, 100, 1);
        let store = map.store();
        assert_eq!(map.set(&key(7), &value(1), 0), Ok(()));
        let before = store.lookup(&key(7), 0);
        for n in 10..60 {
            assert_eq!(map.set(&key(n), &value(1), 0), Ok(()));
        }
        assert_eq!(map.set(&key(7), &value(2), 0), Ok(()));
        assert_eq!(store.lookup(&key(7), 0), before);
    }

    #[test]
    fn every_key_is_walked_once() {
        let map = map(MapType::Hash, 1000, 1);
        for n in 0..1000 {
            assert_eq!(map.set(&key(n * 7), &value(1), 0), Ok(()));
        }
        let keys: BTreeSet<_> = map.keys().into_iter().collect();
        assert_eq!(keys, (0..1000).map(|n| key(n * 7).to_vec()).collect());
    }

    #[test]
    fn a_new_key_is_zero_on_other_processors() {
        let map = map(MapType::PerCpuHash, 1, 3);
        let store = map.store();
        assert_eq!(store.update(&key(1), &value(5), 0, 1), Ok(()));
        assert_eq!(store.update(&key(1), &value(6), 0, 2), Ok(()));
        let all: Vec<u8> = [0, 5, 6].iter().flat_map(|&n| value(n)).collect();
        assert_eq!(map.get(&key(1)), Some(all));
        assert_eq!(map.remove(&key(1)), Ok(()));
        assert_eq!(store.update(&key(1), &value(7), 0, 0), Ok(()));
        let all: Vec<u8> = [7, 0, 0].iter().flat_map(|&n| value(n)).collect();
        assert_eq!(map.get(&key(1)), Some(all));
    }

    #[test]
    fn what_is_used_is_not_forgotten() {
        let map = map(MapType::LruHash, 8, 1);
        for n in 0..100 {
            assert_eq!(map.set(&key(n), &value(n.into()), 0), Ok(()));
            assert!(map.get(&key(0)).is_some(), "after {n}");
        }
        assert_eq!(map.keys().len(), 8);
        assert!(map.get(&key(99)).is_some());
    }

    #[test]
    fn threads_share_a_map() {
        let map = map(MapType::LruHash, 64, 1);
        std::thread::scope(|scope| {
            for t in 0..4u32 {
                let map = &map;
                scope.spawn(move || {
                    for n in 0..2000u32 {
                        let k = key((n * 13 + t) % 200);
                        assert_eq!(map.set(&k, &value(n.into()), 0), Ok(()));
                        if n % 3 == 0 {
                            let _gone = map.remove(&k);
                        }
                    }
                });
            }
        });
        let keys = map.keys();
        assert!(keys.len() <= 64);
        assert!(keys.iter().all(|k| map.get(k).is_some()));
    }
}

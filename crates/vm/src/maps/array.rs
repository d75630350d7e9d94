//! Arrays, of one value or of one a processor.

use std::ptr::NonNull;

use super::slab::Slab;
use super::{BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST, MapFlags, MapSpec, Store, Visit};
use crate::Errno;

pub(crate) struct Array {
    slab: Slab,
    entries: u32,
    value_size: usize,
    /// Values of one key: 1, or the number of processors.
    copies: u32,
    direct: bool,
}

impl Array {
    pub(crate) fn new(spec: &MapSpec, copies: u32) -> Result<Array, Errno> {
        let value_size = spec.value_size as usize;
        let count = spec.max_entries as usize * copies as usize;
        Ok(Array {
            slab: Slab::new(value_size, count)?,
            entries: spec.max_entries,
            value_size,
            copies,
            direct: copies == 1 && !spec.flags.contains(MapFlags::WRONLY_PROG),
        })
    }

    fn index(&self, key: &[u8]) -> Option<u32> {
        let index = u32::from_ne_bytes(key.try_into().ok()?);
        (index < self.entries).then_some(index)
    }

    /// Index of an element. All of a processor lie together.
    fn element(&self, index: u32, cpu: u32) -> usize {
        let cpu = if self.copies == 1 { 0 } else { cpu };
        cpu as usize * self.entries as usize + index as usize
    }

    fn check_flags(&self, key: &[u8], flags: u64) -> Result<u32, Errno> {
        if flags & !BPF_F_LOCK > BPF_EXIST {
            return Err(Errno::INVAL);
        }
        let index = self.index(key).ok_or(Errno::TOO_BIG)?;
        if flags & BPF_NOEXIST != 0 {
            return Err(Errno::EXIST);
        }
        Ok(index)
    }
}

impl Store for Array {
    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        let index = self.index(key)?;
        (self.copies == 1 || cpu < self.copies).then(|| self.slab.at(self.element(index, cpu), 0))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        let index = self.check_flags(key, flags)?;
        if self.copies > 1 && cpu >= self.copies {
            return Err(Errno::INVAL);
        }
        self.slab.write(self.element(index, cpu), 0, value);
        Ok(())
    }

    fn update_all(&self, key: &[u8], values: &[u8], flags: u64) -> Result<(), Errno> {
        let index = self.check_flags(key, flags)?;
        let padded = if self.copies == 1 {
            self.value_size
        } else {
            self.value_size.next_multiple_of(8)
        };
        for (cpu, value) in (0..self.copies).zip(values.chunks(padded)) {
            let value = value.get(..self.value_size).ok_or(Errno::INVAL)?;
            self.slab.write(self.element(index, cpu), 0, value);
        }
        Ok(())
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::INVAL)
    }

    fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let index = match after.and_then(|key| self.index(key)) {
            None => 0,
            Some(index) if index + 1 == self.entries => return Err(Errno::NOENT),
            Some(index) => index + 1,
        };
        next.copy_from_slice(&index.to_ne_bytes());
        Ok(())
    }

    fn for_each(&self, cpu: u32, visit: &mut Visit<'_>) -> Result<u64, Errno> {
        let mut shown = 0;
        for index in 0..self.entries {
            let mut key = index.to_ne_bytes();
            let Some(value) = self.lookup(&key, cpu) else {
                break;
            };
            shown += 1;
            if !visit(NonNull::from(&mut key).cast(), value) {
                break;
            }
        }
        Ok(shown)
    }

    fn direct_value(&self, offset: u32) -> Result<u64, Errno> {
        if !self.direct || self.entries != 1 {
            return Err(Errno::NOTSUPP);
        }
        if offset as usize >= self.value_size {
            return Err(Errno::INVAL);
        }
        Ok(self.slab.at(0, offset as usize).as_ptr() as u64)
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        self.slab.contains(address, size, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Map, MapType};

    fn key(n: u32) -> [u8; 4] {
        n.to_ne_bytes()
    }

    #[test]
    fn all_keys_are_there_and_stay() {
        let map = Map::new(MapSpec::new(MapType::Array, 4, 5, 2), 1).expect("made");
        assert_eq!(map.set(&key(1), b"hello", 0), Ok(()));
        assert_eq!(map.get(&key(1)).as_deref(), Some(&b"hello"[..]));
        assert_eq!(map.get(&key(0)), Some(vec![0; 5]));
        assert_eq!(map.get(&key(2)), None);
        assert_eq!(map.set(&key(2), b"hello", 0), Err(Errno::TOO_BIG));
        assert_eq!(map.set(&key(1), b"hello", BPF_NOEXIST), Err(Errno::EXIST));
        assert_eq!(map.set(&key(1), b"hello", 3), Err(Errno::INVAL));
        assert_eq!(map.remove(&key(1)), Err(Errno::INVAL));
        assert_eq!(map.keys(), [key(0), key(1)]);
    }

    #[test]
    fn processors_have_values_of_their_own() {
        let map = Map::new(MapSpec::new(MapType::PerCpuArray, 4, 4, 1), 2).expect("made");
        let store = map.store();
        assert_eq!(store.update(&key(0), &key(7), 0, 1), Ok(()));
        assert_eq!(
            map.get(&key(0)),
            Some(vec![0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0])
        );
        assert_eq!(store.lookup(&key(0), 2), None);
    }
}

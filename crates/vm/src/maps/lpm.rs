//! Longest prefix match: keys are a `u32` of prefix bits, then data in network order.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{PoisonError, RwLock};

use super::slab::Slab;
use super::{BPF_EXIST, BPF_NOEXIST, MapSpec, Store};
use crate::Errno;

pub(crate) struct LpmTrie {
    values: Slab,
    inner: RwLock<Inner>,
    data_size: usize,
}

#[derive(Default)]
struct Inner {
    /// By prefix length and masked data: the element of its value.
    prefixes: BTreeMap<(u32, Box<[u8]>), usize>,
    free: Vec<usize>,
    fresh: usize,
}

impl LpmTrie {
    pub(crate) fn new(spec: &MapSpec) -> Result<LpmTrie, Errno> {
        let value_size = spec.value_size as usize;
        Ok(LpmTrie {
            values: Slab::new(value_size, spec.max_entries as usize)?,
            inner: RwLock::default(),
            data_size: spec.key_size as usize - 4,
        })
    }

    /// Prefix bits and data of a key, the bits behind the prefix cleared.
    fn split(&self, key: &[u8]) -> Result<(u32, Box<[u8]>), Errno> {
        let (bits, data) = key.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
        let bits = u32::from_ne_bytes(*bits);
        if bits as usize > self.data_size * 8 {
            return Err(Errno::INVAL);
        }
        Ok((bits, masked(data, bits)))
    }

    fn value(&self, element: usize) -> NonNull<u8> {
        self.values.at(element, 0)
    }
}

fn masked(data: &[u8], bits: u32) -> Box<[u8]> {
    let mut rest = bits;
    data.iter()
        .map(|byte| {
            let kept = rest.min(8);
            rest -= kept;
            byte & !(0xffu32 >> kept) as u8
        })
        .collect()
}

fn join(bits: u32, data: &[u8], into: &mut [u8]) {
    let (head, tail) = into.split_at_mut(4);
    head.copy_from_slice(&bits.to_ne_bytes());
    tail.copy_from_slice(data);
}

impl Store for LpmTrie {
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        let (most, data) = self.split(key).ok()?;
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        (0..=most).rev().find_map(|bits| {
            let element = inner.prefixes.get(&(bits, masked(&data, bits)))?;
            Some(self.value(*element))
        })
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::INVAL);
        }
        let (bits, data) = self.split(key)?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let known = inner.prefixes.get(&(bits, data.clone())).copied();
        let element = match known {
            Some(_) if flags == BPF_NOEXIST => return Err(Errno::EXIST),
            Some(element) => element,
            None if flags == BPF_EXIST => return Err(Errno::NOENT),
            None => match inner.free.pop() {
                Some(element) => element,
                None if inner.fresh < self.values.count() => {
                    inner.fresh += 1;
                    inner.fresh - 1
                }
                None => return Err(Errno::NOSPC),
            },
        };
        self.values.write(element, 0, value);
        inner.prefixes.insert((bits, data), element);
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let key = self.split(key)?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let element = inner.prefixes.remove(&key).ok_or(Errno::NOENT)?;
        inner.free.push(element);
        Ok(())
    }

    fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        // The longest prefixes come first, as in the kernel's walk.
        let last = after.and_then(|key| self.split(key).ok());
        let (bits, data) = match last {
            Some(last) if inner.prefixes.contains_key(&last) => {
                inner.prefixes.range(..last).next_back().map(|(key, _)| key)
            }
            _ => inner.prefixes.keys().next_back(),
        }
        .ok_or(Errno::NOENT)?;
        join(*bits, data, next);
        Ok(())
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        self.values.contains(address, size, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Map, MapFlags, MapType};

    fn key(bits: u32, address: [u8; 4]) -> Vec<u8> {
        [bits.to_ne_bytes(), address].concat()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut spec = MapSpec::new(MapType::LpmTrie, 8, 1, 3);
        spec.flags = MapFlags::NO_PREALLOC;
        let map = Map::new(spec, 1).expect("made");
        assert_eq!(map.set(&key(0, [0; 4]), &[1], 0), Ok(()));
        assert_eq!(map.set(&key(8, [10, 9, 9, 9]), &[2], 0), Ok(()));
        assert_eq!(map.set(&key(23, [10, 1, 2, 0]), &[3], 0), Ok(()));
        assert_eq!(map.set(&key(32, [1; 4]), &[4], 0), Err(Errno::NOSPC));
        assert_eq!(map.get(&key(32, [10, 1, 3, 255])), Some(vec![3]));
        assert_eq!(map.get(&key(32, [10, 1, 4, 0])), Some(vec![2]));
        assert_eq!(map.get(&key(32, [11, 1, 4, 0])), Some(vec![1]));
        assert_eq!(map.get(&key(33, [11, 1, 4, 0])), None);
        assert_eq!(map.remove(&key(8, [10, 0, 0, 0])), Ok(()));
        assert_eq!(map.get(&key(32, [10, 1, 4, 0])), Some(vec![1]));
        assert_eq!(map.keys(), [key(23, [10, 1, 2, 0]), key(0, [0; 4])]);
    }
}

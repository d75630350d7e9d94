//! Maps of maps.
//!
//! A map that is replaced or removed lives on until its outer map goes: a program may still hold its handle.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use super::table::Table;
use super::{BPF_EXIST, BPF_NOEXIST, Map, MapSpec, MapType, Store, lock};
use crate::Errno;

/// All maps that were ever put in.
#[derive(Default)]
struct Kept(Mutex<Vec<Arc<Map>>>);

impl Kept {
    fn add(&self, map: Arc<Map>) {
        let mut kept = lock(&self.0);
        if !kept.iter().any(|m| Arc::ptr_eq(m, &map)) {
            kept.push(map);
        }
    }

    fn find(&self, handle: u64) -> Option<Arc<Map>> {
        lock(&self.0)
            .iter()
            .find(|m| Map::handle(m) == handle)
            .cloned()
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        lock(&self.0).iter().any(|m| m.contains(address, size))
    }
}

/// Whether a map may stand where `template` was given (`bpf_map_meta_equal`).
fn fits(template: &MapSpec, map: &MapSpec) -> bool {
    let entries = map.max_entries == template.max_entries || template.kind != MapType::Array;
    template.kind == map.kind
        && template.key_size == map.key_size
        && template.value_size == map.value_size
        && template.flags == map.flags
        && entries
}

/// A handle out of a map's memory.
fn read(at: NonNull<u8>) -> u64 {
    // SAFETY: values of these maps are eight aligned bytes.
    unsafe { at.cast::<u64>().read() }
}

pub(crate) struct ArrayOfMaps {
    handles: Box<[Mutex<u64>]>,
    template: MapSpec,
    kept: Kept,
}

impl ArrayOfMaps {
    pub(crate) fn new(spec: &MapSpec, template: MapSpec) -> ArrayOfMaps {
        ArrayOfMaps {
            handles: (0..spec.max_entries).map(|_| Mutex::new(0)).collect(),
            template,
            kept: Kept::default(),
        }
    }

    fn place(&self, key: &[u8]) -> Option<&Mutex<u64>> {
        let index = u32::from_ne_bytes(key.try_into().ok()?);
        self.handles.get(index as usize)
    }
}

impl Store for ArrayOfMaps {
    /// The handle itself: programs get the inner map, not where it is kept.
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        NonNull::new(*lock(self.place(key)?) as *mut u8)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let mut handle = lock(self.place(key).ok_or(Errno::TOO_BIG)?);
        match std::mem::take(&mut *handle) {
            0 => Err(Errno::NOENT),
            _ => Ok(()),
        }
    }

    fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let after = after
            .and_then(|k| k.try_into().ok())
            .map(u32::from_ne_bytes);
        let index = match after {
            Some(index) if (index as usize) < self.handles.len() => index + 1,
            _ => 0,
        };
        if index as usize >= self.handles.len() {
            return Err(Errno::NOENT);
        }
        next.copy_from_slice(&index.to_ne_bytes());
        Ok(())
    }

    fn inner(&self, key: &[u8]) -> Option<Arc<Map>> {
        let handle = *lock(self.place(key)?);
        self.kept.find(handle)
    }

    fn set_inner(&self, key: &[u8], map: Arc<Map>, flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST || !fits(&self.template, map.spec()) {
            return Err(Errno::INVAL);
        }
        let place = self.place(key).ok_or(Errno::TOO_BIG)?;
        if flags == BPF_NOEXIST {
            return Err(Errno::EXIST);
        }
        *lock(place) = Map::handle(&map);
        self.kept.add(map);
        Ok(())
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        self.kept.contains(address, size)
    }

    fn knows(&self, handle: u64) -> bool {
        self.kept.find(handle).is_some()
    }
}

pub(crate) struct HashOfMaps {
    handles: Table,
    template: MapSpec,
    kept: Kept,
}

impl HashOfMaps {
    pub(crate) fn new(spec: &MapSpec, template: MapSpec) -> Result<HashOfMaps, Errno> {
        Ok(HashOfMaps {
            handles: Table::new(spec.key_size as usize, 8, spec.max_entries)?,
            template,
            kept: Kept::default(),
        })
    }

    fn handle(&self, key: &[u8]) -> Option<u64> {
        let bucket = self.handles.bucket(key);
        let element = bucket.find(key)?;
        Some(read(self.handles.value(element, 0)))
    }
}

impl Store for HashOfMaps {
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        NonNull::new(self.handle(key)? as *mut u8)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let bucket = self.handles.bucket(key);
        let element = bucket.find(key).ok_or(Errno::NOENT)?;
        bucket.unlink(element);
        Ok(())
    }

    fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.handles.following(after, next)
    }

    fn inner(&self, key: &[u8]) -> Option<Arc<Map>> {
        self.kept.find(self.handle(key)?)
    }

    fn set_inner(&self, key: &[u8], map: Arc<Map>, flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST || !fits(&self.template, map.spec()) {
            return Err(Errno::INVAL);
        }
        let handle = Map::handle(&map).to_ne_bytes();
        let bucket = self.handles.bucket(key);
        match bucket.find(key) {
            Some(_) if flags == BPF_NOEXIST => return Err(Errno::EXIST),
            Some(element) => self.handles.write_value(element, 0, &handle),
            None if flags == BPF_EXIST => return Err(Errno::NOENT),
            None => {
                let element = self.handles.take().ok_or(Errno::TOO_BIG)?;
                self.handles.write_value(element, 0, &handle);
                bucket.link(element, key);
            }
        }
        self.kept.add(map);
        Ok(())
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        self.kept.contains(address, size)
    }

    fn knows(&self, handle: u64) -> bool {
        self.kept.find(handle).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(entries: u32) -> Arc<Map> {
        Map::new(MapSpec::new(MapType::Array, 4, 8, entries), 1).expect("made")
    }

    #[test]
    fn only_maps_like_the_template_fit() {
        for (kind, key_size) in [(MapType::ArrayOfMaps, 4), (MapType::HashOfMaps, 4)] {
            let outer = Map::of_maps(MapSpec::new(kind, key_size, 4, 2), &small(1)).expect("made");
            let key = 1u32.to_ne_bytes();
            assert_eq!(outer.set_inner(&key, small(2), 0), Err(Errno::INVAL));
            let inner = small(1);
            assert_eq!(outer.set_inner(&key, inner.clone(), 0), Ok(()));
            assert!(outer.inner(&key).is_some_and(|m| Arc::ptr_eq(&m, &inner)));
            assert!(outer.knows(Map::handle(&inner)));
            assert_eq!(outer.remove(&key), Ok(()));
            assert!(outer.inner(&key).is_none());
            assert!(
                outer.knows(Map::handle(&inner)),
                "a program may still hold it"
            );
        }
    }
}

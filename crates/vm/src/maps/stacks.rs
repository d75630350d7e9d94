//! Stack trace maps: stacks by the hash of their frames.

use std::sync::Mutex;

use super::table::hash;
use super::{MapFlags, MapSpec, Store, lock};
use crate::Errno;

/// Compare stacks by hash only.
pub(crate) const FAST_STACK_CMP: u64 = 1 << 9;
/// Forget the old stack where two fall into one place.
pub(crate) const REUSE_STACKID: u64 = 1 << 10;

type Slot = Mutex<Option<Box<[u64]>>>;

/// Stacks by id.
pub struct StackTraces {
    slots: Box<[Slot]>,
    frames: usize,
    value_size: usize,
}

impl StackTraces {
    pub(crate) fn new(spec: &MapSpec) -> Result<StackTraces, Errno> {
        if spec.flags.contains(MapFlags::STACK_BUILD_ID) {
            return Err(Errno::NOTSUPP);
        }
        let slots = spec.max_entries.next_power_of_two();
        Ok(StackTraces {
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
            frames: spec.value_size as usize / 8,
            value_size: spec.value_size as usize,
        })
    }

    /// How many frames of a stack are kept.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Keeps a stack and gives its id; `EEXIST` where another stack has the place.
    pub(crate) fn insert(&self, frames: &[u64], flags: u64) -> Result<u64, Errno> {
        let frames = frames.get(..self.frames).unwrap_or(frames);
        let bytes: Vec<u8> = frames.iter().flat_map(|f| f.to_ne_bytes()).collect();
        let id = hash(&bytes) as usize & (self.slots.len() - 1);
        let slot = self.slots.get(id).ok_or(Errno::INVAL)?;
        let mut slot = lock(slot);
        match slot.as_deref() {
            Some(old) if old == frames => {}
            Some(_) if flags & REUSE_STACKID == 0 => return Err(Errno::EXIST),
            _ => *slot = Some(frames.into()),
        }
        Ok(id as u64)
    }

    fn slot(&self, key: &[u8]) -> Option<&Slot> {
        let id = u32::from_ne_bytes(key.try_into().ok()?);
        self.slots.get(id as usize)
    }

    /// The frames of a stack as user space sees them, zero behind the last.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let stack = lock(self.slot(key)?);
        let mut out: Vec<u8> = stack
            .as_ref()?
            .iter()
            .flat_map(|f| f.to_ne_bytes())
            .collect();
        out.resize(self.value_size, 0);
        Some(out)
    }
}

impl Store for StackTraces {
    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let slot = self.slot(key).ok_or(Errno::TOO_BIG)?;
        lock(slot).take().map(|_| ()).ok_or(Errno::NOENT)
    }

    fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let from = match after {
            Some(key) => {
                let id = u32::from_ne_bytes(key.try_into().map_err(|_| Errno::INVAL)?) as usize;
                let known = self.slots.get(id).is_some_and(|s| lock(s).is_some());
                if known { id + 1 } else { 0 }
            }
            None => 0,
        };
        let id = (from..self.slots.len())
            .find(|&id| self.slots.get(id).is_some_and(|s| lock(s).is_some()))
            .ok_or(Errno::NOENT)?;
        next.copy_from_slice(&(id as u32).to_ne_bytes());
        Ok(())
    }

    fn stacks(&self) -> Option<&StackTraces> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Map, MapType};

    #[test]
    fn equal_stacks_have_one_id() {
        let map = Map::new(MapSpec::new(MapType::StackTrace, 4, 24, 64), 1).expect("made");
        let stacks = map.stacks().expect("stacks");
        let id = stacks.insert(&[1, 2, 3, 4], 0);
        assert_eq!(
            id,
            stacks.insert(&[1, 2, 3, 5], 0),
            "only three frames are kept"
        );
        let key = (id.expect("kept") as u32).to_ne_bytes();
        let bytes: Vec<u8> = [1u64, 2, 3].iter().flat_map(|f| f.to_ne_bytes()).collect();
        assert_eq!(map.get(&key), Some(bytes));
        assert_eq!(map.keys(), [key.to_vec()]);
        assert_eq!(map.remove(&key), Ok(()));
        assert_eq!(map.get(&key), None);
    }

    #[test]
    fn a_place_is_taken_until_it_may_be_reused() {
        let map = Map::new(MapSpec::new(MapType::StackTrace, 4, 8, 1), 1).expect("made");
        let stacks = map.stacks().expect("stacks");
        assert_eq!(stacks.insert(&[1], 0), Ok(0));
        assert_eq!(stacks.insert(&[2], 0), Err(Errno::EXIST));
        assert_eq!(stacks.insert(&[2], REUSE_STACKID), Ok(0));
    }
}

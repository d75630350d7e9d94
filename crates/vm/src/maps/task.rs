//! Task storage: a value for each task, which lasts until the task's end is told.

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Mutex;

use super::slab::Slab;
use super::{BPF_EXIST, BPF_NOEXIST, MapSpec, Store, lock};
use crate::Errno;

/// Values by task. Keys of user space are thread ids.
pub struct TaskStorage {
    values: Mutex<HashMap<u64, Slab>>,
    value_size: usize,
}

impl TaskStorage {
    pub(crate) fn new(spec: &MapSpec) -> TaskStorage {
        TaskStorage {
            values: Mutex::default(),
            value_size: spec.value_size as usize,
        }
    }

    /// The value of a task, made (from `initial`, or of zeros) where there is none and `create` says so.
    pub(crate) fn value(
        &self,
        task: u64,
        create: bool,
        initial: Option<&[u8]>,
    ) -> Option<NonNull<u8>> {
        let mut values = lock(&self.values);
        if let Some(slab) = values.get(&task) {
            return Some(slab.at(0, 0));
        }
        if !create {
            return None;
        }
        let slab = Slab::new(self.value_size, 1).ok()?;
        if let Some(initial) = initial {
            slab.write(0, 0, initial);
        }
        let at = slab.at(0, 0);
        values.insert(task, slab);
        Some(at)
    }

    /// Forgets a task. No program that may hold its value must be running.
    pub fn end(&self, task: u64) -> Result<(), Errno> {
        let gone = lock(&self.values).remove(&task);
        gone.map(|_| ()).ok_or(Errno::NOENT)
    }
}

fn task(key: &[u8]) -> Option<u64> {
    Some(u32::from_ne_bytes(key.try_into().ok()?).into())
}

impl Store for TaskStorage {
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        self.value(task(key)?, false, None)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        let task = task(key).ok_or(Errno::INVAL)?;
        let values = lock(&self.values);
        match values.get(&task) {
            Some(_) if flags == BPF_NOEXIST => Err(Errno::EXIST),
            None if flags == BPF_EXIST => Err(Errno::NOENT),
            Some(slab) => {
                slab.write(0, 0, value);
                Ok(())
            }
            None => {
                drop(values);
                self.value(task, true, Some(value))
                    .map(|_| ())
                    .ok_or(Errno::NOMEM)
            }
        }
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.end(task(key).ok_or(Errno::INVAL)?)
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        lock(&self.values)
            .values()
            .any(|s| s.contains(address, size, 0))
    }

    fn tasks(&self) -> Option<&TaskStorage> {
        Some(self)
    }
}

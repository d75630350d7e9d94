//! Program arrays: where tail calls find their targets.

use std::sync::{Arc, Mutex};

use super::{MapSpec, Store, lock};
use crate::Errno;
use crate::program::Program;

/// Programs by index.
///
/// A program that is in an array which it uses itself keeps both alive: whoever is done removes the programs.
pub struct Programs(Box<[Mutex<Option<Arc<Program>>>]>);

impl Programs {
    pub(crate) fn new(spec: &MapSpec) -> Programs {
        Programs((0..spec.max_entries).map(|_| Mutex::new(None)).collect())
    }

    /// The program at an index.
    pub fn get(&self, index: u32) -> Option<Arc<Program>> {
        lock(self.0.get(index as usize)?).clone()
    }

    /// Puts a program at an index; `E2BIG` behind the end.
    pub fn set(&self, index: u32, program: Arc<Program>) -> Result<(), Errno> {
        let place = self.0.get(index as usize).ok_or(Errno::TOO_BIG)?;
        *lock(place) = Some(program);
        Ok(())
    }

    fn place(&self, key: &[u8]) -> Option<&Mutex<Option<Arc<Program>>>> {
        let index = u32::from_ne_bytes(key.try_into().ok()?);
        self.0.get(index as usize)
    }
}

impl Store for Programs {
    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let place = self.place(key).ok_or(Errno::TOO_BIG)?;
        lock(place).take().map(|_| ()).ok_or(Errno::NOENT)
    }

    fn programs(&self) -> Option<&Programs> {
        Some(self)
    }
}

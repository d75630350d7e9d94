//! Queues and stacks.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::{BPF_EXIST, MapSpec, MapType, Store, lock};
use crate::Errno;

pub(crate) struct Queue {
    values: Mutex<VecDeque<Box<[u8]>>>,
    entries: usize,
    last_first: bool,
}

impl Queue {
    pub(crate) fn new(spec: &MapSpec) -> Result<Queue, Errno> {
        Ok(Queue {
            values: Mutex::new(VecDeque::new()),
            entries: spec.max_entries as usize,
            last_first: spec.kind == MapType::Stack,
        })
    }
}

impl Store for Queue {
    /// With `BPF_EXIST` a full map forgets its oldest value.
    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 && flags != BPF_EXIST {
            return Err(Errno::INVAL);
        }
        let mut values = lock(&self.values);
        if values.len() == self.entries {
            if flags != BPF_EXIST {
                return Err(Errno::TOO_BIG);
            }
            values.pop_front();
        }
        values.push_back(value.into());
        Ok(())
    }

    fn pop(&self, value: &mut [u8]) -> Result<(), Errno> {
        let mut values = lock(&self.values);
        let next = if self.last_first {
            values.pop_back()
        } else {
            values.pop_front()
        };
        give(next.as_deref(), value)
    }

    fn peek(&self, value: &mut [u8]) -> Result<(), Errno> {
        let values = lock(&self.values);
        let next = if self.last_first {
            values.back()
        } else {
            values.front()
        };
        give(next.map(Box::as_ref), value)
    }
}

/// An empty map clears what it was to fill.
fn give(from: Option<&[u8]>, into: &mut [u8]) -> Result<(), Errno> {
    match from {
        Some(from) => {
            into.copy_from_slice(from);
            Ok(())
        }
        None => {
            into.fill(0);
            Err(Errno::NOENT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Map;

    fn filled(kind: MapType) -> std::sync::Arc<Map> {
        let map = Map::new(MapSpec::new(kind, 0, 1, 2), 1).expect("made");
        assert_eq!(map.set(&[], &[1], 0), Ok(()));
        assert_eq!(map.set(&[], &[2], 0), Ok(()));
        assert_eq!(map.set(&[], &[3], 0), Err(Errno::TOO_BIG));
        map
    }

    #[test]
    fn a_queue_gives_the_first_and_a_stack_the_last() {
        assert_eq!(filled(MapType::Queue).pop(), Ok(vec![1]));
        let stack = filled(MapType::Stack);
        assert_eq!((stack.pop(), stack.pop()), (Ok(vec![2]), Ok(vec![1])));
        assert_eq!(stack.pop(), Err(Errno::NOENT));
    }

    #[test]
    fn a_full_map_can_forget() {
        let queue = filled(MapType::Queue);
        assert_eq!(queue.set(&[], &[3], BPF_EXIST), Ok(()));
        assert_eq!((queue.pop(), queue.pop()), (Ok(vec![2]), Ok(vec![3])));
    }
}

//! Perf event arrays: records go to user space through a queue for each processor.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{MapSpec, Store, lock};
use crate::Errno;

/// Bytes of records that a processor's queue holds, as much as 64 pages of a kernel's buffer.
const MOST_BYTES: usize = 64 * 4096;

/// The records of a perf event array.
pub struct PerfEvents {
    queues: Box<[Mutex<Queue>]>,
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl PerfEvents {
    /// Without a number of entries there is one a processor, as loaders make it.
    pub(crate) fn new(spec: &MapSpec, cpus: u32) -> PerfEvents {
        let entries = match spec.max_entries {
            0 => cpus,
            entries => entries,
        };
        PerfEvents {
            queues: (0..entries).map(|_| Mutex::default()).collect(),
            lost: AtomicU64::new(0),
        }
    }

    /// Adds a record; `ENOSPC`, counted, where the queue is full.
    pub(crate) fn output(&self, cpu: u32, record: &[u8]) -> Result<(), Errno> {
        let queue = self.queues.get(cpu as usize).ok_or(Errno::TOO_BIG)?;
        let mut queue = lock(queue);
        if queue.bytes + record.len() > MOST_BYTES {
            self.lost.fetch_add(1, Relaxed);
            return Err(Errno::NOSPC);
        }
        queue.bytes += record.len();
        queue.records.push_back(record.into());
        Ok(())
    }

    /// Gives all records that are there to `sink`, processor by processor, until it answers `false`.
    pub fn drain(&self, sink: &mut dyn FnMut(u32, &[u8]) -> bool) -> u64 {
        let mut given = 0;
        for (cpu, queue) in self.queues.iter().enumerate() {
            loop {
                let record = {
                    let mut queue = lock(queue);
                    let record = queue.records.pop_front();
                    queue.bytes -= record.as_ref().map_or(0, |r| r.len());
                    record
                };
                let Some(record) = record else { break };
                given += 1;
                if !sink(cpu as u32, &record) {
                    return given;
                }
            }
        }
        given
    }

    /// Records that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl Store for PerfEvents {
    fn perf(&self) -> Option<&PerfEvents> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Map, MapType};

    #[test]
    fn a_full_queue_counts_what_it_lost() {
        let map = Map::new(MapSpec::new(MapType::PerfEventArray, 4, 4, 0), 2).expect("made");
        let perf = map.perf().expect("events");
        let record = vec![1; MOST_BYTES / 2];
        assert_eq!(perf.output(1, &record), Ok(()));
        assert_eq!(perf.output(1, &record), Ok(()));
        assert_eq!(perf.output(1, &[2]), Err(Errno::NOSPC));
        assert_eq!(perf.output(2, &[2]), Err(Errno::TOO_BIG));
        assert_eq!((perf.drain(&mut |_, _| true), perf.lost()), (2, 1));
        assert_eq!(perf.output(1, &[2]), Ok(()));
    }
}

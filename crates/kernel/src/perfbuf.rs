//! Records through perf buffers, one a processor, for kernels before 5.8, which have no ring buffer.

use std::io;
use std::os::fd::RawFd;

use crate::map::Map;
use crate::perfring::PerfRing;
use crate::sys::perf::{self, EventAttr, Scope};

/// `PERF_RECORD_LOST` and `PERF_RECORD_SAMPLE`.
const LOST: u32 = 2;
const SAMPLE: u32 = 9;

#[derive(Debug)]
pub(crate) struct PerfBuffer {
    rings: Vec<PerfRing>,
    /// Records that found no room.
    pub(crate) lost: u64,
}

impl PerfBuffer {
    /// Opens one buffer of `bytes` in all for these processors and puts them into the map.
    pub(crate) fn new(map: &Map, cpus: &[u32], bytes: usize) -> io::Result<PerfBuffer> {
        let page = crate::sys::mem::page_size();
        let pages = (bytes / page / cpus.len().max(1))
            .max(1)
            .next_power_of_two();
        let attr = EventAttr {
            kind: perf::kind::SOFTWARE,
            config: perf::software::BPF_OUTPUT,
            sample_period: 1,
            sample_type: perf::SAMPLE_RAW,
            wakeup: 1,
            ..Default::default()
        };
        let mut rings = Vec::with_capacity(cpus.len());
        for &cpu in cpus {
            let event = perf::open(attr, None, Scope::Cpu(cpu))?;
            let ring = PerfRing::new(event, pages)?;
            map.set(&cpu.to_ne_bytes(), &ring.raw_fd().to_ne_bytes())?;
            rings.push(ring);
        }
        for ring in &rings {
            ring.enable()?;
        }
        Ok(PerfBuffer { rings, lost: 0 })
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.rings.iter().map(PerfRing::raw_fd)
    }

    /// Gives every record to `sink` until it answers `false`: those of one processor in their order, one processor after the other.
    /// The answers are how many it got, and whether it may go on.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> (u64, bool) {
        let mut records = 0;
        let lost = &mut self.lost;
        for ring in &mut self.rings {
            let go_on = ring.drain(&mut |record| match record.kind {
                SAMPLE => match sample(record.body) {
                    Some(bytes) => {
                        records += 1;
                        sink(bytes)
                    }
                    None => true,
                },
                LOST => {
                    *lost += word(record.body, 8).unwrap_or(0);
                    true
                }
                _ => true,
            });
            if !go_on {
                return (records, false);
            }
        }
        (records, true)
    }
}

/// The raw bytes of a sample: a `u32` length, then the data.
fn sample(body: &[u8]) -> Option<&[u8]> {
    let (len, data) = body.split_first_chunk::<4>()?;
    data.get(..u32::from_ne_bytes(*len) as usize)
}

fn word(bytes: &[u8], offset: usize) -> Option<u64> {
    let word = bytes.get(offset..)?.first_chunk::<8>()?;
    Some(u64::from_ne_bytes(*word))
}

//! Bloom filters: sets that may say yes too often, but never no.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::table::hash;
use super::{BPF_ANY, MapSpec, Store};
use crate::Errno;

/// Hash functions where the map does not say how many (the kernel's default).
const HASHES: u32 = 5;

pub(crate) struct Bloom {
    bits: Box<[AtomicU64]>,
    mask: u32,
}

impl Bloom {
    pub(crate) fn new(spec: &MapSpec) -> Result<Bloom, Errno> {
        // As in the kernel: entries times hashes over ln 2 bits, a power of two.
        let wanted = u64::from(spec.max_entries) * u64::from(HASHES) * 7 / 5;
        let bits = wanted.next_power_of_two().clamp(64, 1 << 31);
        Ok(Bloom {
            bits: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(),
            mask: (bits - 1) as u32,
        })
    }

    /// The words and masks that stand for a value.
    fn places(&self, value: &[u8]) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let first = hash(value);
        let step = first.rotate_left(15).wrapping_mul(0x85eb_ca6b) | 1;
        (0..HASHES).filter_map(move |n| {
            let bit = first.wrapping_add(step.wrapping_mul(n)) & self.mask;
            let word = self.bits.get(bit as usize / 64)?;
            Some((word, 1 << (bit % 64)))
        })
    }
}

impl Store for Bloom {
    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != BPF_ANY {
            return Err(Errno::INVAL);
        }
        for (word, bit) in self.places(value) {
            word.fetch_or(bit, Relaxed);
        }
        Ok(())
    }

    fn peek(&self, value: &mut [u8]) -> Result<(), Errno> {
        if self
            .places(value)
            .all(|(word, bit)| word.load(Relaxed) & bit != 0)
        {
            Ok(())
        } else {
            Err(Errno::NOENT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Map, MapType};

    #[test]
    fn members_are_always_found_and_others_seldom() {
        let map = Map::new(MapSpec::new(MapType::BloomFilter, 0, 4, 1000), 1).expect("made");
        for n in 0..1000u32 {
            assert_eq!(map.set(&[], &n.to_ne_bytes(), 0), Ok(()));
        }
        let found = |n: u32| map.store().peek(&mut n.to_ne_bytes()).is_ok();
        assert!((0..1000).all(found));
        let wrong = (10_000..20_000).filter(|&n| found(n)).count();
        assert!(wrong < 800, "{wrong} of 10000");
    }
}

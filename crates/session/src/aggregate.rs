//! Aggregates: what every processor kept, put together.

use beetrace_object::{SeriesAggregate, TimeSeries};

use crate::value::{read_int, read_uint};

/// The parts of a value that are kept a processor: `size` bytes each, padded to eight.
pub fn per_cpu(value: &[u8], size: u32) -> impl Iterator<Item = &[u8]> {
    value.chunks((size as usize).next_multiple_of(8).max(8))
}

/// The sum of the 8-byte numbers; wraps.
pub fn sum(value: &[u8]) -> u64 {
    per_cpu(value, 8).fold(0, |sum, cpu| sum.wrapping_add(read_uint(cpu, 0, 8)))
}

/// The smallest or largest of the numbers that were set, zero where none was.
pub fn extreme(value: &[u8], signed: bool, largest: bool) -> i128 {
    let set = per_cpu(value, 16).filter(|cpu| read_uint(cpu, 8, 8) != 0);
    let numbers = set.map(|cpu| number(cpu, signed));
    let found = if largest {
        numbers.max()
    } else {
        numbers.min()
    };
    found.unwrap_or(0)
}

/// Total and count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mean {
    pub total: u64,
    pub count: u64,
}

impl Mean {
    pub fn new(value: &[u8]) -> Mean {
        per_cpu(value, 16).fold(Mean::default(), |mean, cpu| Mean {
            total: mean.total.wrapping_add(read_uint(cpu, 0, 8)),
            count: mean.count.wrapping_add(read_uint(cpu, 8, 8)),
        })
    }

    /// Total divided by count, rounded towards zero; zero of nothing.
    pub fn average(self, signed: bool) -> i128 {
        if self.count == 0 {
            return 0;
        }
        let total = if signed {
            i128::from(self.total as i64)
        } else {
            i128::from(self.total)
        };
        total / i128::from(self.count)
    }
}

/// Counters of a histogram, added up.
pub fn counters(value: &[u8], buckets: u32) -> Vec<u64> {
    let mut totals = vec![0u64; buckets as usize];
    for cpu in per_cpu(value, buckets.saturating_mul(8)) {
        for (i, total) in totals.iter_mut().enumerate() {
            *total = total.wrapping_add(read_uint(cpu, i * 8, 8));
        }
    }
    totals
}

fn number(cpu: &[u8], signed: bool) -> i128 {
    if signed {
        i128::from(read_int(cpu, 0, 8))
    } else {
        i128::from(read_uint(cpu, 0, 8))
    }
}

/// The values of a time series by epoch, in rising order.
pub fn series(value: &[u8], shape: TimeSeries) -> Vec<(u64, i128)> {
    let mut epochs = std::collections::BTreeMap::<u64, Vec<&[u8]>>::new();
    for cpu in per_cpu(value, shape.buckets.saturating_mul(32)) {
        for entry in cpu.chunks_exact(32).take(shape.buckets as usize) {
            if read_uint(entry, 16, 8) != 0 {
                epochs
                    .entry(read_uint(entry, 0, 8))
                    .or_default()
                    .push(entry);
            }
        }
    }
    epochs
        .into_iter()
        .map(|(epoch, entries)| (epoch, reduce(&entries, shape)))
        .collect()
}

fn reduce(entries: &[&[u8]], shape: TimeSeries) -> i128 {
    let meta = |e: &&&[u8]| read_uint(e, 16, 8);
    let values = entries.iter().map(|e| number(&e[8..], shape.signed));
    let result = match shape.aggregate {
        // The newest wins.
        None => entries
            .iter()
            .max_by_key(meta)
            .map(|e| number(&e[8..], shape.signed)),
        Some(SeriesAggregate::Max) => values.max(),
        Some(SeriesAggregate::Min) => values.min(),
        Some(SeriesAggregate::Sum) => Some(values.sum()),
        Some(SeriesAggregate::Avg) => {
            let count: i128 = entries
                .iter()
                .map(|e| i128::from(read_uint(e, 16, 8)))
                .sum();
            values.sum::<i128>().checked_div(count)
        }
    };
    result.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[i64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[test]
    fn sums_and_extremes_over_processors() {
        assert_eq!(sum(&words(&[1, 2, -1])), 2);
        let value = words(&[5, 1, -3, 1, 100, 0]);
        assert_eq!(extreme(&value, true, true), 5);
        assert_eq!(extreme(&value, true, false), -3);
        assert_eq!(extreme(&words(&[9, 0]), false, true), 0);
    }

    #[test]
    fn means() {
        let mean = Mean::new(&words(&[10, 3, -11, 2]));
        assert_eq!((mean.total as i64, mean.count), (-1, 5));
        assert_eq!(
            Mean {
                total: (-7i64) as u64,
                count: 2
            }
            .average(true),
            -3
        );
        assert_eq!(Mean::default().average(true), 0);
    }

    #[test]
    fn the_newest_value_of_an_interval_wins() {
        let shape = TimeSeries {
            interval: 1,
            buckets: 2,
            aggregate: None,
            signed: true,
        };
        let one = [7, 40, 100, 0, 8, 50, 101, 0];
        let two = [7, 41, 102, 0, 0, 0, 0, 0];
        let value = words(&[one, two].concat());
        assert_eq!(series(&value, shape), [(7, 41), (8, 50)]);
        let average = TimeSeries {
            aggregate: Some(SeriesAggregate::Sum),
            ..shape
        };
        assert_eq!(series(&value, average), [(7, 81), (8, 50)]);
    }
}

//! Histograms: from counters to rows with bounds, and their two printed forms.

use beetrace_object::Histogram;

use crate::json::write_json;
use crate::text::{write_display, write_value};
use crate::value::Value;

/// Width of the longest bar.
const BAR: usize = 52;

/// The rows from the first to the last counter that is not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub rows: Vec<Row>,
}

/// One interval: from `low` up to, not including, `high`; open where a bound is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub low: Option<Bound>,
    pub high: Option<Bound>,
    pub count: u64,
}

/// A bound, and how it is written where that is not simply its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    pub value: i64,
    pub label: Option<String>,
}

impl Bound {
    fn plain(value: i64) -> Bound {
        Bound { value, label: None }
    }

    fn text(&self) -> Value<'static> {
        self.label
            .as_ref()
            .map_or(Value::Int(self.value), Value::text)
    }
}

impl Rows {
    /// `counts` are the totals over processors; each is divided by `div` (linear histograms are never divided).
    pub fn new(shape: Histogram, counts: &[u64], div: u64) -> Rows {
        let Some(first) = counts.iter().position(|&c| c > 0) else {
            return Rows::default();
        };
        let last = counts.iter().rposition(|&c| c > 0).unwrap_or(first);
        let div = if matches!(shape, Histogram::Log2 { .. }) {
            div.max(1)
        } else {
            1
        };
        let row = |i: usize| Row {
            low: low_bound(shape, i),
            high: high_bound(shape, i),
            count: counts[i] / div,
        };
        Rows {
            rows: (first..=last).map(row).collect(),
        }
    }

    /// The sum by which maps of histograms are sorted.
    pub fn total(counts: &[u64]) -> u64 {
        counts.iter().fold(0, |sum, c| sum.wrapping_add(*c))
    }

    pub fn write_text(&self, out: &mut Vec<u8>) {
        let most = self.rows.iter().map(|r| r.count).max().unwrap_or(0);
        for row in &self.rows {
            let mut head = Vec::new();
            row.write_interval(&mut head);
            let head = String::from_utf8_lossy(&head).into_owned();
            let bar = if most == 0 {
                0
            } else {
                (row.count as f32 / most as f32 * BAR as f32) as usize
            };
            let bar = "@".repeat(bar);
            write_display(
                out,
                format_args!("{head:<16}{:>8} |{bar:<BAR$}|\n", row.count),
            );
        }
    }

    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, row) in self.rows.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",{" } else { b"{" });
            if let Some(low) = &row.low {
                out.extend_from_slice(b"\"min\": ");
                write_json(out, &Value::Int(low.value));
                out.extend_from_slice(b", ");
            }
            if let Some(high) = &row.high {
                // JSON has closed intervals.
                out.extend_from_slice(b"\"max\": ");
                write_json(out, &Value::Int(high.value.wrapping_sub(1)));
                out.extend_from_slice(b", ");
            }
            write_display(out, format_args!("\"count\": {}}}", row.count));
        }
        out.push(b']');
    }
}

impl Row {
    fn write_interval(&self, out: &mut Vec<u8>) {
        match (&self.low, &self.high) {
            (None, None) => out.extend_from_slice(b"(..., ...)"),
            (None, Some(high)) => {
                out.extend_from_slice(b"(..., ");
                write_value(out, &high.text());
                out.push(b')');
            }
            (Some(low), None) => {
                out.push(b'[');
                write_value(out, &low.text());
                out.extend_from_slice(b", ...)");
            }
            // An interval of one plain number is that number.
            (Some(low), Some(high))
                if low.label.is_none()
                    && high.label.is_none()
                    && low.value.checked_add(1) == Some(high.value) =>
            {
                out.push(b'[');
                write_value(out, &low.text());
                out.push(b']');
            }
            (Some(low), Some(high)) => {
                out.push(b'[');
                write_value(out, &low.text());
                out.extend_from_slice(b", ");
                write_value(out, &high.text());
                out.push(b')');
            }
        }
    }
}

fn low_bound(shape: Histogram, bucket: usize) -> Option<Bound> {
    bucket
        .checked_sub(1)
        .and_then(|below| high_bound(shape, below))
}

fn high_bound(shape: Histogram, bucket: usize) -> Option<Bound> {
    match shape {
        Histogram::Log2 { bits } => Some(log2_bound(bucket as u64, u32::from(bits))),
        Histogram::Linear { min, max, step } => {
            let value = i64::try_from(bucket)
                .ok()
                .and_then(|b| b.checked_mul(step))
                .and_then(|b| b.checked_add(min))?;
            (value <= max).then(|| linear_bound(value, step))
        }
    }
}

/// The upper bound of a log2 bucket. Above the first `2 << bits` each bound is a power of two times a small number, written
/// with the suffix of the power.
fn log2_bound(bucket: u64, bits: u32) -> Bound {
    let parts = 1u64 << bits;
    if bucket <= parts * 2 {
        return Bound::plain(bucket as i64);
    }
    let power = (bucket >> bits) as u32 - 1;
    let mantissa = parts + (bucket & (parts - 1));
    let value = mantissa.checked_shl(power).unwrap_or(u64::MAX);
    let suffix = ["", "K", "M", "G", "T", "P", "E"]
        .get(power as usize / 10)
        .unwrap_or(&"E");
    Bound {
        value: value as i64,
        label: Some(format!("{}{suffix}", mantissa << (power % 10))),
    }
}

fn linear_bound(value: i64, step: i64) -> Bound {
    const KILO: i64 = 1024;
    const MEGA: i64 = KILO * KILO;
    let label = if step % KILO != 0 {
        None
    } else if value != 0 && value % MEGA == 0 {
        Some(format!("{}M", value / MEGA))
    } else if value != 0 && value % KILO == 0 {
        Some(format!("{}K", value / KILO))
    } else {
        Some(value.to_string())
    };
    Bound { value, label }
}

#[cfg(test)]
mod tests {
    use beetrace_object::log2_bucket;

    use super::*;

    fn text(shape: Histogram, bits: Option<u8>, samples: &[i64]) -> String {
        let mut counts = vec![0; shape.buckets() as usize];
        for &n in samples {
            let bucket =
                match (bits, shape) {
                    (Some(bits), _) => log2_bucket(n, bits) as usize,
                    (None, Histogram::Linear { min, max, .. }) if n < min || n >= max => {
                        if n < min { 0 } else { counts.len() - 1 }
                    }
                    (None, Histogram::Linear { min, step, .. }) => ((n - min) / step) as usize + 1,
                    _ => 0,
                };
            counts[bucket] += 1;
        }
        let mut out = Vec::new();
        Rows::new(shape, &counts, 1).write_text(&mut out);
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|l| l.split('|').next().unwrap().trim_end().to_string() + "\n")
            .collect()
    }

    #[test]
    fn powers_of_two() {
        assert_eq!(
            text(Histogram::Log2 { bits: 0 }, Some(0), &[-1, 0, 1, 2, 5, 5]),
            "(..., 0)               1\n[0]                    1\n[1]                    1\n[2, 4)                 1\n[4, 8)                 2\n"
        );
        assert_eq!(
            text(Histogram::Log2 { bits: 0 }, Some(0), &[1024]),
            "[1K, 2K)               1\n"
        );
    }

    #[test]
    fn finer_parts() {
        assert_eq!(
            text(Histogram::Log2 { bits: 2 }, Some(2), &[8, 9, 10]),
            "[8, 10)                2\n[10, 12)               1\n"
        );
    }

    #[test]
    fn linear_steps() {
        let shape = Histogram::Linear {
            min: 0,
            max: 30,
            step: 10,
        };
        assert_eq!(
            text(shape, None, &[-5, 2, 12, 1000]),
            "(..., 0)               1\n[0, 10)                1\n[10, 20)               1\n[20, 30)               0\n[30, ...)              1\n"
        );
    }

    #[test]
    fn the_largest_count_fills_the_bar() {
        let mut out = Vec::new();
        Rows::new(Histogram::Log2 { bits: 0 }, &[0, 0, 0, 1, 4], 1).write_text(&mut out);
        let text = String::from_utf8(out).unwrap();
        let bars: Vec<usize> = text.lines().map(|l| l.matches('@').count()).collect();
        assert_eq!(bars, [13, 52]);
    }

    #[test]
    fn json_bounds_are_closed() {
        let mut out = Vec::new();
        Rows::new(Histogram::Log2 { bits: 0 }, &[1, 0, 0, 2], 1).write_json(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[{"max": -1, "count": 1},{"min": 0, "max": 0, "count": 0},{"min": 1, "max": 1, "count": 0},{"min": 2, "max": 3, "count": 2}]"#
        );
    }
}

//! Time series: a graph in text, a list in JSON.

use beetrace_object::{Clock, TimeSeries};

use crate::json::{write_json, write_string};
use crate::resolve::Resolve;
use crate::text::write_display;
use crate::value::Value;

/// Width of the graph in columns, its edges included.
const WIDTH: usize = 53;
/// Columns that the smaller bound has in the line of bounds.
const BOUND: usize = 21;
const SECOND: u64 = 1_000_000_000;

/// Values by interval, from the first that has one to the last of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Start of each interval in nanoseconds since 1970, and its value.
    pub points: Vec<(u64, Option<i128>)>,
    /// Whether the values can be negative.
    pub signed: bool,
}

impl Series {
    /// `newest` is the latest epoch of all keys of the map.
    pub fn new(values: &[(u64, i128)], shape: TimeSeries, newest: u64) -> Series {
        let oldest = newest.saturating_sub(u64::from(shape.buckets).saturating_sub(1));
        let first = values
            .iter()
            .map(|v| v.0)
            .filter(|epoch| *epoch >= oldest)
            .min()
            .unwrap_or(newest);
        let value = |epoch: u64| values.iter().find(|v| v.0 == epoch).map(|v| v.1);
        let point = |epoch: u64| (epoch.saturating_mul(shape.interval), value(epoch));
        Series {
            points: (first..=newest).map(point).collect(),
            signed: shape.signed,
        }
    }

    pub fn write_text(&self, out: &mut Vec<u8>, resolve: &mut dyn Resolve) {
        let known = || self.points.iter().filter_map(|p| p.1);
        let (Some(&(first, _)), Some(&(last, _))) = (self.points.first(), self.points.last())
        else {
            out.extend_from_slice(b"<no data>");
            return;
        };
        let (mut min, mut max) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
        if min == max {
            let least = if self.signed { i128::MIN } else { 0 };
            (min, max) = ((min - 1).max(least), max + 1);
        }
        let steps = self.points.len().saturating_sub(1).max(1) as u64;
        let (unit, digits) = unit((last - first) / steps);
        let head = format!("hh:mm:ss{unit}");
        let indent = 8 + if digits > 0 { 1 + digits } else { 0 };
        let bounds = format!("{min:<BOUND$}{max:>rest$}\n", rest = WIDTH - BOUND);
        write_display(out, format_args!("{:indent$} {bounds}", ""));
        let head_padding = (indent + 1).saturating_sub(head.len());
        write_display(
            out,
            format_args!("{head}{:head_padding$}|{}|\n", "", "_".repeat(WIDTH - 2)),
        );

        let zero = (min < 0 && max > 0)
            .then(|| (WIDTH as f32 * (-min) as f32 / (max - min) as f32) as usize);
        for &(time, value) in &self.points {
            let mut line = vec![b' '; WIDTH];
            line[0] = b'|';
            line[WIDTH - 1] = b'|';
            if let Some(at) = zero.and_then(|z| line.get_mut(z)) {
                *at = b'.';
            }
            if let Some(n) = value {
                let at = ((WIDTH - 1) as f32 * (n - min) as f32 / (max - min) as f32) as usize;
                line[at.min(WIDTH - 1)] = b'*';
            }
            let clock = resolve.timestamp("%H:%M:%S", time, Clock::Tai);
            let fraction = (time % SECOND) / 10u64.pow(9 - digits as u32);
            out.extend_from_slice(clock.as_bytes());
            if digits > 0 {
                write_display(out, format_args!(".{fraction:0digits$}"));
            }
            out.push(b' ');
            out.extend_from_slice(&line);
            match value {
                Some(n) => write_display(out, format_args!(" {n}\n")),
                None => out.extend_from_slice(b" -\n"),
            }
        }
        write_display(
            out,
            format_args!("{:indent$} v{}v\n", "", "_".repeat(WIDTH - 2)),
        );
        write_display(out, format_args!("{:indent$} {bounds}", ""));
    }

    pub fn write_json(&self, out: &mut Vec<u8>, resolve: &mut dyn Resolve) {
        out.push(b'[');
        let known = self.points.iter().filter_map(|p| p.1.map(|n| (p.0, n)));
        for (i, (time, n)) in known.enumerate() {
            let clock = resolve.timestamp("%Y-%m-%dT%H:%M:%S", time, Clock::Tai);
            out.extend_from_slice(if i > 0 {
                b",{\"interval_start\":"
            } else {
                b"{\"interval_start\":"
            });
            write_string(out, format!("{clock}.{:09}", time % SECOND).as_bytes());
            out.extend_from_slice(b",\"value\":");
            write_json(out, &Value::Int(n as i64));
            out.push(b'}');
        }
        out.push(b']');
    }
}

/// The unit in which an interval is shown, and how many digits of a second that takes.
fn unit(interval: u64) -> (&'static str, usize) {
    match interval {
        SECOND.. => ("", 0),
        1_000_000.. => (".ms", 3),
        1_000.. => (".μs", 6),
        _ => (".ns", 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Unresolved;

    fn shape(buckets: u32) -> TimeSeries {
        TimeSeries {
            interval: 1_000_000_000,
            buckets,
            aggregate: None,
            signed: true,
        }
    }

    #[test]
    fn intervals_without_a_value_stay_empty() {
        let series = Series::new(&[(3, 1), (5, 2)], shape(4), 6);
        assert_eq!(
            series.points,
            [
                (3_000_000_000, Some(1)),
                (4_000_000_000, None),
                (5_000_000_000, Some(2)),
                (6_000_000_000, None)
            ]
        );
    }

    #[test]
    fn old_values_drop_out() {
        let series = Series::new(&[(1, 1), (5, 2)], shape(2), 5);
        assert_eq!(series.points, [(5_000_000_000, Some(2))]);
    }

    #[test]
    fn a_graph_of_three_points() {
        let mut out = Vec::new();
        Series::new(&[(0, -10), (1, 0), (2, 10)], shape(3), 2)
            .write_text(&mut out, &mut Unresolved);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7);
        assert_eq!(lines[0], format!("{:9}{:<21}{:>32}", "", "-10", "10"));
        assert_eq!(lines[1], format!("hh:mm:ss |{}|", "_".repeat(51)));
        assert!(lines[2].ends_with("-10") && lines[2].contains('*'));
        assert!(lines[4].ends_with("* 10"));
    }
}

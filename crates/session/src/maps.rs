//! Maps: entries collected, sorted and put into the shape that is printed.

use std::cmp::Ordering;

use beetrace_engine::Entry;
use beetrace_object::{Histogram, Layout, UserMap};

use crate::aggregate::{self, Mean};
use crate::histogram::Rows;
use crate::resolve::Resolve;
use crate::series::Series;
use crate::value::{Value, decode};

/// One printed value of a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    Plain(Value<'a>),
    /// An average, or count, average and total: JSON calls such maps `stats`.
    Stats(Value<'a>),
    Histogram(Rows),
    Series(Series),
}

/// A map ready to print.
#[derive(Clone, Debug, PartialEq)]
pub enum Table<'a> {
    Scalar(Item<'a>),
    Keyed(Vec<(Value<'a>, Item<'a>)>),
}

/// What `print(@map, top, div)` asks for; zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrintOptions {
    /// Only so many, the largest.
    pub top: u32,
    pub div: u32,
}

/// Builds the table of a map, or `None` for one without keys that was never set.
pub fn table<'a>(
    map: &'a UserMap,
    entries: &'a [Entry],
    options: PrintOptions,
    resolve: &mut dyn Resolve,
) -> Option<Table<'a>> {
    let mut rows: Vec<Row<'a>> = entries.iter().map(|e| Row::new(map, e)).collect();
    // Keys first, so that equal values come in the order of their keys.
    rows.sort_by(|a, b| {
        compare_keys(&map.key, &a.entry.key, &b.entry.key)
            .then_with(|| a.entry.key.cmp(&b.entry.key))
    });
    rows.sort_by(|a, b| a.rank.cmp(&b.rank));
    let skip = match options.top as usize {
        0 => 0,
        top => rows.len().saturating_sub(top),
    };
    let newest = newest_epoch(map, entries);
    let div = i128::from(options.div.max(1));
    let mut item = |row: &Row<'a>| row.item(&map.value, div, newest, resolve);
    if map.scalar {
        return rows.first().map(|row| Table::Scalar(item(row)));
    }
    let items: Vec<Item<'a>> = rows[skip..].iter().map(&mut item).collect();
    let keys = rows[skip..]
        .iter()
        .map(|row| decode(&map.key, &row.entry.key, resolve))
        .collect::<Vec<_>>();
    Some(Table::Keyed(keys.into_iter().zip(items).collect()))
}

/// The table of a map without keys that was never set: `print(@x)` shows zero.
pub fn unset<'a>(map: &'a UserMap, zeros: &'a [u8], resolve: &mut dyn Resolve) -> Table<'a> {
    Table::Scalar(match &map.value {
        Layout::Hist(_) => Item::Histogram(Rows::default()),
        Layout::TSeries(shape) => Item::Series(Series {
            points: Vec::new(),
            signed: shape.signed,
        }),
        _ => Row {
            entry_value: zeros,
            rank: Rank::None,
            entry: &NO_ENTRY,
        }
        .item(&map.value, 1, 0, resolve),
    })
}

static NO_ENTRY: Entry = Entry {
    key: Vec::new(),
    value: Vec::new(),
};

struct Row<'a> {
    entry: &'a Entry,
    entry_value: &'a [u8],
    rank: Rank,
}

/// What a map is sorted by, least first. Values that are no numbers leave the order to the keys.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    None,
    Number(i128),
}

impl<'a> Row<'a> {
    fn new(map: &UserMap, entry: &'a Entry) -> Row<'a> {
        Row {
            entry,
            entry_value: &entry.value,
            rank: rank(&map.value, &entry.value),
        }
    }

    fn item(
        &self,
        layout: &'a Layout,
        div: i128,
        newest: u64,
        resolve: &mut dyn Resolve,
    ) -> Item<'a> {
        let value = self.entry_value;
        match layout {
            Layout::Avg { signed } => {
                Item::Stats(integer(Mean::new(value).average(*signed) / div, *signed))
            }
            Layout::Stats { signed } => {
                let mean = Mean::new(value);
                let total = if *signed {
                    i128::from(mean.total as i64)
                } else {
                    i128::from(mean.total)
                };
                Item::Stats(Value::Record(vec![
                    ("count".into(), Value::Uint(mean.count)),
                    (
                        "average".into(),
                        integer(mean.average(*signed) / div, *signed),
                    ),
                    ("total".into(), integer(total, *signed)),
                ]))
            }
            Layout::Hist(shape) => {
                let counts = aggregate::counters(value, shape.buckets());
                Item::Histogram(Rows::new(*shape, &counts, div as u64))
            }
            Layout::TSeries(shape) => Item::Series(Series::new(
                &aggregate::series(value, *shape),
                *shape,
                newest,
            )),
            Layout::Int { signed, .. } => {
                let n = decode(layout, value, resolve).number().unwrap_or(0);
                Item::Plain(integer(n / div, *signed))
            }
            _ => match total(layout, value) {
                Some((n, signed)) => Item::Plain(integer(n / div, signed)),
                None => Item::Plain(decode(layout, value, resolve)),
            },
        }
    }
}

fn integer(n: i128, signed: bool) -> Value<'static> {
    if signed {
        Value::Int(n as i64)
    } else {
        Value::Uint(n as u64)
    }
}

/// The number that a simple aggregate stands for, and its sign.
fn total(layout: &Layout, value: &[u8]) -> Option<(i128, bool)> {
    Some(match layout {
        Layout::Count => (i128::from(aggregate::sum(value)), false),
        Layout::Sum { signed: true } => (i128::from(aggregate::sum(value) as i64), true),
        Layout::Sum { signed: false } => (i128::from(aggregate::sum(value)), false),
        Layout::Min { signed } => (aggregate::extreme(value, *signed, false), *signed),
        Layout::Max { signed } => (aggregate::extreme(value, *signed, true), *signed),
        _ => return None,
    })
}

fn rank(layout: &Layout, value: &[u8]) -> Rank {
    match layout {
        Layout::Hist(shape) => Rank::Number(i128::from(hist_total(*shape, value))),
        Layout::Avg { signed } | Layout::Stats { signed } => {
            Rank::Number(Mean::new(value).average(*signed))
        }
        Layout::Int { size, signed } => {
            let size = usize::from(*size);
            Rank::Number(if *signed {
                i128::from(crate::value::read_int(value, 0, size))
            } else {
                i128::from(crate::value::read_uint(value, 0, size))
            })
        }
        _ => total(layout, value).map_or(Rank::None, |(n, _)| Rank::Number(n)),
    }
}

fn hist_total(shape: Histogram, value: &[u8]) -> u64 {
    Rows::total(&aggregate::counters(value, shape.buckets()))
}

fn newest_epoch(map: &UserMap, entries: &[Entry]) -> u64 {
    let Layout::TSeries(shape) = &map.value else {
        return 0;
    };
    let last = |e: &Entry| {
        aggregate::series(&e.value, *shape)
            .last()
            .map(|(epoch, _)| *epoch)
    };
    entries.iter().filter_map(last).max().unwrap_or(0)
}

/// Integers as signed numbers, strings by their bytes, tuples member by member; all else as equal.
fn compare_keys(layout: &Layout, a: &[u8], b: &[u8]) -> Ordering {
    match layout {
        Layout::Int { size, .. } => {
            let size = usize::from(*size);
            crate::value::read_int(a, 0, size).cmp(&crate::value::read_int(b, 0, size))
        }
        Layout::Str { .. } => a.cmp(b),
        Layout::Tuple(members) => members
            .members
            .iter()
            .map(|m| {
                let range = m.offset as usize..(m.offset + m.layout.size()) as usize;
                match (a.get(range.clone()), b.get(range)) {
                    (Some(a), Some(b)) => compare_keys(&m.layout, a, b),
                    _ => Ordering::Equal,
                }
            })
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal),
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Unresolved;

    fn entry(key: i64, value: &[i64]) -> Entry {
        let words = |w: &[i64]| w.iter().flat_map(|n| n.to_ne_bytes()).collect();
        Entry {
            key: words(&[key]),
            value: words(value),
        }
    }

    fn keyed(value: Layout, entries: &[Entry], options: PrintOptions) -> Vec<(String, String)> {
        let map = UserMap {
            key: Layout::Int {
                size: 8,
                signed: true,
            },
            value,
            scalar: false,
        };
        let Some(Table::Keyed(rows)) = table(&map, entries, options, &mut Unresolved) else {
            panic!("no table")
        };
        rows.into_iter()
            .map(|(k, i)| match i {
                Item::Plain(v) | Item::Stats(v) => (show(&k), show(&v)),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn show(v: &Value<'_>) -> String {
        let mut out = Vec::new();
        crate::text::write_value(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_sort_by_value_then_key() {
        let entries = [entry(3, &[5, 5]), entry(1, &[10, 0]), entry(2, &[1, 2])];
        let rows = keyed(Layout::Count, &entries, PrintOptions::default());
        assert_eq!(
            rows,
            [("2", "3"), ("1", "10"), ("3", "10")].map(|(a, b)| (a.to_string(), b.to_string()))
        );
    }

    #[test]
    fn top_keeps_the_largest_and_div_scales() {
        let entries = [entry(1, &[100]), entry(2, &[300]), entry(3, &[200])];
        let rows = keyed(
            Layout::Sum { signed: true },
            &entries,
            PrintOptions { top: 2, div: 100 },
        );
        assert_eq!(
            rows,
            [("3", "2"), ("2", "3")].map(|(a, b)| (a.to_string(), b.to_string()))
        );
    }

    #[test]
    fn averages_and_stats() {
        let entries = [entry(1, &[10, 4])];
        assert_eq!(
            keyed(
                Layout::Avg { signed: true },
                &entries,
                PrintOptions::default()
            )[0]
            .1,
            "2"
        );
        assert_eq!(
            keyed(
                Layout::Stats { signed: true },
                &entries,
                PrintOptions::default()
            )[0]
            .1,
            "{ .count = 4, .average = 2, .total = 10 }"
        );
    }

    #[test]
    fn an_unset_scalar_has_no_table() {
        let map = UserMap {
            key: Layout::Unit,
            value: Layout::Count,
            scalar: true,
        };
        assert_eq!(
            table(&map, &[], PrintOptions::default(), &mut Unresolved),
            None
        );
        assert_eq!(
            unset(&map, &[0; 8], &mut Unresolved),
            Table::Scalar(Item::Plain(Value::Uint(0)))
        );
    }
}

//! Timers: `interval` fires on one processor, `profile` on all of them.

use std::fmt;

use beetrace_object::{Event, Period, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Parts};
use crate::number::{NumberError, parse_uint};
use crate::provider::Provider;
use crate::wildcard::has_wildcard;
use crate::{Arguments, Context, Match};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    pub unit: Unit,
    /// In that unit; never zero.
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    /// Times a second.
    Hertz,
}

impl Unit {
    /// Sorted by name, as `-l` shows them.
    pub(crate) const ALL: [Unit; 4] = [
        Unit::Hertz,
        Unit::Milliseconds,
        Unit::Seconds,
        Unit::Microseconds,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "us",
            Unit::Hertz => "hz",
        }
    }

    fn find(name: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.name() == name)
    }

    fn nanos(self) -> Option<u64> {
        match self {
            Unit::Seconds => Some(NANOS_PER_SECOND),
            Unit::Milliseconds => Some(1_000_000),
            Unit::Microseconds => Some(1_000),
            Unit::Hertz => None,
        }
    }
}

impl Timer {
    /// Time between two calls, at least one nanosecond.
    pub fn nanos(self) -> u64 {
        match self.unit.nanos() {
            Some(unit) => unit.saturating_mul(self.count),
            None => (NANOS_PER_SECOND / self.count.max(1)).max(1),
        }
    }

    fn period(self) -> Period {
        match self.unit {
            Unit::Hertz => Period::Frequency(self.count),
            _ => Period::Nanos(self.nanos()),
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.unit.name(), self.count)
    }
}

pub(crate) fn parse(parts: &Parts<'_>) -> Result<Timer, ParseError> {
    let provider = parts.provider;
    let rate = |index| -> Result<u64, ParseError> {
        parse_uint(parts.text(index)).map_err(|error| {
            parts.error_at(index, format!("Invalid rate of {provider} probe: {error}"))
        })
    };
    let timer = match parts.items.len() {
        1 if has_wildcard(parts.text(0)) => return Err(unknown_unit(parts)),
        1 => {
            let nanos = rate(0)?;
            if nanos < 1_000 {
                return Err(parts
                    .error_at(
                        0,
                        format!(
                            "Invalid rate of {provider} probe. Minimum is 1000 or 1us. Found: {nanos} nanoseconds"
                        ),
                    )
                    .help(format!(
                        "a number without a unit is nanoseconds: write `{provider}:{nanos}s` or `{provider}:{nanos}ms`"
                    )));
            }
            Timer {
                unit: Unit::Microseconds,
                count: nanos / 1_000,
            }
        }
        2 => {
            let count = rate(1)?;
            let unit = Unit::find(parts.text(0)).ok_or_else(|| unknown_unit(parts))?;
            Timer { unit, count }
        }
        _ => return Err(parts.count_error("1 or 2")),
    };
    if timer.count == 0 {
        return Err(parts.error_at(
            1,
            format!("{provider} frequency should be a positive integer"),
        ));
    }
    if timer
        .unit
        .nanos()
        .is_some_and(|unit| unit.checked_mul(timer.count).is_none())
    {
        let error = NumberError::Overflow {
            max: u64::MAX / timer.unit.nanos().unwrap_or(1),
            text: parts.text(1).into(),
        };
        return Err(parts.error_at(1, format!("Invalid rate of {provider} probe: {error}")));
    }
    Ok(timer)
}

fn unknown_unit(parts: &Parts<'_>) -> ParseError {
    parts
        .error_at(
            0,
            format!("{} is not an accepted unit of time", parts.text(0)),
        )
        .help("the units are `s`, `ms`, `us` and `hz`")
}

pub(crate) fn resolve(point: &AttachPoint, timer: Timer) -> Match {
    let event = match point.provider {
        Provider::Profile => Event::Profile {
            period: timer.period(),
        },
        _ => Event::Interval {
            nanos: timer.nanos(),
        },
    };
    Match::new(
        point.to_string(),
        event,
        ProgramKind::PerfEvent,
        Context::PerfEvent,
        Arguments::None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach_point::Target;

    fn timer(text: &str) -> Match {
        let point = AttachPoint::parse(text).unwrap();
        let Target::Timer(timer) = point.target else {
            panic!("{text} is no timer")
        };
        resolve(&point, timer)
    }

    #[test]
    fn every_way_to_say_how_often() {
        for (text, name, nanos) in [
            ("interval:s:1", "interval:s:1", 1_000_000_000),
            ("i:ms:100", "interval:ms:100", 100_000_000),
            ("interval:us:5", "interval:us:5", 5_000),
            ("interval:hz:99", "interval:hz:99", 10_101_010),
            ("interval:1s", "interval:us:1000000", 1_000_000_000),
            ("interval:1000000000", "interval:us:1000000", 1_000_000_000),
            ("interval:1e9", "interval:us:1000000", 1_000_000_000),
            ("i:2m", "interval:us:120000000", 120_000_000_000),
        ] {
            let found = timer(text);
            assert_eq!(found.spec.name, name, "{text}");
            assert_eq!(found.spec.event, Event::Interval { nanos }, "{text}");
        }
    }

    #[test]
    fn profile_keeps_a_frequency() {
        assert_eq!(
            timer("p:hz:99").spec.event,
            Event::Profile {
                period: Period::Frequency(99)
            }
        );
        assert_eq!(
            timer("profile:10ms").spec.event,
            Event::Profile {
                period: Period::Nanos(10_000_000)
            }
        );
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            (
                "interval:1",
                "Invalid rate of interval probe. Minimum is 1000 or 1us. Found: 1 nanoseconds",
            ),
            (
                "interval:1x",
                "Invalid rate of interval probe: invalid trailing bytes: 1x",
            ),
            (
                "interval",
                "interval probe type requires 1 or 2 arguments, found 0",
            ),
            (
                "interval:s",
                "Invalid rate of interval probe: invalid integer: s",
            ),
            (
                "interval:s:0",
                "interval frequency should be a positive integer",
            ),
            ("profile:unit:100", "unit is not an accepted unit of time"),
            ("interval:*", "* is not an accepted unit of time"),
            (
                "interval:us:1e20",
                "Invalid rate of interval probe: overflow error, maximum value is 18446744073709551615: 1e20",
            ),
            (
                "interval:s:1e11",
                "Invalid rate of interval probe: overflow error, maximum value is 18446744073: 1e11",
            ),
        ] {
            assert_eq!(
                AttachPoint::parse(text).map_err(|error| error.message),
                Err(message.into()),
                "{text}"
            );
        }
    }
}

//! Times of day, by strftime's formats with three more: `%f` microseconds, `%l` milliseconds, `%k` nanoseconds.

use std::fmt::Write as _;

use beetrace_object::Clock;
use chrono::{DateTime, Local, TimeZone};
use rustix::time::{ClockId, DynamicClockId, clock_gettime, clock_gettime_dynamic};

const SECOND: i128 = 1_000_000_000;

fn read(clock: ClockId) -> i128 {
    nanos(clock_gettime(clock))
}

fn nanos(t: rustix::time::Timespec) -> i128 {
    i128::from(t.tv_sec) * SECOND + i128::from(t.tv_nsec)
}

/// What `CLOCK_BOOTTIME` shows, in nanoseconds.
pub fn boot_time() -> u64 {
    read(ClockId::Boottime) as u64
}

/// `CLOCK_TAI` minus `CLOCK_MONOTONIC`, in nanoseconds.
pub fn tai_offset() -> u64 {
    let tai = clock_gettime_dynamic(DynamicClockId::Tai);
    // A kernel without the clock has no offset either.
    tai.map_or(0, |t| (nanos(t) - read(ClockId::Monotonic)) as u64)
}

/// Turns the clocks of programs into time of day.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`.
    boot: i128,
}

impl WallClock {
    pub fn new() -> WallClock {
        // The smallest of a few differences: the one with the least time between the two readings.
        let difference = || read(ClockId::Realtime) - read(ClockId::Boottime);
        WallClock {
            boot: (0..5).map(|_| difference()).min().unwrap_or(0),
        }
    }

    /// Nanoseconds since 1970.
    pub fn nanos(&self, nanos: u64, clock: Clock) -> u64 {
        self.total(nanos, clock).clamp(0, i128::from(u64::MAX)) as u64
    }

    fn total(&self, nanos: u64, clock: Clock) -> i128 {
        i128::from(nanos) + if clock == Clock::Boot { self.boot } else { 0 }
    }

    /// Only the boot clock has a known relation to the time of day; other clocks' numbers are taken as nanoseconds since 1970.
    pub fn format(&self, format: &str, nanos: u64, clock: Clock) -> String {
        let total = self.total(nanos, clock);
        let (seconds, fraction) = (total.div_euclid(SECOND), total.rem_euclid(SECOND));
        let time = i64::try_from(seconds)
            .ok()
            .and_then(|s| Local.timestamp_opt(s, fraction as u32).single());
        time.map_or_else(|| "(?)".into(), |t| show(format, t))
    }
}

impl Default for WallClock {
    fn default() -> Self {
        WallClock::new()
    }
}

/// The time now.
pub fn now(format: &str) -> String {
    show(format, Local::now())
}

fn show(format: &str, time: DateTime<Local>) -> String {
    let nanos = time.timestamp_subsec_nanos();
    let format = format
        .replace("%f", &format!("{:06}", nanos / 1_000))
        .replace("%k", &format!("{nanos:09}"))
        .replace("%l", &format!("{:03}", nanos / 1_000_000));
    let mut text = String::new();
    // A conversion that does not exist is an error of `Display`: show the format as it is.
    match write!(text, "{}", time.format(&format)) {
        Ok(()) => text,
        Err(_) => format,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_second() {
        let clock = WallClock { boot: 0 };
        let shown = clock.format("%S.%f %l %k", 1_234_567_891, Clock::Boot);
        assert_eq!(shown, "01.234567 234 234567891");
    }

    #[test]
    fn a_bad_format_shows_itself() {
        assert_eq!(WallClock { boot: 0 }.format("%!", 0, Clock::Boot), "%!");
    }
}

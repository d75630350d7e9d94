//! Clocks.

use super::family;
use crate::world::Clock;

/// Ticks a second of the kernel's `jiffies`, as most distributions configure it.
const TICKS: u64 = 250;

family! {
    KTIME_GET_NS => |run, _| run.world.now(Clock::Monotonic),
    KTIME_GET_BOOT_NS => |run, _| run.world.now(Clock::Boot),
    KTIME_GET_COARSE_NS => |run, _| run.world.now(Clock::Coarse),
    KTIME_GET_TAI_NS => |run, _| run.world.now(Clock::Tai),
    JIFFIES64 => |run, _| run.world.now(Clock::Monotonic) / (1_000_000_000 / TICKS),
}

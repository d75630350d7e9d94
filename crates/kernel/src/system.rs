//! Processors of the machine.

use std::fs;

const FOLDER: &str = "/sys/devices/system/cpu";

/// Numbers of the processors that are running.
pub(crate) fn online_cpus() -> Vec<u32> {
    list("online")
}

/// Numbers of the processors that could ever run: per-CPU maps have a value for each.
pub(crate) fn possible_cpus() -> Vec<u32> {
    list("possible")
}

fn list(name: &str) -> Vec<u32> {
    let text = fs::read_to_string(format!("{FOLDER}/{name}")).unwrap_or_default();
    let cpus = parse(&text);
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Ranges such as `0-3,8`.
fn parse(text: &str) -> Vec<u32> {
    /// Beyond what Linux can be built for; keeps a broken file from filling memory.
    const MOST: u32 = 1 << 16;
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last.min(MOST));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_expanded() {
        assert_eq!(parse("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse("0\n"), [0]);
        assert_eq!(parse(""), [0_u32; 0]);
        assert_eq!(parse("x-3"), [0_u32; 0]);
    }
}

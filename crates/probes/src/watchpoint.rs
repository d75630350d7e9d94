//! Hardware breakpoints: `watchpoint:ADDRESS:LENGTH:MODE`.

use std::fmt;

use beetrace_object::{Event, ProgramKind, WatchMode};

use crate::attach_point::{AttachPoint, ParseError, Parts};
use crate::number::parse_uint;
use crate::resolve::ResolveOptions;
use crate::{Arguments, Context, Match};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    /// Never zero.
    pub address: u64,
    /// 1, 2, 4 or 8 bytes.
    pub len: u32,
    pub mode: WatchMode,
}

/// Modes that the processor can watch, as the message lists them (Intel SDM volume 3, 19.2.4; Arm ARM D2.10).
const MODES: &[&str] = if cfg!(target_arch = "aarch64") {
    &["r", "w", "x", "rw"]
} else {
    &["x", "w", "rw"]
};

pub(crate) fn parse(parts: &Parts<'_>) -> Result<Breakpoint, ParseError> {
    let [address, len, mode] = parts.items.as_slice() else {
        return Err(parts.count_error("3"));
    };
    let address_value = parse_uint(&address.text)
        .map_err(|e| address.error(format!("Invalid function/address argument: {e}")))?;
    let len_value =
        parse_uint(&len.text).map_err(|e| len.error(format!("Invalid length argument: {e}")))?;
    if address_value == 0 {
        return Err(address.error("watchpoint must be attached to a non-zero address"));
    }
    let len = match len_value {
        1 => 1,
        2 => 2,
        4 => 4,
        8 => 8,
        _ => return Err(len.error("watchpoint length must be one of (1,2,4,8)")),
    };
    Ok(Breakpoint {
        address: address_value,
        len,
        mode: parse_mode(&mode.text).map_err(|message| {
            let error = parts.error_at(2, message);
            error.help(format!("supported modes: {}", MODES.join(",")))
        })?,
    })
}

fn parse_mode(text: &str) -> Result<WatchMode, String> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    if letters.is_empty() || letters.iter().any(|c| !"rwx".contains(*c)) {
        return Err("watchpoint mode must be combination of (r,w,x)".into());
    }
    if letters.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("watchpoint modes may not be duplicated".into());
    }
    let sorted: String = letters.iter().collect();
    if !MODES.contains(&sorted.as_str()) {
        return Err(format!("invalid watchpoint mode: {sorted}"));
    }
    Ok(WatchMode {
        read: sorted.contains('r'),
        write: sorted.contains('w'),
        execute: sorted.contains('x'),
    })
}

impl fmt::Display for Breakpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |on, letter| if on { letter } else { "" };
        write!(
            f,
            "{}:{}:{}{}{}",
            self.address,
            self.len,
            letter(self.mode.read, "r"),
            letter(self.mode.write, "w"),
            letter(self.mode.execute, "x")
        )
    }
}

pub(crate) fn resolve(
    point: &AttachPoint,
    breakpoint: Breakpoint,
    options: &ResolveOptions,
) -> Match {
    let name = match (&point.label, options.pid) {
        (None, Some(pid)) => format!("{}:/proc/{pid}/exe:{breakpoint}", point.provider),
        _ => point.to_string(),
    };
    Match::new(
        name,
        Event::Watchpoint {
            address: breakpoint.address,
            len: breakpoint.len,
            mode: breakpoint.mode,
        },
        ProgramKind::PerfEvent,
        Context::PerfEvent,
        Arguments::None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        AttachPoint::parse(text)
            .map(|point| point.to_string())
            .map_err(|error| error.message)
    }

    #[test]
    fn parses() {
        assert_eq!(
            parse("watchpoint:0x10000000:8:wr"),
            Ok("watchpoint:268435456:8:rw".into())
        );
        assert_eq!(parse("w:0x10:1:x"), Ok("watchpoint:16:1:x".into()));
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            (
                "watchpoint:1:8",
                "watchpoint probe type requires 3 arguments, found 2",
            ),
            (
                "watchpoint:f:8:w",
                "Invalid function/address argument: invalid integer: f",
            ),
            (
                "watchpoint:1:x:w",
                "Invalid length argument: invalid integer: x",
            ),
            (
                "watchpoint:0:8:w",
                "watchpoint must be attached to a non-zero address",
            ),
            (
                "watchpoint:1:3:w",
                "watchpoint length must be one of (1,2,4,8)",
            ),
            (
                "watchpoint:1:8:q",
                "watchpoint mode must be combination of (r,w,x)",
            ),
            (
                "watchpoint:1:8:ww",
                "watchpoint modes may not be duplicated",
            ),
            ("watchpoint:1:8:wx", "invalid watchpoint mode: wx"),
            (
                "asyncwatchpoint:1:8:w",
                "Invalid probe type: asyncwatchpoint",
            ),
        ] {
            assert_eq!(parse(text), Err(message.into()), "{text}");
        }
    }
}

//! Stacks as text.

use std::fmt::Write as _;
use std::rc::Rc;

use beetrace_object::{StackLayout, StackMode};

/// One function at an address: there are several where functions are inlined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub name: String,
    /// Bytes from the function's start; `None` for one that is inlined.
    pub offset: Option<u64>,
    /// Where in the source text, as `directory/file:line`.
    pub source: Option<String>,
}

/// What is known of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbolized {
    /// Innermost first; none where no symbol is known.
    pub frames: Rc<[Frame]>,
    /// The file it lies in.
    pub module: Option<Rc<str>>,
}

/// The columns that frames stand behind in the mode that is the default.
const INDENT: &str = "        ";

/// Size of the kernel's `struct bpf_stack_build_id`: `s32` status, 20 bytes of build id, `u64` offset in the file or address.
const BUILD_ID_FRAME: usize = 32;
/// `BPF_STACK_BUILD_ID_VALID` of its status.
const BUILD_ID_VALID: i32 = 1;

/// An address in text; `0` for none.
pub fn address(address: u64) -> String {
    if address == 0 {
        "0".into()
    } else {
        format!("{address:#x}")
    }
}

/// The text of a stack: a line break, then a line a frame. `frames` is the value of the frames' map, `None` where there is none.
pub fn text(
    layout: &StackLayout,
    frames: Option<&[u8]>,
    symbolize: &mut dyn FnMut(u64) -> Symbolized,
) -> String {
    let mut out = String::from("\n");
    let Some(frames) = frames else {
        let _ = writeln!(out, "{INDENT}<stack was not kept>");
        return out;
    };
    let limit = usize::try_from(layout.limit).unwrap_or(usize::MAX);
    if layout.mode == StackMode::BuildId {
        let frames = used(frames, BUILD_ID_FRAME).chunks_exact(BUILD_ID_FRAME);
        for frame in frames.take(limit) {
            build_id_frame(&mut out, frame);
        }
        return out;
    }
    for address in addresses(frames).take(limit) {
        if address == u64::MAX {
            let _ = writeln!(out, "{INDENT}<unwind failure>");
            break;
        }
        match layout.mode {
            StackMode::Raw => {
                let _ = writeln!(out, "{address:x}");
            }
            StackMode::Perf => perf_frame(&mut out, layout.user, address, &symbolize(address)),
            _ => frame(&mut out, address, &symbolize(address)),
        }
    }
    out
}

/// The addresses of a stack. Zeros behind the last belong to the map; one among them is what the kernel found.
pub fn addresses(frames: &[u8]) -> impl Iterator<Item = u64> {
    let words = used(frames, 8).chunks_exact(8);
    words.map(|w| w.try_into().map_or(0, u64::from_ne_bytes))
}

/// The frames up to the last that is not all zeros.
fn used(frames: &[u8], size: usize) -> &[u8] {
    let end = frames.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    frames.get(..end.next_multiple_of(size)).unwrap_or(frames)
}

fn frame(out: &mut String, at: u64, symbolized: &Symbolized) {
    if symbolized.frames.is_empty() {
        let _ = writeln!(out, "{INDENT}{}", address(at));
    }
    for frame in symbolized.frames.iter() {
        out.push_str(INDENT);
        match frame.offset {
            Some(offset) => {
                let _ = write!(out, "{}+{offset}", frame.name);
            }
            None => {
                let _ = write!(out, "[inlined] {}", frame.name);
            }
        }
        if let Some(source) = &frame.source {
            let _ = write!(out, "@{source}");
        }
        out.push('\n');
    }
}

/// A frame as `perf script` has it. Kernel functions have no module.
fn perf_frame(out: &mut String, user: bool, at: u64, symbolized: &Symbolized) {
    let module = symbolized.module.as_deref().unwrap_or("[unknown]");
    if symbolized.frames.is_empty() {
        let unknown = if user { " ([unknown])" } else { "" };
        let _ = writeln!(out, "\t{at:x} {}{unknown}", address(at));
    }
    for frame in symbolized.frames.iter() {
        let _ = write!(out, "\t{at:x} {}", frame.name);
        match frame.offset {
            Some(offset) if user => {
                let _ = write!(out, "+{offset} ({module})");
            }
            Some(offset) => {
                let _ = write!(out, "+{offset}");
            }
            None => out.push_str(" (inlined)"),
        }
        out.push('\n');
    }
}

fn build_id_frame(out: &mut String, frame: &[u8]) {
    let word = |at: usize| frame.get(at..at + 8).and_then(|b| b.try_into().ok());
    let place = word(24).map_or(0, u64::from_ne_bytes);
    let status = frame.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b));
    if status == Some(BUILD_ID_VALID) {
        for byte in frame.get(4..24).unwrap_or_default() {
            let _ = write!(out, "{byte:02x}");
        }
        let _ = writeln!(out, " {place:#04x}");
    } else {
        let _ = writeln!(out, "{place:x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(user: bool, mode: StackMode) -> StackLayout {
        StackLayout {
            user,
            mode,
            limit: 127,
            frames: 0,
        }
    }

    fn known(address: u64) -> Symbolized {
        let frame = |name: &str, offset, source: Option<&str>| Frame {
            name: name.into(),
            offset,
            source: source.map(Into::into),
        };
        let frames = match address {
            0x1010 => vec![
                frame("deep", None, Some("/src/a.c:3")),
                frame("outer", Some(16), Some("/src/a.c:9")),
            ],
            0x2001 => vec![frame("main", Some(1), None)],
            _ => Vec::new(),
        };
        let module = (!frames.is_empty()).then(|| Rc::from("/bin/app"));
        Symbolized {
            frames: frames.into(),
            module,
        }
    }

    fn show(layout: &StackLayout, frames: &[u64]) -> String {
        let bytes: Vec<u8> = frames.iter().flat_map(|f| f.to_ne_bytes()).collect();
        text(layout, Some(&bytes), &mut known)
    }

    const STACK: [u64; 5] = [0x1010, 0x2001, 0x7f00, 0, 0];

    #[test]
    fn the_usual_mode() {
        assert_eq!(
            show(&layout(true, StackMode::Bpftrace), &STACK),
            "\n        [inlined] deep@/src/a.c:3\n        outer+16@/src/a.c:9\n        main+1\n        0x7f00\n"
        );
    }

    #[test]
    fn perf_mode() {
        assert_eq!(
            show(&layout(true, StackMode::Perf), &STACK),
            "\n\t1010 deep (inlined)\n\t1010 outer+16 (/bin/app)\n\t2001 main+1 (/bin/app)\n\t7f00 0x7f00 ([unknown])\n"
        );
        assert_eq!(
            show(&layout(false, StackMode::Perf), &STACK[1..3]),
            "\n\t2001 main+1\n\t7f00 0x7f00\n"
        );
    }

    #[test]
    fn a_zero_among_the_frames_is_one() {
        let broken = [0x2001, 0, 0x2001, 0];
        assert_eq!(
            show(&layout(true, StackMode::Perf), &broken),
            "\n\t2001 main+1 (/bin/app)\n\t0 0 ([unknown])\n\t2001 main+1 (/bin/app)\n"
        );
        assert_eq!(
            show(&layout(true, StackMode::Raw), &broken),
            "\n2001\n0\n2001\n"
        );
    }

    #[test]
    fn raw_mode_and_a_limit() {
        let limited = StackLayout {
            limit: 2,
            ..layout(true, StackMode::Raw)
        };
        assert_eq!(show(&limited, &STACK), "\n1010\n2001\n");
    }

    #[test]
    fn stacks_that_are_not_there() {
        let layout = layout(true, StackMode::Bpftrace);
        assert_eq!(show(&layout, &[]), "\n");
        assert_eq!(
            text(&layout, None, &mut known),
            "\n        <stack was not kept>\n"
        );
        assert_eq!(
            show(&layout, &[0x2001, u64::MAX, 0x2001]),
            "\n        main+1\n        <unwind failure>\n"
        );
    }

    #[test]
    fn build_ids() {
        let mut frames = vec![0u8; 3 * BUILD_ID_FRAME];
        frames[0] = 1;
        frames[4..24].fill(0xab);
        frames[24] = 0x5;
        frames[32] = 2;
        frames[56..58].copy_from_slice(&[0x34, 0x12]);
        assert_eq!(
            text(&layout(true, StackMode::BuildId), Some(&frames), &mut known),
            format!("\n{} 0x05\n1234\n", "ab".repeat(20))
        );
    }
}

//! Reading the verifier's log: why it said no, and of which instruction.
//!
//! The log is meant for people. What is used of it has been stable since Linux 4.9: an instruction is a line
//! `12: (85) call bpf_map_lookup_elem#1 …`, and the complaint stands in the lines behind the last of them.

use beetrace_object::{Line, SourceSpan};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: String,
    pub(crate) span: Option<SourceSpan>,
}

/// The log up to its NUL.
pub(crate) fn text(log: &[u8]) -> String {
    let len = log.iter().position(|b| *b == 0).unwrap_or(log.len());
    String::from_utf8_lossy(log.get(..len).unwrap_or_default()).into_owned()
}

/// `slots` are the first slots of the program's instructions.
pub(crate) fn read(log: &str, slots: &[u32], lines: &[Line]) -> Verdict {
    let mut slot = None;
    let mut complaint: Vec<&str> = Vec::new();
    for line in log.lines() {
        if let Some(found) = instruction(line) {
            slot = Some(found);
            complaint.clear();
        } else if !is_noise(line) {
            complaint.push(line.trim());
        }
    }
    let from_text = complaint.iter().find_map(|line| mentioned(line));
    let reason = match complaint.as_slice() {
        [] => "the log ends before it says why (a larger `log_size` shows more)".to_owned(),
        [.., before, last] if is_continued(before) => format!("{before} {last}"),
        [.., last] => (*last).to_owned(),
    };
    let span = from_text.or(slot).and_then(|slot| {
        let insn = slots.iter().rposition(|first| *first <= slot)?;
        let line = lines.iter().rfind(|line| line.insn as usize <= insn)?;
        Some(line.span)
    });
    Verdict { reason, span }
}

/// The slot of a line that shows an instruction.
fn instruction(line: &str) -> Option<u32> {
    let (number, rest) = line.split_once(": ")?;
    let number = number.trim().parse().ok()?;
    let rest = rest.trim_start();
    let mut chars = rest.chars();
    let is_opcode = chars.next() == Some('(')
        && chars.next().is_some_and(|c| c.is_ascii_hexdigit())
        && chars.next().is_some_and(|c| c.is_ascii_hexdigit())
        && chars.next() == Some(')');
    // A state of registers alone (`7: R0=scalar() …`) says where the verifier is, too.
    let is_state = rest.starts_with('R') && rest.contains('=');
    (is_opcode || is_state).then_some(number)
}

/// The slot that a complaint names itself, such as `unreachable insn 12` or `back-edge from insn 3 to 1`.
fn mentioned(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("insn ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Lines that say nothing about the error.
fn is_noise(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with(';')
        || line.starts_with("processed ")
        || line.starts_with("verification time ")
        || line.starts_with("stack depth ")
        || line.starts_with("from ")
        || line.starts_with("func#")
        || line.starts_with("mark_precise")
        || line.starts_with("last_idx ")
        || line.starts_with("regs=")
        || line.starts_with("parent ")
        || line.starts_with("propagating ")
        || line.starts_with("-- ")
        || line.starts_with("arg#")
        || line.starts_with("caller:")
        || line.starts_with("callee:")
        || line.starts_with("returning from callee")
        || line.starts_with("to caller at ")
        || (line.starts_with('R') && line.contains('=') && !line.contains(' '))
        || line.starts_with("R0=")
        || line.starts_with("R1=")
}

/// Whether the last line only goes on with this one.
fn is_continued(line: &str) -> bool {
    line.ends_with(':') || line.ends_with(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32) -> SourceSpan {
        SourceSpan {
            source: 0,
            start,
            end: start + 1,
        }
    }

    fn lines() -> Vec<Line> {
        [(0, 10), (2, 20), (4, 30)]
            .map(|(insn, start)| Line {
                insn,
                span: span(start),
            })
            .to_vec()
    }

    #[test]
    fn the_complaint_belongs_to_the_last_instruction() {
        let log = "func#0 @0\n\
            0: R1=ctx() R10=fp0\n\
            ; f(); @ script.bt:1\n\
            0: (18) r1 = 0x0                      ; R1_w=0\n\
            2: (b7) r0 = 0                        ; R0_w=0\n\
            3: (79) r2 = *(u64 *)(r0 +0)\n\
            R0 invalid mem access 'scalar'\n\
            processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
        // The first instruction takes two slots, so that slot 3 is instruction 2.
        let verdict = read(log, &[0, 2, 3, 4, 5], &lines());
        assert_eq!(verdict.reason, "R0 invalid mem access 'scalar'");
        assert_eq!(verdict.span, Some(span(20)));
    }

    #[test]
    fn a_complaint_that_names_an_instruction_is_believed() {
        let log = "unreachable insn 4\nprocessed 0 insns (limit 1000000)\n";
        let verdict = read(log, &[0, 1, 2, 3, 4], &lines());
        assert_eq!(verdict.reason, "unreachable insn 4");
        assert_eq!(verdict.span, Some(span(30)));
    }

    #[test]
    fn a_log_that_was_cut_says_so() {
        let verdict = read("0: (b7) r0 = 0\n", &[0], &[]);
        assert_eq!(
            verdict.reason,
            "the log ends before it says why (a larger `log_size` shows more)"
        );
        assert_eq!(verdict.span, None);
    }
}

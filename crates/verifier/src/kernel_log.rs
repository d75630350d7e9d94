//! Reading the log of Linux's verifier, to explain its rejections as our own.
//!
//! The log is meant for people; what is used of it has been stable since Linux 4.9. An instruction is a line
//! `12: (85) call bpf_map_lookup_elem#1`, followed by the state behind it; a path that is taken up again begins with
//! `from 3 to 7: R0=…`; the complaint stands behind the last instruction.

use crate::explain::{help_for, line};
use crate::program::LineDef;
use crate::reject::{RejectKind, Rejection, Step};

/// What the kernel's verifier meant.
pub type Explanation = Rejection;

/// Explains the log of a rejected program, `None` if there is no complaint in it. `lines` are the program's source
/// lines by rising slot; without them the instructions are named.
pub fn explain_kernel_log(log: &str, lines: &[LineDef]) -> Option<Explanation> {
    let mut reading = Reading::default();
    for text in log.lines() {
        reading.line(text);
    }
    let complaint = reading.complaint()?;
    let insn = mentioned(&complaint).or(reading.last).unwrap_or(0);
    let (kind, message) = classify(&complaint);
    let mut facts = reading.facts(&complaint, lines);
    facts.push(format!("the kernel says: {complaint}"));
    let path = reading.path(lines);
    Some(Rejection {
        kind,
        insn,
        text: reading.text_at(insn),
        line: line(lines, insn),
        message,
        path,
        facts,
        help: help_for(kind).to_owned(),
        trace: String::new(),
    })
}

/// What the log tells, up to the complaint.
#[derive(Debug, Default)]
struct Reading {
    /// Slots and texts of the instructions on the path that failed.
    insns: Vec<(usize, String)>,
    /// The last slot that was looked at.
    last: Option<usize>,
    /// The text of the last state.
    state: String,
    /// Lines since the last instruction that are no state.
    rest: Vec<String>,
}

impl Reading {
    fn line(&mut self, text: &str) {
        let text = text.trim();
        if let Some(branch) = text.strip_prefix("from ") {
            // Another path begins behind the branch at the first number.
            let mut numbers = branch
                .split(|c: char| !c.is_ascii_digit())
                .filter(|n| !n.is_empty());
            if let Some(Ok(from)) = numbers.next().map(str::parse::<usize>)
                && let Some(at) = self.insns.iter().rposition(|(slot, _)| *slot == from)
            {
                self.insns.truncate(at + 1);
            }
            if let Some((_, state)) = text.split_once(": ") {
                self.state = state.to_owned();
            }
            self.rest.clear();
            return;
        }
        let numbered = text
            .split_once(": ")
            .and_then(|(n, rest)| Some((n.parse::<usize>().ok()?, rest.trim_start())));
        match numbered {
            Some((slot, rest)) if is_opcode(rest) => {
                let (insn, state) = match rest.split_once(" ; ") {
                    Some((insn, state)) => (insn, state),
                    None => (rest, ""),
                };
                let insn = insn.get(4..).unwrap_or(insn).trim();
                self.insns.push((slot, insn.to_owned()));
                self.last = Some(slot);
                if !state.is_empty() {
                    self.state = state.trim().to_owned();
                }
                self.rest.clear();
            }
            Some((slot, rest)) if rest.contains("R1") || rest.contains('=') => {
                self.last = Some(slot);
                self.state = rest.to_owned();
                self.rest.clear();
            }
            _ if is_noise(text) => {}
            _ => self.rest.push(text.to_owned()),
        }
    }

    fn complaint(&self) -> Option<String> {
        match self.rest.as_slice() {
            [] => None,
            // `R0 min value is outside …` follows a line with the sizes.
            [.., before, last] if before.starts_with("invalid access") => {
                Some(format!("{before}: {last}"))
            }
            [.., last] => Some(last.clone()),
        }
    }

    fn text_at(&self, slot: usize) -> String {
        self.insns
            .iter()
            .rfind(|(s, _)| *s == slot)
            .map(|(_, text)| text.clone())
            .unwrap_or_default()
    }

    /// The branches before the end.
    fn path(&self, lines: &[LineDef]) -> Vec<Step> {
        let mut steps: Vec<Step> = self
            .insns
            .windows(2)
            .filter_map(|pair| match pair {
                [(slot, text), (next, _)] if text.starts_with("if ") => Some(Step {
                    insn: *slot,
                    text: text.clone(),
                    taken: *next != slot + 1,
                    line: line(lines, *slot),
                }),
                _ => None,
            })
            .collect();
        let surplus = steps.len().saturating_sub(16);
        steps.drain(..surplus);
        steps
    }

    /// What was known of the register that the complaint names, and where it came from.
    fn facts(&self, complaint: &str, lines: &[LineDef]) -> Vec<String> {
        let Some(register) = register(complaint) else {
            return Vec::new();
        };
        let mut facts = Vec::new();
        let value = self.state.split(' ').find_map(|part| {
            part.strip_prefix(&format!("{register}="))
                .or_else(|| part.strip_prefix(&format!("{register}_w=")))
        });
        if let Some(value) = value {
            facts.push(format!("{} is {value}", register.to_lowercase()));
        }
        if complaint.contains("or_null") || complaint.contains("NULL") {
            let call = self
                .insns
                .iter()
                .rev()
                .find(|(_, text)| text.starts_with("call bpf_"));
            if let Some((slot, text)) = call {
                let name = text
                    .trim_start_matches("call ")
                    .split('#')
                    .next()
                    .unwrap_or("");
                let place = match line(lines, *slot) {
                    Some(l) => format!("on line {}", l.line),
                    None => format!("at instruction {slot}"),
                };
                facts.push(format!("{name} {place} may give null"));
            }
        }
        facts
    }
}

/// The register that a complaint begins with, such as `R3`.
fn register(complaint: &str) -> Option<String> {
    complaint
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| {
            word.strip_prefix('R')
                .is_some_and(|n| n.parse::<u8>().is_ok_and(|n| n <= 10))
        })
        .map(str::to_owned)
}

/// The slot that a complaint names, such as `unreachable insn 12`.
fn mentioned(complaint: &str) -> Option<usize> {
    let (_, rest) = complaint.split_once("insn ")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn is_opcode(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('(')
        && chars.next().is_some_and(|c| c.is_ascii_hexdigit())
        && chars.next().is_some_and(|c| c.is_ascii_hexdigit())
        && chars.next() == Some(')')
}

fn is_noise(text: &str) -> bool {
    const STARTS: &[&str] = &[
        ";",
        "processed ",
        "verification time ",
        "stack depth ",
        "func#",
        "mark_precise",
        "last_idx ",
        "regs=",
        "caller:",
        "callee:",
        "returning from",
        "to caller",
        "frame",
        "R1=",
        "Validating ",
        "Live regs",
        "parent ",
    ];
    text.is_empty() || STARTS.iter().any(|s| text.starts_with(s))
}

/// What kind of complaint it is, and how we say it.
fn classify(complaint: &str) -> (RejectKind, String) {
    let reg = register(complaint).map_or_else(|| "the value".to_owned(), |r| r.to_lowercase());
    let has = |part: &str| complaint.contains(part);
    let (kind, message) = if has("mem_or_null") || has("value_or_null") || has("_or_null'") {
        (
            RejectKind::MayBeNull,
            format!("{reg} may be null here: it is used without a check"),
        )
    } else if has("invalid mem access 'scalar'") || has("invalid mem access 'inv'") {
        (
            RejectKind::NotAPointer,
            format!("{reg} is a number, not a pointer, and is used as an address"),
        )
    } else if has("!read_ok") {
        (
            RejectKind::Uninitialized,
            format!("{reg} is read but holds nothing here"),
        )
    } else if has("unreachable insn") {
        (
            RejectKind::Unreachable,
            "no path leads to this instruction".into(),
        )
    } else if has("infinite loop") || has("back-edge") {
        (
            RejectKind::InfiniteLoop,
            "this loop never ends, or cannot be seen to end".into(),
        )
    } else if has("too large") && has("processed")
        || has("too complex")
        || has("BPF program is too large")
    {
        (
            RejectKind::TooComplex,
            "the program is too complex to be followed to its end".into(),
        )
    } else if has("combined stack size") || has("call stack") {
        (
            RejectKind::CallDepth,
            "the stacks of functions that call each other are too large".into(),
        )
    } else if has("min value is negative") || has("unbounded") || has("unlimited") {
        (
            RejectKind::Unbounded,
            format!("a size or offset in {reg} has no bound"),
        )
    } else if has("invalid access to")
        || has("outside of the")
        || has("invalid stack")
        || has("invalid write to stack")
        || has("invalid read from stack")
    {
        (
            RejectKind::OutOfBounds,
            format!("{reg} may reach outside of its memory"),
        )
    } else if has("misaligned") {
        (RejectKind::Misaligned, "an access is not aligned".into())
    } else if has("frame pointer is read only") {
        (
            RejectKind::FramePointer,
            "the frame pointer r10 is read only".into(),
        )
    } else if has("Unreleased reference") || has("reference") {
        (
            RejectKind::Reference,
            "what was acquired is not given back on this path".into(),
        )
    } else if has("spin_lock") || has("lock") && has("hold") {
        (RejectKind::Lock, "a rule of locks is broken".into())
    } else if has("bpf_context access") || has("ctx") {
        (
            RejectKind::Context,
            "this field of the context does not exist or may not be accessed so".into(),
        )
    } else if has("pointer arithmetic")
        || has("pointer +=")
        || has("pointer -=")
        || has("tried to subtract pointer")
    {
        (
            RejectKind::PointerArithmetic,
            format!("arithmetic on {reg} that pointers do not allow"),
        )
    } else if has("cannot use helper") || has("unknown func") || has("invalid func") {
        (
            RejectKind::Helper,
            "this kind of program cannot call this helper".into(),
        )
    } else if has("cannot pass map_type") {
        (
            RejectKind::Map,
            "this helper cannot be used with this map".into(),
        )
    } else if has("type=") && has("expected=") {
        (
            RejectKind::Argument,
            format!("{reg} is not what the call expects"),
        )
    } else if has("At program exit") || has("should have been in") {
        (
            RejectKind::ReturnValue,
            "the result is outside of what this kind of program may return".into(),
        )
    } else if has("jump out of range") || has("last insn is not") {
        (
            RejectKind::ControlFlow,
            "control flow leaves the function".into(),
        )
    } else {
        (
            RejectKind::Other,
            format!("the kernel rejected the program: {complaint}"),
        )
    };
    (kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
0: R1=ctx() R10=fp0
; @x = 1 @ script.bt:3
0: (7a) *(u64 *)(r10 -8) = 0          ; R10=fp0 fp-8_w=0
1: (18) r1 = 0xffff8881012f4400       ; R1_w=map_ptr(map=AT_x,ks=8,vs=8)
3: (bf) r2 = r10                      ; R2_w=fp0 R10=fp0
4: (07) r2 += -8                      ; R2_w=fp-8
5: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=AT_x,ks=8,vs=8)
6: (15) if r6 == 0x0 goto pc+1        ; R6=scalar()
7: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";

    #[test]
    fn a_missing_null_check() {
        let lines = [LineDef {
            slot: 0,
            file: "script.bt".into(),
            line: 3,
            column: 1,
            text: "@x = @y + 1".into(),
        }];
        let text = explain_kernel_log(LOG, &lines).map(|e| e.to_string());
        assert_eq!(
            text.as_deref(),
            Some(
                "r0 may be null here: it is used without a check\n  --> script.bt:3:1\n   | @x = @y + 1\n   \
                 = instruction 7: r0 = *(u64 *)(r0 +0)\n   \
                 = known: bpf_map_lookup_elem on line 3 may give null\n   \
                 = known: the kernel says: R0 invalid mem access 'map_value_or_null'\n   \
                 = path:\n       line 3: if r6 == 0x0 goto pc+1 (not taken)\n   \
                 = help: compare the pointer with null first, and use it only where it is not"
            )
        );
    }

    #[test]
    fn complaints_before_any_instruction() {
        let e = explain_kernel_log("unreachable insn 12\nprocessed 0 insns\n", &[]);
        assert_eq!(
            e.map(|e| (e.kind, e.insn)),
            Some((RejectKind::Unreachable, 12))
        );
        assert_eq!(explain_kernel_log("", &[]), None);
    }
}

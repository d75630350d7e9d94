//! The assembler: reads the text form back, with labels.

mod cursor;
mod insn;

use std::collections::HashMap;

use crate::insn::{Imm64, Insn};
use cursor::Cursor;

/// Why a line of assembly was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct AsmError {
    /// Number of the line, from 1.
    pub line: usize,
    pub kind: AsmErrorKind,
}

/// The ways in which a line can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AsmErrorKind {
    #[error("expected {expected}, found {found}")]
    Syntax {
        expected: &'static str,
        found: String,
    },
    #[error("unexpected character {0:?}")]
    Character(char),
    #[error("{what} is out of range")]
    Range { what: &'static str },
    #[error("label {0} is defined twice")]
    DuplicateLabel(String),
    #[error("no label or helper function is named {0}")]
    UnknownName(String),
}

/// Where a jump, a call or a function address leads.
enum Target {
    /// So many slots after the next one.
    Offset(i64),
    Name(String),
}

/// An instruction whose target is yet to be filled in.
struct Parsed {
    insn: Insn,
    target: Option<Target>,
}

/// Assembles a program written in the text form of instructions.
///
/// One instruction a line; `;` and `//` start comments; a number with a colon in front, as
/// [`disassemble`](crate::disassemble) writes it, is skipped; `name:` is a label, and jumps,
/// calls and function addresses (`goto name`, `call name`, `r1 = func[name] ll`) may use it.
/// Helper functions are called by number, by name, or by both (`call bpf_ktime_get_ns#5`).
pub fn assemble(text: &str) -> Result<Vec<Insn>, AsmError> {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let mut parsed = Vec::new();
    let mut slot = 0;
    for (index, line) in text.lines().enumerate() {
        let at = |kind| AsmError {
            line: index + 1,
            kind,
        };
        let mut rest = code_of(line);
        while let Some((label, tail)) = split_label(rest) {
            rest = tail;
            if label.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            if labels.insert(label, slot).is_some() {
                return Err(at(AsmErrorKind::DuplicateLabel(label.to_owned())));
            }
        }
        if rest.is_empty() {
            continue;
        }
        let mut cursor = Cursor::new(rest).map_err(at)?;
        let one = insn::parse(&mut cursor)
            .and_then(|one| cursor.end().map(|()| one))
            .map_err(at)?;
        parsed.push((index + 1, slot, one.insn, one.target));
        slot += one.insn.slots();
    }
    parsed
        .into_iter()
        .map(|(line, slot, insn, target)| match target {
            Some(target) => {
                link(insn, target, slot, &labels).map_err(|kind| AsmError { line, kind })
            }
            None => Ok(insn),
        })
        .collect()
}

/// The line without its comment and outer blanks.
fn code_of(line: &str) -> &str {
    let line = line.split(';').next().unwrap_or_default();
    let line = line.split("//").next().unwrap_or_default();
    line.trim()
}

/// Splits `label: rest`.
fn split_label(line: &str) -> Option<(&str, &str)> {
    let (label, rest) = line.split_once(':')?;
    let label = label.trim_end();
    let is_name = !label.is_empty()
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$'));
    is_name.then_some((label, rest.trim_start()))
}

/// Fills in where the instruction at `slot` leads.
fn link(
    insn: Insn,
    target: Target,
    slot: usize,
    labels: &HashMap<&str, usize>,
) -> Result<Insn, AsmErrorKind> {
    let range = |what| AsmErrorKind::Range { what };
    let offset = match target {
        Target::Offset(offset) => offset,
        Target::Name(name) => match (labels.get(name.as_str()), insn) {
            (Some(&to), _) => {
                let distance = |n: usize| i64::try_from(n).map_err(|_| range("the program"));
                distance(to)? - distance(slot)? - 1
            }
            (None, Insn::CallLocal { .. }) => {
                let helper = crate::helper_id(&name).ok_or(AsmErrorKind::UnknownName(name))?;
                return Ok(Insn::Call { helper });
            }
            (None, _) => return Err(AsmErrorKind::UnknownName(name)),
        },
    };
    let long = i32::try_from(offset).map_err(|_| range("the jump"));
    Ok(match insn {
        Insn::Ja { .. } => Insn::Ja { off: long? },
        Insn::Jmp {
            width,
            op,
            dst,
            src,
            ..
        } => Insn::Jmp {
            width,
            op,
            dst,
            src,
            off: i16::try_from(offset).map_err(|_| range("the jump"))?,
        },
        Insn::CallLocal { .. } => Insn::CallLocal { rel: long? },
        Insn::LdImm64 { dst, .. } => Insn::LdImm64 {
            dst,
            imm: Imm64::Func(long?),
        },
        other => other,
    })
}

//! Programs of beetrace's own objects as the verifier's input.

use beetrace_isa::Insn;
use beetrace_object::{MapRole, Object, Program, ProgramKind, Signature, SourceSpan, SourceText};

use crate::program::{FunctionDef, FunctionLinkage, LineDef, MapDef, ProgramInput, ProgramType};

/// A program of an [`Object`], with what [`ProgramInput`] borrows.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    insns: &'a [Insn],
    kind: ProgramType,
    maps: Vec<MapDef>,
    functions: Vec<FunctionDef>,
    lines: Vec<LineDef>,
}

impl<'a> Prepared<'a> {
    /// The program at `index`; `None` if there is none.
    pub fn new(object: &'a Object, index: usize) -> Option<Prepared<'a>> {
        let program = object.programs.get(index)?;
        Some(Prepared {
            insns: &program.insns,
            kind: kind(program.kind),
            maps: maps(object),
            functions: functions(program),
            lines: lines(object, program),
        })
    }

    pub fn input(&self) -> ProgramInput<'_> {
        ProgramInput {
            insns: self.insns,
            kind: self.kind,
            maps: &self.maps,
            functions: &self.functions,
            lines: &self.lines,
            kernel_functions: &[],
        }
    }

    /// Source lines by rising slot, for [`explain_kernel_log`](crate::explain_kernel_log).
    pub fn lines(&self) -> &[LineDef] {
        &self.lines
    }
}

fn kind(kind: ProgramKind) -> ProgramType {
    match kind {
        ProgramKind::Kprobe => ProgramType::Kprobe,
        ProgramKind::Tracepoint => ProgramType::Tracepoint,
        ProgramKind::PerfEvent => ProgramType::PerfEvent,
        ProgramKind::RawTracepoint => ProgramType::RawTracepoint,
        ProgramKind::Syscall => ProgramType::Syscall,
        ProgramKind::Tracing => ProgramType::KernelOnly("tracing"),
    }
}

fn maps(object: &Object) -> Vec<MapDef> {
    object
        .maps
        .iter()
        .map(|map| {
            let mut def = MapDef::new(
                &map.name,
                map.kind as u32,
                map.key_size,
                map.value_size,
                map.max_entries,
            );
            if let MapRole::Constants(bytes) = &map.role {
                let mut bytes = bytes.clone();
                bytes.resize(map.value_size as usize, 0);
                def.frozen = Some(bytes);
            }
            def
        })
        .collect()
}

/// The first slot of each instruction.
fn slots(program: &Program) -> Vec<u32> {
    program
        .insns
        .iter()
        .scan(0u32, |next, insn| {
            let here = *next;
            *next = next.saturating_add(insn.slots() as u32);
            Some(here)
        })
        .collect()
}

fn functions(program: &Program) -> Vec<FunctionDef> {
    let slots = slots(program);
    program
        .functions
        .iter()
        .filter_map(|f| {
            Some(FunctionDef {
                name: f.name.clone(),
                start: *slots.get(f.start as usize)?,
                linkage: FunctionLinkage::Static,
                returns_int: f.signature == Signature::Entry,
            })
        })
        .collect()
}

fn lines(object: &Object, program: &Program) -> Vec<LineDef> {
    let slots = slots(program);
    program
        .lines
        .iter()
        .filter_map(|l| {
            let (source, start) = written(object, l.span)?;
            let (line, column, text) = place(source, start as usize);
            Some(LineDef {
                slot: *slots.get(l.insn as usize)?,
                file: source.name.clone(),
                line,
                column,
                text: text.to_owned(),
            })
        })
        .collect()
}

/// Where the text is that a person wrote: the outermost macro call, if the span lies in an expansion.
fn written(object: &Object, mut span: SourceSpan) -> Option<(&SourceText, u32)> {
    for _ in 0..=object.sources.len() {
        let source = object.sources.get(span.source as usize)?;
        match source.expanded_from {
            Some(call) => span = call,
            None => return Some((source, span.start)),
        }
    }
    None
}

/// The line and column, from 1, of a byte of the source, and the text of that line.
fn place(source: &SourceText, at: usize) -> (u32, u32, &str) {
    let mut start = 0;
    let mut number = 1;
    for line in source.text.split_inclusive('\n') {
        let end = start + line.len();
        if at < end {
            let column = u32::try_from(at - start + 1).unwrap_or(u32::MAX);
            return (number, column, line.trim_end());
        }
        start = end;
        number += 1;
    }
    (number, 1, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Refusal, verify};
    use beetrace_isa::assemble;
    use beetrace_object::Line;

    #[test]
    fn a_rejection_points_at_the_script() -> Result<(), Box<dyn std::error::Error>> {
        let mut object = Object::default();
        object.sources.push(SourceText {
            name: "script.bt".into(),
            text: "BEGIN {\n  $x = *0;\n}\n".into(),
            expanded_from: None,
        });
        object.programs.push(Program {
            name: "begin".into(),
            kind: ProgramKind::Syscall,
            insns: assemble("r1 = 0\n r0 = *(u64 *)(r1 + 0)\n exit")?,
            functions: vec![],
            lines: vec![Line {
                insn: 0,
                span: SourceSpan {
                    source: 0,
                    start: 15,
                    end: 17,
                },
            }],
            probes: vec![],
        });
        let prepared = Prepared::new(&object, 0).ok_or("no program")?;
        let Err(Refusal::Rejected(why)) = verify(&prepared.input(), Options::default()) else {
            return Err("accepted".into());
        };
        assert_eq!(
            why.to_string(),
            "r1 is a number, not a pointer, and is used as an address\n  \
             --> script.bt:2:8\n   | $x = *0;\n   = instruction 1: r0 = *(u64 *)(r1 + 0)\n   \
             = known: r1 is 0\n   \
             = help: read memory that does not belong to the program with bpf_probe_read_kernel or bpf_probe_read_user"
        );
        Ok(())
    }
}

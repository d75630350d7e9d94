//! What the kernel is told about programs beside their instructions: types of functions, and the
//! source lines that instructions come from.

use std::collections::HashMap;

use beetrace_btf::{BtfBuilder, FuncInfo, IntEncoding, LineInfo, Linkage, TypeId};

use crate::body::{Body, bodies};
use crate::{Object, Program, Signature, SourceSpan, SourceText};

/// BTF for `BPF_BTF_LOAD`, and what refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBtf {
    pub btf: Vec<u8>,
    /// One for each of [`Object::programs`].
    pub programs: Vec<DebugInfo>,
}

/// Functions and lines of one program, by instruction slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugInfo {
    /// One for each function. The kernel asks for it where a program has callbacks.
    pub func_info: Vec<FuncInfo>,
    /// The first instruction of each function has one, unless there are none at all.
    pub line_info: Vec<LineInfo>,
}

impl DebugInfo {
    /// The records as the kernel's `struct bpf_func_info`, [`FuncInfo::SIZE`] bytes each.
    pub fn func_info_bytes(&self) -> Vec<u8> {
        self.func_info.iter().flat_map(|i| i.to_bytes()).collect()
    }

    /// The records as the kernel's `struct bpf_line_info`, [`LineInfo::SIZE`] bytes each.
    pub fn line_info_bytes(&self) -> Vec<u8> {
        self.line_info.iter().flat_map(|i| i.to_bytes()).collect()
    }
}

/// Types and lines of all programs, as the kernel takes them when it loads. A program whose
/// functions do not follow each other from its first instruction on gets none.
pub fn btf_for_load(object: &Object) -> LoadBtf {
    let mut btf = BtfBuilder::new();
    let mut sources = Sources::new(&object.sources);
    let programs = object
        .programs
        .iter()
        .map(|program| debug_info(program, &mut btf, &mut sources))
        .collect();
    LoadBtf {
        btf: btf.build(),
        programs,
    }
}

fn debug_info(program: &Program, btf: &mut BtfBuilder, sources: &mut Sources<'_>) -> DebugInfo {
    let Some(bodies) = bodies(program) else {
        return DebugInfo::default();
    };
    let func_info = bodies
        .iter()
        .map(|body| FuncInfo {
            insn_off: body.first_slot,
            type_id: function_type(btf, &identifier(body.name), body.signature),
        })
        .collect();
    let line_info = bodies
        .iter()
        .flat_map(|body| body_lines(program, body, btf, sources))
        .collect();
    DebugInfo {
        func_info,
        line_info,
    }
}

/// The lines of one function, by slot of the program. The first instruction has one if any
/// instruction of the program has.
pub(crate) fn body_lines(
    program: &Program,
    body: &Body<'_>,
    btf: &mut BtfBuilder,
    sources: &mut Sources<'_>,
) -> Vec<LineInfo> {
    let mut lines: Vec<LineInfo> = Vec::new();
    let mut found = program
        .lines
        .iter()
        .filter_map(|line| Some((line.insn as usize, sources.place(line.span, btf)?)));
    // The last line that begins before the function holds for its first instruction, or the first
    // line of all where none does.
    let Some(mut current) = found.next().map(|(_, place)| place) else {
        return lines;
    };
    let mut rest = program.lines.iter().peekable();
    let mut slot = body.first_slot;
    for (index, insn) in body.insns() {
        let mut place = None;
        while let Some(line) = rest.next_if(|line| line.insn as usize <= index) {
            place = sources.place(line.span, btf).or(place);
        }
        current = place.unwrap_or(current);
        let (file_name_off, line_off, line, column) = current;
        let info = LineInfo {
            insn_off: slot,
            file_name_off,
            line_off,
            line,
            column,
        };
        let same = lines.last().is_some_and(|last| {
            LineInfo {
                insn_off: slot,
                ..*last
            } == info
        });
        if !same {
            lines.push(info);
        }
        slot += insn.slots() as u32;
    }
    lines
}

/// Offsets of the file's name and the line's text in the string section, line and column from 1.
type Place = (u32, u32, u32, u32);

/// Finds lines and columns of spans.
pub(crate) struct Sources<'a> {
    texts: &'a [SourceText],
    /// Byte at which each line starts, by source.
    starts: Vec<Vec<usize>>,
    known: HashMap<SourceSpan, Option<Place>>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(texts: &'a [SourceText]) -> Sources<'a> {
        let starts = texts
            .iter()
            .map(|source| {
                let newlines = source.text.match_indices('\n').map(|(at, _)| at + 1);
                std::iter::once(0).chain(newlines).collect()
            })
            .collect();
        Sources {
            texts,
            starts,
            known: HashMap::new(),
        }
    }

    /// Where a span begins, `None` if that is in no source.
    pub(crate) fn place(&mut self, span: SourceSpan, btf: &mut BtfBuilder) -> Option<Place> {
        if let Some(known) = self.known.get(&span) {
            return *known;
        }
        let place = self.locate(span, btf);
        self.known.insert(span, place);
        place
    }

    fn locate(&self, span: SourceSpan, btf: &mut BtfBuilder) -> Option<Place> {
        let source = self.texts.get(span.source as usize)?;
        let starts = self.starts.get(span.source as usize)?;
        let at = span.start as usize;
        let line = starts.partition_point(|start| *start <= at);
        let start = *starts.get(line.checked_sub(1)?)?;
        let before = source.text.get(start..at)?;
        let text = source.text.get(start..)?.lines().next().unwrap_or_default();
        let column = before.chars().count() + 1;
        Some((
            btf.string(&source.name),
            btf.string(text),
            u32::try_from(line).ok()?,
            u32::try_from(column).ok()?,
        ))
    }
}

/// The BTF of a function: [`Signature`] says which.
pub(crate) fn function_type(btf: &mut BtfBuilder, name: &str, signature: Signature) -> TypeId {
    let signed = IntEncoding {
        signed: true,
        ..IntEncoding::default()
    };
    let pointer = btf.ptr(TypeId::VOID);
    let long = btf.int("long", 8, signed);
    let unsigned = btf.int("unsigned long", 8, IntEncoding::default());
    let (ret, params): (TypeId, Vec<(&str, TypeId)>) = match signature {
        Signature::Entry => (btf.int("int", 4, signed), vec![("ctx", pointer)]),
        Signature::LoopCallback => (long, vec![("index", unsigned), ("ctx", pointer)]),
        Signature::MapCallback => {
            let map = btf.fwd("bpf_map", false);
            let params = vec![
                ("map", btf.ptr(map)),
                ("key", pointer),
                ("value", pointer),
                ("ctx", pointer),
            ];
            (long, params)
        }
        Signature::Subprogram(count) => {
            let names = ["a", "b", "c", "d", "e"].into_iter().take(count.into());
            (long, names.map(|name| (name, unsigned)).collect())
        }
    };
    let proto = btf.func_proto(ret, &params);
    let linkage = match signature {
        Signature::Entry => Linkage::Global,
        _ => Linkage::Static,
    };
    btf.func(name, proto, linkage)
}

/// The name as an identifier of C, as the kernel wants names in BTF to be.
pub(crate) fn identifier(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    // The kernel's limit is KSYM_NAME_LEN, 128 bytes before Linux 6.1.
    out.truncate(127);
    out
}

#[cfg(test)]
mod tests {
    use beetrace_btf::{Btf, Type};
    use beetrace_isa::assemble;

    use super::*;
    use crate::{Function, Line, ProgramKind};

    fn object() -> Object {
        let insns = assemble(
            "   r2 = func[callback] ll
                r1 = 8
                r3 = 0
                r4 = 0
                call bpf_loop
                r0 = 0
                exit
            callback:
                r0 = 0
                exit",
        )
        .unwrap();
        let span = |start| SourceSpan {
            source: 0,
            start,
            end: start + 1,
        };
        let line = |insn, start| Line {
            insn,
            span: span(start),
        };
        let function = |name: &str, start, signature| Function {
            name: name.into(),
            start,
            signature,
        };
        Object {
            programs: vec![Program {
                name: "begin_1".into(),
                kind: ProgramKind::Syscall,
                insns,
                functions: vec![
                    function("begin_1", 0, Signature::Entry),
                    function("loop", 7, Signature::LoopCallback),
                ],
                lines: vec![line(1, 0), line(4, 10), line(5, 10), line(6, 999)],
                probes: vec![],
            }],
            sources: vec![SourceText {
                name: "script.bt".into(),
                text: "begin {\n  exit();\n}".into(),
                expanded_from: None,
            }],
            ..Object::default()
        }
    }

    #[test]
    fn functions_have_types_at_their_slots() {
        let load = btf_for_load(&object());
        let btf = Btf::parse(load.btf).unwrap();
        let shown: Vec<_> = load.programs[0]
            .func_info
            .iter()
            .map(|info| match btf.get(info.type_id) {
                Ok(Type::Func(f)) => (info.insn_off, btf.declaration(f.proto, f.name)),
                other => panic!("no function: {other:?}"),
            })
            .collect();
        assert_eq!(
            shown,
            [
                (0, "int begin_1(void *ctx)".to_owned()),
                (8, "long loop(unsigned long index, void *ctx)".to_owned())
            ]
        );
    }

    #[test]
    fn every_function_starts_with_a_line() {
        let load = btf_for_load(&object());
        let btf = Btf::parse(load.btf).unwrap();
        let shown: Vec<_> = load.programs[0]
            .line_info
            .iter()
            .map(|info| {
                assert_eq!(btf.string(info.file_name_off), Some("script.bt"));
                let text = btf.string(info.line_off).unwrap();
                (info.insn_off, info.line, info.column, text)
            })
            .collect();
        assert_eq!(
            shown,
            [
                (0, 1, 1, "begin {"),
                (5, 2, 3, "  exit();"),
                (8, 2, 3, "  exit();")
            ]
        );
        assert_eq!(load.programs[0].line_info_bytes().len(), 48);
    }

    #[test]
    fn functions_out_of_order_give_nothing() {
        let mut object = object();
        object.programs[0].functions[0].start = 3;
        assert_eq!(btf_for_load(&object).programs, [DebugInfo::default()]);
    }

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("uprobe:/bin/sh:main"), "uprobe__bin_sh_main");
        assert_eq!(identifier("1st"), "_1st");
        assert_eq!(identifier(""), "_");
    }
}

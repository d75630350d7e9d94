//! `-d`: stages of the compilation as text.

use beetrace_codegen::ir::Module;
use beetrace_isa::Imm64;
use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::span::{SourceId, Sources};
use beetrace_lang::{check, dump, parser, typed};
use beetrace_object::{Object, Program};

/// The tree of the script itself. Mistakes are told by the compilation that follows.
pub fn ast(sources: &Sources, root: SourceId) {
    let text = sources
        .get(root)
        .map(|s| s.text.clone())
        .unwrap_or_default();
    let script = parser::parse(root, &text, &mut Diagnostics::default());
    section("ast", &dump::script(&script));
}

pub fn typed(program: &typed::Program) {
    section("typed", &check::dump(program));
}

pub fn ir(modules: &[(String, Module)]) {
    for (program, module) in modules {
        section(&format!("ir {program}"), &module.to_string());
    }
}

pub fn asm(object: &Object) {
    for program in &object.programs {
        section(&format!("asm {}", program.name), &listing(object, program));
    }
}

/// Instructions with their slots, under the source lines that they come from.
fn listing(object: &Object, program: &Program) -> String {
    let mut text = String::new();
    let mut slot = 0;
    for (index, insn) in program.insns.iter().enumerate() {
        for function in program
            .functions
            .iter()
            .filter(|f| f.start as usize == index)
        {
            text.push_str(&format!("{}:\n", function.name));
        }
        for line in program.lines.iter().filter(|l| l.insn as usize == index) {
            let source = object.sources.get(line.span.source as usize);
            let span =
                source.and_then(|s| s.text.get(line.span.start as usize..line.span.end as usize));
            if let Some(first) = span.and_then(|s| s.lines().next()) {
                text.push_str(&format!("       ; {first}\n"));
            }
        }
        text.push_str(&format!("{slot:5}: {insn:#}"));
        if let beetrace_isa::Insn::LdImm64 {
            imm: Imm64::MapIdx(map) | Imm64::MapIdxValue { idx: map, .. },
            ..
        } = insn
            && let Some(map) = object.maps.get(*map as usize)
        {
            text.push_str(&format!("  ; {}", map.name));
        }
        text.push('\n');
        slot += insn.slots();
    }
    text
}

pub fn object(object: &Object) {
    let mut text = format!("license {}\n", object.license);
    for (i, map) in object.maps.iter().enumerate() {
        text.push_str(&format!(
            "map {i} {} {:?} key {} value {} entries {}\n",
            map.name, map.kind, map.key_size, map.value_size, map.max_entries
        ));
    }
    for (i, record) in object.records.iter().enumerate() {
        text.push_str(&format!(
            "record {i} {} bytes: {:?}\n",
            record.size(),
            record.action
        ));
    }
    for program in &object.programs {
        let slots: usize = program.insns.iter().map(|i| i.slots()).sum();
        text.push_str(&format!(
            "program {} {:?} {slots} instructions\n",
            program.name, program.kind
        ));
        for probe in &program.probes {
            text.push_str(&format!("  at {}\n", probe.name));
        }
    }
    section("object", &text);
}

fn section(title: &str, text: &str) {
    print!("; {title}\n{text}\n");
}

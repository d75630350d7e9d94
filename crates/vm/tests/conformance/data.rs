//! The format of test files: sections of assembly or raw slots, memory, and the result.

use beetrace_isa::{RawInsn, encode};

use crate::assembler;

/// A test: a program, the memory that `r1` points to, and `r0` at the end.
pub(crate) struct Test {
    pub(crate) slots: Vec<RawInsn>,
    pub(crate) memory: Vec<u8>,
    pub(crate) result: u64,
}

pub(crate) fn parse(text: &str) -> Result<Test, String> {
    let mut section = "";
    let (mut assembly, mut raw, mut memory, mut result) =
        (String::new(), Vec::new(), Vec::new(), 0);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix("--") {
            section = name.trim();
            continue;
        }
        if line.is_empty() {
            continue;
        }
        match section {
            "asm" => {
                assembly.push_str(line);
                assembly.push('\n');
            }
            "mem" => memory.extend(bytes(line)?),
            "raw" => raw.extend(bytes(line)?),
            "result" => result = assembler::number(line)?,
            _ => {}
        }
    }
    let slots = if raw.is_empty() {
        encode(&assembler::assemble(&assembly)?)
    } else {
        beetrace_isa::from_bytes(&raw).map_err(|e| e.to_string())?
    };
    Ok(Test {
        slots,
        memory,
        result,
    })
}

/// Bytes of two hexadecimal digits each, or words of eight bytes behind `0x`.
fn bytes(line: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for token in line.split_whitespace() {
        if token.starts_with("0x") {
            out.extend(assembler::number(token)?.to_le_bytes());
        } else {
            out.push(u8::from_str_radix(token, 16).map_err(|e| e.to_string())?);
        }
    }
    Ok(out)
}

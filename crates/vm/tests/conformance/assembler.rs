//! The assembly language of the test files: `mnemonic operand, operand`, labels, numbers.

use std::collections::HashMap;

use beetrace_isa::{AluOp, AtomicOp, Endian, Imm64, Insn, JmpOp, Reg, Size, Src, Width};

/// Assembles a program. The first `exit` is also a label.
pub(crate) fn assemble(text: &str) -> Result<Vec<Insn>, String> {
    let mut labels = HashMap::new();
    let mut lines = Vec::new();
    let mut slot = 0i64;
    for line in text.lines() {
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label.trim(), slot);
            continue;
        }
        if line == "exit" {
            labels.entry("exit").or_insert(slot);
        }
        lines.push((slot, line));
        slot += if line.starts_with("lddw") { 2 } else { 1 };
    }
    lines
        .into_iter()
        .map(|(slot, line)| {
            let labels = Labels {
                labels: &labels,
                next: slot + 1,
            };
            instruction(line, &labels).ok_or_else(|| format!("cannot assemble `{line}`"))
        })
        .collect()
}

struct Labels<'a> {
    labels: &'a HashMap<&'a str, i64>,
    next: i64,
}

impl Labels<'_> {
    fn offset(&self, text: &str) -> Option<i32> {
        match self.labels.get(text) {
            Some(slot) => i32::try_from(slot - self.next).ok(),
            None => text.parse().ok(),
        }
    }
}

/// A number in decimal or hexadecimal, its sign kept in 64 bits.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    }
    .map_err(|e| format!("{text}: {e}"))?;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn reg(text: &str) -> Option<Reg> {
    Reg::new(text.strip_prefix("%r")?.parse().ok()?)
}

fn src(text: &str) -> Option<Src> {
    if text.starts_with('%') {
        return reg(text).map(Src::Reg);
    }
    number(text).ok().map(|n| Src::Imm(n as i32))
}

/// `[%r1+2]`
fn memory(text: &str) -> Option<(Reg, i16)> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.find(['+', '-']) {
        None => Some((reg(inner)?, 0)),
        Some(at) => {
            let (base, offset) = inner.split_at(at);
            let offset = number(offset.strip_prefix('+').unwrap_or(offset)).ok()?;
            Some((reg(base)?, offset as i16))
        }
    }
}

fn size(letter: &str) -> Option<Size> {
    Some(match letter {
        "b" => Size::B1,
        "h" => Size::B2,
        "w" => Size::B4,
        "dw" => Size::B8,
        _ => return None,
    })
}

fn bits(text: &str) -> Option<Size> {
    Size::from_bytes(text.parse::<u64>().ok()? / 8)
}

fn alu(name: &str) -> Option<AluOp> {
    Some(match name {
        "add" => AluOp::Add,
        "sub" => AluOp::Sub,
        "mul" => AluOp::Mul,
        "div" => AluOp::Div,
        "sdiv" => AluOp::SDiv,
        "mod" => AluOp::Mod,
        "smod" => AluOp::SMod,
        "or" => AluOp::Or,
        "and" => AluOp::And,
        "xor" => AluOp::Xor,
        "lsh" => AluOp::Lsh,
        "rsh" => AluOp::Rsh,
        "arsh" => AluOp::Arsh,
        "mov" => AluOp::Mov,
        _ => return None,
    })
}

fn jump(name: &str) -> Option<JmpOp> {
    Some(match name {
        "jeq" => JmpOp::Eq,
        "jne" => JmpOp::Ne,
        "jgt" => JmpOp::Gt,
        "jge" => JmpOp::Ge,
        "jlt" => JmpOp::Lt,
        "jle" => JmpOp::Le,
        "jset" => JmpOp::Set,
        "jsgt" => JmpOp::Sgt,
        "jsge" => JmpOp::Sge,
        "jslt" => JmpOp::Slt,
        "jsle" => JmpOp::Sle,
        _ => return None,
    })
}

/// A name without its `32`, and the width that says.
fn width(name: &str) -> (&str, Width) {
    match name.strip_suffix("32") {
        Some(name) => (name, Width::W32),
        None => (name, Width::W64),
    }
}

fn atomic(name: &str, fetch: bool) -> Option<AtomicOp> {
    Some(match name {
        "add" => AtomicOp::Add { fetch },
        "or" => AtomicOp::Or { fetch },
        "and" => AtomicOp::And { fetch },
        "xor" => AtomicOp::Xor { fetch },
        "xchg" => AtomicOp::Xchg,
        "cmpxchg" => AtomicOp::CmpXchg,
        _ => return None,
    })
}

fn instruction(line: &str, labels: &Labels<'_>) -> Option<Insn> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if name == "lock" {
        return lock(rest);
    }
    let operands: Vec<&str> = rest.split(',').map(str::trim).collect();
    match (name, operands.as_slice()) {
        ("exit", _) => return Some(Insn::Exit),
        ("ja" | "ja32", [target]) => {
            let off = labels.offset(target)?;
            return Some(Insn::Ja { off });
        }
        ("call", [target]) => {
            if let Some(function) = target.strip_prefix("local") {
                let rel = labels.offset(function.trim())?;
                return Some(Insn::CallLocal { rel });
            }
            let helper = target.parse().ok()?;
            return Some(Insn::Call { helper });
        }
        ("lddw", [dst, value]) => {
            return Some(Insn::LdImm64 {
                dst: reg(dst)?,
                imm: Imm64::Value(number(value).ok()?),
            });
        }
        ("neg" | "neg64" | "neg32", [dst]) => {
            let (_, width) = width(name);
            let dst = reg(dst)?;
            return Some(Insn::Neg { width, dst });
        }
        _ => {}
    }
    if let Some(insn) = memory_access(name, &operands) {
        return Some(insn);
    }
    if let [dst] = operands.as_slice() {
        let (op, size) = [
            ("be", Endian::Be),
            ("le", Endian::Le),
            ("bswap", Endian::Swap),
            ("swap", Endian::Swap),
        ]
        .iter()
        .find_map(|(prefix, op)| Some((*op, bits(name.strip_prefix(prefix)?)?)))?;
        let dst = reg(dst)?;
        return Some(Insn::Endian { op, size, dst });
    }
    if let Some(widths) = name.strip_prefix("movsx") {
        let (from, width) = match widths {
            "832" => (Size::B1, Width::W32),
            "1632" => (Size::B2, Width::W32),
            "864" => (Size::B1, Width::W64),
            "1664" => (Size::B2, Width::W64),
            "3264" => (Size::B4, Width::W64),
            _ => return None,
        };
        let [dst, src] = operands.as_slice() else {
            return None;
        };
        let (dst, src) = (reg(dst)?, reg(src)?);
        return Some(Insn::MovSx {
            width,
            from,
            dst,
            src,
        });
    }
    let (base, width) = width(name);
    let base = base.strip_suffix("64").unwrap_or(base);
    match operands.as_slice() {
        [dst, second] => Some(Insn::Alu {
            width,
            op: alu(base)?,
            dst: reg(dst)?,
            src: src(second)?,
        }),
        [dst, second, target] => Some(Insn::Jmp {
            width,
            op: jump(base)?,
            dst: reg(dst)?,
            src: src(second)?,
            off: labels.offset(target)?.try_into().ok()?,
        }),
        _ => None,
    }
}

fn memory_access(name: &str, operands: &[&str]) -> Option<Insn> {
    let [first, second] = operands else {
        return None;
    };
    if let Some(rest) = name.strip_prefix("ldx") {
        let (sign_extend, letter) = match rest.strip_prefix('s') {
            Some(letter) => (true, letter),
            None => (false, rest),
        };
        let (src, off) = memory(second)?;
        return Some(Insn::Load {
            size: size(letter)?,
            sign_extend,
            dst: reg(first)?,
            src,
            off,
        });
    }
    let letter = name
        .strip_prefix("stx")
        .or_else(|| name.strip_prefix("st"))?;
    let (dst, off) = memory(first)?;
    Some(Insn::Store {
        size: size(letter)?,
        dst,
        off,
        src: src(second)?,
    })
}

fn lock(rest: &str) -> Option<Insn> {
    let (fetch, rest) = match rest.strip_prefix("fetch ") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (name, operands) = rest.split_once(' ')?;
    let (name, width) = width(name);
    let (address, src) = operands.split_once(',')?;
    let (dst, off) = memory(address.trim())?;
    Some(Insn::Atomic {
        op: atomic(name, fetch)?,
        size: match width {
            Width::W64 => Size::B8,
            Width::W32 => Size::B4,
        },
        dst,
        src: reg(src.trim())?,
        off,
    })
}

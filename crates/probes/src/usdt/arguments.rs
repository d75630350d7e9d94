//! Argument strings of `.note.stapsdt`, e.g. `-4@%eax 8@-16(%rbp) 4@$5`.
//!
//! The format is `SIZE@OPERAND`, with operands as the architecture's assembler writes them
//! (<https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>).

use super::{Argument, Place};

/// The arguments of a probe whose instruction is at `address`; `symbol` gives addresses of symbols. Arguments from the first
/// on that cannot be read, such as those in floating point registers, are left out.
pub(crate) fn parse(
    text: &str,
    address: u64,
    symbol: &dyn Fn(&str) -> Option<u64>,
) -> Vec<Argument> {
    let machine = if cfg!(target_arch = "aarch64") {
        arm64::operand
    } else {
        x86_64::operand
    };
    parse_for(text, |operand| machine(operand, address, symbol))
}

fn parse_for(text: &str, operand: impl Fn(&str) -> Option<Place>) -> Vec<Argument> {
    split(text)
        .iter()
        .map_while(|argument| {
            let (size, place) = argument.split_once('@')?;
            let size: i8 = size.parse().ok()?;
            if !matches!(size.unsigned_abs(), 1 | 2 | 4 | 8) {
                return None;
            }
            Some(Argument {
                size: size.unsigned_abs(),
                signed: size < 0,
                place: operand(place.trim())?,
            })
        })
        .collect()
}

/// Splits at blanks, but not inside brackets or behind a comma.
fn split(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current = String::new();
    let mut depth = 0i32;
    for c in text.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            c if c.is_whitespace() && depth <= 0 => {
                if !current.is_empty() {
                    arguments.push(std::mem::take(&mut current));
                }
                continue;
            }
            c if c.is_whitespace() => continue,
            _ => {}
        }
        current.push(c);
    }
    if !current.is_empty() {
        arguments.push(current);
    }
    arguments
}

/// A number with a sign, decimal or hexadecimal.
fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    let value = value as i64;
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// A displacement: numbers and at most one symbol, joined by plus and minus. Gives the address of the symbol apart.
fn displacement(text: &str, symbol: &dyn Fn(&str) -> Option<u64>) -> Option<(i64, Option<u64>)> {
    let mut sum = 0i64;
    let mut address = None;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| matches!(c, '+' | '-'))
            .map_or(rest.len(), |(at, _)| at);
        let (term, behind) = rest.split_at(end);
        rest = behind;
        match number(term) {
            Some(value) => sum = sum.wrapping_add(value),
            None if address.is_none() && !term.starts_with('-') => {
                address = Some(symbol(term.strip_prefix('+').unwrap_or(term))?);
            }
            None => return None,
        }
    }
    Some((sum, address))
}

/// Operands of the GNU assembler in AT&T syntax; offsets are those of `struct pt_regs`
/// (arch/x86/include/asm/ptrace.h).
pub(super) mod x86_64 {
    use super::{Place, displacement, number};

    const IP: u32 = 128;

    /// 64-bit name, then those of its low 32, 16 and 8 bits.
    const REGISTERS: &[(u32, [&str; 4])] = &[
        (0, ["r15", "r15d", "r15w", "r15b"]),
        (8, ["r14", "r14d", "r14w", "r14b"]),
        (16, ["r13", "r13d", "r13w", "r13b"]),
        (24, ["r12", "r12d", "r12w", "r12b"]),
        (32, ["rbp", "ebp", "bp", "bpl"]),
        (40, ["rbx", "ebx", "bx", "bl"]),
        (48, ["r11", "r11d", "r11w", "r11b"]),
        (56, ["r10", "r10d", "r10w", "r10b"]),
        (64, ["r9", "r9d", "r9w", "r9b"]),
        (72, ["r8", "r8d", "r8w", "r8b"]),
        (80, ["rax", "eax", "ax", "al"]),
        (88, ["rcx", "ecx", "cx", "cl"]),
        (96, ["rdx", "edx", "dx", "dl"]),
        (104, ["rsi", "esi", "si", "sil"]),
        (112, ["rdi", "edi", "di", "dil"]),
        (IP, ["rip", "eip", "ip", "ip"]),
        (152, ["rsp", "esp", "sp", "spl"]),
    ];

    fn register(text: &str) -> Option<u32> {
        let name = text.trim().strip_prefix('%')?;
        REGISTERS
            .iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(offset, _)| *offset)
    }

    pub(crate) fn operand(
        text: &str,
        address: u64,
        symbol: &dyn Fn(&str) -> Option<u64>,
    ) -> Option<Place> {
        if let Some(constant) = text.strip_prefix('$') {
            return number(constant).map(Place::Constant);
        }
        if text.starts_with('%') && !text.contains(':') {
            return register(text).map(|offset| Place::Register { offset });
        }
        let Some((before, inside)) = text.split_once('(') else {
            // An absolute address: the distance from the instruction is what stays when the file moves.
            let (offset, symbol) = displacement(text, symbol)?;
            return Some(relative(symbol?, offset, address));
        };
        let inside = inside.strip_suffix(')')?;
        let mut registers = inside.split(',');
        let base = registers.next().unwrap_or_default();
        let index = match (registers.next(), registers.next()) {
            (None, _) => None,
            (Some(index), scale) => {
                let scale = scale.map_or(Some(1), |scale| scale.trim().parse().ok())?;
                Some((register(index)?, scale))
            }
        };
        let (offset, symbol) = displacement(before, symbol)?;
        match (register(base)?, symbol) {
            (IP, Some(symbol)) if index.is_none() => Some(relative(symbol, offset, address)),
            (base, None) => Some(Place::Memory {
                base,
                displacement: offset,
                index,
            }),
            _ => None,
        }
    }

    fn relative(symbol: u64, offset: i64, address: u64) -> Place {
        Place::Memory {
            base: IP,
            displacement: (symbol.wrapping_sub(address) as i64).wrapping_add(offset),
            index: None,
        }
    }
}

/// Operands of the GNU assembler; offsets are those of `struct user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h).
pub(super) mod arm64 {
    use super::{Place, number};

    const SP: u32 = 31 * 8;
    const PC: u32 = 32 * 8;

    fn register(text: &str) -> Option<u32> {
        match text {
            "sp" | "wsp" => Some(SP),
            "pc" => Some(PC),
            "fp" => Some(29 * 8),
            "lr" => Some(30 * 8),
            name => {
                let index: u32 = name.strip_prefix(['x', 'w'])?.parse().ok()?;
                (index <= 30).then_some(index * 8)
            }
        }
    }

    pub(crate) fn operand(
        text: &str,
        _address: u64,
        _symbol: &dyn Fn(&str) -> Option<u64>,
    ) -> Option<Place> {
        if let Some(offset) = register(text) {
            return Some(Place::Register { offset });
        }
        if let Some(constant) = number(text.strip_prefix('#').unwrap_or(text)) {
            return Some(Place::Constant(constant));
        }
        let inside = text.strip_prefix('[')?.strip_suffix(']')?;
        let mut items = inside.split(',').map(str::trim);
        let base = register(items.next()?)?;
        let (displacement, index) = match items.next() {
            None => (0, None),
            Some(offset) => match register(offset) {
                Some(index) => (0, Some((index, scale(items.next())?))),
                None => (number(offset.strip_prefix('#').unwrap_or(offset))?, None),
            },
        };
        Some(Place::Memory {
            base,
            displacement,
            index,
        })
    }

    /// The factor that `lsl #3` means.
    fn scale(shift: Option<&str>) -> Option<u8> {
        let Some(shift) = shift else { return Some(1) };
        let bits: u32 = shift
            .strip_prefix("lsl")?
            .trim()
            .trim_start_matches('#')
            .parse()
            .ok()?;
        1u8.checked_shl(bits).filter(|scale| *scale != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Option<u64> {
        (name == "counter").then_some(0x5000)
    }

    fn x86(text: &str) -> Vec<Argument> {
        parse_for(text, |operand| x86_64::operand(operand, 0x1000, &symbol))
    }

    fn argument(size: i8, place: Place) -> Argument {
        Argument {
            size: size.unsigned_abs(),
            signed: size < 0,
            place,
        }
    }

    fn memory(base: u32, displacement: i64, index: Option<(u32, u8)>) -> Place {
        Place::Memory {
            base,
            displacement,
            index,
        }
    }

    #[test]
    fn reads_x86_64() {
        for (text, size, place) in [
            ("-4@$5", -4, Place::Constant(5)),
            ("8@$-9223372036854775808", 8, Place::Constant(i64::MIN)),
            ("8@$18446744073709551615", 8, Place::Constant(-1)),
            ("8@%rax", 8, Place::Register { offset: 80 }),
            ("-4@%r15d", -4, Place::Register { offset: 0 }),
            ("1@%dil", 1, Place::Register { offset: 112 }),
            ("8@(%rdi)", 8, memory(112, 0, None)),
            ("8@-16(%rbp)", 8, memory(32, -16, None)),
            ("4@0x10(%rsp)", 4, memory(152, 16, None)),
            ("-2@8-16(%rbp)", -2, memory(32, -8, None)),
            ("8@(%rax,%rbx,4)", 8, memory(80, 0, Some((40, 4)))),
            ("8@-8(%rax,%rbx)", 8, memory(80, -8, Some((40, 1)))),
            ("4@counter(%rip)", 4, memory(128, 0x4000, None)),
            ("4@counter+4(%rip)", 4, memory(128, 0x4004, None)),
            ("4@8+counter(%rip)", 4, memory(128, 0x4008, None)),
            ("4@counter", 4, memory(128, 0x4000, None)),
        ] {
            assert_eq!(x86(text), [argument(size, place)], "{text}");
        }
    }

    #[test]
    fn reads_several() {
        let places: Vec<Place> = x86("8@%rdi -4@-20(%rbp) 8@( %rax, %rbx, 8 )")
            .into_iter()
            .map(|a| a.place)
            .collect();
        assert_eq!(
            places,
            [
                Place::Register { offset: 112 },
                memory(32, -20, None),
                memory(80, 0, Some((40, 8))),
            ]
        );
        assert_eq!(x86(""), []);
    }

    #[test]
    fn leaves_out_what_it_cannot_read() {
        for text in [
            "8@%rdi 8@%xmm0 8@%rsi",
            "8@%rdi 3@%rax",
            "8@%rdi 8@nosuch(%rip)",
            "8@%rdi 8@%fs:16(%rax)",
            "8@%rdi 4f@%rax",
        ] {
            assert_eq!(x86(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn reads_arm64() {
        let arm = |text: &str| parse_for(text, |operand| arm64::operand(operand, 0, &symbol));
        for (text, size, place) in [
            ("-4@w0", -4, Place::Register { offset: 0 }),
            ("8@x30", 8, Place::Register { offset: 240 }),
            ("-4@5", -4, Place::Constant(5)),
            ("8@[sp, 8]", 8, memory(248, 8, None)),
            ("8@[x29, #-16]", 8, memory(232, -16, None)),
            ("8@[x0]", 8, memory(0, 0, None)),
            ("8@[x0, x1, lsl #3]", 8, memory(0, 0, Some((8, 8)))),
        ] {
            assert_eq!(arm(text), [argument(size, place)], "{text}");
        }
    }
}

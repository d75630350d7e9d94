//! Reading a line from left to right.

use beetrace_isa::{Size, Width};
use beetrace_object::SourceSpan;

use super::Expected;
use crate::ir::text::WIDTHS;
use crate::ir::{Block, FuncId, Target, Value};

/// The rest of a line.
pub(super) struct Cursor<'a>(pub(super) &'a str);

impl<'a> Cursor<'a> {
    pub(super) fn skip(&mut self) {
        self.0 = self.0.trim_start();
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        self.skip();
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, token: &str, expected: Expected) -> Result<(), Expected> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(expected)
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Expected> {
        self.skip();
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("the end of the line")
        }
    }

    pub(super) fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let end = self.0.find(|c| !is_part(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    pub(super) fn word(&mut self) -> &'a str {
        self.take(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    pub(super) fn number(&mut self) -> Result<i64, Expected> {
        let negative = self.eat("-");
        let digits = self.word();
        let n: i128 = match digits.strip_prefix("0x") {
            Some(hex) => i128::from_str_radix(hex, 16),
            None => digits.parse(),
        }
        .map_err(|_| "a number")?;
        let n = if negative { -n } else { n };
        i64::try_from(n)
            .or_else(|_| u64::try_from(n).map(|n| n as i64))
            .map_err(|_| "a number of 64 bits")
    }

    pub(super) fn unsigned(&mut self) -> Result<u32, Expected> {
        u32::try_from(self.number()?).map_err(|_| "a number of 32 bits")
    }

    pub(super) fn offset(&mut self) -> Result<i32, Expected> {
        let negative = self.0.starts_with('-');
        if !negative && !self.eat("+") {
            return Err("an offset");
        }
        i32::try_from(self.number()?).map_err(|_| "a number of 32 bits")
    }

    pub(super) fn try_value(&mut self) -> Option<Value> {
        self.skip();
        let digits = self.0.strip_prefix('v')?;
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        // A name that is not the highest of 32 bits, so that one more can be counted.
        let number = digits[..end].parse().ok().filter(|&n| n < u32::MAX)?;
        self.0 = &digits[end..];
        Some(Value(number))
    }

    pub(super) fn value(&mut self) -> Result<Value, Expected> {
        self.try_value().ok_or("a value")
    }

    pub(super) fn pair(&mut self) -> Result<(Value, Value), Expected> {
        let left = self.value()?;
        self.expect(",", "`,`")?;
        Ok((left, self.value()?))
    }

    /// `(v1, v2)`, or nothing.
    pub(super) fn optional_values(&mut self) -> Result<Vec<Value>, Expected> {
        let mut values = Vec::new();
        if self.eat("(") && !self.eat(")") {
            loop {
                values.push(self.value()?);
                if self.eat(")") {
                    break;
                }
                self.expect(",", "`,` or `)`")?;
            }
        }
        Ok(values)
    }

    pub(super) fn place(&mut self) -> Result<(Value, i32), Expected> {
        Ok((self.value()?, self.offset()?))
    }

    pub(super) fn place_and_value(&mut self) -> Result<(Value, i32, Value), Expected> {
        let (base, offset) = self.place()?;
        self.expect(",", "`,`")?;
        Ok((base, offset, self.value()?))
    }

    pub(super) fn target(&mut self) -> Result<Target, Expected> {
        self.expect("block", "a block")?;
        let block = Block(self.unsigned()?);
        let args = self.optional_values()?;
        Ok(Target { block, args })
    }

    pub(super) fn function(&mut self) -> Result<FuncId, Expected> {
        self.expect("fn", "a function")?;
        Ok(FuncId(self.unsigned()?))
    }

    pub(super) fn width(&mut self) -> Result<Width, Expected> {
        self.expect(".", "a width")?;
        let digits = self.word();
        let found = WIDTHS.into_iter().find(|(_, name)| *name == digits);
        found.map(|(width, _)| width).ok_or("32 or 64")
    }

    pub(super) fn size(&mut self) -> Result<Size, Expected> {
        self.expect(".", "a size")?;
        size_of(self.word())
    }

    pub(super) fn signed_size(&mut self) -> Result<(bool, Size), Expected> {
        self.expect(".", "a size")?;
        let word = self.word();
        match word.strip_prefix('s') {
            Some(bits) => Ok((true, size_of(bits)?)),
            None => Ok((false, size_of(word.trim_start_matches('u'))?)),
        }
    }

    pub(super) fn span(&mut self) -> Result<SourceSpan, Expected> {
        if !self.eat("@") {
            return Ok(SourceSpan::default());
        }
        let source = self.unsigned()?;
        self.expect(":", "`:`")?;
        let start = self.unsigned()?;
        self.expect("-", "`-`")?;
        let end = self.unsigned()?;
        Ok(SourceSpan { source, start, end })
    }
}

fn size_of(bits: &str) -> Result<Size, Expected> {
    let bits: u64 = bits.parse().map_err(|_| "a size")?;
    Size::from_bytes(bits / 8)
        .filter(|_| bits.is_multiple_of(8))
        .ok_or("8, 16, 32 or 64")
}

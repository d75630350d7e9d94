//! Tokens of one line and the cursor that walks over them.

use super::AsmErrorKind;
use crate::ops::{Reg, Width};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Number(u64),
    Sign(&'static str),
}

/// Longer signs first, so that the first that fits is the right one.
const SIGNS: [&str; 27] = [
    "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "==", "!=", "<=", ">=", "=", "<",
    ">", "&", "*", "(", ")", "[", "]", "+", "-", ",", "#",
];

pub(super) struct Cursor<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | ':')
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Result<Cursor<'a>, AsmErrorKind> {
        let mut tokens = Vec::new();
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            if is_name(first) {
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                let (word, tail) = rest.split_at(end);
                rest = tail;
                if first.is_ascii_digit() {
                    let number = match word.strip_prefix("0x") {
                        Some(hex) => u64::from_str_radix(hex, 16),
                        None => word.parse(),
                    };
                    let range = AsmErrorKind::Range { what: "the number" };
                    tokens.push(Token::Number(number.map_err(|_| range)?));
                } else {
                    tokens.push(Token::Name(word));
                }
            } else {
                let (sign, tail) = SIGNS
                    .iter()
                    .find_map(|s| rest.strip_prefix(s).map(|tail| (*s, tail)))
                    .ok_or(AsmErrorKind::Character(first))?;
                tokens.push(Token::Sign(sign));
                rest = tail;
            }
            rest = rest.trim_start();
        }
        Ok(Cursor { tokens, at: 0 })
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    /// The error for the token at hand.
    pub(super) fn expected<T>(&self, expected: &'static str) -> Result<T, AsmErrorKind> {
        let found = match self.peek() {
            Some(Token::Name(name)) => name.to_owned(),
            Some(Token::Number(number)) => number.to_string(),
            Some(Token::Sign(sign)) => sign.to_owned(),
            None => "the end of the line".to_owned(),
        };
        Err(AsmErrorKind::Syntax { expected, found })
    }

    pub(super) fn end(&self) -> Result<(), AsmErrorKind> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.expected("the end of the line"),
        }
    }

    /// Takes this sign if it is next.
    pub(super) fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(s)) if s == sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn sign(&mut self, sign: &'static str) -> Result<(), AsmErrorKind> {
        if self.take(sign) {
            Ok(())
        } else {
            self.expected(sign)
        }
    }

    /// Takes this word if it is next.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(n)) if n == word);
        self.at += usize::from(found);
        found
    }

    /// Takes any word.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Some(name)
            }
            _ => None,
        }
    }

    /// Looks at the next word without taking it.
    pub(super) fn peek_word(&self) -> Option<&'a str> {
        match self.peek() {
            Some(Token::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Takes any sign with the word `s` in front if there is one: `s>>=`, `+=`.
    pub(super) fn operator(&mut self) -> Option<(bool, &'static str)> {
        let signed = matches!(self.peek(), Some(Token::Name("s")));
        match self.tokens.get(self.at + usize::from(signed)) {
            Some(Token::Sign(sign)) => {
                self.at += 1 + usize::from(signed);
                Some((signed, sign))
            }
            _ => None,
        }
    }

    /// Takes a register, `r0`–`r10` or `w0`–`w10`, if one is next.
    pub(super) fn take_reg(&mut self) -> Option<(Width, Reg)> {
        let Some(Token::Name(name)) = self.peek() else {
            return None;
        };
        let (width, number) = match name.split_at_checked(1)? {
            ("r", number) => (Width::W64, number),
            ("w", number) => (Width::W32, number),
            _ => return None,
        };
        let reg = Reg::ALL
            .into_iter()
            .find(|r| r.number().to_string() == number)?;
        self.at += 1;
        Some((width, reg))
    }

    /// A register of this width.
    pub(super) fn reg(&mut self, width: Width) -> Result<Reg, AsmErrorKind> {
        let start = self.at;
        match self.take_reg() {
            Some((w, reg)) if w == width => Ok(reg),
            _ => {
                self.at = start;
                self.expected(match width {
                    Width::W32 => "a register w0 to w10",
                    Width::W64 => "a register r0 to r10",
                })
            }
        }
    }

    /// A number with an optional sign, if one is next.
    pub(super) fn take_number(&mut self) -> Option<i128> {
        let start = self.at;
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        match self.peek() {
            Some(Token::Number(number)) => {
                self.at += 1;
                let number = i128::from(number);
                Some(if negative { -number } else { number })
            }
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// A number that fits into `T`.
    pub(super) fn number<T: TryFrom<i128>>(
        &mut self,
        what: &'static str,
    ) -> Result<T, AsmErrorKind> {
        match self.take_number() {
            Some(number) => T::try_from(number).map_err(|_| AsmErrorKind::Range { what }),
            None => self.expected("a number"),
        }
    }
}

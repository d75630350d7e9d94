//! Tokens of the language, cut from the text on demand.
//!
//! There is no token stream: the parser asks for the token at a place, because attach points are text of their own
//! and only the parser knows where they stand. A token carries no value; [`literal`] reads it from the text.

pub mod literal;

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Ident,
    /// `$name`
    Var,
    /// `@` or `@name`
    Map,
    /// `$1`
    Param,
    /// `$#`
    ParamCount,
    Int,
    /// `"…"`, whose closing quote may be missing.
    Str,
    /// `'c'`, known to C definitions only.
    Char,
    Punct(Punct),
    /// A character, or a lone `$`, that starts no token.
    Unknown,
    /// `/*` with no `*/` behind it: everything up to the end.
    OpenComment,
    End,
}

macro_rules! puncts {
    ($($name:ident $text:literal)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Punct { $($name),* }

        impl Punct {
            pub(crate) fn text(self) -> &'static str {
                match self { $(Punct::$name => $text),* }
            }
        }

        /// Longest first, so that the first that fits is the right one.
        const PUNCTS: &[(&str, Punct)] = &[$(($text, Punct::$name)),*];
    };
}

puncts! {
    ShlAssign "<<=" ShrAssign ">>="
    Arrow "->" Range ".." PlusPlus "++" MinusMinus "--" Shl "<<" Shr ">>" Le "<=" Ge ">=" EqEq "==" Ne "!="
    AndAnd "&&" OrOr "||" PlusAssign "+=" MinusAssign "-=" StarAssign "*=" SlashAssign "/=" PercentAssign "%="
    AndAssign "&=" OrAssign "|=" XorAssign "^="
    LBrace "{" RBrace "}" LParen "(" RParen ")" LBracket "[" RBracket "]" Semicolon ";" Comma "," Colon ":"
    Question "?" Dot "." Assign "=" Plus "+" Minus "-" Star "*" Slash "/" Percent "%" And "&" Or "|" Xor "^"
    Not "!" Tilde "~" Lt "<" Gt ">" Hash "#"
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

pub(crate) fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

pub(crate) fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// The end of the run of word characters that starts at `at`.
pub(crate) fn word_end(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&b| is_word(b)).count()
}

/// What stands between tokens: white space, comments, a backslash at the end of a line.
/// `Err` holds the place of a comment that never ends.
pub(crate) fn skip_layout(text: &str, mut at: usize) -> Result<usize, usize> {
    let bytes = text.as_bytes();
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c), _) => at += 1,
            (Some(b'\\'), Some(b'\n')) => at += 2,
            (Some(b'\\'), Some(b'\r')) if bytes.get(at + 2) == Some(&b'\n') => at += 3,
            (Some(b'/'), Some(b'/')) => at = line_end(text, at),
            (Some(b'/'), Some(b'*')) => match text.get(at + 2..).and_then(|t| t.find("*/")) {
                Some(n) => at += 2 + n + 2,
                None => return Err(at),
            },
            _ => return Ok(at),
        }
    }
}

/// The place of the next line feed, or the end of the text.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.find('\n').map_or(text.len(), |n| at + n)
}

/// The token at or behind `at`, which must be a character boundary.
pub(crate) fn token(text: &str, at: usize) -> Token {
    let start = match skip_layout(text, at) {
        Ok(start) => start,
        Err(start) => {
            return Token {
                kind: TokenKind::OpenComment,
                start,
                end: text.len(),
            };
        }
    };
    let rest = text.get(start..).unwrap_or_default();
    let (kind, len) = cut(rest);
    Token {
        kind,
        start,
        end: start + len,
    }
}

/// The kind and the length of the token that `rest` begins with.
fn cut(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let second = bytes.get(1).copied().unwrap_or(0);
    match bytes.first().copied() {
        None => (TokenKind::End, 0),
        Some(b) if is_word_start(b) => (TokenKind::Ident, word_end(rest, 0)),
        Some(b) if b.is_ascii_digit() => (TokenKind::Int, word_end(rest, 0)),
        Some(b'@') if is_word_start(second) => (TokenKind::Map, word_end(rest, 1)),
        Some(b'@') => (TokenKind::Map, 1),
        Some(b'$') if is_word_start(second) => (TokenKind::Var, word_end(rest, 1)),
        Some(b'$') if second.is_ascii_digit() => {
            let digits = bytes[1..].iter().take_while(|b| b.is_ascii_digit());
            (TokenKind::Param, 1 + digits.count())
        }
        Some(b'$') if second == b'#' => (TokenKind::ParamCount, 2),
        Some(quote @ (b'"' | b'\'')) => {
            let kind = if quote == b'"' {
                TokenKind::Str
            } else {
                TokenKind::Char
            };
            (kind, quoted_len(bytes, quote))
        }
        Some(_) => match PUNCTS.iter().find(|(text, _)| rest.starts_with(text)) {
            Some((text, punct)) => (TokenKind::Punct(*punct), text.len()),
            None => (
                TokenKind::Unknown,
                rest.chars().next().map_or(1, char::len_utf8),
            ),
        },
    }
}

/// Length of a quoted text with its quotes; it ends at the line's end when it is not closed.
fn quoted_len(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&b) = bytes.get(at) {
        match b {
            b if b == quote => return at + 1,
            b'\n' => return at,
            b'\\' if bytes.get(at + 1) == Some(&b'\r') && bytes.get(at + 2) == Some(&b'\n') => {
                at += 3;
            }
            b'\\' if at + 1 < bytes.len() => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        let mut at = 0;
        let mut all = Vec::new();
        loop {
            let t = token(text, at);
            if t.kind == TokenKind::End {
                return all;
            }
            all.push((t.kind, &text[t.range()]));
            at = t.end;
        }
    }

    #[test]
    fn cuts_words_and_sigils() {
        use TokenKind::*;
        assert_eq!(
            kinds("a $b @c @ $12 $# 0x1f_u // x\n /* y */ \"q\\\"r\""),
            [
                (Ident, "a"),
                (Var, "$b"),
                (Map, "@c"),
                (Map, "@"),
                (Param, "$12"),
                (ParamCount, "$#"),
                (Int, "0x1f_u"),
                (Str, "\"q\\\"r\""),
            ]
        );
    }

    #[test]
    fn prefers_the_longest_operator() {
        let texts: Vec<_> = kinds("a<<=b>>c->d..e++ +f==g")
            .into_iter()
            .map(|k| k.1)
            .collect();
        assert_eq!(
            texts,
            [
                "a", "<<=", "b", ">>", "c", "->", "d", "..", "e", "++", "+", "f", "==", "g"
            ]
        );
    }

    #[test]
    fn keeps_ranges_apart_from_numbers() {
        let texts: Vec<_> = kinds("0..10 $x.0.1").into_iter().map(|k| k.1).collect();
        assert_eq!(texts, ["0", "..", "10", "$x", ".", "0", ".", "1"]);
    }

    #[test]
    fn an_open_string_ends_with_its_line() {
        assert_eq!(
            kinds("\"abc\nd"),
            [(TokenKind::Str, "\"abc"), (TokenKind::Ident, "d")]
        );
        assert_eq!(kinds("\"abc\\"), [(TokenKind::Str, "\"abc\\")]);
    }

    #[test]
    fn takes_whole_characters() {
        assert_eq!(
            kinds("é$ x"),
            [
                (TokenKind::Unknown, "é"),
                (TokenKind::Unknown, "$"),
                (TokenKind::Ident, "x")
            ]
        );
        assert_eq!(token("a /* b", 1).kind, TokenKind::OpenComment);
    }
}

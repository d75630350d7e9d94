//! Wildcards in attach points: `*` stands for any text.

/// Whether the text asks for more than one thing. Brackets count as a question too, though only `*` matches anything.
pub fn has_wildcard(text: &str) -> bool {
    text.contains('*') || (text.contains('[') && text.contains(']'))
}

/// A text with `*` in it, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<String>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Pattern {
            pieces: text.split('*').map(str::to_owned).collect(),
        }
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let (first, rest) = match self.pieces.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => return text.is_empty(),
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(mut text) = text.strip_prefix(first) else {
            return false;
        };
        for piece in middle {
            match text.find(piece.as_str()) {
                Some(at) => text = &text[at + piece.len()..],
                None => return false,
            }
        }
        text.ends_with(last.as_str())
    }

    /// Whether a piece of the pattern has that character.
    pub fn mentions(&self, c: char) -> bool {
        self.pieces.iter().any(|piece| piece.contains(c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        for (pattern, yes, no) in [
            ("*", &["", "a"][..], &[][..]),
            ("vfs_*", &["vfs_", "vfs_read"], &["xvfs_read"]),
            ("*foo", &["foo", "foofoo"], &["foob"]),
            (
                "sys_*_nanosleep",
                &["sys_enter_nanosleep"],
                &["sys_nanosleep"],
            ),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*a*b*", &["ab", "xaybz"], &["ba"]),
            ("plain", &["plain"], &["plainer", ""]),
            ("f[ab]", &["f[ab]"], &["fa"]),
        ] {
            let pattern = Pattern::new(pattern);
            for text in yes {
                assert!(pattern.matches(text), "{pattern:?} {text}");
            }
            for text in no {
                assert!(!pattern.matches(text), "{pattern:?} {text}");
            }
        }
    }
}

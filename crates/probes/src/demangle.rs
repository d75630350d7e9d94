//! Names of C++ and Rust functions as people write them.

/// Languages whose symbols a qualifier of an attach point demangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    Cpp,
    Rust,
}

impl Language {
    pub fn find(name: &str) -> Option<Language> {
        match name {
            "cpp" => Some(Language::Cpp),
            "rust" => Some(Language::Rust),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Language::Cpp => "cpp",
            Language::Rust => "rust",
        }
    }

    /// The symbol's name in that language, with its parameters where the language mangles them. `None` for a symbol of
    /// another language.
    pub fn demangle(self, symbol: &str) -> Option<String> {
        match self {
            Language::Cpp => {
                if !symbol.starts_with("_Z") && !symbol.starts_with("____Z") {
                    return None;
                }
                let symbol = cpp_demangle::Symbol::new(symbol).ok()?;
                symbol.demangle().ok()
            }
            Language::Rust => {
                let name = rustc_demangle::try_demangle(symbol).ok()?;
                Some(format!("{name:#}"))
            }
        }
    }
}

/// A C++ function's name without its parameter list: `ns::f(int, char)` is `ns::f`.
pub(crate) fn without_parameters(name: &str) -> &str {
    let Some(end) = name.rfind(')') else {
        return name;
    };
    let mut depth = 0usize;
    for (at, c) in name[..=end].char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' => {
                depth -= 1;
                if depth == 0 {
                    return &name[..at];
                }
            }
            _ => {}
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demangles() {
        assert_eq!(
            Language::Cpp
                .demangle("_ZN5MyApp6Server14handle_requestEi")
                .as_deref(),
            Some("MyApp::Server::handle_request(int)")
        );
        assert_eq!(Language::Cpp.demangle("main"), None);
        assert_eq!(Language::Cpp.demangle("_Znonsense"), None);
        assert_eq!(
            Language::Rust
                .demangle("_ZN10hello_rust4fun117h0123456789abcdefE")
                .as_deref(),
            Some("hello_rust::fun1")
        );
        assert_eq!(
            Language::Rust
                .demangle("_RNvCs1234_7mycrate3foo")
                .as_deref(),
            Some("mycrate::foo")
        );
    }

    #[test]
    fn strips_parameters() {
        for (name, bare) in [
            ("f(int)", "f"),
            ("ns::f(void (*)(int), char)", "ns::f"),
            ("ns::f(int) const", "ns::f"),
            ("plain", "plain"),
            ("odd)", "odd)"),
        ] {
            assert_eq!(without_parameters(name), bare);
        }
    }
}

//! The standard library: built-ins that the language can say itself, as macros in `stdlib/*.bt`.

use std::sync::Arc;

use crate::ast::Macro;
use crate::diagnostic::Diagnostics;
use crate::parser;
use crate::span::{Source, Sources};

const FILES: [(&str, &str); 4] = [
    ("stdlib/base.bt", include_str!("../stdlib/base.bt")),
    ("stdlib/meta.bt", include_str!("../stdlib/meta.bt")),
    ("stdlib/process.bt", include_str!("../stdlib/process.bt")),
    ("stdlib/strings.bt", include_str!("../stdlib/strings.bt")),
];

/// Whether an import names the library or a file of it. All of it is there in every script anyway.
pub fn is_part(import: &str) -> bool {
    let stem = |name: &'static str| name.strip_suffix(".bt");
    import == "stdlib"
        || FILES
            .iter()
            .any(|(name, _)| *name == import || stem(name) == Some(import))
}

/// Parses the library into macros; its texts join `sources`, so that messages can point into them.
pub fn parse(sources: &mut Sources, diags: &mut Diagnostics) -> Vec<Macro> {
    let mut macros = Vec::new();
    for (name, text) in FILES {
        let text: Arc<str> = text.into();
        let id = sources.add(Source {
            name: name.into(),
            text: text.clone(),
            is_stdlib: true,
            expanded_from: None,
        });
        macros.extend(parser::parse(id, &text, diags).macros);
    }
    macros
}

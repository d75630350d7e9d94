//! Where a script's text comes from.

use std::io::Read;
use std::sync::Arc;

use beetrace_lang::span::{Source, SourceId, Sources};
use beetrace_session::records::plain;

use crate::args::Args;

/// Reads the script that the arguments name. The error is for the person.
pub fn read(args: &Args) -> Result<(Sources, SourceId), String> {
    let (name, text) = match (&args.program, args.file()) {
        (Some(program), _) if !program.is_empty() => ("stdin".to_string(), program.clone()),
        (None, Some("-")) => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| format!("failed to read the standard input: {e}"))?;
            ("stdin".to_string(), text)
        }
        (None, Some(path)) => {
            let bytes = std::fs::read(path)
                .map_err(|e| format!("failed to open file '{path}': {}", plain(&e)))?;
            let text =
                String::from_utf8(bytes).map_err(|_| format!("'{path}' is no text in UTF-8"))?;
            (path.to_string(), text)
        }
        (None, None) | (Some(_), _) => {
            return Err("USAGE: filename or -e 'program' required.".into());
        }
    };
    let mut sources = Sources::default();
    let text: Arc<str> = text.into();
    let root = sources.add(Source {
        name,
        text,
        is_stdlib: false,
        expanded_from: None,
    });
    Ok((sources, root))
}

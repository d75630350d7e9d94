//! Expansion: the tree with everything resolved that needs no types.
//!
//! Imports are read, `#define`s and macros are replaced by what they stand for, parameters of the command line become
//! literals, the configuration is settled, and attach points are matched against the system.

mod body;
mod config;
mod imports;
mod includes;
mod macros;
mod params;
mod probes;
mod uses;

use beetrace_probes::World;

use crate::ast::CItem;
use crate::diagnostic::Diagnostics;
use crate::expanded::Expanded;
use crate::options::Options;
use crate::span::{SourceId, Sources};
use crate::stdlib;

pub use imports::{FileSystem, ImportFiles};
pub use params::NamedParam;

use body::Expander;
use macros::{Defines, MacroTable};

/// What expansion gives: the script for the checker, and the options that it declared with `getopt`.
#[derive(Debug)]
pub struct Expansion {
    pub script: Expanded,
    pub named_params: Vec<NamedParam>,
    /// The options as text, where the person asks for `--help` of the script: then there is nothing to run.
    pub help: Option<String>,
}

/// Expands the script that is text `root` of `sources`. What is wrong goes to `diags`; the rest is there all the same,
/// so that the checker may find more.
pub fn expand(
    root: SourceId,
    mut sources: Sources,
    world: &dyn World,
    files: &dyn ImportFiles,
    options: &Options,
    diags: &mut Diagnostics,
) -> Expansion {
    let mut script = imports::load(root, &mut sources, files, options, diags);
    let library = stdlib::parse(&mut sources, diags);
    let settings = config::settle(script.config.as_ref(), options, diags);

    let mut defines = Defines::default();
    let mut macros = MacroTable::default();
    for item in &script.c_items {
        if let CItem::Define {
            name,
            params,
            text,
            text_span,
            ..
        } = item
        {
            match params {
                None => defines.add(name, text, *text_span),
                Some(params) => macros.add_define(name, params, text, *text_span, diags),
            }
        }
    }
    for m in library {
        macros.add(m, true, diags);
    }
    for m in std::mem::take(&mut script.macros) {
        macros.add(m, false, diags);
    }

    let mut expander = Expander::new(&macros, &defines, options, &mut sources, diags);
    for map in &mut script.maps {
        expander.root_expr(&mut map.max_entries);
    }
    for probe in &mut script.probes {
        if let Some(predicate) = &mut probe.predicate {
            expander.root_expr(predicate);
        }
        expander.root_block(&mut probe.body);
    }
    let named_params = expander.finish();
    params::reject_unknown(&named_params, options, diags);
    let probes = probes::match_all(script.probes, world, &settings, options, diags);
    script
        .c_items
        .retain(|i| !matches!(i, CItem::Include { .. } | CItem::Define { .. }));
    let script = Expanded {
        c_items: script.c_items,
        maps: script.maps,
        probes,
        settings,
        sources,
    };
    Expansion {
        script,
        help: params::help(&named_params, options),
        named_params,
    }
}

#[cfg(test)]
mod tests;

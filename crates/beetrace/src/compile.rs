//! From text to object.

use beetrace_codegen::Target;
use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::expand::{self, FileSystem, NamedParam};
use beetrace_lang::options::Options;
use beetrace_lang::span::{SourceId, Sources};
use beetrace_lang::{STACK_BYTES, check, parser, typed};
use beetrace_object::Object;
use beetrace_probes::World;

use crate::Reported;
use crate::args::{Args, Stage};
use crate::report;
use crate::stages;

/// What the arguments say to the compiler. `pid` is that of `-p`.
pub fn options(args: &Args, pid: Option<u32>) -> Options {
    let ours = |name: &str| name.starts_with("BPFTRACE_") || name.starts_with("BEETRACE_");
    Options {
        positional: args.positional(),
        named: args.named(),
        environment: std::env::vars().filter(|(name, _)| ours(name)).collect(),
        allow_unsafe: args.allow_unsafe,
        has_child: args.cmd.is_some(),
        pid,
        include_dirs: args.include_dirs.clone(),
        includes: args.includes.clone(),
    }
}

/// Checks a script and shows what is wrong with it.
pub fn front_end(
    args: &Args,
    options: &Options,
    source: (Sources, SourceId),
    world: &dyn World,
) -> Result<(typed::Program, Vec<NamedParam>), Reported> {
    stacker::grow(STACK_BYTES, || checked(args, options, source, world))
}

fn checked(
    args: &Args,
    options: &Options,
    (sources, root): (Sources, SourceId),
    world: &dyn World,
) -> Result<(typed::Program, Vec<NamedParam>), Reported> {
    if args.shows(Stage::Ast) {
        stages::ast(&sources, root);
    }
    let mut diags = Diagnostics::default();
    let expansion = expand::expand(root, sources, world, &FileSystem, options, &mut diags);
    if let Some(help) = &expansion.help {
        report::hint(help);
        return Err(Reported);
    }
    let sources = expansion.script.sources.clone();
    if expansion.script.probes.is_empty() && !diags.has_errors() {
        report::diagnostics(&diags, &sources, !args.no_warnings);
        return Err(report::no_probes());
    }
    let program = check::check(expansion.script, world, options, &mut diags);
    report::diagnostics(&diags, &sources, !args.no_warnings);
    match program {
        Some(program) if !diags.has_errors() => Ok((program, expansion.named_params)),
        _ => Err(Reported),
    }
}

/// Compiles a checked program.
pub fn back_end(
    args: &Args,
    program: &typed::Program,
    target: &Target,
) -> Result<Object, Reported> {
    stacker::grow(STACK_BYTES, || compiled(args, program, target))
}

fn compiled(args: &Args, program: &typed::Program, target: &Target) -> Result<Object, Reported> {
    if args.shows(Stage::Typed) {
        stages::typed(program);
    }
    if args.shows(Stage::Ir) {
        let modules = beetrace_codegen::lower_to_ir(program, target, true)
            .map_err(|e| report::compile_error(&e, &program.sources))?;
        stages::ir(&modules);
    }
    let object = beetrace_codegen::compile(program, target)
        .map_err(|e| report::compile_error(&e, &program.sources))?;
    if args.shows(Stage::Asm) {
        stages::asm(&object);
    }
    if args.shows(Stage::Object) {
        stages::object(&object);
    }
    Ok(object)
}

/// The attach points of a script as written, for a list of what they match.
pub fn attach_points(sources: &Sources, root: SourceId) -> Result<Vec<String>, Reported> {
    let mut diags = Diagnostics::default();
    let text = sources
        .get(root)
        .map(|s| s.text.clone())
        .unwrap_or_default();
    let script = parser::parse(root, &text, &mut diags);
    if diags.has_errors() {
        report::diagnostics(&diags, sources, true);
        return Err(Reported);
    }
    Ok(script
        .probes
        .iter()
        .flat_map(|p| &p.attach_points)
        .map(|a| a.text.clone())
        .collect())
}

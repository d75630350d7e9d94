//! A run: the script compiled, an engine, a session.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;

use beetrace_engine::LoadOptions;
use beetrace_kernel::{Features, Kernel};
use beetrace_object::{Event, Parameter};
use beetrace_probes::World;
use beetrace_probes::live::System;
use beetrace_session::output::{Buffering, Form, Output};
use beetrace_session::records::{self, MessageOptions};
use beetrace_session::run::{Mode, Options, RunError, Session};
use beetrace_session::signals::Signals;

use crate::Reported;
use crate::args::{Args, BufferMode, RunMode};
use crate::child::{self, Target as ChildTarget};
use crate::{compile, processes, report, script, target};

/// Set by a program that wants to know when all probes are attached; it waits for a line of that name.
const READY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

pub fn trace(args: &Args) -> Result<ExitCode, Reported> {
    let signals = Signals::install()
        .map_err(|e| Reported::error(format_args!("cannot handle signals: {e}")))?;
    let form = form(args)?;
    let pid = pid(args)?;
    if args.cmd.is_some() && pid.is_some() {
        return Err(Reported::error("USAGE: Cannot use both -c and -p."));
    }
    let source = script::read(args).map_err(Reported::error)?;
    let features = Rc::new(Features::new(None));
    let world = world(args, pid, &features);
    let mut child = match (&args.cmd, pid) {
        (Some(command), _) => Some(child::start(command)?),
        (None, Some(pid)) => Some(child::watch(pid)?),
        (None, None) => None,
    };
    if let Some(pid) = child.as_ref().and_then(ChildTarget::command) {
        world.set_target_pid(pid);
    }
    let options = compile::options(args, pid);
    let (program, _) = compile::front_end(args, &options, source, &world)?;
    let target = target::probe(args, &features, &world);
    let mut object = compile::back_end(args, &program, &target)?;
    drop(program);
    if let Some(filter) = &args.probe_filter {
        for program in &mut object.programs {
            program.probes.retain(|p| {
                matches!(p.event, Event::Begin | Event::End) || filter.is_match(&p.name)
            });
        }
        object.programs.retain(|p| !p.probes.is_empty());
        if object.programs.is_empty() {
            return Err(report::no_probes());
        }
    }
    if let Some(path) = &args.emit_elf {
        let bytes = beetrace_object::elf::write(&object).map_err(Reported::error)?;
        let written = std::fs::write(path, bytes);
        written.map_err(|e| {
            Reported::error(format_args!("failed to write {}: {e}", path.display()))
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.stages.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }

    let mode = match (args.run_mode(), args.dry_run) {
        (Some(RunMode::Test), _) => Mode::Test,
        (Some(RunMode::Bench), _) => Mode::Bench,
        (None, true) => Mode::DryRun,
        (None, false) => Mode::Trace,
    };
    let options = Options {
        mode,
        quiet: args.quiet,
        messages: MessageOptions {
            no_warnings: args.no_warnings,
            helper_errors: args.helper_errors,
        },
        load: LoadOptions {
            parameters: parameters(child.as_ref(), pid, &world),
            verifier_log: false,
        },
        ready_line: std::env::var_os(READY).map(|_| READY.to_string()),
    };
    let mut engine = Kernel::new();
    let mut resolve = beetrace_session::system::System::new(&object);
    let command = child.as_ref().and_then(ChildTarget::command);
    processes::follow(&mut resolve, pid.or(command));
    let session = Session {
        object: &object,
        engine: &mut engine,
        resolve: &mut resolve,
        output: output(args, form)?,
        signals,
        child: child.take().map(ChildTarget::into_session),
        options,
    };
    match session.run() {
        Ok(finished) => {
            if args.verbose > 0
                && let Some(outcome) = finished.child
            {
                report::info(outcome);
            }
            Ok(ExitCode::from(finished.code))
        }
        Err(RunError::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => Err(report::run_error(&e, &object, args.verbose > 0)),
    }
}

/// The process of `-p`.
pub fn pid(args: &Args) -> Result<Option<u32>, Reported> {
    /// The largest process id there can be (`PID_MAX_LIMIT`, include/linux/threads.h).
    const LIMIT: u32 = 4 * 1024 * 1024;
    let Some(text) = &args.pid else {
        return Ok(None);
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let fail = |what: &str| {
        Err(Reported::error(format_args!(
            "Failed to parse pid: {what}: {text}"
        )))
    };
    match text[..digits].parse::<u32>() {
        Err(_) if digits == 0 => fail("invalid integer"),
        Err(_) => fail("integer overflow"),
        Ok(_) if digits < text.len() => fail("invalid trailing bytes"),
        Ok(pid) if pid == 0 || pid > LIMIT => {
            Err(Reported::error(format_args!("Pid out of range: {pid}")))
        }
        Ok(pid) => Ok(Some(pid)),
    }
}

/// The running machine as the compiler sees it.
pub fn world(args: &Args, pid: Option<u32>, features: &Rc<Features>) -> System {
    System::new(target::feature_probe(Rc::clone(features)))
        .with_pid(pid)
        .with_traceable_functions(args.traceable_functions.clone())
        .with_btf(std::env::var_os("BPFTRACE_BTF").map(Into::into))
}

fn form(args: &Args) -> Result<Form, Reported> {
    match args.format.as_deref() {
        None | Some("text") => Ok(Form::Text),
        Some("json") => Ok(Form::Json),
        Some(other) => {
            report::error(format_args!("Invalid output format \"{other}\""));
            report::hint("Valid formats: 'text', 'json'");
            Err(Reported)
        }
    }
}

fn output(args: &Args, form: Form) -> Result<Output, Reported> {
    let out: Box<dyn Write> = match &args.output {
        None => Box::new(std::io::stdout()),
        Some(path) => Box::new(File::create(path).map_err(|e| {
            let reason = records::plain(&e);
            Reported::error(format_args!(
                "Failed to open output file: \"{}\": {reason}",
                path.display()
            ))
        })?),
    };
    let buffering = match args.buffering {
        None | Some(BufferMode::Line) => Buffering::Line,
        Some(BufferMode::Full) => Buffering::Full,
        Some(BufferMode::None) => Buffering::None,
    };
    Ok(Output::new(
        form,
        buffering,
        out,
        Box::new(std::io::stderr()),
    ))
}

fn parameters(
    child: Option<&ChildTarget>,
    pid: Option<u32>,
    world: &dyn World,
) -> Vec<(Parameter, u64)> {
    let command = child.and_then(ChildTarget::command);
    let (inode, device) = target::pid_namespace();
    vec![
        (Parameter::ChildPid, command.map_or(0, u64::from)),
        (Parameter::TargetPid, pid.map_or(0, u64::from)),
        (Parameter::PidNamespaceInode, inode),
        (Parameter::PidNamespaceDevice, device),
        (Parameter::Cpus, u64::from(world.possible_cpus())),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn process_ids() {
        let parse = |text: &str| {
            pid(&Args::parse_from(["beetrace", "-p", text, "-e", "begin{}"]))
                .ok()
                .flatten()
        };
        assert_eq!(parse("12"), Some(12));
        assert_eq!(parse("0"), None);
        assert_eq!(parse("1a"), None);
        assert_eq!(parse("5000000"), None);
    }
}

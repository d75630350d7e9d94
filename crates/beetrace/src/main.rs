//! The command line: arguments, choice of engine, wiring; one file a subject.

mod args;
mod child;
mod compile;
mod info;
mod list;
mod manual;
mod processes;
mod report;
mod script;
mod stages;
mod target;
mod trace;

use std::process::ExitCode;

use args::Args;

fn main() -> ExitCode {
    let args = match Args::of_process() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let args = &args;
    let result = if args.version {
        manual::version()
    } else if let Some(shell) = args.completions {
        manual::completions(shell);
        Ok(ExitCode::SUCCESS)
    } else if args.man {
        manual::page()
    } else if args.info {
        info::print()
    } else if args.list {
        list::list(args)
    } else {
        trace::trace(args)
    };
    result.unwrap_or(ExitCode::FAILURE)
}

/// A failure that the person has been told of.
#[derive(Debug)]
struct Reported;

impl Reported {
    fn error(message: impl std::fmt::Display) -> Reported {
        report::error(message);
        Reported
    }
}

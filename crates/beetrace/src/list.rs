//! `-l` and `-lv`.

use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;

use beetrace_kernel::Features;
use beetrace_probes::list::{self, ListOptions};
use beetrace_probes::{AttachPoint, World};

use crate::Reported;
use crate::args::Args;
use crate::{compile, report, script, trace};

pub fn list(args: &Args) -> Result<ExitCode, Reported> {
    let pid = trace::pid(args)?;
    let world = trace::world(args, pid, &Rc::new(Features::new(None)));
    let options = ListOptions {
        verbose: args.verbose > 0,
        pid,
    };
    let listing = match (args.program.is_some(), args.words.as_slice()) {
        (true, _) => of_script(args, &world, &options)?,
        (false, []) => list::search("", &world, &options),
        (false, [word]) if std::path::Path::new(word).is_file() => {
            of_script(args, &world, &options)?
        }
        (false, [word]) => list::search(if word == "*" { "" } else { word }, &world, &options),
        (false, _) => {
            return Err(Reported::error(
                "USAGE: -l takes one search pattern or file",
            ));
        }
    };
    listing.warnings.iter().for_each(report::warning);
    let mut text = listing.lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader of a pipe has seen enough.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Reported::error(e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn of_script(
    args: &Args,
    world: &dyn World,
    options: &ListOptions,
) -> Result<list::Listing, Reported> {
    let (sources, root) = script::read(args).map_err(Reported::error)?;
    let mut points = Vec::new();
    for text in compile::attach_points(&sources, root)? {
        points.push(AttachPoint::parse(&text).map_err(|e| Reported::error(e.message))?);
    }
    Ok(list::script(&points, world, options))
}

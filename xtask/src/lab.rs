//! `cargo xtask lab`: the end-to-end cases inside real Debian kernels, one virtual machine each.
//!
//! A kernel is the newest cloud kernel of its series, fetched by the machine's own Debian client ([`packages`]). The
//! guest has no disk: its initial file system holds busybox, the tracer, the runner of the cases, the cases and the
//! programs that they trace ([`image`]). What the runner says comes out of the second serial port ([`guest`]), and is shown
//! with the kernel's name in front of each test ([`report`]). All is kept in `target/lab`.
//!
//! It needs QEMU, a static busybox and cpio; as root it installs what is missing.

mod guest;
mod image;
mod packages;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};

use guest::{Guest, Output};
use image::Image;
use packages::{KERNELS, Kernel, Series};
use report::{Counts, Report};

pub(crate) const USAGE: &str = "\
  lab [--kernel SERIES]... [--jobs N] [--debug] [FILTER]
                        run the end-to-end cases inside Debian kernels
  lab --shell SERIES    a shell inside one, with beetrace on the path
  lab [--kernel SERIES]... run SCRIPT [SECONDS]
                        run a script inside each, and show what it says";

/// What the guest does.
enum Job {
    /// The cases with this in their names.
    Cases(Option<String>),
    Shell,
    /// A script, interrupted after that many seconds.
    Script(PathBuf, u64),
}

struct Options {
    kernels: Vec<&'static Series>,
    jobs: usize,
    /// With the binary of the `dev` profile: built faster, slower to run.
    is_debug: bool,
    job: Job,
}

/// Runs the subcommand.
///
/// # Errors
///
/// When an argument is wrong, a tool or a package is not to be had, a kernel does not start, or a case fails.
pub(crate) fn run(args: Vec<String>) -> Result<()> {
    let options = Options::parse(args)?;
    install_tools()?;
    let folder = folder()?;
    let kernels = options
        .kernels
        .iter()
        .map(|series| packages::fetch(series, &folder))
        .collect::<Result<Vec<Kernel>>>()?;
    let image = Image::build(&folder, options.is_debug)?;
    match &options.job {
        Job::Shell => match kernels.as_slice() {
            [kernel] => Guest::new(kernel, &image, "exec_shell", &folder)?.shell(),
            _ => bail!("a shell wants one kernel"),
        },
        Job::Script(path, seconds) => {
            let script = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let job = format!(
                "cat > /tmp/script.bt <<'END OF THE SCRIPT'\n{script}\nEND OF THE SCRIPT\n\
                 timeout -s INT {seconds} beetrace /tmp/script.bt 2>&1"
            );
            let outputs = in_each(&kernels, &image, &job, &folder, options.jobs, &|_, _| {})?;
            report::compare(&outputs);
            Ok(())
        }
        Job::Cases(filter) => cases(&options, &kernels, &image, filter.as_deref(), &folder),
    }
}

fn cases(
    options: &Options,
    kernels: &[Kernel],
    image: &Image,
    filter: Option<&str>,
    folder: &Path,
) -> Result<()> {
    let quoted = filter.map_or(String::new(), |f| format!("'{}'", f.replace('\'', "")));
    // Nothing may be skipped but what no such guest has, and what is meant for other kernels.
    let job = format!(
        "export BEETRACE_BIN=/usr/bin/beetrace BEETRACE_TESTS=/lab/tests BEETRACE_SCRATCH=/lab/scratch\n\
         export BEETRACE_MAY_SKIP='pmu another-kernel'\n\
         e2e --color never {quoted} 2>&1"
    );
    // With more at once, lines of several kernels would be mixed: each is shown at its end.
    let is_live = options.jobs == 1;
    let show = |kernel: &Kernel, line: &str| {
        if is_live && let Some(line) = report::test_line(kernel.series.name, line) {
            println!("{line}");
        }
    };
    let outputs = in_each(kernels, image, &job, folder, options.jobs, &show)?;
    let mut all = Counts::default();
    let mut reports = Vec::new();
    for (kernel, output) in &outputs {
        let report = Report::read(output);
        if !is_live {
            report.show_tests(kernel.series.name);
        }
        report.show_failures(kernel);
        all.add(&report.counts);
        reports.push((kernel, report, output.seconds));
    }
    println!();
    for (kernel, report, seconds) in &reports {
        println!("{:<36} {} in {seconds} s", kernel.title(), report.counts);
    }
    println!("\n{} passed, {} failed", all.passed, all.failed);
    ensure!(all.failed == 0, "{} of the cases failed", all.failed);
    Ok(())
}

/// Runs a job in each kernel, so many at once; the answers are in the order of the kernels.
fn in_each<'k>(
    kernels: &'k [Kernel],
    image: &Image,
    job: &str,
    folder: &Path,
    jobs: usize,
    show: &(dyn Fn(&Kernel, &str) + Sync),
) -> Result<Vec<(&'k Kernel, Output)>> {
    let next = Mutex::new(kernels.iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.min(kernels.len()) {
            scope.spawn(|| {
                while let Some((at, kernel)) = lock(&next).next() {
                    let output = Guest::new(kernel, image, job, folder)
                        .and_then(|guest| guest.run(LIMIT, &|line| show(kernel, line)));
                    lock(&done).push((at, kernel, output));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|(at, ..)| *at);
    done.into_iter()
        .map(|(_, kernel, output)| {
            let output = output.with_context(|| kernel.title())?;
            Ok((kernel, output))
        })
        .collect()
}

/// How long a guest may run.
const LIMIT: Duration = Duration::from_secs(300);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Options> {
        let mut options = Options {
            kernels: Vec::new(),
            jobs: 1,
            is_debug: false,
            job: Job::Cases(None),
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--kernel" => options.kernels.push(series(&value()?)?),
                "--shell" => {
                    options.kernels.push(series(&value()?)?);
                    options.job = Job::Shell;
                }
                "--jobs" => options.jobs = value()?.parse::<usize>()?.max(1),
                "--debug" => options.is_debug = true,
                "run" => {
                    let script = value()?.into();
                    let seconds = args.next().map_or(Ok(10), |s| s.parse())?;
                    options.job = Job::Script(script, seconds);
                }
                flag if flag.starts_with('-') => bail!("unknown option {flag}\nusage:\n{USAGE}"),
                filter => options.job = Job::Cases(Some(filter.to_owned())),
            }
        }
        if options.kernels.is_empty() {
            options.kernels = KERNELS.iter().collect();
        }
        Ok(options)
    }
}

fn series(name: &str) -> Result<&'static Series> {
    KERNELS.iter().find(|s| s.name == name).with_context(|| {
        let names: Vec<&str> = KERNELS.iter().map(|s| s.name).collect();
        format!("no kernel {name}; there are {}", names.join(", "))
    })
}

/// `target/lab`.
fn folder() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), PathBuf::from);
    let folder = target.join("lab");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// Installs what is missing, if that is allowed.
fn install_tools() -> Result<()> {
    let tools = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
        ("xz", "xz-utils"),
    ];
    let missing: Vec<&str> = tools
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    let installed = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-y", "--no-install-recommends"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::process::Stdio::null());
        run_tool(&mut apt)
    };
    installed(&["update"])
        .and_then(|()| installed(&[&["install"], missing.as_slice()].concat()))
        .with_context(|| format!("the lab needs the packages {}", missing.join(" ")))
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs a tool to its end.
fn run_tool(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// What a tool says.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

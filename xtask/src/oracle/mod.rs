//! `cargo xtask oracle`: the verifier's verdicts beside Linux's.
//!
//! The oracle is a table of programs of the Linux selftests with the verdict of a real kernel. The programs are
//! compiled outside of this repository, from the source package of a distribution (`linux-source-6.12` of Debian),
//! into the folder that `--objects` names:
//!
//! - `vmlinux.h` by `bpftool btf dump file /sys/kernel/btf/vmlinux format c`;
//! - `bpf/bpf_helper_defs.h` by `scripts/bpf_doc.py --header`, beside the headers of `tools/lib/bpf`;
//! - each `tools/testing/selftests/bpf/progs/verifier_*.c` by clang 18 or newer with
//!   `-g -O2 -mcpu=v4 --target=bpfel -D__TARGET_ARCH_x86 -DENABLE_ATOMICS_TESTS` and these and the selftests' headers.
//!
//! Programs on which the verdicts differ are printed with what the verifier says. A program that needs a kernel is
//! counted as unsupported, apart from the accepted and the rejected.

mod elf;
mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use beetrace_verifier::{Options, ProgramInput, Refusal, verify};

/// What was asked for on the command line.
struct Request {
    objects: PathBuf,
    table: Option<PathBuf>,
    /// Only programs whose name is this; their states are printed.
    only: Option<String>,
    verbose: bool,
}

fn request(args: Vec<String>) -> Result<Request> {
    let mut r = Request {
        objects: PathBuf::new(),
        table: None,
        only: None,
        verbose: false,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--objects" => r.objects = value()?.into(),
            "--table" => r.table = Some(value()?.into()),
            "--only" => r.only = Some(value()?),
            "--verbose" => r.verbose = true,
            _ => bail!("unknown argument {arg}"),
        }
    }
    if r.objects.as_os_str().is_empty() {
        bail!("--objects DIR is missing");
    }
    Ok(r)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Accepted,
    Rejected,
    Unsupported,
}

pub fn run(args: Vec<String>) -> Result<()> {
    let request = request(args)?;
    let table = request
        .table
        .clone()
        .unwrap_or_else(|| request.objects.join("oracle.tsv"));
    let text = std::fs::read_to_string(&table).with_context(|| table.display().to_string())?;
    let mut counts: BTreeMap<(bool, Verdict), usize> = BTreeMap::new();
    let mut spent = Duration::ZERO;
    let mut linux = 0u64;
    for row in text.lines().filter(|l| !l.starts_with('#')).skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [object, program, verdict, _, micros] = fields[..] else {
            bail!("a row of {} fields: {row}", fields.len());
        };
        if request.only.as_deref().is_some_and(|only| only != program) {
            continue;
        }
        let expected = verdict == "success";
        let data =
            std::fs::read(request.objects.join(object)).with_context(|| object.to_owned())?;
        let (ours, detail, time) = one(&data, program, request.only.is_some())?;
        spent += time;
        linux += micros.parse::<u64>()?;
        *counts.entry((expected, ours)).or_default() += 1;
        let agrees =
            expected == (ours == Verdict::Accepted) && (expected || ours == Verdict::Rejected);
        if !agrees || request.verbose || request.only.is_some() {
            println!("{object} {program}: Linux {verdict}, here {ours:?} in {time:?}\n{detail}\n");
        }
    }
    let count = |expected, verdict| counts.get(&(expected, verdict)).copied().unwrap_or(0);
    for expected in [true, false] {
        println!(
            "Linux {}: {} accepted, {} rejected, {} unsupported here",
            if expected { "accepts" } else { "rejects" },
            count(expected, Verdict::Accepted),
            count(expected, Verdict::Rejected),
            count(expected, Verdict::Unsupported),
        );
    }
    println!(
        "time: {spent:?} here, {:?} in Linux",
        Duration::from_micros(linux)
    );
    Ok(())
}

fn one(data: &[u8], program: &str, trace: bool) -> Result<(Verdict, String, Duration)> {
    let object = elf::ElfObject::parse(data)?;
    let elf = match object.program(program) {
        Ok(elf) => elf,
        Err(why) => {
            return Ok((
                Verdict::Unsupported,
                format!("not read: {why:#}"),
                Duration::ZERO,
            ));
        }
    };
    let insns = match elf.insns {
        Ok(insns) => insns,
        Err(why) if elf.kernel_only => {
            return Ok((Verdict::Unsupported, why.to_string(), Duration::ZERO));
        }
        Err(why) => return Ok((Verdict::Rejected, why.to_string(), Duration::ZERO)),
    };
    let input = ProgramInput {
        insns: &insns,
        kind: types::program_type(&elf.section),
        maps: &object.maps,
        functions: &elf.functions,
        lines: &elf.lines,
        kernel_functions: &elf.kernel_functions,
    };
    let options = Options {
        trace,
        ..Options::default()
    };
    let start = Instant::now();
    let answer = verify(&input, options);
    let time = start.elapsed();
    Ok(match answer {
        Ok(v) => (Verdict::Accepted, v.trace, time),
        Err(Refusal::Rejected(r)) => (Verdict::Rejected, format!("{}{r}", r.trace), time),
        Err(why @ Refusal::Unsupported { .. }) => (Verdict::Unsupported, why.to_string(), time),
    })
}

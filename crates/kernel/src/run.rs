//! Running a program now, in this thread (`BPF_PROG_TEST_RUN`), and measuring how long a run takes.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use beetrace_engine::{Error, RunResult};

use crate::caps;
use crate::program::{Loader, Program, Variant};
use crate::sys::bpf;

/// Bytes of the zero context that a program runs over: twelve arguments of eight bytes (`MAX_BPF_FUNC_ARGS`).
const CONTEXT: usize = 96;
/// The smallest packet that a program of packets is run over.
const PACKET: [u8; 64] = [0; 64];

/// Runs it `repeat` times; the duration is that of one run.
pub(crate) fn run(
    program: &mut Program,
    loader: &mut Loader,
    repeat: u32,
) -> Result<RunResult, Error> {
    if repeat > 1
        && let Some(result) = as_packet(program, loader, repeat)
    {
        return Ok(result);
    }
    program.load(&Variant::PLAIN, loader)?;
    let fd = program
        .fd(&Variant::PLAIN)
        .ok_or_else(|| Error::Unsupported {
            what: format!("running {}", program.probe_name()),
            reason: "it is not loaded".into(),
        })?;
    one_by_one(fd, repeat)
        .map_err(|error| caps::bpf_error(format!("running {}", program.probe_name()), error))
}

/// The kernel repeats programs of packets only, and takes the time once for all runs. `None` where the program calls what is not allowed there.
fn as_packet(program: &mut Program, loader: &mut Loader, repeat: u32) -> Option<RunResult> {
    if program.is_no_packet {
        return None;
    }
    program.is_no_packet = program.load(&Variant::PACKET, loader).is_err();
    let fd = program.fd(&Variant::PACKET)?;
    let (value, nanos) = bpf::test_run_packet(fd, &PACKET, repeat).ok()?;
    Some(RunResult {
        value: value.into(),
        duration: Duration::from_nanos(nanos.into()),
    })
}

fn one_by_one(program: BorrowedFd, repeat: u32) -> std::io::Result<RunResult> {
    // The kernel's own measure leaves out the system call; one run is not worth asking for it.
    let stats = (repeat > 1).then(bpf::enable_stats).and_then(Result::ok);
    let before = stats.as_ref().and_then(|_| bpf::prog_info(program).ok());
    let mut context = [0; CONTEXT];
    let mut value = 0;
    let start = Instant::now();
    for _ in 0..repeat {
        value = bpf::test_run(program, &mut context)?;
    }
    let elapsed = start.elapsed() / repeat;
    let measured = before.and_then(|before| {
        let after = bpf::prog_info(program).ok()?;
        let runs = after.run_cnt.checked_sub(before.run_cnt)?;
        let nanos = after.run_time_ns.checked_sub(before.run_time_ns)?;
        Some(Duration::from_nanos(nanos.checked_div(runs)?))
    });
    Ok(RunResult {
        value: value.into(),
        duration: measured.unwrap_or(elapsed),
    })
}

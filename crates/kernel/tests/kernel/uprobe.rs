//! Functions of this test's own binary.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::common::*;
use beetrace_engine::{Engine, ProgramId};
use beetrace_object::{Event, Object, ProgramKind, Uprobe, UprobeTarget, Usdt};

#[inline(never)]
extern "C" fn first(n: u64) -> u64 {
    black_box(n) + 1
}

#[inline(never)]
extern "C" fn second(n: u64) -> u64 {
    black_box(n) * 3
}

/// With a listener of its own: the kernel wants one counter a place.
#[inline(never)]
extern "C" fn counted(n: u64) -> u64 {
    black_box(n) - 1
}

/// Where in the file of this process the code at an address lies.
fn file_offset(address: usize) -> u64 {
    let address = address as u64;
    fs::read_to_string("/proc/self/maps")
        .expect("maps")
        .lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let offset = words.nth(1)?;
            let hex = |text| u64::from_str_radix(text, 16).ok();
            let (start, end, offset) = (hex(start)?, hex(end)?, hex(offset)?);
            (start..end)
                .contains(&address)
                .then_some(address - start + offset)
        })
        .expect("the mapping of the function")
}

fn targets(functions: &[extern "C" fn(u64) -> u64]) -> Vec<UprobeTarget> {
    functions
        .iter()
        .map(|f| UprobeTarget {
            symbol: String::new(),
            offset: file_offset(*f as usize),
            ref_ctr_offset: 0,
        })
        .collect()
}

fn uprobe(functions: &[extern "C" fn(u64) -> u64], is_return: bool, pid: Option<u32>) -> Event {
    Event::Uprobe(Uprobe {
        path: fs::read_link("/proc/self/exe").expect("own path"),
        targets: targets(functions),
        is_return,
        pid,
    })
}

/// Sends the first argument (`di` of `struct pt_regs`).
#[cfg(target_arch = "x86_64")]
const ARGUMENT: &str = "r6 = *(u64 *)(r1 + 112)";
/// Sends what is returned (`ax`).
#[cfg(target_arch = "x86_64")]
const RESULT: &str = "r6 = *(u64 *)(r1 + 80)";
#[cfg(target_arch = "aarch64")]
const ARGUMENT: &str = "r6 = *(u64 *)(r1 + 0)";
#[cfg(target_arch = "aarch64")]
const RESULT: &str = "r6 = *(u64 *)(r1 + 0)";

fn sending(what: &str, events: Vec<Event>) -> Object {
    let text = format!("{what}\n{}", send_r6());
    object(
        vec![records()],
        vec![program(ProgramKind::Kprobe, &text, events)],
    )
}

fn call_both() {
    black_box(first(10));
    black_box(second(20));
}

#[test]
fn one_function() {
    if skipped() {
        return;
    }
    for pid in [None, Some(std::process::id())] {
        let mut kernel = loaded(&sending(ARGUMENT, vec![uprobe(&[first], false, pid)]));
        kernel.attach(ProgramId(0), 0).expect("attach");
        call_both();
        assert_eq!(received(&mut kernel, 1), [10], "{pid:?}");
        kernel.detach();
        call_both();
        assert_eq!(received(&mut kernel, 0), [0_u64; 0]);
    }
}

#[test]
fn a_return() {
    if skipped() {
        return;
    }
    let mut kernel = loaded(&sending(RESULT, vec![uprobe(&[second], true, None)]));
    kernel.attach(ProgramId(0), 0).expect("attach");
    call_both();
    assert_eq!(received(&mut kernel, 1), [60]);
}

#[test]
fn many_functions_through_one_probe() {
    if skipped() {
        return;
    }
    for pid in [None, Some(std::process::id())] {
        let event = uprobe(&[first, second], false, pid);
        let mut kernel = loaded(&sending(ARGUMENT, vec![event]));
        kernel.attach(ProgramId(0), 0).expect("attach");
        call_both();
        assert_eq!(received(&mut kernel, 2), [10, 20], "{pid:?}");
    }
}

#[test]
fn many_probes_of_one_program() {
    if skipped() {
        return;
    }
    let cookie = "call bpf_get_attach_cookie\nr6 = r0";
    let events = vec![
        uprobe(&[first], false, None),
        uprobe(&[second], false, None),
    ];
    let mut kernel = loaded(&sending(cookie, events));
    let results = kernel.attach_all(&[(ProgramId(0), 1), (ProgramId(0), 0)]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    call_both();
    assert_eq!(received(&mut kernel, 2), [0, 1]);
    kernel.detach();

    // One after the other.
    kernel.attach(ProgramId(0), 1).expect("attach");
    call_both();
    assert_eq!(received(&mut kernel, 1), [1]);
}

#[test]
fn a_place_that_is_not_there_fails_alone() {
    if skipped() {
        return;
    }
    let mut missing = uprobe(&[second], false, None);
    if let Event::Uprobe(uprobe) = &mut missing {
        uprobe.targets[0].offset = 1 << 40;
    }
    let events = vec![uprobe(&[first], false, None), missing];
    let mut kernel = loaded(&sending(ARGUMENT, events));
    let results = kernel.attach_all(&[(ProgramId(0), 0), (ProgramId(0), 1)]);
    assert!(results[0].is_ok() && results[1].is_err(), "{results:?}");
    call_both();
    assert_eq!(received(&mut kernel, 1), [10]);
}

#[test]
fn a_semaphore_counts_listeners() {
    if skipped() {
        return;
    }
    // A section of its own, as the semaphores of `sys/sdt.h` have, since zeros else take no room in the file.
    #[unsafe(link_section = ".probes")]
    static mut SEMAPHORE: u16 = 0;
    let address = &raw const SEMAPHORE;
    let mut targets = targets(&[counted]);
    targets[0].ref_ctr_offset = file_offset(address as usize);
    let event = Event::Usdt(Usdt {
        path: fs::read_link("/proc/self/exe").expect("own path"),
        provider: "test".into(),
        name: "probe".into(),
        targets,
        pid: Some(std::process::id()),
    });
    let mut kernel = loaded(&sending(ARGUMENT, vec![event]));
    // SAFETY: an aligned static; the kernel changes it behind the compiler's back.
    let value = || unsafe { address.read_volatile() };
    assert_eq!(value(), 0);
    kernel.attach(ProgramId(0), 0).expect("attach");
    black_box(counted(10));
    assert_eq!(received(&mut kernel, 1), [10]);
    assert_eq!(value(), 1);
    kernel.detach();
    // It is taken away in the background.
    let end = Instant::now() + Duration::from_secs(5);
    while value() != 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(value(), 0);
}

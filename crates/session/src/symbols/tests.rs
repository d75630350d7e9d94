//! Symbols of this test's own process, of children, and of the kernel.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use beetrace_object::{ProbeSpec, ProgramKind, Uprobe};

use super::*;

#[inline(never)]
fn marked_function(n: u64) -> u64 {
    std::hint::black_box(n) + 1
}

fn address_of_marked_function() -> u64 {
    marked_function as fn(u64) -> u64 as usize as u64
}

fn symbols() -> Symbols<'static> {
    Symbols::new(&Config::default(), &[])
}

const CHILD: &str = "BEETRACE_TEST_CHILD";

/// This test is the process that other tests look at.
#[test]
fn waits_in_a_child() {
    if std::env::var_os(CHILD).is_some() {
        println!("\nready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}

const CHILD_ARGUMENTS: [&str; 3] = ["--exact", "symbols::tests::waits_in_a_child", "--nocapture"];

/// A copy of this program, waiting until its standard input is closed.
fn sleeper(binary: &Path) -> Child {
    let mut child = Command::new(binary)
        .args(CHILD_ARGUMENTS)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_ready(&mut child);
    child
}

fn wait_until_ready(child: &mut Child) {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    assert!(output.lines().any(|line| line.unwrap() == "ready"));
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn maps_of(pid: u32) -> ProcessMaps {
    ProcessMaps::parse(
        pid,
        &std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap(),
    )
}

/// The address of the marked function in another process of this program.
fn marked_function_in(pid: u32) -> u64 {
    let address = address_of_marked_function();
    let own = maps_of(std::process::id());
    let own = own.find(address).unwrap();
    let theirs = maps_of(pid);
    let mut theirs = theirs.iter().filter(|m| m.path == own.path);
    theirs.next().unwrap().start + (address - own.start)
}

#[test]
fn a_function_of_this_process() {
    let mut symbols = symbols();
    let (address, me) = (address_of_marked_function(), std::process::id());
    let name = symbols.user(address + 1, me, 0).unwrap();
    assert!(name.ends_with("marked_function"), "{name}");

    let frames = symbols.user_frames(&[address, 0x10], me);
    let [known, unknown] = frames.as_slice() else {
        panic!("two addresses have two frames")
    };
    let outermost = known.frames.last().unwrap();
    assert!(outermost.name.ends_with("marked_function"), "{known:?}");
    assert_eq!(outermost.offset, Some(0));
    let source = outermost.source.as_deref().unwrap();
    assert!(source.contains("symbols/tests.rs:"), "{source}");
    let binary = std::env::current_exe().unwrap();
    assert_eq!(known.module.as_deref(), binary.to_str());
    assert_eq!(unknown, &Symbolized::default());
}

#[test]
fn without_debug_information_there_is_no_source() {
    let config = Config {
        show_debug_info: false,
        ..Config::default()
    };
    let mut symbols = Symbols::new(&config, &[]);
    let frames = symbols.user_frames(&[address_of_marked_function()], std::process::id());
    assert_eq!(frames[0].frames.len(), 1);
    assert_eq!(frames[0].frames[0].source, None);
}

#[test]
fn names_stay_mangled_when_asked() {
    let config = Config {
        cpp_demangle: false,
        ..Config::default()
    };
    let mut symbols = Symbols::new(&config, &[]);
    let name = symbols.user(address_of_marked_function(), std::process::id(), 0);
    assert!(name.unwrap().starts_with("_"));
}

#[test]
fn the_vdso() {
    let me = std::process::id();
    let vdso = maps_of(me);
    let Some(vdso) = vdso.iter().find(|m| &*m.path == "[vdso]") else {
        eprintln!("skipped: needs a vDSO");
        return;
    };
    let mut symbols = symbols();
    let named = (vdso.start..vdso.end)
        .step_by(16)
        .find_map(|a| symbols.user(a, me, 0));
    assert!(named.is_some());
}

#[test]
fn a_process_that_was_preloaded_and_has_ended() {
    let child = sleeper(&std::env::current_exe().unwrap());
    let pid = child.id();
    let address = marked_function_in(pid);
    let mut symbols = symbols();
    symbols.preload(pid);
    end(child);
    let name = symbols.user(address, pid, 0).unwrap();
    assert!(name.ends_with("marked_function"), "{name}");
}

#[test]
fn a_binary_that_was_deleted() {
    let binary = std::env::current_exe().unwrap();
    let link = binary.with_extension(format!("deleted-{}", std::process::id()));
    std::fs::hard_link(&binary, &link).unwrap();
    let child = sleeper(&link);
    std::fs::remove_file(&link).unwrap();
    let pid = child.id();
    let maps = maps_of(pid);
    let path = format!("{} (deleted)", link.display());
    let theirs = maps.iter().find(|m| *m.path == path).unwrap();
    let own = maps_of(std::process::id());
    let address = address_of_marked_function();
    let own = own.find(address).unwrap();
    let mut symbols = symbols();
    let name = symbols.user(theirs.start + (address - own.start), pid, 0);
    end(child);
    assert!(name.is_some_and(|n| n.ends_with("marked_function")));
}

#[test]
fn a_process_that_becomes_another_binary() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read x; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(CHILD_ARGUMENTS)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut symbols = symbols();
    symbols.preload(pid);
    let input = child.stdin.as_mut().unwrap();
    input.write_all(b"go\n").unwrap();
    wait_until_ready(&mut child);
    let address = marked_function_in(pid);
    let name = symbols.user(address, pid, 0);
    end(child);
    assert!(name.is_some_and(|n| n.ends_with("marked_function")));
}

#[test]
fn the_files_open_at_a_time_are_limited() {
    let folder = std::env::temp_dir().join(format!("symbols-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut files = Files::new(&Config::default());
    let ids: Vec<FileId> = (0..200)
        .map(|i| {
            let path = folder.join(i.to_string());
            std::fs::write(&path, "no ELF file").unwrap();
            let id = files.open(std::iter::once((path, 0))).unwrap();
            assert_eq!(files.name(id, 0), None);
            id
        })
        .collect();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(ids.len(), 200);
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = descriptors.filter_map(|f| std::fs::read_link(f.unwrap().path()).ok());
    let open = links.filter(|l| l.starts_with(&folder)).count();
    assert!((1..=129).contains(&open), "{open} open");
}

#[test]
fn a_process_that_ended_with_its_mappings_recorded() {
    let child = sleeper(&std::env::current_exe().unwrap());
    let pid = child.id();
    let (address, maps) = (marked_function_in(pid), maps_of(pid));
    end(child);

    let mut symbols = symbols();
    assert_eq!(symbols.user(address, pid, 0), None);
    symbols.event(ProcessEvent::Exec(pid));
    for mapping in maps.iter() {
        symbols.event(ProcessEvent::Map(mapping.clone()));
    }
    let child = u32::MAX - 1;
    symbols.event(ProcessEvent::Fork { parent: pid, child });
    symbols.event(ProcessEvent::Exit(pid));
    for pid in [pid, child] {
        let frames = symbols.user_frames(&[address + 2], pid);
        assert!(
            frames[0].frames[0].name.ends_with("marked_function"),
            "{frames:?}"
        );
        assert_eq!(frames[0].frames[0].offset, Some(2));
    }
    symbols.event(ProcessEvent::Exec(child));
    assert_eq!(symbols.user(address, child, 0), None);
}

#[test]
fn nothing_is_kept_when_that_is_not_wanted() {
    let config = Config {
        cache_user_symbols: SymbolCache::None,
        ..Config::default()
    };
    let child = sleeper(&std::env::current_exe().unwrap());
    let pid = child.id();
    let address = marked_function_in(pid);
    let mut symbols = Symbols::new(&config, &[]);
    symbols.preload(pid);
    assert!(symbols.user(address, pid, 0).is_some());
    end(child);
    assert_eq!(symbols.user(address, pid, 0), None);
}

#[test]
fn the_probe_tells_the_address_of_a_process_that_nobody_saw() {
    let maps = maps_of(std::process::id());
    let address = address_of_marked_function();
    let mapping = maps.find(address).unwrap();
    let target = UprobeTarget {
        symbol: String::new(),
        offset: mapping.offset_of(address),
        ref_ctr_offset: 0,
    };
    let probe = ProbeSpec {
        name: "uprobe".into(),
        event: Event::Uprobe(Uprobe {
            path: std::env::current_exe().unwrap(),
            targets: vec![target],
            is_return: false,
            pid: None,
        }),
    };
    let program = Program {
        name: "p".into(),
        kind: ProgramKind::Kprobe,
        insns: Vec::new(),
        functions: Vec::new(),
        lines: Vec::new(),
        probes: vec![probe],
    };
    let programs = [program];
    let mut symbols = Symbols::new(&Config::default(), &programs);
    // As it would be with the binary elsewhere in memory, in a process that does not exist.
    let (moved, pid) = (address + 0x1000_0000, u32::MAX - 2);
    let name = symbols.user(moved, pid, 0).unwrap();
    assert!(name.ends_with("marked_function"), "{name}");
    assert_eq!(symbols.user(moved + 1, pid, 0), None);
    assert_eq!(symbols.user(moved, pid, 1), None);
    let frames = symbols.user_frames(&[moved, moved + 1, 0x10], pid);
    assert_eq!(frames[1].frames.last().unwrap().offset, Some(1));
    assert_eq!(frames[2], Symbolized::default());
}

#[test]
fn kernel_symbols() {
    let mut symbols = symbols();
    let Ok(list) = std::fs::read_to_string("/proc/kallsyms") else {
        eprintln!("skipped: needs /proc/kallsyms");
        return;
    };
    let line = list.lines().find(|l| l.ends_with(" T schedule"));
    let address = line.and_then(|l| u64::from_str_radix(l.split(' ').next()?, 16).ok());
    let Some(address) = address.filter(|a| *a != 0) else {
        eprintln!("skipped: needs kernel addresses to be shown");
        return;
    };
    assert_eq!(symbols.kernel(address + 3), Some(("schedule", 3)));
    let frame = symbols.kernel_frame(address);
    assert_eq!((frame.frames.len(), frame.module), (1, None));
}

//! The instruction set against bpf_conformance: every test through checked mode, the interpreter and the JIT.
//!
//! Runs where `BPF_CONFORMANCE` names a checkout of that project; nothing of it is kept here.

mod assembler;
mod data;

use std::fs;
use std::path::{Path, PathBuf};

use beetrace_isa::decode;
use beetrace_vm::{EmptyWorld, Program, Run};

use data::Test;

/// Files of a folder whose names begin so.
fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".data")
        })
        .collect();
    files.sort();
    files
}

/// The ways to run a program.
#[derive(Clone, Copy, Debug)]
enum Way {
    Checked,
    Interpreter,
    Jit,
}

fn run(test: &Test, way: Way) -> Result<(), String> {
    let insns = decode(&test.slots).map_err(|e| e.to_string())?;
    let program = Program::new(&insns, &[]).map_err(|e| e.to_string())?;
    let program = match way {
        Way::Checked => program,
        // SAFETY: checked mode has run the same program on the same memory without a fault.
        Way::Interpreter => unsafe { program.assume_verified() },
        // SAFETY: as above.
        Way::Jit => unsafe { program.assume_verified() }
            .compile()
            .map_err(|e| e.to_string())?,
    };
    let mut memory = test.memory.clone();
    let result = program
        .run(&mut Run::new(&EmptyWorld), &mut memory)
        .map_err(|e| e.to_string())?;
    if result == test.result {
        Ok(())
    } else {
        Err(format!("{result:#x} instead of {:#x}", test.result))
    }
}

fn checkout() -> Option<PathBuf> {
    let folder = std::env::var_os("BPF_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: needs a checkout of bpf_conformance in BPF_CONFORMANCE");
    }
    folder
}

#[test]
fn all_programs_give_their_result() {
    let Some(folder) = checkout() else { return };
    let (mut passed, mut failures) = (0, Vec::new());
    for path in files(&folder.join("tests"), "") {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // Calls through a register are no instruction of Linux.
        if name == "callx" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("reads");
        let outcome = data::parse(&text).and_then(|test| {
            for way in [Way::Checked, Way::Interpreter, Way::Jit] {
                run(&test, way).map_err(|e| format!("{way:?}: {e}"))?;
            }
            Ok(())
        });
        match outcome {
            Ok(()) => passed += 1,
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    println!(
        "bpf_conformance: {passed} passed, {} failed",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > 0, "no tests in {}", folder.display());
}

#[test]
fn used_reserved_fields_are_refused() {
    let Some(folder) = checkout() else { return };
    let mut refused = 0;
    for path in files(&folder.join("negative"), "unused-") {
        let text = fs::read_to_string(&path).expect("reads");
        let test = data::parse(&text).expect("parses");
        assert!(
            decode(&test.slots).is_err(),
            "{} is accepted",
            path.display()
        );
        refused += 1;
    }
    println!("bpf_conformance: {refused} programs with used reserved fields refused");
    assert!(refused > 0, "no tests in {}", folder.display());
}

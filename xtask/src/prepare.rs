//! `cargo xtask prepare`: the tests folder of a bpftrace checkout, copied and built for `compat`.
//!
//! What is built, and with which flags, follows the checkout's CMake files. A program that does not compile is reported
//! and left out: its tests fail, the others run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::compat::succeed;

const FLAGS: &str = "-g -O0 -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -w -I../include";
/// For the one program that must be unwound without frame pointers.
const FLAGS_WITHOUT_FRAME_POINTERS: &str =
    "-g -O1 -fomit-frame-pointer -fno-optimize-sibling-calls -w -I../include";

/// Stripped, split and packaged variants of two programs, and files that are no plain ELF: lines of shell, run in `testprogs`.
const VARIANTS: &[&str] = &[
    "gcc -c false.c -o false.o && llvm-objcopy -S --only-section=.text --keep-symbol=main -O binary false.o false.bin && rm false.o",
    "rm -f archive.zip && zip -q -0 -j archive.zip true",
    "mkdir -p external_debug/dwo external_debug/dwp .debug",
    "llvm-objcopy --only-keep-debug uprobe_test external_debug/uprobe_test-stripped.debug",
    "llvm-objcopy --strip-debug uprobe_test uprobe_test-stripped",
    "llvm-objcopy --only-keep-debug uprobe_separate_debug .debug/uprobe_separate_debug-stripped.debug",
    "llvm-objcopy --strip-debug uprobe_separate_debug uprobe_separate_debug-stripped",
    "llvm-objcopy --add-gnu-debuglink=\"$PWD/.debug/uprobe_separate_debug-stripped.debug\" uprobe_separate_debug-stripped",
    "gcc -g -O0 -gsplit-dwarf -w uprobe_test.c -o external_debug/dwo/uprobe_test-split",
    "gcc -g -O0 -gsplit-dwarf -w uprobe_test.c -o external_debug/dwp/uprobe_test-split",
    "cd external_debug/dwp && llvm-dwp -e uprobe_test-split -o uprobe_test-split.dwp && rm -f ./*.dwo",
];

/// The sample of C types, run in `data`.
const DATA: &[&str] = &[
    "gcc -w -g -c data_source.c -o data_source.o && LLVM_OBJCOPY=llvm-objcopy pahole -J data_source.o",
    "gcc -g -o data_source_exe data_source.o && LLVM_OBJCOPY=llvm-objcopy pahole -J data_source_exe",
    "llvm-objcopy --dump-section .BTF=data_source.btf data_source.o",
    "g++ -g -w data_source_cxx.cpp -o data_source_cxx",
];

/// Runs the subcommand.
///
/// # Errors
///
/// When the arguments are wrong or files cannot be copied or changed. What does not compile is only reported.
pub(crate) fn run(args: Vec<String>) -> Result<()> {
    let [tests, out] = &args[..] else {
        bail!("usage: cargo xtask prepare TESTS OUT")
    };
    let out = PathBuf::from(out);
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    succeed(
        Command::new("cp")
            .arg("-a")
            .arg(format!("{tests}/."))
            .arg(&out),
    )?;
    let out = out.canonicalize()?;

    edit(&out.join("runtime/engine/cmake_vars.py"), |text| {
        text.replace("@LIBBCC_BPF_CONTAINS_RUNTIME@", "0")
    })?;
    let own_pid = out.join("testprogs/own_pid");
    fs::write(&own_pid, include_str!("own_pid.py"))?;
    fs::set_permissions(&own_pid, fs::Permissions::from_mode(0o755))?;
    limit_lookups(&out.join("runtime"))?;

    let failed = build(&out)?;
    if failed.is_empty() {
        println!("ready: {}", out.display());
    } else {
        println!(
            "ready: {}, without what these lines make:\n{}",
            out.display(),
            failed.join("\n")
        );
    }
    Ok(())
}

/// Changes a file by a function on its text.
fn edit(path: &Path, change: impl Fn(&str) -> String) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let changed = change(&text);
    if changed != text {
        fs::write(path, changed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Limits the lookups of processes by name, in all files below a folder, to descendants of the engine.
fn limit_lookups(folder: &Path) -> Result<()> {
    for path in files(folder)? {
        if path.is_dir() {
            limit_lookups(&path)?;
        } else {
            edit(&path, limited)?;
        }
    }
    Ok(())
}

fn limited(text: &str) -> String {
    text.replace(
        "pkill -SIGINT bpftrace",
        "kill -INT $(./testprogs/own_pid bpftrace)",
    )
    .replace("$(pidof ", "$(./testprogs/own_pid ")
    .replace("[\"pidof\", ", "[\"./testprogs/own_pid\", ")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Builds everything; returns the lines that failed.
fn build(out: &Path) -> Result<Vec<String>> {
    let (testprogs, testlibs) = (out.join("testprogs"), out.join("testlibs"));
    let mut lines = Vec::new();
    for source in files(&testlibs)?
        .iter()
        .filter(|path| path.extension() == Some(OsStr::new("c")))
    {
        let stem = stem(source);
        let line = format!(
            "gcc -g -O0 -fPIC -shared -w -I../include {stem}.c -o lib{stem}.so && chmod -x lib{stem}.so"
        );
        lines.push((testlibs.clone(), line));
    }
    for source in files(&testprogs)? {
        lines.extend(
            program_lines(&source)
                .into_iter()
                .map(|line| (testprogs.clone(), line)),
        );
    }
    lines.extend(
        VARIANTS
            .iter()
            .map(|line| (testprogs.clone(), line.to_string())),
    );
    lines.extend(DATA.iter().map(|line| (out.join("data"), line.to_string())));

    let mut failed = Vec::new();
    for (folder, line) in lines {
        let status = Command::new("sh")
            .args(["-c", &line])
            .current_dir(&folder)
            .status()
            .context("cannot start sh")?;
        if !status.success() {
            failed.push(format!("{}: {line}", folder.display()));
        }
    }
    Ok(failed)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The lines of shell that compile one source file of `testprogs`; none for a file that is no source.
fn program_lines(source: &Path) -> Vec<String> {
    let stem = stem(source);
    let compiler = match source.extension().and_then(OsStr::to_str) {
        Some("c") => "gcc",
        Some("cpp") => "g++",
        Some("go") => {
            return vec![format!(
                "GOCACHE=$(mktemp -d) && export GOCACHE && go build -o {stem} {stem}.go; built=$?; rm -rf \"$GOCACHE\"; exit $built"
            )];
        }
        Some("rs") => {
            return vec![format!(
                "rustc -C symbol_mangling_version=v0 -o {stem} {stem}.rs"
            )];
        }
        _ => return Vec::new(),
    };
    let name = source
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let flags = if stem == "uprobe_nofp" {
        FLAGS_WITHOUT_FRAME_POINTERS
    } else {
        FLAGS
    };
    let (more, libraries) = match stem.as_str() {
        "usdt_lib" => (
            "-fPIC -I../testlibs",
            "-L../testlibs -lusdt_tp '-Wl,-rpath,$ORIGIN/../testlibs'",
        ),
        _ => ("", "-lpthread -lm"),
    };
    vec![
        format!("{compiler} {flags} {more} {name} -no-pie -o {stem} {libraries}"),
        format!("{compiler} {flags} -fpie {more} {name} -pie -o {stem}-pie {libraries}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_by_name_are_limited() {
        assert_eq!(
            limited("AFTER kill -s USR1 $(pidof bpftrace)"),
            "AFTER kill -s USR1 $(./testprogs/own_pid bpftrace)"
        );
        assert_eq!(
            limited("sleep 1; pkill -SIGINT bpftrace"),
            "sleep 1; kill -INT $(./testprogs/own_pid bpftrace)"
        );
    }

    #[test]
    fn a_program_is_built_twice() {
        assert_eq!(
            program_lines(Path::new("testprogs/uprobe_test_cxx.cpp")),
            [
                format!(
                    "g++ {FLAGS}  uprobe_test_cxx.cpp -no-pie -o uprobe_test_cxx -lpthread -lm"
                ),
                format!(
                    "g++ {FLAGS} -fpie  uprobe_test_cxx.cpp -pie -o uprobe_test_cxx-pie -lpthread -lm"
                ),
            ]
        );
        assert!(program_lines(Path::new("testprogs/CMakeLists.txt")).is_empty());
    }
}

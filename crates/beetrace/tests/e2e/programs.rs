//! The programs that are traced: C files beside the cases, compiled once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Compiles what changed, and returns the folder with the programs. A first line `/* cc: FLAGS */` adds flags.
pub fn build(sources: &Path, target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("programs");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let entries = fs::read_dir(sources).map_err(|e| format!("{}: {e}", sources.display()))?;
    for source in entries.flatten().map(|entry| entry.path()) {
        if source.extension().is_some_and(|e| e == "c")
            && let Some(stem) = source.file_stem()
        {
            compile(&source, &folder.join(stem))?;
        }
    }
    Ok(folder)
}

fn compile(source: &Path, program: &Path) -> Result<(), String> {
    let changed = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if changed(program) > changed(source).or(Some(SystemTime::UNIX_EPOCH)) {
        return Ok(());
    }
    let text = fs::read_to_string(source).map_err(|e| format!("{}: {e}", source.display()))?;
    let flags = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("/* cc:")?.strip_suffix("*/"))
        .unwrap_or("");
    // Another process that runs the tests at the same time sees the old program or the new one, never half of one.
    let new = program.with_extension(format!("new{}", std::process::id()));
    let output = Command::new("cc")
        .args(["-Wall", "-O0", "-fno-omit-frame-pointer", "-o"])
        .arg(&new)
        .arg(source)
        .args(flags.split_whitespace())
        .output()
        .map_err(|e| format!("cc: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::rename(&new, program).map_err(|e| format!("{}: {e}", program.display()))
}

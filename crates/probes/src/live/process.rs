//! Files that processes map.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::world::WorldError;

/// Whether a process sees other files than this one does.
pub(super) fn has_own_mounts(pid: u32) -> bool {
    let namespace = |who: &str| fs::metadata(format!("/proc/{who}/ns/mnt")).map(|m| m.ino());
    match (namespace("self"), namespace(&pid.to_string())) {
        (Ok(own), Ok(its)) => own != its,
        _ => false,
    }
}

/// A path of the process as this process can open it.
pub(super) fn inside(pid: u32, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    if path.starts_with(&root) {
        return path.to_owned();
    }
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The executable and the files that a process maps, as paths below `/proc/PID/root`.
pub(super) fn mapped(pid: u32) -> Result<Vec<PathBuf>, WorldError> {
    let path = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&path).map_err(|error| WorldError {
        message: match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no process {pid}"),
            _ => format!("cannot read {path}: {error}"),
        },
        help: None,
    })?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let mut seen = HashSet::new();
    Ok(exe
        .iter()
        .filter_map(|exe| exe.to_str())
        .chain(maps.lines().filter_map(file_of))
        .filter(|file| !file.ends_with(" (deleted)") && seen.insert((*file).to_owned()))
        .map(|file| inside(pid, Path::new(file)))
        .collect())
}

/// The file of a line of `/proc/PID/maps`, as in `7f00-7f01 r-xp 0000 00:1f 27 /usr/lib/libc.so.6`.
fn file_of(line: &str) -> Option<&str> {
    let at = line.find('/')?;
    // Five words stand before a path, and none of them has a slash.
    line.get(at..)
}

/// The files that any process maps, each once whatever the number of processes. Where this process sees the same file under
/// the same path, that path is given.
pub(super) fn mapped_anywhere() -> Result<Vec<PathBuf>, WorldError> {
    let processes = fs::read_dir("/proc").map_err(|error| WorldError {
        message: format!("cannot read /proc: {error}"),
        help: None,
    })?;
    let mut pids: Vec<u32> = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut paths = HashSet::new();
    let mut files = HashSet::new();
    let mut found = Vec::new();
    for pid in pids {
        let own = has_own_mounts(pid);
        // A process may end at any time.
        for path in mapped(pid).unwrap_or_default() {
            let plain = path.strip_prefix(format!("/proc/{pid}/root")).ok();
            let plain = plain.map(|plain| Path::new("/").join(plain));
            let path = match plain {
                Some(plain) if !own => plain,
                _ => path,
            };
            if !paths.insert(path.clone()) {
                continue;
            }
            if let Ok(meta) = fs::metadata(&path)
                && meta.is_file()
                && files.insert((meta.dev(), meta.ino()))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_files() {
        let pid = std::process::id();
        let exe = std::env::current_exe().unwrap();
        let files = mapped(pid).unwrap();
        assert_eq!(files[0], inside(pid, &exe));
        assert!(!has_own_mounts(pid));
        let everywhere = mapped_anywhere().unwrap();
        let meta = fs::metadata(&exe).unwrap();
        assert!(
            everywhere
                .iter()
                .any(|path| fs::metadata(path).is_ok_and(|m| m.ino() == meta.ino()))
        );
    }

    #[test]
    fn paths_go_below_the_root_of_the_process() {
        assert_eq!(
            inside(7, Path::new("/bin/sh")),
            Path::new("/proc/7/root/bin/sh")
        );
        assert_eq!(
            inside(7, Path::new("/proc/7/root/bin/sh")),
            Path::new("/proc/7/root/bin/sh")
        );
        assert_eq!(
            file_of("7f00-7f01 r-xp 0 00:1f 27   /a b.so"),
            Some("/a b.so")
        );
        assert_eq!(file_of("7f00-7f01 r-xp 0 00:00 0 [vdso]"), None);
    }

    #[test]
    fn no_process() {
        assert_eq!(
            mapped(u32::MAX).map_err(|e| e.message),
            Err("there is no process 4294967295".into())
        );
    }
}

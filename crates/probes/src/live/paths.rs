//! Finding binaries: paths, wildcards, commands, libraries.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::{ld_cache, process, zip};
use crate::wildcard::Pattern;

/// The ELF files that a name means, as the system would find them: as a path, as a library, as a command. A process that has
/// mounts of its own is asked for its view.
pub(super) fn find(name: &str, pid: Option<u32>) -> Vec<PathBuf> {
    if name.starts_with("lib")
        && !name.contains(['/', '*'])
        && let Some(path) = library(name, pid)
    {
        return vec![path];
    }
    let apart = pid.filter(|pid| process::has_own_mounts(*pid));
    let search = match apart {
        Some(pid) => path_of(pid).unwrap_or_default(),
        None => std::env::var("PATH").unwrap_or_default(),
    };
    let mut candidates = vec![PathBuf::from(name)];
    if !name.contains('/') {
        let folders = search.split(':').filter(|folder| !folder.is_empty());
        candidates.extend(folders.map(|folder| Path::new(folder).join(name)));
    }
    candidates
        .into_iter()
        .map(|path| match apart {
            Some(pid) => process::inside(pid, &path),
            None => path,
        })
        .flat_map(|path| expand(&path))
        .filter(|path| is_binary(path))
        .collect()
}

fn library(name: &str, pid: Option<u32>) -> Option<PathBuf> {
    let Some(pid) = pid else {
        return ld_cache::find(name);
    };
    let mapped = process::mapped(pid).unwrap_or_default();
    mapped
        .into_iter()
        .find(|path| {
            path.file_name()
                .and_then(|file| file.to_str())
                .is_some_and(|file| ld_cache::is_named(file, name))
        })
        .or_else(|| ld_cache::find(name))
}

/// `$PATH` of a process.
fn path_of(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("PATH="))
        .map(str::to_owned)
}

/// The paths that a path with wildcards means, sorted; the path itself where it has none.
fn expand(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let text = component.as_os_str().to_string_lossy();
        match component {
            Component::Normal(_) if text.contains('*') => {
                let pattern = Pattern::new(&text);
                found = found
                    .iter()
                    .flat_map(|folder| entries(folder, &pattern, text.starts_with('.')))
                    .collect();
                found.sort();
            }
            // `components` leaves out dots but the first, so paths stay as written.
            _ => found.iter_mut().for_each(|path| path.push(component)),
        }
    }
    found
}

fn entries(folder: &Path, pattern: &Pattern, hidden: bool) -> Vec<PathBuf> {
    let place = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    fs::read_dir(place)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pattern.matches(name) && (hidden || !name.starts_with('.')))
        .map(|name| folder.join(name))
        .collect()
}

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// Whether it is an ELF file that can run or be linked to, or such a file inside an archive.
fn is_binary(path: &Path) -> bool {
    if zip::split(path).is_some_and(|(archive, _)| archive.exists()) {
        return true;
    }
    let Ok(meta) = fs::metadata(path) else {
        return false;
    };
    if !meta.is_file() {
        return false;
    }
    let mut header = [0; 18];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    if read.is_err() || !header.starts_with(b"\x7fELF") {
        return false;
    }
    let kind = [header[16], header[17]];
    let kind = match header[5] {
        2 => u16::from_be_bytes(kind),
        _ => u16::from_le_bytes(kind),
    };
    kind == ET_DYN || (kind == ET_EXEC && meta.permissions().mode() & 0o100 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_this_test() {
        let exe = std::env::current_exe().unwrap();
        let text = exe.to_str().unwrap();
        assert_eq!(find(text, None), std::slice::from_ref(&exe));
        let (folder, file) = text.rsplit_once('/').unwrap();
        let (stem, _) = file.rsplit_once('-').unwrap();
        let found = find(&format!("{folder}/{stem}-*"), None);
        assert!(found.contains(&exe), "{found:?}");
        assert!(found.is_sorted());
        assert_eq!(find(text, Some(std::process::id())), [exe]);
    }

    #[test]
    fn finds_commands_and_libraries() {
        let shells = find("sh", None);
        assert!(shells.iter().all(|path| path.ends_with("sh")), "{shells:?}");
        for library in find("libc", None) {
            assert!(library.to_string_lossy().contains("libc.so"), "{library:?}");
        }
        assert!(find("/no/such/file", None).is_empty());
        assert!(find("/proc/self/status", None).is_empty());
    }

    #[test]
    fn paths_stay_as_written() {
        assert_eq!(expand(Path::new("./a/b")), [Path::new("./a/b")]);
        assert_eq!(expand(Path::new("a/../b")), [Path::new("a/../b")]);
        let in_root = expand(Path::new("/p*c"));
        assert!(in_root.contains(&"/proc".into()), "{in_root:?}");
    }
}

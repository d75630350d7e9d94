//! Tracepoints as tracefs shows them (kernel: Documentation/trace/events.rst).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::tracepoint::Format;
use crate::world::WorldError;

const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Where tracefs is mounted.
pub(super) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        ROOTS
            .iter()
            .map(PathBuf::from)
            .find(|root| root.join("events").exists())
            .or_else(|| mounted(&fs::read_to_string("/proc/self/mounts").ok()?))
            .unwrap_or_else(|| {
                mount(ROOTS[0]);
                ROOTS[0].into()
            })
    })
}

/// Mounts tracefs at the place that the kernel keeps for it, as init systems do. Where that is not allowed, whoever reads
/// there next says so.
fn mount(place: &str) {
    use rustix::mount::{MountFlags, mount};
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let _ = mount("tracefs", place, "tracefs", flags, None);
}

fn mounted(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (place, kind) = (words.nth(1)?, words.next()?);
        (kind == "tracefs").then(|| place.into())
    })
}

pub(super) fn error(path: &Path, error: &std::io::Error) -> WorldError {
    let help = match error.kind() {
        ErrorKind::PermissionDenied => Some("run as root, or with CAP_DAC_READ_SEARCH"),
        ErrorKind::NotFound => Some("mount it with `mount -t tracefs tracefs /sys/kernel/tracing`"),
        _ => None,
    };
    WorldError {
        message: format!("cannot read {}: {error}", path.display()),
        help: help.map(str::to_owned),
    }
}

pub(super) fn tracepoints() -> Result<Vec<(String, String)>, WorldError> {
    let path = root().join("available_events");
    let text = fs::read_to_string(&path).map_err(|e| error(&path, &e))?;
    let mut found: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(category, name)| (category.to_owned(), name.to_owned()))
        .collect();
    found.sort();
    Ok(found)
}

pub(super) fn format(category: &str, name: &str) -> Result<Format, WorldError> {
    let plain = |part: &str| !part.contains('/') && !part.starts_with('.') && !part.is_empty();
    if !plain(category) || !plain(name) {
        return Err(WorldError {
            message: format!("{category}:{name} is no name of a tracepoint"),
            help: None,
        });
    }
    let path = root()
        .join("events")
        .join(category)
        .join(name)
        .join("format");
    let text = fs::read_to_string(&path).map_err(|e| error(&path, &e))?;
    Ok(Format::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_mount() {
        let mounts = "proc /proc proc rw 0 0\nnone /trace tracefs rw,relatime 0 0\n";
        assert_eq!(mounted(mounts), Some("/trace".into()));
        assert_eq!(mounted("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(format("..", "events").is_err());
        assert!(format("a/b", "c").is_err());
    }
}

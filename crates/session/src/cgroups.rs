//! Paths of cgroups, by the id that programs see: the inode number of the cgroup's directory.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The mounted cgroup hierarchies, found when the first path is asked for.
#[derive(Debug, Default)]
pub struct Cgroups {
    hierarchies: Option<Vec<Hierarchy>>,
}

/// One tree of cgroups.
#[derive(Debug)]
struct Hierarchy {
    /// `unified` for version 2, the name of the folder it is mounted on for version 1.
    name: String,
    root: PathBuf,
    /// Paths below the root, `/` for the root itself, by inode.
    paths: HashMap<u64, String>,
    walked: Option<Instant>,
}

/// An unknown id makes the tree be walked again, but no more often than this.
const WALK_AGAIN: Duration = Duration::from_millis(200);

impl Cgroups {
    /// `name:path` for every hierarchy that has the cgroup and whose name matches the filter, joined by commas; version 2
    /// comes first. The number where none of them has it, nothing where there are none.
    pub fn path(&mut self, id: u64, filter: Option<&str>) -> String {
        let hierarchies = self.hierarchies.get_or_insert_with(|| {
            hierarchies(&String::from_utf8_lossy(
                &fs::read("/proc/self/mounts").unwrap_or_default(),
            ))
        });
        let mut found = Vec::new();
        let mut any = false;
        for hierarchy in hierarchies {
            if filter.is_some_and(|f| !matches_wildcard(f, &hierarchy.name)) {
                continue;
            }
            any = true;
            hierarchy.refresh(id);
            if let Some(path) = hierarchy.paths.get(&id) {
                found.push(format!("{}:{path}", hierarchy.name));
            }
        }
        if any && found.is_empty() {
            id.to_string()
        } else {
            found.join(",")
        }
    }
}

impl Hierarchy {
    /// Walks the tree if that may tell more of the id.
    fn refresh(&mut self, id: u64) {
        if !self.is_current(id) && self.walked.is_none_or(|w| w.elapsed() > WALK_AGAIN) {
            self.walk();
        }
    }

    /// Whether the path known for the id still is that cgroup. One that is gone keeps its last path until the next walk.
    fn is_current(&self, id: u64) -> bool {
        let inode = |path: &str| fs::metadata(self.root.join(path.trim_start_matches('/')));
        self.paths
            .get(&id)
            .is_some_and(|path| inode(path).is_ok_and(|m| m.ino() == id))
    }

    fn walk(&mut self) {
        let mut folders = vec![self.root.clone()];
        // Paths of cgroups that are gone stay: values taken while they lived may be printed later.
        while let Some(folder) = folders.pop() {
            let Ok(metadata) = fs::metadata(&folder) else {
                continue;
            };
            let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
            self.paths
                .insert(metadata.ino(), format!("/{}", below.display()));
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(
                entries
                    .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                    .map(|e| e.path()),
            );
        }
        self.walked = Some(Instant::now());
    }
}

/// The cgroup file systems of a mount table (proc_pid_mounts(5)): version 2 first, version 1 by name.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<(bool, String, PathBuf)> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(root), Some(kind)) = (fields.next(), fields.next()) else {
            continue;
        };
        let root = PathBuf::from(unescape(root));
        let name = match kind {
            "cgroup2" => "unified".to_owned(),
            "cgroup" => root
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            _ => continue,
        };
        let is_v1 = kind == "cgroup";
        // A hierarchy that is mounted twice is shown once.
        if !found.iter().any(|(v1, n, _)| *v1 == is_v1 && *n == name) {
            found.push((is_v1, name, root));
        }
    }
    found.sort();
    found
        .into_iter()
        .map(|(_, name, root)| Hierarchy {
            name,
            root,
            paths: HashMap::new(),
            walked: None,
        })
        .collect()
}

/// Undoes the octal escapes of white space in a mount table.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 4);
        match digits.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether the text is of the pattern, in which `*` stands for anything.
fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
        cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
        cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
        cgroup2 /sys/fs/cgroup/a\\040b cgroup2 rw 0 0\n\
        cgroup /mnt/cpu cgroup rw,cpu 0 0\n";

    #[test]
    fn version_2_comes_first() {
        let found = hierarchies(MOUNTS);
        let names: Vec<&str> = found.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["unified", "cpu", "memory"]);
        assert_eq!(found[0].root, Path::new("/sys/fs/cgroup/a b"));
        assert_eq!(found[1].root, Path::new("/sys/fs/cgroup/cpu"));
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("unified", "unified", true),
            ("unified", "unifie", false),
            ("cpu*", "cpuset", true),
            ("*set", "cpuset", true),
            ("c*s*t", "cpuset", true),
            ("c*s*x", "cpuset", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(
                matches_wildcard(pattern, text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn folders_are_found_by_their_inode() {
        let root = std::env::temp_dir().join(format!("cgroups-{}", std::process::id()));
        let inner = root.join("a.slice/b.scope");
        fs::create_dir_all(&inner).unwrap();
        let hierarchy = |name: &str| Hierarchy {
            name: name.to_owned(),
            root: root.clone(),
            paths: HashMap::new(),
            walked: None,
        };
        let mut cgroups = Cgroups {
            hierarchies: Some(vec![hierarchy("unified"), hierarchy("cpu")]),
        };
        let id = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(
            cgroups.path(id(&inner), None),
            "unified:/a.slice/b.scope,cpu:/a.slice/b.scope"
        );
        assert_eq!(cgroups.path(id(&root), Some("c*")), "cpu:/");
        let inner_id = id(&inner);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(
            cgroups.path(inner_id, Some("unified")),
            "unified:/a.slice/b.scope"
        );
        assert_eq!(cgroups.path(u64::MAX, None), u64::MAX.to_string());
        assert_eq!(cgroups.path(inner_id, Some("memory")), "");
    }
}

//! `/etc/ld.so.cache`: where the dynamic linker finds libraries (glibc: sysdeps/generic/dl-cache.h).

use std::fs;
use std::path::PathBuf;

const PATH: &str = "/etc/ld.so.cache";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// The format before, which the new one may follow inside one file.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_ENTRY: usize = 12;
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// Libraries of this machine's architecture have these flags (`FLAG_ELF_LIBC6` and the architecture).
const FLAGS: u32 = if cfg!(target_arch = "aarch64") {
    0x0a03
} else {
    0x0303
};

/// The library of a name: its full name (`libc.so.6`) or its beginning (`libc`).
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let cache = fs::read(PATH).ok()?;
    let (_, path) = entries(&cache).find(|(library, _)| is_named(library, name))?;
    Some(path.into())
}

/// Whether a library's file name is the wanted one, or begins with it up to `.so` or a version.
pub(super) fn is_named(library: &str, name: &str) -> bool {
    match library.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest.starts_with(".so") || (name.contains(".so") && rest.starts_with('.')),
        None => false,
    }
}

/// Name and path of the libraries.
fn entries(cache: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let new = new_format(cache).unwrap_or_default();
    let count = word(new, 20).unwrap_or(0) as usize;
    (0..count.min(new.len() / ENTRY)).filter_map(move |index| {
        let at = HEADER + index * ENTRY;
        if word(new, at)? != FLAGS {
            return None;
        }
        Some((
            text(new, word(new, at + 4)?)?,
            text(new, word(new, at + 8)?)?,
        ))
    })
}

/// The part of the file in the new format.
fn new_format(cache: &[u8]) -> Option<&[u8]> {
    if cache.starts_with(MAGIC) {
        return Some(cache);
    }
    if !cache.starts_with(OLD_MAGIC) {
        return None;
    }
    let count = word(cache, OLD_MAGIC.len())? as usize;
    let end = count
        .checked_mul(OLD_ENTRY)?
        .checked_add(OLD_MAGIC.len() + 4)?;
    let new = cache.get(end.checked_next_multiple_of(8)?..)?;
    new.starts_with(MAGIC).then_some(new)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn text(bytes: &[u8], at: u32) -> Option<&str> {
    let bytes = bytes.get(at as usize..)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(bytes.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(libraries: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((libraries.len() as u32).to_ne_bytes());
        bytes.resize(HEADER, 0);
        let mut strings = Vec::new();
        let start = HEADER + libraries.len() * ENTRY;
        for (flags, name, path) in libraries {
            let mut entry = flags.to_ne_bytes().to_vec();
            for text in [name, path] {
                entry.extend(((start + strings.len()) as u32).to_ne_bytes());
                strings.extend(text.as_bytes());
                strings.push(0);
            }
            entry.resize(ENTRY, 0);
            bytes.extend(entry);
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn reads_libraries_of_the_architecture() {
        let bytes = cache(&[
            (FLAGS, "libc.so.6", "/lib64/libc.so.6"),
            (0x0003, "libc.so.6", "/lib32/libc.so.6"),
        ]);
        let found: Vec<_> = entries(&bytes).collect();
        assert_eq!(found, [("libc.so.6", "/lib64/libc.so.6")]);
        let mut old = OLD_MAGIC.to_vec();
        old.extend(1u32.to_ne_bytes());
        old.resize(OLD_MAGIC.len() + 4 + OLD_ENTRY, 0);
        old.resize(old.len().next_multiple_of(8), 0);
        old.extend(&bytes);
        assert_eq!(entries(&old).count(), 1);
        for end in 0..bytes.len() {
            let _ = entries(&bytes[..end]).count();
        }
    }

    #[test]
    fn names() {
        assert!(is_named("libc.so.6", "libc"));
        assert!(is_named("libc.so.6", "libc.so"));
        assert!(is_named("libc.so.6", "libc.so.6"));
        assert!(!is_named("libcap.so.2", "libc"));
        assert!(!is_named("libssl.so.59", "libssl.so.5"));
    }
}

//! Binaries inside ZIP archives, stored without compression: `archive.apk!/lib/libfoo.so`.
//!
//! The format is PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.

use std::path::{Path, PathBuf};

use object::ReadRef;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: u64 = 22;
const CENTRAL: &[u8] = b"PK\x01\x02";
const CENTRAL_LEN: u64 = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LEN: u64 = 30;
/// The end may be followed by a comment of that length.
const MAX_COMMENT: u64 = 0xffff;
const STORED: u16 = 0;

/// The archive and the name of the file inside it.
pub(super) fn split(path: &Path) -> Option<(PathBuf, String)> {
    let (archive, member) = path.to_str()?.split_once("!/")?;
    Some((archive.into(), member.to_owned()))
}

/// Offset and length of a stored member. `None` where it is not there, or compressed.
pub(super) fn member<'a, R: ReadRef<'a>>(archive: R, name: &str) -> Option<(u64, u64)> {
    let len = archive.len().ok()?;
    let tail = len.min(END_LEN + MAX_COMMENT);
    let bytes = archive.read_bytes_at(len - tail, tail).ok()?;
    let at = bytes.windows(END.len()).rposition(|window| window == END)?;
    let end = bytes.get(at..)?;
    let count = half(end, 10)?;
    let mut at = u64::from(word(end, 16)?);
    for _ in 0..count {
        let header = archive.read_bytes_at(at, CENTRAL_LEN).ok()?;
        if !header.starts_with(CENTRAL) {
            return None;
        }
        let name_len = u64::from(half(header, 28)?);
        let found = archive.read_bytes_at(at + CENTRAL_LEN, name_len).ok()?;
        if found == name.as_bytes() {
            if half(header, 10)? != STORED {
                return None;
            }
            return data(
                archive,
                u64::from(word(header, 42)?),
                u64::from(word(header, 24)?),
            );
        }
        let behind = u64::from(half(header, 30)?) + u64::from(half(header, 32)?);
        at += CENTRAL_LEN + name_len + behind;
    }
    None
}

fn data<'a, R: ReadRef<'a>>(archive: R, local: u64, len: u64) -> Option<(u64, u64)> {
    let header = archive.read_bytes_at(local, LOCAL_LEN).ok()?;
    if !header.starts_with(LOCAL) {
        return None;
    }
    let names = u64::from(half(header, 26)?) + u64::from(half(header, 28)?);
    Some((local + LOCAL_LEN + names, len))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(method: u16) -> Vec<u8> {
        let mut bytes = LOCAL.to_vec();
        bytes.resize(26, 0);
        bytes.extend([3, 0, 2, 0]);
        bytes.extend(b"a/bxxDATA");
        let central = bytes.len() as u32;
        let mut header = CENTRAL.to_vec();
        header.resize(CENTRAL_LEN as usize, 0);
        header[10..12].copy_from_slice(&method.to_le_bytes());
        header[24..28].copy_from_slice(&4u32.to_le_bytes());
        header[28..30].copy_from_slice(&3u16.to_le_bytes());
        bytes.extend(header);
        bytes.extend(b"a/b");
        bytes.extend(END);
        bytes.extend([0; 6]);
        bytes.extend([1, 0]);
        bytes.extend([0; 4]);
        bytes.extend(central.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn finds_stored_members() {
        let bytes = archive(STORED);
        let (at, len) = member(bytes.as_slice(), "a/b").unwrap();
        assert_eq!(&bytes[at as usize..(at + len) as usize], b"DATA");
        assert_eq!(member(bytes.as_slice(), "c"), None);
        assert_eq!(member(archive(8).as_slice(), "a/b"), None);
        for end in 0..bytes.len() {
            let _ = member(&bytes[..end], "a/b");
        }
    }

    #[test]
    fn splits_paths() {
        assert_eq!(
            split(Path::new("/x/foo.apk!/lib/a.so")),
            Some(("/x/foo.apk".into(), "lib/a.so".into()))
        );
        assert_eq!(split(Path::new("/x/foo")), None);
    }
}

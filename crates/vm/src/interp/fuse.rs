//! Joins neighbouring instructions into one that does the work of both.
pub(crate) fn fuse(_ops: &mut [super::Op]) {}

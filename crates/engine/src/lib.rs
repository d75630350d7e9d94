//! The Engine trait and the vocabulary that both engines share.

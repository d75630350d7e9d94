//! The machine as a whole: every program runs checked, interpreted and compiled, with one result.

mod helpers;
mod programs;
mod scene;

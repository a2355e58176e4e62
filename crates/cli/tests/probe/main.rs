//! `everwire probe`, the real binary, against servers in this process, good ones and bad ones.

#[path = "../common/mod.rs"]
mod common;
mod frames;
mod idle;
mod peer;
mod process;
mod reach;
mod report;
mod upgrade;

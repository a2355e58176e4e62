//! `everwire connect`, the real binary, against servers in this process.

#[path = "../common/mod.rs"]
mod common;
mod end;
mod fixture;
mod keepalive;
mod killed;
mod messages;
mod place;
mod progress;
mod reconnect;
mod request;
mod run;
mod scripted;
mod session;
mod terminal;
mod tls;
mod usage;
mod verbose;

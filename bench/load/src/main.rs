//! An echo load generator: many connections on one thread, and **every echo is checked** byte for byte.
//!
//! A connection sends `--depth` messages in one write and waits for all their echoes before the next batch, so that the
//! server's work repeats from run to run. With `--pid` the server's exact CPU clock and its memory are read as well.
//! The result is one line of JSON. See `bench/README.md` for how the figures are meant.

mod connection;
mod driver;
mod frame_reader;
mod handshake;
mod options;
mod server;
mod session;
mod template;

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::driver::{Driver, Until};
use crate::options::{Mode, Options};
use crate::server::Server;
use crate::template::{Carrier, Template};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::from_args()?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    match &options.mode {
        Mode::Echo(until) => echo(&options, *until),
        Mode::Idle { connections, warm, first } => idle(&options, *connections, *warm, first),
    }
}

/// Opens the connections, echoes until the goal is met, closes, and prints the figures.
fn echo(options: &Options, until: Until) -> Result<()> {
    let server = options.pid.map(Server::new).transpose()?;
    let rss_before = server.as_ref().map(Server::rss).transpose()?;
    let mut driver = Driver::new(options)?;
    driver.open(options.connections)?;
    if options.carrier == Carrier::Raw && options.fan_out {
        // Without an opening handshake nothing tells when the server knows all connections.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }

    let template = Template::new(options.kind, options.size, options.carrier);
    let cpu_before = server.as_ref().map(Server::cpu).transpose()?;
    let start = Instant::now();
    let n_messages = match options.fan_out {
        true => driver.fan_out(&template, options.depth, until)?,
        false => driver.echo(
            0..options.connections,
            &template,
            options.depth,
            until,
            options.at_a_time,
        )?,
    };
    let seconds = start.elapsed().as_secs_f64();
    let cpu_after = server.as_ref().map(Server::cpu).transpose()?;
    let rss_after = server.as_ref().map(Server::rss).transpose()?;
    driver.close()?;

    let Options { connections, depth, size, .. } = options;
    let rate = n_messages as f64 / seconds;
    let mut json = format!(r#"{{"connections": {connections}, "depth": {depth}, "size": {size}"#);
    json += &format!(r#", "messages": {n_messages}, "seconds": {seconds:.6}"#);
    json += &format!(r#", "messages_per_second": {rate:.1}"#);
    if let (Some(before), Some(after)) = (cpu_before, cpu_after) {
        let ns = (after - before).as_nanos() as f64 / n_messages.max(1) as f64;
        json += &format!(r#", "cpu_ns_per_message": {ns:.1}"#);
    }
    json += &memory_json(rss_before, rss_after, options.connections);
    println!("{json}}}");
    Ok(())
}

/// Opens connections and holds them until standard input ends.
///
/// Memory is a slope: `warm` connections first do all that the others do, so that whatever the server pays once
/// (pools, heap arenas, a freed block that the allocator keeps) is in both readings and cancels.
fn idle(options: &Options, connections: usize, warm: usize, first: &[usize]) -> Result<()> {
    let server = options.pid.map(Server::new).transpose()?;
    let mut driver = Driver::new(options)?;
    let mut open_and_exchange = |range: Range<usize>| -> Result<Option<u64>> {
        driver.open(range.len())?;
        for &size in first {
            let template = Template::new(options.kind, size, options.carrier);
            let until = Until::Messages(range.len() as u64);
            driver.echo(range.clone(), &template, 1, until, 1)?;
        }
        server.as_ref().map(Server::settled_rss).transpose()
    };
    let rss_before = open_and_exchange(0..warm)?;
    let rss_after = open_and_exchange(warm..warm + connections)?;

    let memory = memory_json(rss_before, rss_after, connections);
    println!(r#"{{"connections": {connections}, "warm": {warm}, "first": {first:?}{memory}}}"#);
    println!("READY");
    driver.hold_until_stdin_ends()?;
    driver.close()
}

fn memory_json(before: Option<u64>, after: Option<u64>, connections: usize) -> String {
    let (Some(before), Some(after)) = (before, after) else { return String::new() };
    let per_connection = (after as f64 - before as f64) / connections as f64;
    format!(
        r#", "rss_before": {before}, "rss_after": {after}, "rss_per_connection": {per_connection:.1}"#
    )
}

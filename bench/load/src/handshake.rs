//! The client's half of the opening handshake. See RFC 6455 §4.1.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::options::Options;
use crate::session;
use crate::template::Carrier;

/// The RFC's sample key and what must answer it (§1.3): no hash is needed to check the server.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Connects and, unless the run is raw, upgrades. The stream is returned in non-blocking mode.
pub fn connect(options: &Options) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(options.address).context("connecting")?;
    stream.set_nodelay(true)?;
    if options.carrier != Carrier::Raw {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        upgrade(&mut stream, options).context("opening handshake")?;
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn upgrade(stream: &mut TcpStream, Options { host, path, carrier, .. }: &Options) -> Result<()> {
    let more = if *carrier == Carrier::Session { session::FIELDS } else { "" };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: a server may speak first, right behind its head.
        let mut chunk = [0; 1];
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0 && head.len() < 16 * 1024, "the response head is cut off or too long");
        head.extend_from_slice(&chunk[..n]);
    }
    let head = String::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 101 ") {
        bail!("the server answered {:?}", head.lines().next().unwrap_or_default());
    }
    let accepted = head.lines().filter_map(|line| line.split_once(':')).any(|(name, value)| {
        name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
    });
    ensure!(accepted, "Sec-WebSocket-Accept is missing or wrong");
    Ok(())
}

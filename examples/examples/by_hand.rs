//! An echo server without a runtime: `everwire-proto` on blocking sockets of the standard library.
//!
//! ```text
//! cargo run -p everwire-examples --example by_hand [ADDR:PORT]
//! ```
//!
//! Then run `echo_client`. This is what the `everwire` crate does for you.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use everwire_proto::{Config, Connection, Event, State, handshake::*};

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(addr)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve(stream).unwrap_or_else(|error| eprintln!("{error}")));
    }
    Ok(())
}

/// Reads the request and answers it. Returns what came behind it: the first frames, or `None` if
/// the request was refused.
fn open(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let (mut head, mut reader) = (Vec::new(), HeadReader::new(HeadLimits::default()));
    let (answer, length) = loop {
        match reader.request(&head).map_err(HandshakeError::from) {
            Ok(Some((request, length))) => break (ServerHandshake::verify(&request), length),
            Ok(None) => {}
            Err(error) => break (Err(error), head.len()),
        }
        stream.set_read_timeout(Some(until(deadline)))?;
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes)? {
            0 => return Ok(None),
            n => head.extend_from_slice(&bytes[..n]),
        }
    };
    let mut out = Vec::new();
    let accepted = answer.map(|it| it.accept(AcceptOptions::default()).expect("nothing is asked"));
    match &accepted {
        Ok(response) => encode_response_head(response, &mut out),
        Err(error) => encode_response(&error.response(), &mut out),
    }
    stream.write_all(&out)?;
    Ok(accepted.ok().map(|_| head.split_off(length)))
}

/// Runs one connection: tell it what happened, write what it wants to say, wait for its deadline.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let Some(mut early) = open(&mut stream)? else { return Ok(()) };
    let config = Arc::new(Config::default());
    stream.set_write_timeout(Some(config.write_timeout))?;
    let mut connection = Connection::server(config, Instant::now(), 0);
    echo(&mut connection, &mut early);
    let mut buffer = vec![0; 64 << 10];
    while connection.state() != State::Closed {
        if let Err(error) = write(&mut connection, &mut stream) {
            connection.handle_io_error(Instant::now(), &error);
            continue;
        }
        stream.set_read_timeout(connection.poll_timeout().map(until))?;
        match stream.read(&mut buffer) {
            Ok(0) => connection.handle_eof(Instant::now()),
            Ok(n) => echo(&mut connection, &mut buffer[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => connection.handle_io_error(Instant::now(), &error),
        }
        connection.handle_timeout(Instant::now()); // Does only what is due.
    }
    connection.closure().into_iter().for_each(|closure| println!("{closure}"));
    Ok(())
}

fn echo(connection: &mut Connection, input: &mut [u8]) {
    let mut events = connection.handle_input(Instant::now(), input);
    while let Some(event) = events.next() {
        if let Event::Message(message) = event {
            events.connection().send(message).ok();
        }
    }
}

fn write(connection: &mut Connection, stream: &mut TcpStream) -> io::Result<()> {
    while connection.transmit_len() > 0 {
        let mut slices = [IoSlice::new(&[]); 8];
        let n = connection.transmit(&mut slices);
        let written = stream.write_vectored(&slices[..n])?;
        connection.handle_transmitted(Instant::now(), written);
    }
    if connection.wants_shutdown() {
        stream.shutdown(Shutdown::Write).ok(); // The peer may have gone first.
        connection.handle_shutdown(Instant::now());
    }
    Ok(())
}

/// A read timeout must not be zero.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

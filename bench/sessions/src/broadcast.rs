//! What a broadcast costs sessions that have no socket.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, ensure};
use everwire_session::{
    Config, Frame, Hello, Kind, Meter, Prepared, Principal, ServerSession, Transmit,
};
use pico_args::Arguments;

/// Counts live bytes.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it passes everything on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// `broadcast [--sessions N] [--messages N] [--bytes N]`
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let sessions: usize = arguments.opt_value_from_str("--sessions")?.unwrap_or(10_000);
    let messages: usize = arguments.opt_value_from_str("--messages")?.unwrap_or(1_000);
    let bytes: usize = arguments.opt_value_from_str("--bytes")?.unwrap_or(200);
    crate::finish(arguments)?;
    let now = Instant::now();
    let before = live();
    let mut all: Vec<_> = (0..sessions).map(|number| session(now, number)).collect();
    let idle = (live() - before) / sessions;
    for session in &mut all {
        session.handle_closed(now, 1);
        while session.poll_event(now).is_some() {}
    }
    let (meter, before) = (Meter::default(), live());
    for _ in 0..messages {
        let message = Prepared::metered(Kind::Binary, &vec![7; bytes], &meter);
        for session in &mut all {
            session.send(now, message.clone())?;
        }
    }
    let total = live() - before;
    let copies = meter.bytes();
    let each = (total - copies) as f64 / (sessions * messages) as f64;
    println!(
        "| sessions | messages | bytes each | idle session, attached | one copy of all | beside, per session and message |"
    );
    println!("|--:|--:|--:|--:|--:|--:|");
    println!("| {sessions} | {messages} | {bytes} | {idle} B | {copies} B | {each:.1} B |");
    ensure!(copies == messages * (bytes + 1), "there is more than one copy: {copies} bytes");
    ensure!(each <= 32.0, "a session keeps {each:.1} bytes per message, more than 32");
    ensure!(idle <= 600, "an attached idle session keeps {idle} bytes, more than 600");
    Ok(())
}

/// Returns a session with a socket, nothing to say and nothing to do.
fn session(now: Instant, number: usize) -> ServerSession {
    thread_local! {
        static CONFIG: Arc<Config> = Arc::new(Config::server());
    }
    let mut random = |bytes: &mut [u8]| bytes.fill(number as u8);
    let config = CONFIG.with(Clone::clone);
    let hello = Hello::first(1, 1 << 18, 1 << 20);
    let who = Principal::ANONYMOUS;
    let (mut session, _) = ServerSession::accept(now, config, &hello, who, true, &mut random);
    while let Some(Transmit::Frame(_)) = session.poll_transmit(now, 1) {}
    let counts = everwire_session::Counts { window: 1 << 18, ..Default::default() };
    session.handle_message(now, 1, &Frame::Ack(counts).encode());
    while session.poll_event(now).is_some() {}
    // A heartbeat later it still has nothing to say.
    let later = session.poll_timeout().unwrap_or(now);
    session.handle_timeout(later);
    session
}

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

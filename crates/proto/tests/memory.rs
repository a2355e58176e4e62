//! Memory follows bytes that have arrived: a declared length reserves nothing.
//!
//! A binary of its own, because it counts what the process allocates; one test, because tests run
//! side by side.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use everwire_proto::{Config, Delivery, Keepalive, Role};
use everwire_testkit::{Frame, Solo};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns how much more memory than before was held at most while `work` ran.
fn peak<R>(work: impl FnOnce() -> R) -> usize {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let peak = PEAK.load(Relaxed) - before;
    drop(result);
    peak
}

fn config(message: u64) -> Config {
    let mut config = Config::default();
    config.limits.message = message;
    config
}

/// Feeds chunks of one frame, without counting their own memory.
fn feed(server: &mut Solo, chunks: &mut [Vec<u8>]) -> usize {
    peak(|| {
        for chunk in chunks {
            assert_eq!(server.connection.handle_input(server.now, chunk).count(), 0);
        }
    })
}

#[test]
fn memory_follows_bytes_that_have_arrived() {
    // A header that declares what is legal but has not arrived.
    let mut server = Solo::new(Role::Server, config(1 << 40));
    let header = Frame::binary("").declare(1 << 39).bytes(Role::Client);
    assert!(feed(&mut server, &mut [header]) < 1024);

    // 100 KiB of 512 GiB.
    let mut chunks = vec![vec![0; 1024]; 100];
    assert!(feed(&mut server, &mut chunks) < 300 << 10);

    // The frame's own buffer grows by what has arrived, too.
    let mut server = Solo::new(Role::Server, config(1 << 40));
    server.receive_bytes(&Frame::binary("").declare(1 << 39).bytes(Role::Client));
    assert!(server.connection.frame_buffer().is_none(), "a header alone reserves nothing");
    server.receive_bytes(&[0; 20 << 10]);
    assert!(peak(|| assert!(server.connection.frame_buffer().is_some())) <= 41 << 10);

    // What is too big is refused before memory is reserved.
    let mut server = Solo::new(Role::Server, config(1 << 30));
    let header = Frame::binary("").declare((1 << 30) + 1).bytes(Role::Client);
    assert!(feed(&mut server, &mut [header]) < 2048);
    assert_eq!(server.sent()[0].close_code(), 1009);

    // A message in pieces is never held whole.
    let mut pieces = config(1 << 30);
    pieces.delivery = Delivery::Pieces;
    let mut server = Solo::new(Role::Server, pieces);
    server.receive_bytes(&Frame::binary("").declare(8 << 20).bytes(Role::Client));
    let mut chunk = vec![0; 64 << 10];
    let held = peak(|| {
        for _ in 0..128 {
            assert_eq!(server.connection.handle_input(server.now, &mut chunk).count(), 1);
        }
    });
    assert!(held < 1024, "{held}");
    assert_eq!(server.connection.counters().messages_received, 1);

    // A message that is whole in its read is not copied.
    let mut server = Solo::server();
    let mut message = Frame::text("x".repeat(500_000)).bytes(Role::Client);
    let held =
        peak(|| assert_eq!(server.connection.handle_input(server.now, &mut message).count(), 1));
    assert_eq!(held, 0);

    // Empty fragments hold nothing.
    let mut server = Solo::server();
    server.receive([Frame::text("").more()]);
    let mut fragments = Frame::continuation("").more().bytes(Role::Client).repeat(10_000);
    let held = peak(|| server.connection.handle_input(server.now, &mut fragments).count());
    assert!(held < 1024, "{held}");

    // What a client alone holds is masked where it lies; what a server sends is not copied either.
    for mut sender in [Solo::client(), Solo::server()] {
        let message = bytes::Bytes::from(vec![0; 500_000]);
        let held = peak(|| sender.connection.send(message).unwrap());
        assert!(held < 1024, "{held}");
    }

    // Once a connection is idle, it holds nothing of what it received.
    let mut server = Solo::server();
    let before = HELD.load(Relaxed);
    for chunk in Frame::binary([1; 100_000]).bytes(Role::Client).chunks_mut(1000) {
        server.connection.handle_input(server.now, chunk).for_each(drop);
    }
    assert_eq!(HELD.load(Relaxed), before);

    keepalive_costs_an_idle_connection_nothing();
}

/// An idle connection that is kept alive holds at most 16 bytes more than one that is not, between
/// its pings; `size_of` is the same for both.
fn keepalive_costs_an_idle_connection_nothing() {
    let held = |keepalive| {
        let mut config = Config::default();
        config.keepalive = keepalive;
        let mut server = Solo::new(Role::Server, config);
        let before = HELD.load(Relaxed);
        for _ in 0..10 {
            server.advance(std::time::Duration::from_secs(28));
            let Some(ping) = server.sent().pop() else { continue };
            server.receive([Frame::pong(&ping.payload)]).events();
        }
        // The socket takes a write buffer back when all is written, as an engine does.
        drop(server.connection.reclaim_buffer());
        HELD.load(Relaxed) as isize - before as isize
    };
    let (on, off) = (held(Some(Keepalive::standard())), held(Keepalive::off_i_have_my_own()));
    assert!(on - off <= 16, "{on} bytes with keepalive, {off} without");
}

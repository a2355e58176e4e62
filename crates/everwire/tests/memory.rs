//! What a peer can make the engine hold, counted by the allocator.
#![allow(unsafe_code)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
    time::Duration,
};

use common::{Echo, frame};
use everwire::{Config, Conn, Handler, Message, adapt::Attach};
use tokio::io::{AsyncWriteExt, duplex};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn add(n: isize) {
    let held = HELD.fetch_add(n, Ordering::Relaxed) + n;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size as isize - layout.size() as isize);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs something and returns by how much memory grew at most meanwhile.
async fn growth(run: impl Future<Output = ()>) -> isize {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run.await;
    PEAK.load(Ordering::Relaxed) - before
}

/// Writes frames again and again, up to this many bytes, until the other side takes no more.
async fn flood(config: Config, one: &[u8], bytes: usize) -> (usize, isize) {
    let (near, far) = duplex(16 << 10);
    let batch: Vec<u8> = one.iter().copied().cycle().take(one.len() * 100).collect();
    let mut written = 0;
    let growth = growth(async {
        let sender = Attach::server().config(config).push(far, Echo);
        let (_never_read, mut write) = tokio::io::split(near);
        while written < bytes {
            let write = write.write_all(&batch);
            match tokio::time::timeout(Duration::from_secs(5), write).await {
                Ok(Ok(())) => written += batch.len(),
                _ => break,
            }
        }
        sender.abort();
        sender.closed().await;
    })
    .await;
    (written, growth)
}

/// One test, because the allocator is one for the process.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_cannot_make_memory_grow() {
    let mut unlimited = Config::default();
    unlimited.limits.control_rate = None;
    // Not measured: what is made once per process.
    flood(unlimited.clone(), &frame(0x89, &[0; 125]), 1 << 20).await;

    // Every ping is read, whatever happens to the pongs.
    let (written, grown) = flood(unlimited.clone(), &frame(0x89, &[0; 125]), 24 << 20).await;
    assert!(written >= 24 << 20, "{written}");
    assert!(grown < 1 << 20, "pings: {grown}");
    let (_, grown) = flood(Config::default(), &frame(0x89, &[0; 125]), 24 << 20).await;
    assert!(grown < 1 << 20, "pings with the limit: {grown}");

    // Echoes stop at the send queue; its buffer has grown by doubling.
    let (written, grown) = flood(unlimited.clone(), &frame(0x82, &[0; 1000]), 24 << 20).await;
    assert!(written < 4 << 20, "{written}");
    assert!(grown < 5 << 19, "echoes: {grown}");

    // A length is only a word: memory follows what arrives.
    let grown = growth(async {
        let mut ends = Vec::new();
        for _ in 0..100 {
            let (mut near, far) = duplex(64);
            let ws = Attach::server().pull(far);
            near.write_all(&frame(0x82, &[0; 1 << 20])[..30]).await.unwrap();
            ends.push((near, ws));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
    assert!(grown < 100 * (80 << 10), "announced messages: {grown}");

    // What was received and not answered leaves nothing behind but the connection itself.
    let mut ends = Vec::new();
    let before = HELD.load(Ordering::Relaxed);
    for _ in 0..100 {
        let (mut near, far) = duplex(64);
        let sender = Attach::server().push(far, Deaf);
        near.write_all(&frame(0x82, &[0; 10])).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        ends.push((near, sender));
    }
    let each = (HELD.load(Ordering::Relaxed) - before) / 100;
    assert!(each < 4 << 10, "an idle connection and its pipe: {each}");
}

struct Deaf;

impl Handler for Deaf {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

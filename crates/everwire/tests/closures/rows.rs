//! Rows on a pipe in memory, in time that is moved by hand.

use std::{io, pin::Pin, sync::atomic::Ordering, time::Duration};

use everwire::{
    Answer, Because, CloseCode, Config, DeflateParams, Drain, Heartbeat, MaxAge, Message, Sender,
    adapt::Attach,
};
use tokio::io::{AsyncWriteExt, duplex};

use crate::{
    Clock,
    common::{Probe, Raw, close, frame, soon, text},
    stage::{End, Saw, Stage},
};

pub(crate) type Row = fn(Stage) -> Pin<Box<dyn Future<Output = End>>>;

/// A row's id, its clock and its function.
macro_rules! rows {
    ($clock:ident: $($id:literal => $row:expr),* $(,)?) => {
        vec![$(($id, Clock::$clock, {
            let row: $crate::rows::Row = |stage| Box::pin($row(stage));
            row
        })),*]
    };
}
pub(crate) use rows;

pub(crate) fn all() -> Vec<(&'static str, Clock, Row)> {
    rows![Paused:
        "1" => client_closes, "2" => server_closes, "3" => peer_closes_behind_a_message,
        "4" => both_close, "5" => peer_closes_inside_a_message, "6" => breaks_the_protocol,
        "7" => panics, "8" => slow_consumer, "9" => close_timeout, "10" => end_of_stream,
        "14" => half_close, "15" => keepalive, "24" => sleep_of_the_machine,
        "peer_closed" => |stage| sends(stage, close(1000)),
        "local_closed" => server_closes, "kicked" => kicked, "shutdown" => shutdown,
        "max_age" => max_age, "superseded" => superseded,
        "eof_between_frames" => |stage| sends_and_ends(stage, text("whole")),
        "eof_mid_frame" => |stage| sends_and_ends(stage, text("part")[..5].to_vec()),
        "unreachable" => |stage| fails(stage, io::ErrorKind::HostUnreachable),
        "io" => |stage| fails(stage, io::ErrorKind::PermissionDenied),
        "keepalive_timeout" => keepalive, "heartbeat_timeout" => heartbeat,
        "close_timeout" => close_timeout, "write_timeout" => write_timeout,
        "slow_consumer" => slow_consumer, "idle" => idle,
        "message_timeout" => message_timeout,
        "rate_limited" => |stage| sends(stage, frame(0x8a, b"").repeat(300)),
        "protocol" => breaks_the_protocol, "frame_too_big" => frame_too_big,
        "message_too_big" => |stage| sends(stage, frame(0x82, &[0; 2 << 20])[..1000].to_vec()),
        "too_many_fragments" => too_many_fragments,
        "invalid_utf8" => |stage| sends(stage, frame(0x81, &[0xff])),
        "invalid_deflate" => invalid_deflate,
        "handler_panicked" => panics, "cancelled" => cancelled, "aborted" => aborted,
        "panic_pull" => panic_pull, "panic_on_close" => panic_on_close,
        "task_dropped" => task_dropped, "runtime_dropped" => runtime_dropped,
        "shutdown_cut" => shutdown_cut, "kicked_cut" => kicked_cut,
    ]
}

fn code(code: u16) -> CloseCode {
    CloseCode::new(code).unwrap()
}

async fn end(sender: Sender, saw: String) -> End {
    soon(sender.closed()).await;
    End { sender: Some(sender), saw }
}

/// The peer answers the Close, and waits for the end.
async fn answered<S>(peer: &mut Raw<S>, sender: Sender, answer: &[u8]) -> End
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut saw = Saw::default();
    saw.until_close(peer).await;
    peer.write(answer).await;
    let saw = saw.until_end(peer).await;
    end(sender, saw).await
}

/// The peer sends this and reads on.
async fn sends(stage: Stage, bytes: Vec<u8>) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    peer.write(&bytes).await;
    let saw = Saw::default().until_end(&mut peer).await;
    // A server goes first; then the peer does.
    drop(peer);
    end(sender, saw).await
}

/// The peer sends this, ends its half and reads on.
async fn sends_and_ends(stage: Stage, bytes: Vec<u8>) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    peer.write(&bytes).await;
    peer.0.shutdown().await.unwrap();
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn client_closes(stage: Stage) -> End {
    let (mut peer, sender) = stage.client();
    drop(sender.close(code(1000), "").unwrap());
    let mut saw = Saw::default();
    saw.until_close(&mut peer).await;
    peer.write(&[0x88, 2, 3, 0xe8]).await;
    peer.0.shutdown().await.unwrap(); // The server goes first.
    let saw = saw.until_end(&mut peer).await;
    end(sender, saw).await
}

async fn server_closes(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    drop(sender.close(code(1000), "").unwrap());
    answered(&mut peer, sender, &close(1000)).await
}

async fn peer_closes_behind_a_message(stage: Stage) -> End {
    sends(stage, [text("first"), close(4000)].concat()).await
}

async fn both_close(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    drop(sender.close(code(1000), "").unwrap());
    peer.write(&close(1001)).await;
    let saw = Saw::default().until_end(&mut peer).await;
    let end = end(sender, saw).await;
    let closure = end.sender.as_ref().unwrap().closure().unwrap();
    assert_eq!(u16::from(closure.code()), 1001, "each side reports the other's code");
    end
}

async fn peer_closes_inside_a_message(stage: Stage) -> End {
    let notes = stage.notes.clone();
    let end = sends(stage, [frame(0x01, b"a part"), close(1000)].concat()).await;
    assert!(!notes.all().contains(&"message".into()));
    end
}

async fn breaks_the_protocol(stage: Stage) -> End {
    sends(stage, vec![0x81, 0x01, b'x']).await // It is not masked.
}

async fn panics(stage: Stage) -> End {
    let notes = stage.notes.clone();
    let end = sends(stage, [text("panic"), text("never seen")].concat()).await;
    assert_eq!(notes.all(), ["open", "message"], "nothing is called after a panic");
    end
}

async fn slow_consumer(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    drop(sender.close_because(Because::SlowConsumer, code(4413), "too slow").unwrap());
    answered(&mut peer, sender, &close(4413)).await
}

async fn superseded(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    drop(sender.close_because(Because::Superseded, code(4509), "").unwrap());
    answered(&mut peer, sender, &close(4509)).await
}

async fn close_timeout(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    drop(sender.close(code(1000), "").unwrap());
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn end_of_stream(stage: Stage) -> End {
    sends_and_ends(stage, Vec::new()).await
}

async fn half_close(stage: Stage) -> End {
    let (near, far) = duplex(8 << 10);
    let attach = Attach::server().registry(&stage.registry);
    let sender = attach.push(far, stage.handler());
    let mut peer = Raw(near);
    sender.send("x".repeat(60_000)).await.unwrap();
    tokio::task::yield_now().await;
    peer.0.shutdown().await.unwrap();
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn keepalive(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    // It reads and says nothing.
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn sleep_of_the_machine(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(8 * 3600)).await;
    let (first, payload) = peer.read().await.expect("it is asked, and not given up");
    assert_eq!(first, 0x89);
    peer.write(&frame(0x8a, &payload)).await;
    peer.write(&text("still here")).await;
    assert_eq!(peer.read().await.unwrap().1, b"still here");
    drop(sender.close(code(1000), "").unwrap());
    answered(&mut peer, sender, &close(1000)).await
}

async fn kicked(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    assert_eq!(stage.registry.close(sender.id(), code(1008), "out"), Ok(true));
    answered(&mut peer, sender, &close(1008)).await
}

async fn kicked_cut(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    assert_eq!(stage.registry.close(sender.id(), code(1008), "out"), Ok(true));
    peer.0.shutdown().await.unwrap();
    let saw = Saw::default().until_end(&mut peer).await;
    let end = end(sender, saw).await;
    assert!(end.sender.as_ref().unwrap().closure().unwrap().failure.is_some());
    end
}

async fn shutdown(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    let draining = stage.registry.drain(Drain::restart());
    let answer = close(1012);
    let (drained, end) = tokio::join!(draining, answered(&mut peer, sender, &answer));
    assert_eq!(drained.unwrap().clean, 1);
    end
}

async fn shutdown_cut(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    let draining = stage.registry.drain(Drain::restart().deadline(Duration::from_secs(1)));
    let (drained, saw) = tokio::join!(draining, Saw::default().until_end(&mut peer));
    assert_eq!(drained.unwrap().cut, 1);
    let end = end(sender, saw).await;
    let failure = end.sender.as_ref().unwrap().closure().unwrap().failure.clone();
    assert_eq!(failure, Some(everwire::Cause::Aborted));
    end
}

async fn max_age(stage: Stage) -> End {
    let mut config = Config::default();
    config.max_age = Some(MaxAge::new(Duration::from_secs(10)));
    let (mut peer, sender) = stage.server(config);
    answered(&mut peer, sender, &close(1001)).await
}

async fn fails(stage: Stage, kind: io::ErrorKind) -> End {
    let (near, far) = duplex(1024);
    let (far, watch) = Probe::new(far);
    let sender = Attach::server().registry(&stage.registry).push(far, stage.handler());
    tokio::task::yield_now().await;
    *watch.read_error.lock().unwrap() = Some(kind);
    watch.fail_reads.store(true, Ordering::Relaxed);
    let mut peer = Raw(near);
    peer.write(&text("wakes the driver")).await;
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn heartbeat(stage: Stage) -> End {
    let mut config = Config::default();
    let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
    let beat = Message::text("are you there?");
    config.heartbeat = Some(Heartbeat::new(beat, interval, timeout, Answer::text("yes")));
    let (mut peer, sender) = stage.server(config);
    let saw = Saw::default().until_end(&mut peer).await;
    drop(peer);
    end(sender, saw).await
}

async fn write_timeout(stage: Stage) -> End {
    let (near, far) = duplex(1024);
    let sender = Attach::server().registry(&stage.registry).push(far, stage.handler());
    sender.send(vec![0; 100_000]).await.unwrap();
    soon(sender.closed()).await;
    // What had been taken before is a part of a frame.
    let saw = Saw::default().until_end(&mut Raw(near)).await;
    end(sender, saw).await
}

async fn idle(stage: Stage) -> End {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(10));
    let (mut peer, sender) = stage.server(config);
    answered(&mut peer, sender, &close(1000)).await
}

async fn message_timeout(stage: Stage) -> End {
    let mut config = Config::default();
    config.limits.message_time = Duration::from_secs(10);
    let (mut peer, sender) = stage.server(config);
    peer.write(&frame(0x01, b"begun")).await;
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn frame_too_big(stage: Stage) -> End {
    let mut config = Config::default();
    config.limits.frame = Some(100);
    let (mut peer, sender) = stage.server(config);
    peer.write(&frame(0x82, &[0; 101])).await;
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn invalid_deflate(stage: Stage) -> End {
    let (near, far) = duplex(64 << 10);
    let attach = Attach::server().registry(&stage.registry).deflate(DeflateParams::default());
    let (mut peer, sender) = (Raw(near), attach.push(far, stage.handler()));
    peer.write(&frame(0xC1, &[0x07])).await;
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn too_many_fragments(stage: Stage) -> End {
    let mut config = Config::default();
    config.limits.fragments = 10;
    let (mut peer, sender) = stage.server(config);
    peer.write(&[frame(0x02, b"x"), frame(0x00, b"x").repeat(20)].concat()).await;
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn cancelled(stage: Stage) -> End {
    let (mut peer, ws) = stage.pull();
    let sender = stage.registry.get(ws.id()).unwrap();
    drop(ws);
    let saw = Saw::default().until_end(&mut peer).await;
    drop(peer);
    end(sender, saw).await
}

async fn aborted(stage: Stage) -> End {
    let (mut peer, sender) = stage.server(Config::default());
    sender.abort();
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

async fn panic_pull(stage: Stage) -> End {
    *stage.is_pull.lock().unwrap() = true;
    let (near, far) = duplex(1024);
    let attach = Attach::server().registry(&stage.registry);
    tokio::spawn(attach.serve(far, |ws| async move {
        ws.send("first").await.unwrap();
        panic!("as told")
    }));
    let sender = stage.registry.get(stage.registry.list()[0].id).unwrap();
    let mut peer = Raw(near);
    let saw = Saw::default().until_end(&mut peer).await;
    drop(peer);
    end(sender, saw).await
}

async fn panic_on_close(stage: Stage) -> End {
    stage.notes.add("panic on close");
    sends(stage, close(1000)).await
}

async fn task_dropped(stage: Stage) -> End {
    *stage.is_pull.lock().unwrap() = true;
    let (near, far) = duplex(1024);
    let attach = Attach::server().registry(&stage.registry);
    let task =
        tokio::spawn(attach.serve(far, |mut ws| async move { while ws.recv().await.is_some() {} }));
    tokio::task::yield_now().await;
    let sender = stage.registry.get(stage.registry.list()[0].id).unwrap();
    task.abort();
    let saw = Saw::default().until_end(&mut Raw(near)).await;
    end(sender, saw).await
}

async fn runtime_dropped(stage: Stage) -> End {
    let elsewhere = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                let (peer, sender) = runtime.block_on(async {
                    let connection = stage.server(Config::default());
                    tokio::task::yield_now().await;
                    connection
                });
                (runtime, peer, sender)
            })
            .join()
            .unwrap()
    });
    let (runtime, mut peer, sender) = elsewhere;
    runtime.shutdown_background();
    let saw = Saw::default().until_end(&mut peer).await;
    end(sender, saw).await
}

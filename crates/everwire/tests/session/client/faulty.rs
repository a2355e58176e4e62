//! Servers that break the protocol: each fault has its code, and ends with an honest word.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use everwire::{
    CloseCode, Message, MessageKind, Server, WebSocket,
    session::{
        Buffer, ClientSender, Overflow, SUBPROTOCOL, SessionClient, SessionSendError, Sessions,
    },
};
use everwire_testkit::Cut;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{builder, hear};
use crate::common::{read_head, settle, soon, start};

/// WELCOME: NEW, windows of 262,144, messages up to 1 MiB, as in the specification's examples.
pub(super) const WELCOME: &str = "6000010000008080108080\
    40e0d403a8c301904ee80710101112131415161718191a1b1c1d1e1f04c0ffee01";

/// Where the token stands in it, in hexadecimal digits.
const TOKEN: Range<usize> = 46..78;

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that says this to each client, and the frames that it hears.
async fn scripted(script: Vec<Message<'static>>) -> (Server, String, crate::common::Notes) {
    let notes = crate::common::Notes::default();
    let log = notes.clone();
    let serve = move |mut ws: WebSocket| {
        let (script, log) = (script.clone(), log.clone());
        async move {
            for message in script {
                ws.send(message).await.ok();
            }
            while let Some(message) = ws.recv().await {
                log.add(hex(&message.into_payload()));
            }
            let closure = ws.closed().await;
            let code = closure.received.as_ref().map_or(0, |frame| frame.code.into());
            log.add(format!("closed {code}"));
        }
    };
    let server = Server::builder().subprotocols([SUBPROTOCOL]).pull("/", serve);
    let (server, addr) = start(server).await;
    (server, format!("ws://{addr}/"), notes)
}

fn frames(script: &[&str]) -> Vec<Message<'static>> {
    script.iter().map(|hex| Message::from(bytes(hex))).collect()
}

/// Waits until somebody was heard to say this.
async fn until_heard(notes: &crate::common::Notes, what: &str) {
    crate::common::until(|| notes.all().iter().any(|note| note.starts_with(what))).await;
}

/// Checks that a fault behind WELCOME ends the session with this code, told to both.
async fn check(fault: Vec<Message<'static>>, code: u16) {
    let script = frames(&[WELCOME]).into_iter().chain(fault.clone()).collect();
    let (_server, url, notes) = scripted(script).await;
    let mut client = SessionClient::builder(
        everwire::Client::new(&url).unwrap().proxy(everwire::dial::ProxyConfig::Direct),
    )
    .max_message(1000)
    .window(100)
    .start()
    .unwrap();
    assert_eq!(hear(&mut client).await, "attached", "{fault:?}");
    let mut next = hear(&mut client).await;
    while !next.starts_with("lost") && !next.starts_with("session ended") {
        next = hear(&mut client).await;
    }
    if code < 4500 {
        // It makes sense to begin again.
        let expected = format!("lost []: session ended with {code}: the server broke the protocol");
        assert!(next.starts_with(&expected), "{fault:?}: {next}");
    } else {
        let expected = format!("session ended with {code}: the server broke the protocol");
        assert!(next.starts_with(&expected), "{fault:?}: {next}");
        assert_eq!(hear(&mut client).await, "nothing");
    }
    // BYE with the code, then Close with it.
    let bye = [0x80 | (code & 0x7f) as u8, (code >> 7) as u8];
    until_heard(&notes, &format!("90{}", hex(&bye))).await;
    until_heard(&notes, &format!("closed {code}")).await;
}

#[tokio::test]
async fn counters_that_cannot_be_right_end_the_session_with_4410() {
    for faults in [
        &["20 01 01 00 8001"][..],          // acknowledges what was never sent
        &["20 00 00 05 8001"],              // says that it has sent what never came
        &["10 61", "20 00 00 00 8001"],     // says that it has not sent what came
        &["70 02 03 01"],                   // a gap that does not begin where the stream stands
        &["70 01 03 01", "70 02 04 01"],    // two gaps that overlap
        &["10 61", "10 62", "70 02 03 01"], // a gap over what came
    ] {
        check(frames(faults), 4410).await;
    }
}

#[tokio::test]
async fn frames_that_break_the_layout_end_the_session_with_4500() {
    for malformed in [
        "",
        "00",
        "ff",
        "20",
        "20 00 01 00 8001",
        "20 00 00 00 8001 00",
        "20 8000 00 00 01",
        "40 00 ffffffffffffffff0f 00 00 01",
        "70 03 02 01",
        "70 01 01 09",
        "11 ff",
        "50",
        "a0 61",
        "90 01 00 00 00 01 00",
        WELCOME,
    ] {
        check(frames(&[malformed]), 4500).await;
    }
    check(vec![Message::text("hello")], 4500).await;
}

#[tokio::test]
async fn messages_without_credit_or_beyond_the_agreed_size_end_the_session() {
    let data = |len: usize| Message::from([&[0x10][..], &vec![7; len]].concat());
    check(vec![data(1001)], 4502).await;
    check(vec![data(90), data(1)], 4411).await;
}

#[tokio::test]
async fn a_message_above_the_default_limit_ends_the_session_however_far_above_it_is() {
    // Told by a BYE, or refused by the connection.
    for (size, code) in [((1 << 20) + 1, 4502), (2 << 20, 1009)] {
        let data = Message::from([&[0x10][..], &vec![7; size]].concat());
        let script = frames(&[WELCOME]).into_iter().chain([data]).collect();
        let (_server, url, notes) = scripted(script).await;
        let mut client = super::client(&url);
        assert_eq!(hear(&mut client).await, "attached");
        let expected = "session ended with 4502: the server broke the protocol";
        let end = hear(&mut client).await;
        assert!(end.starts_with(expected), "{size}: {end}");
        assert_eq!(hear(&mut client).await, "nothing");
        until_heard(&notes, &format!("closed {code}")).await;
        assert_eq!(notes.all().iter().any(|it| it.starts_with("909623")), code == 4502);
    }
}

#[tokio::test]
async fn a_message_in_too_many_fragments_ends_the_session() {
    let serve = |ws: WebSocket| async move {
        ws.send(Message::from(bytes(WELCOME))).await.ok();
        let mut writer = ws.stream_message(MessageKind::Binary).await.unwrap();
        for piece in [&b"\x10a"[..], b"b", b"c", b"d", b"e"] {
            writer.write(piece).await.ok();
        }
        writer.finish().await.ok();
        ws.closed().await;
    };
    let server = Server::builder().subprotocols([SUBPROTOCOL]).pull("/", serve);
    let (_server, addr) = start(server).await;
    let mut config = everwire::Config::default();
    config.limits.fragments = 4;
    let client = everwire::Client::new(format!("ws://{addr}/").as_str()).unwrap().config(config);
    let mut client =
        SessionClient::builder(client.proxy(everwire::dial::ProxyConfig::Direct)).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    let expected = "session ended with 4502: the server broke the protocol: message of more than 4";
    let end = hear(&mut client).await;
    assert!(end.starts_with(expected), "{end}");
    assert_eq!(hear(&mut client).await, "nothing");
}

#[tokio::test]
async fn a_message_that_the_servers_connection_refuses_does_not_come_again() {
    let close = |ws: WebSocket| async move {
        ws.send(Message::from(bytes(WELCOME))).await.ok();
        ws.close(CloseCode::MESSAGE_TOO_BIG, "").unwrap().await;
    };
    let server = Server::builder().subprotocols([SUBPROTOCOL]).pull("/", close);
    let (_server, addr) = start(server).await;
    let mut client = super::client(&format!("ws://{addr}/"));
    assert_eq!(hear(&mut client).await, "attached");
    let end = hear(&mut client).await;
    assert!(end.starts_with("session ended by the server with 4502"), "{end}");
}

/// Each kind of refusal, and what the client makes of it.
#[tokio::test]
async fn refusals_are_understood() {
    let ended = "60 03 9723 02 06 6b69636b6564";
    let cases = [
        (ended, "session ended by the server with 4503 \"kicked\" [waiting]"),
        ("60 07", "session taken over by another client (4509) [waiting]"),
        ("60 08 02", "session ended by the server with 4505 [waiting]"),
        ("60 06", "session ended by us with 4501 \"ticket refused\" [waiting]"),
        ("60 01 01 00 00 00 01 01 01 01 01 01 00 00", "session ended with 4500"),
        ("60 09", "session ended with 4500"),
    ];
    for (welcome, expected) in cases {
        let (_server, url, _) = scripted(frames(&[welcome])).await;
        let mut client = super::client(&url);
        client.send("waiting").await.unwrap();
        let end = hear(&mut client).await;
        assert!(end.starts_with(expected), "{welcome}: {end}");
        assert_eq!(hear(&mut client).await, "nothing");
    }
}

#[tokio::test]
async fn moved_is_followed_and_busy_is_waited_for() {
    let (_new, url, _) = scripted(frames(&[WELCOME])).await;
    let moved = format!("6005{:02x}{}", url.len(), hex(url.as_bytes()));
    let (_old, old_url, _) = scripted(frames(&[&moved])).await;
    let mut client = super::client(&old_url);
    assert_eq!(hear(&mut client).await, "attached");
    let (_busy, busy_url, notes) = scripted(frames(&["60 04 e0d403 01"])).await;
    let client = super::client(&busy_url);
    crate::common::until(|| client.state().to_string().starts_with("connecting in 60.0 s")).await;
    drop((client, notes));
}

/// What costs a server no credit is bounded all the same while the application takes nothing.
#[tokio::test]
async fn volatile_messages_and_gaps_that_nobody_takes_do_not_pile_up() {
    let gaps = (1..=100).map(|n| format!("70 {n:02x} {n:02x} 01"));
    let script = std::iter::once(WELCOME.to_owned())
        .chain((0..100).map(|_| format!("13{}", hex(b"volatile"))))
        .chain(gaps)
        .chain([format!("11{}", hex(b"end"))]);
    let script = script.map(|hex| Message::from(bytes(&hex))).collect();
    let (_server, url, notes) = scripted(script).await;
    let mut client = super::client(&url);
    until_heard(&notes, "2065").await; // ACK: 101 messages are here, or will not come.
    assert_eq!(hear(&mut client).await, "attached");
    for _ in 0..64 {
        assert_eq!(hear(&mut client).await, "volatile");
    }
    assert_eq!(hear(&mut client).await, "gap In 1-100");
    assert_eq!(hear(&mut client).await, "end");
}

/// What names the user is for the host that the application chose, wherever that sends us.
#[tokio::test]
async fn what_is_meant_for_one_host_is_not_told_another() {
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", place.local_addr().unwrap());
    let moved = format!("6005{:02x}{}", url.len(), hex(url.as_bytes()));
    let (_home, home_url, _) = scripted(frames(&[&moved])).await;
    let _client = builder(&home_url)
        .token(|_| async { Ok("secret".to_owned()) })
        .headers(|_| async {
            let name = http::header::COOKIE;
            Ok([(name, http::HeaderValue::from_static("a=secret"))].into_iter().collect())
        })
        .start()
        .unwrap();
    let (mut stream, _) = soon(place.accept()).await.unwrap();
    let head = soon(read_head(&mut stream)).await.to_lowercase();
    assert!(head.contains("everwire.v1"), "{head}");
    // Nor is the token of the session, which goes to whoever proves to be that host.
    for name in ["authorization", "cookie", "secret", "everwire-hello"] {
        assert!(!head.contains(name), "{head}");
    }
}

/// A WELCOME that never comes is waited for, for a time.
#[tokio::test]
async fn a_welcome_that_never_comes_is_another_attempt() {
    let (_server, url, notes) = scripted(Vec::new()).await;
    let mut config = everwire::session::SessionConfig::client();
    config.attach_timeout = Duration::from_millis(100);
    let client = builder(&url).config(config).start().unwrap();
    crate::common::until(|| notes.all().iter().filter(|note| *note == "closed 4408").count() >= 2)
        .await;
    assert!(client.state().to_string().starts_with("connecting"), "{}", client.state());
    let end = soon(client.close(everwire::session::Code::NORMAL, "")).await;
    assert!(end.unacknowledged.is_empty());
}

/// A client with room for one message, which is sent and not acknowledged, and a task that waits to
/// send another; then its connection is cut, and it goes to `next`.
async fn waits_for_room(
    overflow: Overflow,
    next: Option<String>,
) -> (SessionClient, JoinHandle<Result<u64, SessionSendError>>) {
    let (_server, url, notes) = scripted(frames(&[WELCOME])).await;
    let (proxy, url) = super::proxied(&url).await;
    let n_asked = AtomicU32::new(0);
    let buffer = Buffer { bytes: 1 << 20, entries: 1, age: None, overflow };
    let client = builder(&url).buffer(buffer).url(move |_| {
        let place = match n_asked.fetch_add(1, Ordering::Relaxed) {
            0 => Some(url.clone()),
            _ => next.clone(),
        };
        async move { place.ok_or_else(|| "nowhere".into()) }
    });
    let mut client = client.start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    client.send("first").await.unwrap();
    until_heard(&notes, &format!("11{}", hex(b"first"))).await;
    let sender = ClientSender::clone(&client);
    let waiting = tokio::spawn(async move { sender.send("second").await });
    settle().await;
    assert!(!waiting.is_finished());
    proxy.cut(Cut::Reset);
    (client, waiting)
}

#[tokio::test]
async fn who_waits_for_room_goes_on_in_the_session_that_follows_a_lost_one() {
    let (_server, url, ..) = crate::echo(Sessions::builder()).await;
    let (mut client, waiting) = waits_for_room(Overflow::Refuse, Some(url)).await;
    assert_eq!(soon(waiting).await.unwrap(), Ok(1));
    assert_eq!(hear(&mut client).await, "detached");
    assert_eq!(hear(&mut client).await, "lost [first]");
    assert_eq!(hear(&mut client).await, "attached");
    assert_eq!(hear(&mut client).await, "second");
}

#[tokio::test]
async fn who_waits_for_room_goes_on_when_without_a_connection_the_oldest_make_it() {
    let (_client, waiting) = waits_for_room(Overflow::Evict, None).await;
    assert_eq!(soon(waiting).await.unwrap(), Ok(2));
}

/// Whatever code a server closes with, the session is not decided by it.
#[tokio::test]
async fn a_close_decides_nothing_but_4509() {
    for code in [1000, 1001, 1008, 1011, 3000, 4400, 4408, 4413, 4500, 4503, 4509] {
        let hellos = crate::common::Notes::default();
        let heard = hellos.clone();
        let close = move |ws: WebSocket| {
            let heard = heard.clone();
            async move {
                let (sender, mut receiver) = ws.split();
                if let Some(hello) = receiver.recv().await {
                    heard.add(hex(&hello.into_payload()));
                }
                if heard.all().len() == 1 {
                    sender.send(Message::from(bytes(WELCOME))).await.ok();
                    drop(sender.close(CloseCode::new(code).unwrap(), ""));
                }
                sender.closed().await;
            }
        };
        let server = Server::builder().subprotocols([SUBPROTOCOL]).pull("/", close);
        let (_server, addr) = start(server).await;
        let mut client = builder(&format!("ws://{addr}/")).early(false).start().unwrap();
        assert_eq!(hear(&mut client).await, "attached");
        if code == 4509 {
            let end = "session taken over by another client (4509) []";
            assert_eq!(hear(&mut client).await, end);
            assert_eq!(hear(&mut client).await, "nothing");
            assert_eq!(hellos.all().len(), 1);
        } else {
            assert_eq!(hear(&mut client).await, "detached", "{code}");
            // The next attempt shows the token.
            let token = &hex(&bytes(WELCOME))[TOKEN];
            assert!(hellos.until(2).await[1].contains(token), "{code}: {:?}", hellos.all());
        }
    }
}

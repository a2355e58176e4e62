//! The reconnecting client over real sockets: what it does about each kind of answer and ending,
//! and what becomes of messages meanwhile. The policy itself is tested in virtual time.

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use common::{Notes, read_head, soon};
use everwire::{
    Cause, Client, CloseCode, Reject, Server, WebSocket,
    dial::ProxyConfig,
    reconnect::{
        AttemptError, NotSent, ReconnectBuilder, ReconnectPolicy, ReconnectingClient, Retry, Sent,
        State, StateAudit, Stop, WhileDown,
    },
};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const OPEN: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

/// What a scripted server does with one connection, once it has the request.
#[derive(Clone)]
enum Step {
    /// Writes this and closes.
    Say(Vec<u8>),
    /// Writes this and goes on reading, without a word.
    Keep(Vec<u8>),
}

fn say(text: &str) -> Step {
    Step::Say(text.into())
}

/// Opens, sends these frames, and waits for the client to end it.
fn open_with(frames: &[u8]) -> Step {
    Step::Keep([OPEN.as_bytes(), frames].concat())
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    [&[0x88, payload.len() as u8], &*payload].concat()
}

/// A server that does one step for each connection, and the heads of the requests it got.
async fn script(steps: Vec<Step>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    tokio::spawn(async move {
        for step in steps {
            let mut io = listener.accept().await.unwrap().0;
            let head = read_head(&mut io).await;
            let key = field(&head, "sec-websocket-key");
            let accept = everwire_proto::handshake::accept_key(&key);
            seen.lock().unwrap().push(head);
            let (Step::Say(bytes) | Step::Keep(bytes)) = &step;
            // Only the head is text; frames follow it.
            let answer = match bytes.windows(6).position(|window| window == b"ACCEPT") {
                Some(at) => [&bytes[..at], accept.as_bytes(), &bytes[at + 6..]].concat(),
                None => bytes.clone(),
            };
            io.write_all(&answer).await.ok();
            if let Step::Keep(_) = step {
                tokio::spawn(async move { while io.read_u8().await.is_ok() {} });
            }
        }
    });
    (url, heads)
}

/// A policy that is quick and still tells first from later retries.
fn quick() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::default();
    policy.first_spread = Duration::from_millis(10);
    policy.base = Duration::from_millis(5);
    policy.cap = Duration::from_millis(20);
    policy.wake_spacing = Duration::from_millis(5);
    policy.attempt_max = Duration::from_secs(20);
    policy
}

fn builder(url: &str) -> ReconnectBuilder {
    let client = Client::new(url).unwrap().proxy(ProxyConfig::Direct);
    ReconnectingClient::builder(client).policy(quick())
}

/// Notes every state and fails the test at the first that is out of order.
fn audited(builder: ReconnectBuilder, notes: &Notes) -> ReconnectBuilder {
    let (notes, mut audit) = (notes.clone(), StateAudit::default());
    builder.on_state(move |state| {
        if let Err(error) = audit.check(state) {
            notes.add(format!("ILLEGAL {error}"));
        }
        notes.add(match state {
            State::Connecting { attempt, delay: Duration::ZERO } => format!("attempt {attempt}"),
            State::Connecting { .. } => return,
            State::Stopped(_) => "stopped".into(),
            state => state.to_string(),
        });
    })
}

/// Starts a client against a script and returns why it stopped and what its states were.
async fn stops(steps: Vec<Step>) -> (Stop, Vec<String>) {
    let (url, _) = script(steps).await;
    let notes = Notes::default();
    let client = audited(builder(&url), &notes).start();
    let stop = soon(client.stopped()).await;
    let n = notes.all().len().max(2);
    let states = notes.until(n).await;
    drop(client);
    (stop, states)
}

fn status(stop: &Stop) -> Option<u16> {
    match stop {
        Stop::Failed(error) => match &**error {
            AttemptError::Connect(error) => error.status().map(|status| status.as_u16()),
            _ => None,
        },
        _ => None,
    }
}

// ---------------------------------------------------------------- answers to the upgrade

#[tokio::test]
async fn garbage_is_tried_once_more_and_stops() {
    let garbage = say("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    let (stop, states) = stops(vec![garbage.clone(), garbage]).await;
    assert_eq!(states, ["attempt 1", "attempt 2", "stopped"]);
    assert!(
        stop.to_string().starts_with("server's answer opens no websocket connection"),
        "{stop}"
    );
}

#[tokio::test]
async fn a_wrong_accept_value_is_tried_once_more_and_stops() {
    let wrong = say(&OPEN.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let (stop, states) = stops(vec![wrong.clone(), wrong]).await;
    assert_eq!(states, ["attempt 1", "attempt 2", "stopped"]);
    assert!(stop.to_string().contains("sec-websocket-accept"), "{stop}");
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_stops() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.test/\r\nContent-Length: 0\r\n\r\n";
    let (stop, states) = stops(vec![say(moved)]).await;
    assert_eq!((status(&stop), states), (Some(302), vec!["attempt 1".into(), "stopped".into()]));
}

const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"live\"\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_challenge_stops_where_nobody_can_give_another_token() {
    let (stop, states) = stops(vec![say(CHALLENGE)]).await;
    assert_eq!((status(&stop), states), (Some(401), vec!["attempt 1".into(), "stopped".into()]));
}

#[tokio::test]
async fn a_challenge_is_answered_with_one_new_token() {
    let (url, heads) = script(vec![say(CHALLENGE), open_with(&[])]).await;
    let token = |info: everwire::reconnect::AttemptInfo| async move {
        Ok(if info.refresh_token { "new" } else { "old" }.into())
    };
    let client = builder(&url).token(token).start();
    assert_eq!(soon(client.open()).await.unwrap(), 1);
    let tokens: Vec<_> =
        heads.lock().unwrap().iter().map(|head| field(head, "authorization")).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer new"]);

    let (url, heads) = script(vec![say(CHALLENGE), say(CHALLENGE), open_with(&[])]).await;
    let stop = soon(builder(&url).token(token).start().stopped()).await;
    assert_eq!((status(&stop), heads.lock().unwrap().len()), (Some(401), 2));
}

fn field(head: &str, name: &str) -> String {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|field| field.0.eq_ignore_ascii_case(name)).expect(name).1.into()
}

/// Returns how long the client waits after this answer.
async fn delay_after(answer: &str) -> Duration {
    let (url, _) = script(vec![say(answer)]).await;
    let (sender, mut delays) = mpsc::unbounded_channel();
    let client = builder(&url).on_state(move |state| {
        if let State::Connecting { attempt: 2, delay } = state {
            sender.send(*delay).ok();
        }
    });
    let _client = client.start();
    soon(delays.recv()).await.unwrap()
}

#[tokio::test]
async fn retry_after_is_obeyed_in_both_forms_with_a_spread() {
    let answer = |value: String| {
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let delay = delay_after(&answer("40".into())).await;
    assert!((40..=44).contains(&delay.as_secs()), "{delay:?}");
    let at = SystemTime::now() + Duration::from_secs(100);
    let delay = delay_after(&answer(httpdate::fmt_http_date(at))).await;
    assert!((90..=110).contains(&delay.as_secs()), "{delay:?}");
    let delay = delay_after(&answer("99999999999".into())).await;
    assert!((3600..=7200).contains(&delay.as_secs()), "{delay:?}");
    let delay = delay_after(&answer("in a while".into())).await;
    assert!(delay < Duration::from_millis(10), "{delay:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_tried_again() {
    let (url, heads) = script(vec![Step::Keep(Vec::new()), say(""), open_with(&[])]).await;
    let notes = Notes::default();
    let mut policy = quick();
    policy.attempt_max = Duration::from_millis(300);
    let lasts = notes.clone();
    let client = audited(builder(&url).policy(policy), &notes).headers(move |info| {
        lasts.add(info.last.map_or("first".into(), |last| format!("after: {last}")));
        async { Ok(http::HeaderMap::new()) }
    });
    let client = client.start();
    soon(client.open()).await.unwrap();
    let expected = [
        "attempt 1",
        "first",
        "attempt 2",
        "after: timed out after 300ms in the opening handshake",
        "attempt 3",
        "after: server closed the connection without an answer: expected a response with status 101",
        "open, connection 1",
    ];
    assert_eq!(notes.all(), expected);
    assert_eq!(heads.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn other_statuses_stop_unless_a_function_of_ones_own_says_otherwise() {
    const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let (stop, _) = stops(vec![say(NOT_FOUND)]).await;
    assert_eq!(status(&stop), Some(404));

    let (url, _) = script(vec![say(NOT_FOUND), say(NOT_FOUND), open_with(&[])]).await;
    let client = builder(&url).retry(|ending| match ending.status() {
        Some(http::StatusCode::NOT_FOUND) => Retry::Now,
        _ => ending.retry(),
    });
    soon(client.start().open()).await.unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_tried_until_it_is_there() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let notes = Notes::default();
    let client = audited(builder(&format!("ws://{addr}/")), &notes).start();
    notes.until(4).await;
    let server = Server::builder().bind(addr.to_string()).pull("/", echo).start().await.unwrap();
    soon(client.open()).await.unwrap();
    assert!(!notes.all().concat().contains("ILLEGAL"), "{:?}", notes.all());
    drop(server);
}

// ---------------------------------------------------------------- endings of connections

#[tokio::test]
async fn advice_in_a_close_reason_is_obeyed() {
    let advice = open_with(&close_frame(1012, "retry=250000;spread=50000"));
    let (url, _) = script(vec![advice]).await;
    let client = builder(&url).start();
    let mut states = client.states();
    let delay = soon(async {
        loop {
            if let Some(State::Connecting { attempt: 2, delay }) = states.next().await {
                return delay;
            }
        }
    })
    .await;
    assert!((250..=300).contains(&delay.as_secs()), "{delay:?}");
    // A network that came back changes nothing about what the server asked for.
    client.wake();
    client.pause();
    soon(async { while !matches!(states.next().await, Some(State::Waiting)) {} }).await;
    client.wake();
    let state = soon(states.next()).await.unwrap();
    let State::Connecting { delay, .. } = state else { panic!("{state}") };
    assert!((240..=300).contains(&delay.as_secs()), "{delay:?}");
}

#[tokio::test]
async fn a_server_that_is_done_with_us_ends_it() {
    let (stop, states) = stops(vec![open_with(&close_frame(1000, "that was all"))]).await;
    assert_eq!(states, ["attempt 1", "open, connection 1", "stopped"]);
    let Stop::Ended(closure) = stop else { panic!("{stop}") };
    assert_eq!((&closure.cause, closure.reason()), (&Cause::PeerClosed, "that was all"));
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
    ws.closed().await;
}

async fn echo_server(addr: &str) -> (Server, String) {
    let server = Server::builder().bind(addr).pull("/", echo).start().await.unwrap();
    let addr = server.local_addr().unwrap().to_string();
    (server, addr)
}

#[tokio::test]
async fn messages_carry_the_number_of_their_connection() {
    let frames = |text: &[u8]| [&[0x81, text.len() as u8], text].concat();
    let first = [frames(b"a"), frames(b"b"), close_frame(1001, "")].concat();
    let (url, _) = script(vec![open_with(&first), open_with(&frames(b"c"))]).await;
    let mut client = builder(&url).start();
    let mut states = client.states();
    soon(async { while states.next().await.unwrap().generation() != Some(2) {} }).await;
    // Nobody has read yet what the first connection received.
    let mut received = Vec::new();
    for _ in 0..3 {
        let incoming = soon(client.recv()).await.unwrap();
        received.push((incoming.generation, incoming.message.as_text().unwrap().to_owned()));
    }
    let expected = [(1, "a"), (1, "b"), (2, "c")].map(|(n, text)| (n, text.to_owned()));
    assert_eq!(received, expected);
    assert!(client.recv().now_or_never().is_none());
}

#[tokio::test]
async fn a_client_comes_back_when_its_server_does() {
    let (server, addr) = echo_server("127.0.0.1:0").await;
    let notes = Notes::default();
    let mut client = audited(builder(&format!("ws://{addr}/")), &notes).start();
    for round in 1..=3 {
        soon(async { while client.open().await.unwrap() < round {} }).await;
        assert_eq!(client.send("hello").await, Ok(Sent::Handed { generation: round }));
        let incoming = soon(client.recv()).await.unwrap();
        assert_eq!((incoming.generation, incoming.message.as_text()), (round, Some("hello")));
        for connection in server.registry().list() {
            let code = CloseCode::SERVICE_RESTART;
            server.registry().close(connection.id, code, "retry=1;spread=1").unwrap();
        }
        soon(async {
            while client.state().generation() == Some(round) {
                settle().await;
            }
        })
        .await;
    }
    assert!(!notes.all().concat().contains("ILLEGAL"), "{:?}", notes.all());
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

// ---------------------------------------------------------------- providers and the hook

#[tokio::test]
async fn a_provider_that_fails_panics_or_hangs_is_a_failed_attempt() {
    let (_server, addr) = echo_server("127.0.0.1:0").await;
    let notes = Notes::default();
    let lasts = notes.clone();
    let client = builder("ws://unused.test/").provider_timeout(Duration::from_millis(50));
    let client = client.url(move |info| {
        if let Some(last) = &info.last {
            lasts.add(last.to_string());
        }
        let addr = addr.clone();
        async move {
            match info.number {
                1 => Err("no idea".into()),
                2 => panic!("as told"),
                3 => std::future::pending().await,
                4 => Ok("gopher://example.test/".into()),
                _ => Ok(format!("ws://{addr}/")),
            }
        }
    });
    soon(client.start().open()).await.unwrap();
    let said = notes.all();
    let expected = ["no idea", "it panicked", "not done within 50ms", "gopher"];
    assert_eq!(said.len(), 4);
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with("provider of urls failed: ") && said.contains(expected), "{said}");
    }
}

/// A server that notes what it receives, and says so.
async fn noting() -> (Server, String, Notes) {
    let notes = Notes::default();
    let serve = {
        let notes = notes.clone();
        move |mut ws: WebSocket| {
            let notes = notes.clone();
            async move {
                while let Some(message) = ws.recv().await {
                    notes.add(message.as_text().unwrap());
                }
                notes.add(ws.closed().await.to_string());
            }
        }
    };
    let server = Server::builder().bind("127.0.0.1:0").pull("/", serve).start().await.unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    (server, url, notes)
}

#[tokio::test]
async fn the_hook_comes_before_what_waited() {
    let (_server, url, notes) = noting().await;
    let client = builder(&url).while_down(WhileDown::Queue { bytes: 1 << 20 });
    let client = client.on_connect(|ws, generation| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        ws.send(format!("subscribe {generation}")).await?;
        Ok(ws)
    });
    let client = client.start();
    for n in 0..100 {
        assert_eq!(client.send(format!("{n}")).await, Ok(Sent::Queued));
    }
    soon(client.open()).await.unwrap();
    client.send("last").await.unwrap();
    let received = notes.until(102).await;
    let mut expected = vec!["subscribe 1".to_owned()];
    expected.extend((0..100).map(|n| n.to_string()));
    expected.push("last".into());
    assert_eq!(received, expected);
    assert_eq!((client.tally().handed, client.tally().queued), (101, 0));
}

#[tokio::test]
async fn a_hook_that_fails_is_a_failed_attempt() {
    let (_server, url, received) = noting().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let notes = Notes::default();
    let hook = {
        let calls = calls.clone();
        move |ws: WebSocket, _| {
            let n = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                match n {
                    0 => Err("not welcome".into()),
                    1 => panic!("as told"),
                    2 => std::future::pending().await,
                    _ => Ok(ws),
                }
            }
        }
    };
    let client = builder(&url).on_connect(hook).on_connect_timeout(Duration::from_millis(100));
    let client = audited(client, &notes).start();
    assert_eq!(soon(client.open()).await.unwrap(), 1);
    let expected = ["attempt 1", "attempt 2", "attempt 3", "attempt 4", "open, connection 1"];
    assert_eq!(notes.all(), expected);
    let goodbyes = received.until(3).await;
    assert!(goodbyes.iter().all(|it| it.starts_with("received 1001")), "{goodbyes:?}");
}

// ---------------------------------------------------------------- messages while down

#[tokio::test]
async fn while_down_messages_are_refused_queued_or_dropped_as_chosen() {
    let nowhere = "ws://127.0.0.1:1/";
    let refusing = builder(nowhere).start();
    assert_eq!(refusing.send("a").await, Err(NotSent::Down));
    assert_eq!(refusing.tally().refused, 1);

    let dropping = builder(nowhere).while_down(WhileDown::Drop).start();
    assert_eq!(dropping.send("a").await, Ok(Sent::Dropped));
    assert_eq!(dropping.tally().dropped, 1);

    let queueing = builder(nowhere).while_down(WhileDown::Queue { bytes: 100 }).start();
    assert_eq!(queueing.send("a").await, Ok(Sent::Queued));
    let full = NotSent::QueueFull { queued: 65, limit: 100 };
    assert_eq!(queueing.send("b").await, Err(full));
    let tally = queueing.tally();
    assert_eq!((tally.queued, tally.refused, tally.abandoned), (1, 1, 0));
    let stop = soon(queueing.close(CloseCode::NORMAL_CLOSURE, "").unwrap()).await;
    assert!(matches!(stop, Stop::Closed(None)), "{stop}");
    assert_eq!(queueing.send("c").await, Err(NotSent::Stopped));
    let tally = queueing.tally();
    assert_eq!((tally.queued, tally.abandoned), (0, 1));
}

#[tokio::test]
async fn a_send_dropped_while_it_waits_has_sent_nothing() {
    let (url, _) = script(vec![Step::Keep(OPEN.into())]).await;
    let mut config = everwire::Config::default();
    config.limits.send_queue = 1 << 10;
    config.limits.send_queue_low = 1;
    let client = Client::new(&url).unwrap().proxy(ProxyConfig::Direct).config(config);
    let client = ReconnectingClient::builder(client).policy(quick()).start();
    soon(client.open()).await.unwrap();
    let large = vec![0; 64 << 20]; // More than the sockets take in a moment.
    client.send(large).await.unwrap();
    assert!(client.send("one").now_or_never().is_none(), "the send queue is not full");
    assert_eq!(client.tally().handed, 1);
}

// ---------------------------------------------------------------- controls

#[tokio::test]
async fn close_ends_it_for_good_with_the_closure() {
    let (_server, url, received) = noting().await;
    let mut client = builder(&url).start();
    soon(client.open()).await.unwrap();
    assert!(client.close(CloseCode::ABNORMAL_CLOSURE, "").is_err());
    let stop = soon(client.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap()).await;
    let closure = stop.closure().expect("a connection was open");
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::LocalClosed, true));
    assert_eq!(received.until(1).await, ["received 1000 (normal closure) \"bye\", answered"]);
    assert_eq!((client.recv().await, client.recv().await), (None, None));
    assert!(matches!(client.state(), State::Stopped(Stop::Closed(Some(_)))));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_it() {
    let (_server, url, received) = noting().await;
    let notes = Notes::default();
    let (sender, receiver) = audited(builder(&url), &notes).start().split();
    soon(sender.open()).await.unwrap();
    drop(receiver);
    let other = sender.clone();
    drop(sender);
    other.send("still here").await.unwrap();
    received.until(1).await;
    drop(other);
    let said = received.until(2).await;
    assert!(said[1].starts_with("received 1001 (going away)"), "{said:?}");
    assert_eq!(notes.until(3).await, ["attempt 1", "open, connection 1", "stopped"]);
}

#[tokio::test]
async fn a_pause_lasts_until_wake() {
    let (server, addr) = echo_server("127.0.0.1:0").await;
    let notes = Notes::default();
    let client = audited(builder(&format!("ws://{addr}/")), &notes).start();
    soon(client.open()).await.unwrap();
    client.pause();
    for connection in server.registry().list() {
        server.registry().close(connection.id, CloseCode::GOING_AWAY, "").unwrap();
    }
    assert_eq!(notes.until(3).await, ["attempt 1", "open, connection 1", "waiting to be woken"]);
    client.wake();
    soon(client.open()).await.unwrap();
    assert_eq!(notes.all()[3..], ["attempt 2", "open, connection 2"]);
}

#[tokio::test]
async fn wake_tries_at_once() {
    let mut policy = quick();
    policy.first_spread = Duration::from_secs(1 << 20);
    let (url, _) = script(vec![say(""), open_with(&[])]).await;
    let client = builder(&url).policy(policy).start();
    soon(async {
        while !matches!(client.state(), State::Connecting { attempt: 2, .. }) {
            settle().await;
        }
    })
    .await;
    client.wake();
    soon(client.open()).await.unwrap();
}

#[tokio::test]
async fn wake_finds_out_that_a_connection_is_dead() {
    // The first one never answers the probe.
    let (url, _) = script(vec![open_with(&[]), open_with(&[])]).await;
    let notes = Notes::default();
    let client = audited(builder(&url), &notes).start();
    assert_eq!(soon(client.open()).await.unwrap(), 1);
    client.wake();
    client.wake();
    let states = notes.until(4).await;
    assert_eq!(states[1..], ["open, connection 1", "attempt 2", "open, connection 2"]);
}

#[tokio::test]
async fn a_server_that_is_full_is_asked_again() {
    let refused = Arc::new(AtomicUsize::new(0));
    let counting = refused.clone();
    let server = Server::builder().bind("127.0.0.1:0").pull("/", echo);
    let server = server.authorize(move |_| {
        let n = counting.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match n {
                0 => Err(Reject::unavailable(Duration::from_secs(1))),
                _ => Ok(everwire::Accept::new()),
            }
        })
    });
    let server = server.start().await.unwrap();
    let client = builder(&format!("ws://{}/", server.local_addr().unwrap())).start();
    soon(client.open()).await.unwrap();
    assert_eq!(refused.load(Ordering::Relaxed), 2);
}

#[test]
fn public_types_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    fn check_send<T: Send>(_: T) {}
    check::<everwire::reconnect::ReconnectingSender>();
    check::<everwire::reconnect::ReconnectingReceiver>();
    check::<ReconnectingClient>();
    check::<State>();
    check::<AttemptError>();
    check_send(|client: ReconnectingClient| async move { client.send("a").await });
}

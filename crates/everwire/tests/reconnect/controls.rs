//! Closing, dropping, pausing and waking.

use super::*;

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
    until(|| matches!(client.state(), State::Connecting { attempt: 2, .. })).await;
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
